//! Throttle files, old and new.

use std::path::Path;

use proptest::prelude::*;

use crate::rules::Name;
use crate::throttle::file::{ThrottleFile, parse};
use crate::throttle::{Each, Throttles};

fn read(content: impl AsRef<[u8]>) -> ThrottleFile {
    parse(Path::new("throttles"), content.as_ref())
}

/// Pattern, minimum, maximum of each rule.
fn rules(content: &str) -> Vec<(String, Each, u64, u64)> {
    let rules = read(content).rules;
    rules.into_iter().map(|r| (r.pattern.to_string(), r.each, r.min, r.max)).collect()
}

#[test]
fn lines_are_read_as_thttpd_reads_them() {
    for (line, pattern, min, max) in [
        ("**.jpg 50000", "**.jpg", 0, 50000),
        ("  **.jpg\t \t50000  \t", "**.jpg", 0, 50000),
        ("**.jpg 50000\r", "**.jpg", 0, 50000),
        ("** 2000-100000", "**", 2000, 100_000),
        ("** 2000- 100000", "**", 2000, 100_000),
        ("**.gif|**.jpg 1# not so fast", "**.gif|**.jpg", 0, 1),
        ("/a|/b/*|c//d 7", "a|b/*|c//d", 0, 7),
        ("//a 7", "a", 0, 7),
        ("x 0", "x", 0, 0),
        ("5 6", "5", 0, 6),
        ("x 99999999999999999999999", "x", 0, u64::MAX),
    ] {
        let parsed = read(line);
        assert_eq!(parsed.problems, [], "{line}");
        assert_eq!(rules(line), [(pattern.to_owned(), Each::Rule, min, max)], "{line}");
    }
}

#[test]
fn nothing_is_made_of_empty_lines_and_comments() {
    let parsed = read("\n   \n\t# all of it\n#\n\r\n");
    assert!(parsed.rules.is_empty() && parsed.problems.is_empty());
    assert!(read("").rules.is_empty());
}

#[test]
fn text_behind_the_numbers_is_ignored_with_a_warning() {
    for (line, min, max) in
        [("x 50k", 0, 50), ("x 5 6", 0, 5), ("x 5-", 0, 5), ("x 5 - 6", 0, 5), ("x 5-6-7", 5, 6)]
    {
        assert_eq!(rules(line), [("x".to_owned(), Each::Rule, min, max)], "{line}");
        let [problem] = &read(line).problems[..] else { panic!("no word on {line}") };
        assert!(!problem.skipped, "{line}");
    }
}

#[test]
fn a_line_that_means_nothing_is_reported_with_its_place_and_skipped() {
    let parsed = read("a 1\n\nthis is nothing # at all\nb 2\n");
    assert_eq!(parsed.rules.len(), 2);
    let [problem] = &parsed.problems[..] else { panic!("{:?}", parsed.problems) };
    assert_eq!(
        problem.to_string(),
        "unparsable line in throttles:3 - this is nothing (no rate after the pattern)"
    );
}

#[test]
fn lines_that_mean_nothing() {
    for line in [
        "x",
        "x y",
        "x -5",
        "x +5",
        "x k50",
        "x 9-5",
        "5",
        "x per-address",
        "x per-address 0",
        "x per-address many",
        "x per-address 5 6",
        "x per-connection 5-6",
        "x per-day 5",
        "connections per-address 0",
        "per-address x 5",
    ] {
        let parsed = read(line);
        assert!(parsed.rules.is_empty() && parsed.connections_per_address.is_none(), "{line}");
        assert!(parsed.problems.len() == 1 && parsed.problems[0].skipped, "{line}: {:?}", parsed.problems);
    }
    assert!(
        read(b"/caf\xe9 5").rules[0].pattern.matches(&Name::plain(b"caf\xe9")),
        "names of files are bytes"
    );
    assert_eq!(read(b"cafe 5 # caf\xe9").rules.len(), 1, "comments may be in any encoding");
}

#[test]
fn caps_for_each_address_and_connection() {
    let parsed = read("**.iso per-address 200000\n/**.iso\tper-connection  50000 # each\n");
    assert_eq!(parsed.problems, []);
    let each: Vec<_> = parsed.rules.iter().map(|rule| (rule.each, rule.max)).collect();
    assert_eq!(each, [(Each::Address, 200_000), (Each::Connection, 50_000)]);
    assert_eq!(parsed.rules[1].pattern.to_string(), "**.iso");
}

#[test]
fn the_smallest_cap_on_connections_holds_and_a_file_of_that_name_is_still_a_file() {
    let parsed = read("connections per-address 20\nconnections per-address 5\nconnections per-address 9\n");
    assert_eq!(parsed.connections_per_address, Some(5));
    assert!(parsed.rules.is_empty() && parsed.problems.is_empty());
    let parsed = read("/connections per-address 20\nconnections 7\n");
    assert_eq!(parsed.connections_per_address, None);
    assert_eq!(parsed.rules.len(), 2);
}

#[test]
fn a_missing_file_is_an_error_and_a_real_one_is_loaded() {
    let dir = crate::testing::TempTree::new();
    let path = dir.path().join("throttles");
    assert!(Throttles::load(&path).is_err());
    std::fs::write(&path, "** 1000\nnonsense\n").unwrap();
    let (throttles, problems) = Throttles::load(&path).unwrap();
    assert_eq!(throttles.rules().len(), 1);
    assert_eq!(problems[0].file, path);
    assert_eq!(problems[0].line, 2);
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_bytes_are_read_without_panic_and_no_line_is_lost(
        content in prop::collection::vec(
            prop_oneof![
                any::<u8>(),
                prop::sample::select(b" \t\n\r#|*/-0123456789ax".to_vec()),
            ],
            0..300,
        )
    ) {
        let parsed = read(&content);
        let lines = content.split(|&b| b == b'\n').filter(|line| {
            let rule = line.split(|&b| b == b'#').next().unwrap_or_default();
            !rule.trim_ascii().is_empty()
        });
        let skipped = parsed.problems.iter().filter(|problem| problem.skipped).count();
        prop_assert_eq!(lines.count(), parsed.rules.len() + skipped);
    }

    #[test]
    fn a_file_that_worked_with_thttpd_means_the_same(
        pattern in "[a-z*?|/.-]{1,12}",
        min in 0..1000_u64,
        more in 0..1000_u64,
    ) {
        let parsed = read(format!("{pattern} {min}-{}\n{pattern}\t{more}\n", min + more));
        prop_assert_eq!(parsed.problems, []);
        prop_assert_eq!(parsed.connections_per_address, None);
        let limits: Vec<_> = parsed.rules.iter().map(|r| (r.each, r.min, r.max)).collect();
        prop_assert_eq!(limits, [(Each::Rule, min, min + more), (Each::Rule, 0, more)]);
    }
}
