//! A file's facts → [`Representation`]: the metadata HTTP shows of it, worked out once.
//!
//! Enters: the file's name, what `fstat` said of its open descriptor, the configured types, and
//! the time of that look. Leaves: the type, the validators and the length that every response
//! about the file shares. The resolver builds one for each file it opens.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use nix::sys::stat::FileStat;

use crate::sys::fd::OpenFile;

pub mod inline;
pub mod mime;

use inline::Inline;
use mime::Types;

/// The last second an IMF-fixdate can name: 9999-12-31T23:59:59Z.
const LAST_SECOND: u64 = 253_402_300_799;

/// How long after a change a file may change again without any of its times showing it: far above
/// the tick of any file system's clock, and above the one second of the coarsest timestamps.
const UNSETTLED: Duration = Duration::from_secs(2);

/// Where a representation's bytes are.
#[derive(Debug, Clone)]
pub enum Content {
    /// Small: read once, sent in the same call as the head.
    Memory(Arc<[u8]>),
    /// Large: sent from this descriptor. Read with offsets only; it is shared.
    File(Arc<OpenFile>),
}

/// What a file's descriptor says of it; all that the validators are made from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FileFacts {
    /// Bytes.
    pub len: u64,
    /// Inode number.
    pub inode: u64,
    /// Content changed: seconds since the epoch, nanoseconds. Anyone may set it to anything.
    pub modified: (i64, u32),
    /// Content or attributes changed: the same units. Only the kernel sets it.
    pub changed: (i64, u32),
}

impl From<&FileStat> for FileFacts {
    fn from(meta: &FileStat) -> FileFacts {
        let nanoseconds = |n: i64| u32::try_from(n).unwrap_or_default();
        FileFacts {
            len: u64::try_from(meta.st_size).unwrap_or_default(),
            inode: meta.st_ino,
            modified: (meta.st_mtime, nanoseconds(meta.st_mtime_nsec)),
            changed: (meta.st_ctime, nanoseconds(meta.st_ctime_nsec)),
        }
    }
}

/// A file's metadata as HTTP sees it (RFC 9110 §8): worked out once, shared by every response.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Representation {
    /// Content-Type, charset filled in.
    pub media_type: Box<str>,
    /// Content-Encoding, innermost first, joined with commas as thttpd does; empty = none.
    pub encodings: Box<str>,
    /// Bytes.
    pub len: u64,
    /// What Last-Modified says, whole seconds: the modification time, but never in the future
    /// (RFC 9110 §8.8.2.1). Not for noticing changes; compare [`FileFacts`] for that.
    pub modified: SystemTime,
    /// `modified` as an IMF-fixdate.
    pub last_modified: Inline<29>,
    /// Entity tag, quotes included; with `W/` in front while the file is not settled.
    pub etag: Inline<20>,
}

impl Representation {
    /// Describes the file called `name` (its last path segment decides the type), which had
    /// `facts` at the time `now`.
    ///
    /// A file that changed less than two seconds before `now` gets a weak entity tag: it may
    /// change once more, at the same length, without one of its times moving, and a strong tag
    /// promises that this shows (RFC 9110 §8.8.1).
    pub fn new(name: &[u8], facts: &FileFacts, types: &Types, now: SystemTime) -> Representation {
        let (media_type, encodings) = types.describe(name);
        let modified = whole_seconds(since_epoch(facts.modified).min(now));
        let settled = now.duration_since(since_epoch(facts.changed)).is_ok_and(|age| age >= UNSETTLED);
        let weak = if settled { "" } else { "W/" };
        Representation {
            media_type: media_type.into(),
            encodings: encodings.into(),
            len: facts.len,
            modified,
            last_modified: imf_fixdate(modified).as_str().into(),
            etag: format!("{weak}\"{:016x}\"", fingerprint(facts)).as_str().into(),
        }
    }

    /// Had the file rested long enough when it was looked at that its times name its content?
    /// If not, its entity tag is weak, and what was read of it should not be kept for long.
    pub fn is_settled(&self) -> bool {
        !self.etag.starts_with("W/")
    }
}

/// `time` in the form HTTP prefers, `Sun, 06 Nov 1994 08:49:37 GMT` (RFC 9110 §5.6.7). Times
/// outside 1970–9999, which file systems can hold, become the nearest end.
pub fn imf_fixdate(time: SystemTime) -> String {
    httpdate::fmt_http_date(whole_seconds(time))
}

/// `time` without its fraction, held within 1970–9999.
fn whole_seconds(time: SystemTime) -> SystemTime {
    let seconds = time.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    UNIX_EPOCH + Duration::from_secs(seconds.min(LAST_SECOND))
}

