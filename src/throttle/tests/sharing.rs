//! Sharing: equal shares, passed on at once, none wasted; few wake-ups.

use std::sync::Arc;

use super::simulation::{Download, excess, rule, run};
use crate::throttle::{Each, Rate, Throttles};

fn throttles(rules: Vec<Rate>) -> Arc<Throttles> {
    Arc::new(Throttles::new(rules, None))
}

/// Delay of the `n`th wake-up, some milliseconds.
fn jitter(n: usize) -> f64 {
    0.001 + (n * 7919 % 13) as f64 / 2000.0
}

#[track_caller]
fn assert_within(got: f64, want: f64, percent: f64) {
    let off = (got - want).abs() / want * 100.0;
    assert!(off <= percent, "{got:.0} instead of {want:.0}: {off:.1} % off, {percent} % allowed");
}

#[test]
fn one_download_has_the_whole_rate_over_any_ten_seconds() {
    for rate in [1, 2, 3, 5, 10, 100, 1000, 20_000, 1_000_000, 1_000_000_000] {
        let outcome = run(&throttles(vec![rule("**", rate)]), &[Download::of("a")], 60.0, |_| 0.0005);
        for second in 0..50 {
            let from = f64::from(second);
            let want = rate as f64 * 10.0;
            let got = outcome.total(from, from + 10.0);
            // At a few bytes a second, a single byte is more than three percent.
            assert!((got - want).abs() <= (want * 0.03).max(1.0), "{rate} B/s: {got} in 10 s from {from} s");
        }
    }
}

#[test]
fn simultaneous_downloads_share_evenly_and_use_the_rule_up() {
    for (rate, count) in [(1000, 2), (20_000, 3), (300_000, 7), (1_000_000, 40), (5_000_000, 500)] {
        let downloads = vec![Download::of("a"); count];
        let outcome = run(&throttles(vec![rule("**", rate)]), &downloads, 40.0, jitter);
        let share = rate as f64 * 20.0 / count as f64;
        for who in 0..count {
            assert_within(outcome.bytes(who, 10.0, 30.0), share, 5.0);
        }
        for second in 0..30 {
            assert_within(outcome.total(second.into(), f64::from(second) + 10.0), rate as f64 * 10.0, 3.0);
        }
    }
}

#[test]
fn a_few_bytes_a_second_are_shared_evenly_too() {
    for rate in [1, 3, 10] {
        let outcome = run(&throttles(vec![rule("**", rate)]), &[Download::of("a"); 3], 400.0, jitter);
        for who in 0..3 {
            assert_within(outcome.bytes(who, 30.0, 330.0), rate as f64 * 100.0, 5.0);
        }
    }
}

#[test]
fn a_latecomer_gets_an_equal_share_within_a_second() {
    let late = Download { begins: 5.3, ..Download::of("a") };
    let downloads = [Download::of("a"), Download::of("a"), late];
    let outcome = run(&throttles(vec![rule("**", 60_000)]), &downloads, 20.0, jitter);
    for who in 0..3 {
        assert_within(outcome.bytes(who, 6.3, 16.3), 200_000.0, 5.0);
    }
}

#[test]
fn when_one_ends_the_others_take_its_share_within_a_second() {
    for count in [2, 3, 10, 100] {
        let rate = 600_000.0;
        let mut downloads = vec![Download::of("a"); count];
        downloads[0].ends = 5.05;
        let outcome = run(&throttles(vec![rule("**", rate as u64)]), &downloads, 20.0, jitter);
        for who in 1..count {
            let share = rate / (count - 1) as f64;
            assert_within(outcome.bytes(who, 6.05, 16.05), share * 10.0, 5.0);
        }
        assert_within(outcome.total(5.05, 7.05), rate * 2.0, 10.0);
    }
}

#[test]
fn shares_unused_by_slow_clients_go_to_the_others() {
    let slow = Download { reads: 3_000.0, ..Download::of("a") };
    let downloads = [slow, slow, Download::of("a"), Download::of("a")];
    let outcome = run(&throttles(vec![rule("**", 100_000)]), &downloads, 30.0, jitter);
    assert_within(outcome.bytes(0, 5.0, 25.0), 60_000.0, 10.0);
    assert_within(outcome.bytes(1, 5.0, 25.0), 60_000.0, 10.0);
    assert_within(outcome.bytes(2, 5.0, 25.0), 940_000.0, 5.0);
    assert_within(outcome.bytes(3, 5.0, 25.0), 940_000.0, 5.0);
}

