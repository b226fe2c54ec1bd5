//! Local time zone, from the C library.
//!
//! chrono would read `/etc/localtime` in each thread, and check it every second: after chroot it would find
//! no file and log UTC. The C library reads the zone once, as for thttpd.

use std::ffi::{CStr, OsString};
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use chrono::{DateTime, Datelike, Local, Offset, TimeZone, Utc};
use nix::libc;

use super::{read_regular_file, thread};

static INHERITED: OnceLock<Option<OsString>> = OnceLock::new();

/// The `TZ` that the process was started with; what scripts are to see (thttpd passes it on).
pub fn inherited() -> Option<OsString> {
    match INHERITED.get() {
        Some(zone) => zone.clone(),
        None => std::env::var_os("TZ"),
    }
}

/// Fixes the zone for the life of the process. Call it before chroot and before any thread is
/// started that lives on.
pub fn fix() {
    let inherited = INHERITED.get_or_init(|| std::env::var_os("TZ")).clone();
    let Some(rule) = rule_of(inherited.as_deref().map(|zone| zone.to_string_lossy()).as_deref()) else {
        return;
    };
    let Some(before) = offsets() else { return };
    set(&rule);
    // A rule that chrono cannot read would silently be UTC; today's offset is right until clocks change.
    if offsets() != Some(before) {
        set(&fixed_rule(before[0]));
    }
}

/// Time in a zone; `None` outside the years 0 to 9999, which no date format of ours can express.
///
/// A file can have any time that its file system can store.
pub fn time_in<Tz: TimeZone>(zone: &Tz, seconds: i64) -> Option<DateTime<Tz>> {
    zone.timestamp_opt(seconds, 0).single().filter(|time| (0..=9999).contains(&time.year()))
}

/// A number in the system's type for it, which has 32 or 64 bits; `None` if it does not fit.
fn representable<T: TryFrom<i64>>(number: i64) -> Option<T> {
    number.try_into().ok()
}

/// Abbreviation of the local time zone at `unix` seconds since the epoch, such as `CEST`; `None` if
/// unknown.
///
/// chrono only provides the offset.
pub fn name(unix: i64) -> Option<String> {
    #[allow(deprecated)] // for musl, libc says that it will change to what it is here
    let unix: libc::time_t = representable(unix)?;
    // SAFETY: all-zero bytes are a value of each field of this plain structure, the pointer included.
    let mut parts: libc::tm = unsafe { std::mem::zeroed() };
    // SAFETY: both pointers are to values of the right kind, which live through the call; no thread changes the
    // environment meanwhile (see `set`).
    let told = unsafe { libc::localtime_r(&raw const unix, &raw mut parts) };
    if told.is_null() || parts.tm_zone.is_null() {
        return None;
    }
    // SAFETY: the C library has set it to a text that ends with a NUL and lives as long as the process.
    let name = unsafe { CStr::from_ptr(parts.tm_zone) };
    Some(name.to_string_lossy().into_owned()).filter(|name| !name.is_empty())
}

/// Local time minus UTC in seconds, in winter and in summer, as a fresh thread sees it. The thread has
/// ended when this returns.
fn offsets() -> Option<[i32; 2]> {
    let now = Utc::now().timestamp();
    let half_a_year = 182 * 86400;
    let found = Arc::new(OnceLock::new());
    let sender = Arc::clone(&found);
    let look = move || {
        let _ = sender.set([now, now + half_a_year].map(|at| {
            Local.timestamp_opt(at, 0).single().map_or(0, |time| time.offset().fix().local_minus_utc())
        }));
    };
    thread::start("zone", 128 * 1024, Box::new(look)).ok()?.join().ok()?;
    found.get().copied()
}

fn set(rule: &str) {
    // SAFETY: no thread reads or writes the environment at the same time: `fix` is called in the boot
    // sequence, where no other thread exists (`offsets` has joined its own).
    unsafe { std::env::set_var("TZ", rule) }
}

/// The POSIX rule (`CET-1CEST,M3.5.0,M10.5.0/3`) of the zone in force. None: it is one already, or
/// cannot be found out.
fn rule_of(zone: Option<&str>) -> Option<String> {
    let path = match zone {
        None => PathBuf::from("/etc/localtime"),
        Some(name) => {
            let name = name.strip_prefix(':').unwrap_or(name);
            let path =
                ["/usr/share/zoneinfo", "/usr/lib/zoneinfo", "/usr/share/lib/zoneinfo", "/etc/zoneinfo"]
                    .iter()
                    .map(|dir| Path::new(dir).join(name))
                    .find(|path| path.is_file());
            path.filter(|_| !name.is_empty())?
        }
    };
    match read_regular_file(&path) {
        Ok(file) => footer(&file),
        Err(_) => Some("UTC0".into()),
    }
}

/// Last line of a zone file of version 2 or later (RFC 9636 §3.3).
///
/// The rule in this line holds for all times after the last listed change of clocks.
fn footer(file: &[u8]) -> Option<String> {
    let text = file.strip_prefix(b"TZif")?.strip_suffix(b"\n")?;
    let start = text.iter().rposition(|&byte| byte == b'\n')? + 1;
    let rule = std::str::from_utf8(&text[start..]).ok()?;
    (!rule.is_empty()).then(|| rule.to_owned())
}

/// The rule of a zone that is always `offset` seconds ahead of UTC; POSIX counts the other way.
fn fixed_rule(offset: i32) -> String {
    let (hours, minutes) = (offset.abs() / 3600, offset.abs() / 60 % 60);
    let (sign, opposite) = if offset < 0 { ('-', '+') } else { ('+', '-') };
    format!("<{sign}{hours:02}{minutes:02}>{opposite}{hours:02}:{minutes:02}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rule_is_the_last_line_of_a_zone_file() {
        let file = b"TZif2\0\0binary\n\0more\nCET-1CEST,M3.5.0,M10.5.0/3\n";
        assert_eq!(footer(file).as_deref(), Some("CET-1CEST,M3.5.0,M10.5.0/3"));
    }

    #[test]
    fn what_is_no_zone_file_has_no_rule() {
        for file in [&b""[..], b"TZif", b"CET-1\n", b"TZif2\n\n", b"TZif2 no end"] {
            assert_eq!(footer(file), None);
        }
    }

    #[test]
    fn a_fixed_rule_counts_westward() {
        assert_eq!(fixed_rule(19800), "<+0530>-05:30");
        assert_eq!(fixed_rule(-12600), "<-0330>+03:30");
        assert_eq!(fixed_rule(0), "<+0000>-00:00");
    }

    #[test]
    fn a_rule_given_as_such_stays() {
        assert_eq!(rule_of(Some("EST5EDT,M3.2.0,M11.1.0")), None);
    }
}