/// A file time as the standard library's; times before the epoch become the epoch.
fn since_epoch((seconds, nanoseconds): (i64, u32)) -> SystemTime {
    let seconds = u64::try_from(seconds).unwrap_or(0).min(LAST_SECOND);
    UNIX_EPOCH + Duration::new(seconds, nanoseconds.min(999_999_999))
}

/// A number that differs when any fact does (FNV-1a, 64 bits). The change time is in it because a
/// modification time can be set back, as unpacking and copying tools do; hashed, because an inode
/// number is nobody's business.
fn fingerprint(facts: &FileFacts) -> u64 {
    const BASIS: u64 = 0xcbf2_9ce4_8422_2325;
    const PRIME: u64 = 0x0000_0100_0000_01b3;
    let nanoseconds = u64::from(facts.modified.1) << 32 | u64::from(facts.changed.1);
    [facts.len, facts.inode, facts.modified.0 as u64, facts.changed.0 as u64, nanoseconds]
        .iter()
        .flat_map(|word| word.to_le_bytes())
        .fold(BASIS, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(PRIME))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const FACTS: FileFacts =
        FileFacts { len: 14, inode: 7, modified: (1_500_000_000, 5), changed: (1_500_000_100, 6) };

    fn at(seconds: u64) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(seconds)
    }

    fn seen(facts: &FileFacts, now: u64) -> Representation {
        Representation::new(b"hello.txt", facts, &Types::new("UTF-8"), at(now))
    }

    #[test]
    fn a_text_file_gets_its_type_length_and_date() {
        let it = seen(&FACTS, 1_600_000_000);
        assert_eq!(&*it.media_type, "text/plain; charset=UTF-8");
        assert_eq!(&*it.encodings, "");
        assert_eq!(it.len, 14);
        assert_eq!(&*it.last_modified, "Fri, 14 Jul 2017 02:40:00 GMT");
        assert_eq!(it.modified, at(1_500_000_000));
    }

    #[test]
    fn every_fact_changes_the_entity_tag() {
        let tag = seen(&FACTS, 1_600_000_000).etag;
        assert_eq!(tag, seen(&FACTS, 1_700_000_000).etag, "the time of the look is no fact");
        for other in [
            FileFacts { len: 15, ..FACTS },
            FileFacts { inode: 8, ..FACTS },
            FileFacts { modified: (1_500_000_001, 5), ..FACTS },
            FileFacts { modified: (1_500_000_000, 6), ..FACTS },
            FileFacts { changed: (1_500_000_101, 6), ..FACTS },
            FileFacts { changed: (1_500_000_100, 7), ..FACTS },
        ] {
            assert_ne!(tag, seen(&other, 1_600_000_000).etag, "{other:?}");
        }
    }

    #[test]
    fn a_file_changed_this_moment_has_a_weak_tag_that_turns_strong() {
        let fresh = seen(&FACTS, 1_500_000_101);
        assert!(!fresh.is_settled());
        let rested = seen(&FACTS, 1_500_000_103);
        assert!(rested.is_settled());
        assert_eq!(*fresh.etag, format!("W/{}", rested.etag));
    }

    #[test]
    fn a_change_time_in_the_future_never_counts_as_settled() {
        assert!(!seen(&FileFacts { changed: (1_900_000_000, 0), ..FACTS }, 1_600_000_000).is_settled());
    }

    #[test]
    fn last_modified_is_never_in_the_future_nor_outside_what_http_can_write() {
        for (modified, expected) in [
            (1_900_000_000, "Sun, 13 Sep 2020 12:26:40 GMT"),
            (i64::MAX, "Sun, 13 Sep 2020 12:26:40 GMT"),
            (-5, "Thu, 01 Jan 1970 00:00:00 GMT"),
            (i64::MIN, "Thu, 01 Jan 1970 00:00:00 GMT"),
        ] {
            let it = seen(&FileFacts { modified: (modified, 0), ..FACTS }, 1_600_000_000);
            assert_eq!(&*it.last_modified, expected, "{modified}");
        }
        assert_eq!(imf_fixdate(at(u64::MAX >> 2)), "Fri, 31 Dec 9999 23:59:59 GMT");
    }

    proptest! {
        #[test]
        fn no_file_time_panics(modified: (i64, u32), changed: (i64, u32), now in 0..u64::MAX >> 2) {
            let it = seen(&FileFacts { modified, changed, ..FACTS }, now);
            prop_assert_eq!(it.last_modified.len(), 29);
        }
    }
}
