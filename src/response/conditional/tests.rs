//! Precondition tests for a file of Fri, 14 Jul 2017 02:40:00 GMT.

use super::PreconditionResult::{Failed, NotModified, Proceed};
use super::*;
use crate::response::fixture::{hello, lines};
use proptest::prelude::*;
use std::sync::Arc;

const THEN: &str = "Fri, 14 Jul 2017 02:40:00 GMT";
const BEFORE: &str = "Fri, 14 Jul 2017 02:39:59 GMT";
const AFTER: &str = "Sun, 13 Sep 2020 12:26:40 GMT";

/// File with the entity tag `etag`; a weak tag makes the file unsettled.
fn tagged(etag: &str) -> Representation {
    let settled = !etag.starts_with("W/");
    Representation { etag: etag.into(), settled, ..Arc::unwrap_or_clone(hello().0) }
}

fn verdict(etag: &str, fields: &[(&str, &str)]) -> PreconditionResult {
    evaluate(&lines(fields), &tagged(etag))
}

#[test]
fn if_modified_since_takes_the_three_date_forms_and_ignores_the_rest() {
    for (value, expected) in [
        (THEN, NotModified),
        (AFTER, NotModified),
        (BEFORE, Proceed),
        ("Friday, 14-Jul-17 02:40:00 GMT", NotModified),
        ("Fri Jul 14 02:40:00 2017", NotModified),
        ("Fri Jul 14 02:39:59 2017", Proceed),
        // Second 60 counts as 02:40:00.
        ("Fri, 14 Jul 2017 02:39:60 GMT", NotModified),
        ("Fri, 14 Jul 2017 02:38:60 GMT", Proceed),
        ("Thu, 14 Jul 2017 02:40:00 GMT", Proceed),
        ("garbage", Proceed),
        ("", Proceed),
        ("1500000000", Proceed),
        ("Fri, 31 Feb 2023 00:00:00 GMT", Proceed),
    ] {
        assert_eq!(verdict("\"a\"", &[("if-modified-since", value)]), expected, "{value}");
    }
    let twice = [("If-Modified-Since", THEN), ("If-Modified-Since", THEN)];
    assert_eq!(verdict("\"a\"", &twice), Proceed, "not one date");
}

#[test]
fn if_none_match_compares_weakly_over_the_whole_list() {
    for (value, expected) in [
        ("\"a\"", NotModified),
        ("W/\"a\"", NotModified),
        ("*", NotModified),
        ("\"b\", \"a\"", NotModified),
        ("\"b\",W/\"c\" ,, \"a\"", NotModified),
        ("\"x,\", \"a\"", NotModified),
        ("junk, \"a\"", NotModified),
        ("\"b\"", Proceed),
        ("\"a", Proceed),
        ("a", Proceed),
        ("w/\"a\"", Proceed),
        ("\"A\"", Proceed),
        ("\"b,\"a\"", Proceed),
        ("", Proceed),
        (",", Proceed),
    ] {
        assert_eq!(verdict("\"a\"", &[("If-None-Match", value)]), expected, "{value}");
    }
    assert_eq!(verdict("W/\"a\"", &[("If-None-Match", "\"a\"")]), NotModified);
    assert_eq!(verdict("\"a\"", &[("If-None-Match", "\"b\""), ("If-None-Match", "\"a\"")]), NotModified);
}

#[test]
fn if_match_compares_strongly() {
    for (own, value, expected) in [
        ("\"a\"", "\"a\"", Proceed),
        ("\"a\"", "\"b\", \"a\"", Proceed),
        ("\"a\"", "*", Proceed),
        ("W/\"a\"", "*", Proceed),
        ("\"a\"", "W/\"a\"", Failed),
        ("W/\"a\"", "\"a\"", Failed),
        ("W/\"a\"", "W/\"a\"", Failed),
        ("\"a\"", "\"b\"", Failed),
        ("\"a\"", "", Failed),
    ] {
        assert_eq!(verdict(own, &[("If-Match", value)]), expected, "{own}: {value}");
    }
}

#[test]
fn if_unmodified_since_fails_only_after_a_change() {
    for (value, expected) in [(THEN, Proceed), (AFTER, Proceed), (BEFORE, Failed), ("garbage", Proceed)] {
        assert_eq!(verdict("\"a\"", &[("If-Unmodified-Since", value)]), expected, "{value}");
    }
}

#[test]
fn tags_go_before_dates_and_demands_before_savings() {
    let (matches, differs) = ("\"a\"", "\"b\"");
    for (fields, expected) in [
        (&[("If-None-Match", differs), ("If-Modified-Since", THEN)][..], Proceed),
        (&[("If-None-Match", matches), ("If-Modified-Since", BEFORE)], NotModified),
        (&[("If-Match", matches), ("If-Unmodified-Since", BEFORE)], Proceed),
        (&[("If-Match", differs), ("If-Unmodified-Since", AFTER)], Failed),
        (&[("If-None-Match", matches), ("If-Match", differs)], Failed),
        (&[("If-None-Match", matches), ("If-Match", matches)], NotModified),
        (&[("If-Modified-Since", THEN), ("If-Unmodified-Since", BEFORE)], Failed),
        (&[], Proceed),
    ] {
        assert_eq!(verdict("\"a\"", fields), expected, "{fields:?}");
    }
}

