//! Facts of a file that the file system tells, and its times as HTTP writes them.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::sys::stat::{FileStat, StatFields};

/// Time after a change during which another change may leave all times of the file as they are.
///
/// The value is far above the tick of any file system's clock, and above the coarsest timestamps of one
/// second.
const UNSETTLED: Duration = Duration::from_secs(2);

/// Last second that an IMF-fixdate can express: 9999-12-31T23:59:59Z.
const LAST_SECOND: u64 = 253_402_300_799;

/// Earliest modification time that counts as a date: 1990-01-01T00:00:00Z, in seconds since the epoch.
///
/// Build tools stamp 1970 or 1980 on every version of every file.
const FIRST_DATE: i64 = 631_152_000;

/// Seconds and nanoseconds since the epoch, as `stat` has them.
pub type FileTime = (i64, u32);

/// Facts about an open file from which the validators are made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct FileFacts {
    /// Number of the device that the inode is on.
    pub device: u64,
    /// Inode number.
    pub inode: u64,
    /// Length in bytes.
    pub len: u64,
    /// Content changed: seconds since the epoch, nanoseconds. Anyone may set it to anything.
    pub modified: FileTime,
    /// Content or attributes changed: the same units. Only the kernel sets it.
    pub changed: FileTime,
}

impl From<&FileStat> for FileFacts {
    fn from(meta: &FileStat) -> FileFacts {
        let time = |(seconds, nanoseconds)| (seconds, u32::try_from(nanoseconds).unwrap_or_default());
        FileFacts {
            device: meta.st_dev,
            inode: meta.inode(),
            len: u64::try_from(meta.bytes()).unwrap_or_default(),
            modified: time(meta.modified()),
            changed: time(meta.changed()),
        }
    }
}

impl FileFacts {
    /// Tells whether the file was old enough at `now` that any later change must alter its times.
    pub fn are_settled(&self, now: SystemTime) -> bool {
        now.duration_since(since_epoch(self.changed)).is_ok_and(|age| age >= UNSETTLED)
    }

    /// Tells whether the modification time is a plausible time of a change.
    pub fn has_date(&self) -> bool {
        self.modified.0 >= FIRST_DATE
    }
}

/// Formats `time` as an IMF-fixdate, `Sun, 06 Nov 1994 08:49:37 GMT` (RFC 9110 §5.6.7).
///
/// Times outside 1970–9999 become the nearest limit.
pub fn imf_fixdate(time: SystemTime) -> String {
    httpdate::fmt_http_date(whole_seconds(time))
}

/// `time` without its fraction, limited to 1970–9999.
pub(super) fn whole_seconds(time: SystemTime) -> SystemTime {
    let seconds = time.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    UNIX_EPOCH + Duration::from_secs(seconds.min(LAST_SECOND))
}

/// A file time as the standard library's; times before the epoch become the epoch.
pub(super) fn since_epoch(time: FileTime) -> SystemTime {
    let (seconds, nanoseconds) = time;
    let seconds = u64::try_from(seconds).unwrap_or(0).min(LAST_SECOND);
    UNIX_EPOCH + Duration::new(seconds, nanoseconds.min(999_999_999))
}
