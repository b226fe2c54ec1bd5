//! Metadata of a file, as the fields of a response show it.

use std::time::SystemTime;

use super::etag::Etag;
use super::facts::{FileFacts, imf_fixdate, since_epoch, whole_seconds};
use super::inline::Inline;
use super::mime::Types;

/// Metadata of a file as HTTP shows it (RFC 9110 §8), computed once and shared by all responses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Representation {
    /// Content-Type, charset included.
    pub media_type: Box<[u8]>,
    /// Content-Encoding, innermost first, joined with commas as in thttpd; empty = none.
    pub encodings: Box<str>,
    /// Length in bytes.
    pub len: u64,
    /// Value of Last-Modified in whole seconds: the modification time, but never in the future.
    ///
    /// `None` if the file system has no date of the last change (RFC 9110 §8.8.2.1). Use [`FileFacts`] to
    /// detect changes.
    pub modified: Option<SystemTime>,
    /// `modified` as an IMF-fixdate; empty = none.
    pub last_modified: Inline<29>,
    /// Entity tag with quotes; empty = none. Weak while the file is not settled.
    pub etag: Etag,
    /// Set if the file was old enough that any later change must alter its times.
    ///
    /// Content of an unsettled file should not be kept for long.
    pub settled: bool,
    /// Set if precompressed forms exist, so that the response depends on Accept-Encoding.
    pub vary: bool,
}

impl Representation {
    /// Representation of the file called `name`, which had `facts` at the time `now`.
    ///
    /// The last path segment decides the type. The caller adds the entity tag. A file that changed less
    /// than two seconds before `now` is not settled: another change of equal length could leave its times
    /// as they are. A strong tag promises that every change is visible (RFC 9110 §8.8.1).
    pub fn new(name: &[u8], facts: &FileFacts, types: &Types, now: SystemTime) -> Representation {
        let (media_type, encodings) = types.describe(name);
        let modified = facts.has_date().then(|| whole_seconds(since_epoch(facts.modified).min(now)));
        Representation {
            media_type: media_type.into(),
            encodings: encodings.into(),
            len: facts.len,
            modified,
            last_modified: modified.map(imf_fixdate).as_deref().unwrap_or_default().into(),
            etag: Etag::from(""),
            settled: facts.are_settled(now),
            vary: false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::time::{Duration, UNIX_EPOCH};

    const FACTS: FileFacts =
        FileFacts { device: 1, inode: 7, len: 14, modified: (1_500_000_000, 5), changed: (1_500_000_100, 6) };

    fn at(seconds: u64) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(seconds)
    }

    fn seen(facts: &FileFacts, now: u64) -> Representation {
        Representation::new(b"hello.txt", facts, &Types::new(b"UTF-8"), at(now))
    }

    #[test]
    fn a_text_file_gets_its_type_length_and_date() {
        let it = seen(&FACTS, 1_600_000_000);
        assert_eq!(&*it.media_type, b"text/plain; charset=UTF-8");
        assert_eq!(&*it.encodings, "");
        assert_eq!(it.len, 14);
        assert_eq!(&*it.last_modified, "Fri, 14 Jul 2017 02:40:00 GMT");
        assert_eq!(it.modified, Some(at(1_500_000_000)));
    }

    #[test]
    fn a_file_changed_this_moment_settles_after_two_seconds() {
        assert!(!seen(&FACTS, 1_500_000_101).settled);
        assert!(seen(&FACTS, 1_500_000_103).settled);
    }

    #[test]
    fn a_date_before_1990_is_none() {
        for (modified, expected) in [
            (631_152_000, "Mon, 01 Jan 1990 00:00:00 GMT"),
            (631_151_999, ""),
            (315_532_800, ""),
            (1, ""),
            (-5, ""),
            (i64::MIN, ""),
        ] {
            let it = seen(&FileFacts { modified: (modified, 0), ..FACTS }, 1_600_000_000);
            assert_eq!(&*it.last_modified, expected, "{modified}");
            assert_eq!(it.modified.is_none(), expected.is_empty());
        }
    }

    #[test]
    fn a_change_time_in_the_future_never_counts_as_settled() {
        assert!(!seen(&FileFacts { changed: (1_900_000_000, 0), ..FACTS }, 1_600_000_000).settled);
    }

    #[test]
    fn last_modified_is_never_in_the_future_nor_outside_what_http_can_write() {
        for (modified, expected) in
            [(1_900_000_000, "Sun, 13 Sep 2020 12:26:40 GMT"), (i64::MAX, "Sun, 13 Sep 2020 12:26:40 GMT")]
        {
            let it = seen(&FileFacts { modified: (modified, 0), ..FACTS }, 1_600_000_000);
            assert_eq!(&*it.last_modified, expected, "{modified}");
        }
        assert_eq!(imf_fixdate(at(u64::MAX >> 2)), "Fri, 31 Dec 9999 23:59:59 GMT");
    }

    proptest! {
        #[test]
        fn no_file_time_panics(modified: (i64, u32), changed: (i64, u32), now in 0..u64::MAX >> 2) {
            let it = seen(&FileFacts { modified, changed, ..FACTS }, now);
            prop_assert_eq!(it.last_modified.len(), if it.modified.is_some() { 29 } else { 0 });
        }
    }
}
