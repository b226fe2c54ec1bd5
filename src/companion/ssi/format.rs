//! Formats of dates and sizes in `ssi`.

use std::fmt::{self, Write};
use std::time::SystemTime;

use chrono::{DateTime, Local, TimeZone, Utc};

use crate::sys::zone;

/// Default date format of thttpd.
pub const DEFAULT_TIME: &str = "%a %b %e %T %Z %Y";

/// Text in place of a date that cannot be expressed.
const UNDATED: &str = "?";

/// Formats `time` in the local zone, by a [valid](is_valid) strftime(3) format or the default one.
pub fn local(time: SystemTime, format: &str) -> String {
    let Some(time) = dated(time).map(|time| time.with_timezone(&Local)) else { return UNDATED.to_owned() };
    let zone = zone::name(time.timestamp()).unwrap_or_else(|| time.offset().to_string());
    let named = |format: &str| written(&time, &with_zone(format, &zone));
    named(format).or_else(|| named(DEFAULT_TIME)).unwrap_or_default()
}

/// Formats `time` in UTC, which `%Z` calls GMT.
pub fn gmt(time: SystemTime, format: &str) -> String {
    let Some(time) = dated(time) else { return UNDATED.to_owned() };
    let named = |format: &str| written(&time, &with_zone(format, "GMT"));
    named(format).or_else(|| named(DEFAULT_TIME)).unwrap_or_default()
}

/// Date of `time`; `None` outside the years 0 to 9999.
///
/// chrono panics for times that it cannot express, and a file can have any time.
fn dated(time: SystemTime) -> Option<DateTime<Utc>> {
    let seconds = match time.duration_since(SystemTime::UNIX_EPOCH) {
        Ok(since) => i64::try_from(since.as_secs()).ok()?,
        Err(before) => {
            let before = before.duration();
            // A fraction of a second counts down to the second below.
            -i64::try_from(before.as_secs()).ok()? - i64::from(before.subsec_nanos() > 0)
        }
    };
    zone::time_in(&Utc, seconds)
}

/// Replaces `%Z` in `format` by the zone's name, which chrono would write as a number.
fn with_zone(format: &str, zone: &str) -> String {
    // Behind `%%`, a Z is literal.
    let parts: Vec<String> = format.split("%%").map(|part| part.replace("%Z", zone)).collect();
    parts.join("%%")
}

/// Tells whether dates can be written by `format`; chrono panics for formats that it cannot write.
pub fn is_valid(format: &str) -> bool {
    written(&DateTime::<Utc>::UNIX_EPOCH, format).is_some()
}

fn written<Z: TimeZone>(time: &DateTime<Z>, format: &str) -> Option<String>
where
    Z::Offset: fmt::Display,
{
    let mut text = String::new();
    write!(text, "{}", time.format(format)).ok().map(|()| text)
}

/// Size in bytes, or in the largest unit that fits at least once.
pub fn size(bytes: u64, abbreviated: bool) -> String {
    match bytes {
        _ if !abbreviated => bytes.to_string(),
        ..1024 => bytes.to_string(),
        1024..1_048_576 => format!("{}K", bytes >> 10),
        1_048_576..1_073_741_824 => format!("{}M", bytes >> 20),
        _ => format!("{}G", bytes >> 30),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::time::Duration;

    #[test]
    fn dates_are_written_as_thttpd_writes_them() {
        let time = SystemTime::UNIX_EPOCH + Duration::from_secs(1_500_000_000);
        assert_eq!(gmt(time, DEFAULT_TIME), "Fri Jul 14 02:40:00 GMT 2017");
        assert_eq!(gmt(time, "%Y-%m-%d"), "2017-07-14");
        assert_eq!(gmt(time, "%%Z %Z"), "%Z GMT");
        let zone = local(time, "%Z");
        assert!(zone.bytes().any(|b| b.is_ascii_alphabetic()) && zone.len() < 8, "{zone}");
    }

    #[test]
    fn a_format_that_chrono_only_reads_is_refused_like_an_unknown_one() {
        for format in ["%#z", "%Q", "%"] {
            assert!(!is_valid(format), "{format}");
        }
        assert_eq!(gmt(SystemTime::UNIX_EPOCH, "%#z"), "Thu Jan  1 00:00:00 GMT 1970");
    }

    #[test]
    fn a_time_that_no_date_expresses_is_a_question_mark() {
        let (longest, second) = (Duration::from_secs(i64::MAX as u64), Duration::from_secs(1));
        for time in [SystemTime::UNIX_EPOCH + longest, SystemTime::UNIX_EPOCH - longest] {
            assert_eq!(gmt(time, DEFAULT_TIME), "?");
            assert_eq!(local(time, DEFAULT_TIME), "?");
        }
        assert_eq!(gmt(SystemTime::UNIX_EPOCH - second, "%Y-%m-%d %T"), "1969-12-31 23:59:59");
    }

    #[test]
    fn sizes_are_exact_or_in_whole_units() {
        for (bytes, short) in
            [(0, "0"), (1023, "1023"), (1024, "1K"), (1_048_575, "1023K"), (1_048_576, "1M"), (5 << 30, "5G")]
        {
            assert_eq!(size(bytes, true), short);
            assert_eq!(size(bytes, false), bytes.to_string());
        }
    }

    proptest! {
        #[test]
        fn no_format_panics(format in "(%[ -~]|[ -~]){0,8}") {
            local(SystemTime::UNIX_EPOCH, &format);
            gmt(SystemTime::UNIX_EPOCH, &format);
        }
    }
}