#[test]
fn if_range_holds_only_for_the_current_strong_validator() {
    for (value, holds) in [
        ("\"a\"", true),
        (THEN, true),
        ("Fri Jul 14 02:40:00 2017", true),
        ("\"b\"", false),
        ("W/\"a\"", false),
        ("\"a\", \"b\"", false),
        (BEFORE, false),
        (AFTER, false),
        ("garbage", false),
        ("*", false),
        ("", false),
    ] {
        assert_eq!(range_applies(&lines(&[("If-Range", value)]), &tagged("\"a\"")), holds, "{value}");
    }
    assert!(range_applies(&lines(&[]), &tagged("\"a\"")));
}

#[test]
fn if_range_never_holds_for_a_file_that_is_not_settled() {
    for value in ["\"a\"", "W/\"a\"", THEN] {
        assert!(!range_applies(&lines(&[("If-Range", value)]), &tagged("W/\"a\"")), "{value}");
    }
    assert!(range_applies(&lines(&[]), &tagged("W/\"a\"")), "without If-Range nobody compares");
}

#[test]
fn the_date_of_a_settled_file_counts_whatever_its_tag_is() {
    for etag in ["W/\"a\"", ""] {
        let representation = Representation { settled: true, ..tagged(etag) };
        assert!(range_applies(&lines(&[("If-Range", THEN)]), &representation), "{etag}");
        assert!(!range_applies(&lines(&[("If-Range", "\"a\"")]), &representation), "{etag}");
        assert!(!range_applies(&lines(&[("If-Range", "")]), &representation), "{etag}");
    }
}

#[test]
fn the_weak_tag_of_a_settled_file_counts_as_its_date_does() {
    let settled = Representation { settled: true, ..tagged("W/\"a\"") };
    let undated = Representation { modified: None, settled: true, ..tagged("W/\"a\"") };
    for (value, holds) in [("W/\"a\"", true), ("w/\"a\"", false), ("W/\"b\"", false), ("W/", false)] {
        assert_eq!(range_applies(&lines(&[("If-Range", value)]), &settled), holds, "{value}");
        assert!(!range_applies(&lines(&[("If-Range", value)]), &undated), "{value}");
    }
    let strong = Representation { settled: true, ..tagged("\"a\"") };
    assert!(!range_applies(&lines(&[("If-Range", "W/\"a\"")]), &strong));
}

#[test]
fn without_a_date_every_date_is_ignored_and_without_a_tag_every_tag_is_unmet() {
    let bare = Representation { modified: None, last_modified: "".into(), ..tagged("") };
    for (name, value, expected) in [
        ("If-Modified-Since", THEN, Proceed),
        ("If-Modified-Since", AFTER, Proceed),
        ("If-Modified-Since", "", Proceed),
        ("If-Unmodified-Since", BEFORE, Proceed),
        ("If-Unmodified-Since", "", Proceed),
        ("If-None-Match", "\"a\"", Proceed),
        ("If-None-Match", "", Proceed),
        ("If-None-Match", "*", NotModified),
        ("If-Match", "\"a\"", Failed),
        ("If-Match", "*", Proceed),
    ] {
        assert_eq!(evaluate(&lines(&[(name, value)]), &bare), expected, "{name}: {value}");
    }
    for value in [THEN, BEFORE, AFTER, ""] {
        assert!(!range_applies(&lines(&[("If-Range", value)]), &bare), "{value}");
    }
}

proptest! {
    #[test]
    fn any_bytes_in_any_condition_are_survived(value: Vec<u8>, date in "[A-Za-z0-9 ,:-]{0,40}") {
        for name in ["If-Match", "If-None-Match", "If-Modified-Since", "If-Unmodified-Since", "If-Range"] {
            for bytes in [&value[..], date.as_bytes()] {
                let mut fields = Fields::default();
                fields.push(name, bytes);
                evaluate(&fields, &tagged("\"a\""));
                range_applies(&fields, &tagged("\"a\""));
            }
        }
    }

    #[test]
    fn an_entity_tag_is_found_wherever_it_stands_in_a_list(
        before in prop::collection::vec("(W/)?\"[b-z,]{0,5}\"", 0..5),
        after in prop::collection::vec("(W/)?\"[b-z,]{0,5}\"", 0..5),
        gap in "[ \t]{0,2},[ \t]{0,2}",
    ) {
        let others = [before.clone(), after.clone()].concat().join(&gap);
        prop_assert_eq!(verdict("\"a\"", &[("If-None-Match", &others)]), Proceed);
        let list = [before, vec!["\"a\"".to_owned()], after].concat().join(&gap);
        prop_assert_eq!(verdict("\"a\"", &[("If-None-Match", &list)]), NotModified);
    }
}
