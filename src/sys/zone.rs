//! The local time zone, as the C library knows it.
//!
//! chrono's own would read `/etc/localtime` in each thread by itself, and look again every second: after
//! chroot it would find nothing and log UTC. The C library reads the zone once, as it does for thttpd.

use std::ffi::CStr;

use chrono::{DateTime, FixedOffset};
use nix::libc;

/// Reads the zone, for the life of the process. Call it before chroot, which hides its file.
pub fn load() {
    let _ = parts(0);
}

/// The local time at `unix` seconds since the epoch; none where no calendar has it.
pub fn local(unix: i64) -> Option<DateTime<FixedOffset>> {
    let offset = parts(unix).and_then(|parts| i32::try_from(parts.tm_gmtoff).ok()).unwrap_or(0);
    Some(DateTime::from_timestamp(unix, 0)?.with_timezone(&FixedOffset::east_opt(offset)?))
}

/// Abbreviation of the local time zone at `unix` seconds since the epoch, such as `CEST`; none if it is
/// unknown. chrono knows its offset alone.
pub fn name(unix: i64) -> Option<String> {
    let parts = parts(unix).filter(|parts| !parts.tm_zone.is_null())?;
    // SAFETY: the C library has set it to a text that ends with a NUL and lives as long as the process.
    let name = unsafe { CStr::from_ptr(parts.tm_zone) };
    Some(name.to_string_lossy().into_owned()).filter(|name| !name.is_empty())
}

/// The local time in the C library's form.
fn parts(unix: i64) -> Option<libc::tm> {
    #[allow(deprecated)] // for musl, libc says that it will change to what it is here
    let unix: libc::time_t = unix;
    // SAFETY: all-zero bytes are a value of each field of this plain structure, the pointer included.
    let mut parts: libc::tm = unsafe { std::mem::zeroed() };
    // SAFETY: both pointers are to values of the right kind, which live through the call; nothing in this
    // program changes the environment, which it may read.
    let told = unsafe { libc::localtime_r(&raw const unix, &raw mut parts) };
    (!told.is_null()).then_some(parts)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_local_time_is_the_same_moment() {
        for unix in [0, 1_700_000_000, 1_720_000_000, -86_400] {
            let time = local(unix).unwrap();
            assert_eq!(time.timestamp(), unix);
            assert_eq!(i64::from(time.offset().local_minus_utc()), parts(unix).unwrap().tm_gmtoff);
        }
    }

    #[test]
    fn a_time_that_no_calendar_has_is_none() {
        assert_eq!(local(i64::MAX), None);
    }

    #[test]
    fn the_zone_has_a_name() {
        assert!(name(1_700_000_000).is_some());
    }
}