#[test]
fn the_tightest_rule_holds_and_the_wider_one_is_still_used_up() {
    let throttles = throttles(vec![rule("**", 100_000), rule("**.mpg", 20_000)]);
    let downloads =
        [Download::of("a.html"), Download::of("b.mpg"), Download::of("c.mpg"), Download::of("d.html")];
    let outcome = run(&throttles, &downloads, 40.0, jitter);
    for (who, share) in [(0, 40_000.0), (1, 10_000.0), (2, 10_000.0), (3, 40_000.0)] {
        assert_within(outcome.bytes(who, 5.0, 25.0), share * 20.0, 5.0);
    }
}

#[test]
fn a_narrow_rule_with_room_does_not_crowd_out_others_under_the_wider_one() {
    let throttles = throttles(vec![rule("**", 100_000), rule("**.mpg", 90_000)]);
    let mut downloads = vec![Download::of("b.mpg"); 4];
    downloads.push(Download::of("a.html"));
    let outcome = run(&throttles, &downloads, 60.0, jitter);
    for who in 0..5 {
        assert_within(outcome.bytes(who, 10.0, 50.0), 20_000.0 * 40.0, 10.0);
    }
}

#[test]
fn many_narrow_rules_under_a_wide_one_fill_it() {
    let mut rules = vec![rule("**", 1_000_000)];
    rules.extend(["1/**", "2/**", "3/**"].map(|pattern| rule(pattern, 200_000)));
    let mut downloads = Vec::new();
    for name in ["1/a", "2/a", "3/a", "a"] {
        downloads.extend(vec![Download::of(name); 100]);
    }
    let outcome = run(&throttles(rules), &downloads, 60.0, jitter);
    assert_within(outcome.total(20.0, 50.0), 30_000_000.0, 3.0);
    for who in [5, 150, 299] {
        assert_within(outcome.bytes(who, 10.0, 50.0), 80_000.0, 10.0);
    }
    for who in [300, 350, 399] {
        assert_within(outcome.bytes(who, 10.0, 50.0), 160_000.0, 10.0);
    }
}

#[test]
fn shares_unused_under_a_lower_rule_go_to_other_senders() {
    let narrow = rule("slow/**", 50_000);
    let capped = Rate { each: Each::Connection, ..rule("slow/**", 500) };
    for (held, left) in [(narrow, 950_000.0), (capped, 800_000.0)] {
        let mut downloads = vec![Download::of("slow/a"); 400];
        downloads.push(Download::of("a"));
        let outcome = run(&throttles(vec![rule("**", 1_000_000), held]), &downloads, 60.0, jitter);
        assert_within(outcome.bytes(400, 20.0, 50.0), left * 30.0, 5.0);
        assert_within(outcome.total(20.0, 50.0), 30_000_000.0, 3.0);
    }
}

#[test]
fn a_crowd_of_paused_downloads_wakes_about_once_for_each_turn() {
    for rate in [100_000, 2_000_000, 100_000_000] {
        let downloads = vec![Download::of("a"); 2000];
        let outcome = run(&throttles(vec![rule("**", rate)]), &downloads, 20.0, jitter);
        let turns = outcome.sends.len();
        assert!(outcome.wakes <= turns * 2 + 4000, "{} wakes for {turns} turns at {rate} B/s", outcome.wakes);
        assert!(turns <= 1100 * 20, "{turns} turns in 20 s at {rate} B/s");
        assert_within(outcome.total(5.0, 15.0), rate as f64 * 10.0, 3.0);
    }
}

#[test]
fn when_half_of_a_crowd_vanishes_the_rest_uses_the_rule_up() {
    let mut downloads = vec![Download::of("a"); 1000];
    downloads.iter_mut().step_by(2).for_each(|d| d.ends = 7.0);
    let outcome = run(&throttles(vec![rule("**", 5_000_000)]), &downloads, 20.0, jitter);
    assert_within(outcome.total(8.0, 18.0), 50_000_000.0, 3.0);
    let sends = outcome.sends.iter().map(|&(at, _, bytes)| (at, bytes));
    assert!(excess(sends, 5_000_000.0) <= 1_250_001.0);
}

#[test]
fn workers_that_come_late_lose_nothing_up_to_fifty_milliseconds() {
    for (rate, count) in [(20_000, 1), (20_000, 4), (1_000_000, 30)] {
        let downloads = vec![Download::of("a"); count];
        let outcome =
            run(
                &throttles(vec![rule("**", rate)]),
                &downloads,
                30.0,
                |n| {
                    if n % 5 == 0 { 0.05 } else { 0.002 }
                },
            );
        assert_within(outcome.total(5.0, 25.0), rate as f64 * 20.0, 3.0);
    }
}
