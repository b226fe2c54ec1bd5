//! Range fields for a file of 14 bytes, and properties that hold for every field.

use super::Selection::{One, Several, Unsatisfiable, Whole};
use super::*;
use proptest::prelude::*;

const LEN: u64 = 14;

#[test]
fn one_range_is_clamped_to_the_file() {
    for (value, expected) in [
        ("bytes=0-", 0..14),
        ("bytes=0-0", 0..1),
        ("bytes=0-4", 0..5),
        ("bytes=5-", 5..14),
        ("bytes=5-8", 5..9),
        ("bytes=13-13", 13..14),
        ("bytes=0-13", 0..14),
        ("bytes=0-999", 0..14),
        ("bytes=-5", 9..14),
        ("bytes=-14", 0..14),
        ("bytes=-999", 0..14),
        ("BYTES=0-4", 0..5),
        ("bytes= 0-4", 0..5),
        ("bytes=0-4,", 0..5),
        ("bytes=,0-4", 0..5),
        ("bytes=00000000000000000000000-04", 0..5),
        ("bytes=0-99999999999999999999", 0..14),
        ("bytes=-99999999999999999999", 0..14),
    ] {
        assert_eq!(select(value.as_bytes(), LEN), One(expected), "{value}");
    }
}

#[test]
fn ranges_past_the_end_are_unsatisfiable() {
    for value in
        ["bytes=14-", "bytes=14-20", "bytes=999-", "bytes=-0", "bytes=99999999999999999999-", "bytes=14-,-0"]
    {
        assert_eq!(select(value.as_bytes(), LEN), Unsatisfiable, "{value}");
    }
}

#[test]
fn malformed_ranges_are_ignored() {
    for value in [
        "",
        "bytes",
        "bytes=",
        "bytes=,",
        "bytes=-",
        "bytes=5-4",
        "bytes=a-b",
        "bytes=+1-4",
        "bytes=1-4x",
        "bytes=1 -4",
        "bytes=--5",
        "bytes=0-4-8",
        "bytes=0",
        "bytes =0-4",
        "items=0-4",
        "bytes=0-4;5-6",
        "bytes=0-4,x",
        "bytes=0-4,5-4",
    ] {
        assert_eq!(select(value.as_bytes(), LEN), Whole, "{value}");
    }
}

#[test]
fn several_ranges_keep_their_order_unless_they_meet() {
    for (value, expected) in [
        ("bytes=0-0,-1", Several(vec![0..1, 13..14])),
        ("bytes=-1 , 0-0", Several(vec![13..14, 0..1])),
        ("bytes=0-1,99-,4-5", Several(vec![0..2, 4..6])),
        ("bytes=0-1,99-", One(0..2)),
        ("bytes=4-5,0-4", One(0..6)),
        ("bytes=0-4,5-9", One(0..10)),
        ("bytes=8-9,0-4,2-5", Several(vec![0..6, 8..10])),
        ("bytes=0-,0-,0-,0-", One(0..14)),
    ] {
        assert_eq!(select(value.as_bytes(), LEN), expected, "{value}");
    }
}

/// Selection for `n` ranges of two bytes, `apart` bytes from each other, of `len` bytes.
fn scattered(n: usize, apart: usize, len: u64) -> Selection {
    let members: Vec<_> = (0..n).map(|at| format!("{}-{}", at * apart, at * apart + 1)).collect();
    select(format!("bytes={}", members.join(",")).as_bytes(), len)
}

#[test]
fn more_ranges_than_programs_ask_for_get_the_whole_file() {
    assert!(matches!(scattered(256, 1000, 300_000), Several(all) if all.len() == 256));
    assert_eq!(scattered(257, 1000, 300_000), Whole);
    // The limit applies to requested ranges: overlapping ranges cause work too.
    assert_eq!(select(format!("bytes={}", ["0-0"; 257].join(",")).as_bytes(), LEN), Whole);
    assert_eq!(select(format!("bytes={}", ["0-0"; 256].join(",")).as_bytes(), LEN), One(0..1));
}

#[test]
fn many_tiny_ranges_never_cost_more_than_the_file() {
    assert!(matches!(scattered(16, 3, 100), Several(all) if all.len() == 16));
    assert_eq!(scattered(17, 3, 100), Whole);
    assert_eq!(scattered(256, 3, 1000), Whole);
    let halves: Vec<_> = (0..100).map(|at| format!("{}-{}", at * 10_000, at * 10_000 + 9_900)).collect();
    let nearly_all = format!("bytes={}", halves.join(","));
    assert_eq!(select(nearly_all.as_bytes(), 1_000_000), Whole, "the heads tip the scales");
}

#[test]
fn an_empty_file_is_sent_whole() {
    for value in ["bytes=0-", "bytes=0-0", "bytes=-5", "bytes=-0"] {
        assert_eq!(select(value.as_bytes(), 0), Whole, "{value}");
    }
}

/// Ranges of a selection, asserted to lie within the file and not to overlap.
fn selected(selection: Selection, len: u64) -> Vec<Range<u64>> {
    let ranges = match selection {
        Whole | Unsatisfiable => Vec::new(),
        One(range) => vec![range],
        Several(ranges) => {
            assert!((2..=MOST_RANGES).contains(&ranges.len()), "{ranges:?}");
            ranges
        }
    };
    for (at, range) in ranges.iter().enumerate() {
        assert!(range.start < range.end && range.end <= len, "{range:?} of {len}");
        let apart = |other: &Range<u64>| other.end < range.start || range.end < other.start;
        assert!(ranges[..at].iter().all(apart), "{ranges:?}");
    }
    ranges
}

proptest! {
    #[test]
    fn any_bytes_select_only_what_is_inside(value: Vec<u8>, len: u64) {
        selected(select(&value, len), len);
    }

    #[test]
    fn any_set_of_ranges_selects_only_what_is_inside(
        set in "[Bb]ytes=[0-9, -]{0,60}",
        len in prop_oneof![0..100_u64, Just(u64::MAX)],
    ) {
        selected(select(set.as_bytes(), len), len);
    }

    #[test]
    fn well_formed_ranges_select_exactly_the_bytes_they_name(
        asked in prop::collection::vec((0..60_u64, 0..60_u64), 1..=FEW_PARTS),
        len in 1..50_u64,
    ) {
        let asked: Vec<_> = asked.iter().map(|&(a, b)| (a.min(b), a.max(b))).collect();
        let set: Vec<_> = asked.iter().map(|(first, last)| format!("{first}-{last}")).collect();
        let got = selected(select(format!("bytes={}", set.join(", ")).as_bytes(), len), len);
        for byte in 0..len {
            let named = asked.iter().any(|(first, last)| (first..=last).contains(&&byte));
            prop_assert_eq!(named, got.iter().any(|range| range.contains(&byte)), "byte {}", byte);
        }
    }
}
