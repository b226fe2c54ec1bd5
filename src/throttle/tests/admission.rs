//! Admission: accepted and refused requests, and log messages.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Instant;

use super::simulation::{peer, rule};
use crate::log::Level;
use crate::rules::Name;
use crate::throttle::{AddressPermit, Each, Overloaded, Pacer, Rate, Throttles};

fn throttles(rules: Vec<Rate>) -> Arc<Throttles> {
    Arc::new(Throttles::new(rules, None))
}

fn admit(throttles: &Arc<Throttles>, name: &str) -> Result<Option<Box<Pacer>>, Overloaded> {
    throttles.admit(&Name::plain(name.as_bytes()), peer(0))
}

#[test]
fn without_rules_nothing_is_paced() {
    let none = Arc::new(Throttles::none());
    assert!(none.is_empty());
    assert!(admit(&none, "a").unwrap().is_none());
    assert!(none.connection(peer(0).ip()).unwrap().is_none());
    assert!(none.tick().is_empty());
    assert!(none.report().is_empty());
}

#[test]
fn only_names_that_a_pattern_covers_are_paced() {
    let throttles = throttles(vec![rule("/**.jpg|/sub/*", 1000)]);
    for (name, paced) in [
        ("a.jpg", true),
        ("deep/down/a.jpg", true),
        ("sub/x", true),
        ("sub/x/y", false),
        ("a.html", false),
        (".", false),
        ("sub", false),
    ] {
        assert_eq!(admit(&throttles, name).unwrap().is_some(), paced, "{name}");
    }
}

#[test]
fn a_minimum_refuses_only_when_the_share_left_would_fall_under_it() {
    let throttles = throttles(vec![Rate { min: 2000, ..rule("**", 7000) }]);
    let first = admit(&throttles, "a").unwrap();
    let second = admit(&throttles, "a").unwrap();
    let third = admit(&throttles, "a").unwrap();
    assert!(admit(&throttles, "a").is_err(), "7000 / 4 is less than 2000");
    drop(second);
    let fourth = admit(&throttles, "a").unwrap();
    assert!(admit(&throttles, "a").is_err());
    drop((first, third, fourth));
    assert!(admit(&throttles, "a").unwrap().is_some(), "idle again");
}

#[test]
fn a_refused_request_does_not_count_under_other_rules() {
    let throttles = throttles(vec![rule("**", 1000), Rate { min: 10, ..rule("a", 10) }]);
    let first = admit(&throttles, "a").unwrap();
    assert!(admit(&throttles, "a").is_err());
    assert!(throttles.report()[0].ends_with("; 1 sending"), "{:?}", throttles.report());
    drop(first);
    assert!(throttles.report()[0].ends_with("; 0 sending"), "{:?}", throttles.report());
}

#[test]
fn a_maximum_of_zero_lets_nothing_be_sent() {
    let throttles = throttles(vec![rule("private/**", 0)]);
    assert!(admit(&throttles, "private/a").is_err());
    assert!(admit(&throttles, "a").unwrap().is_none());
}

fn connect(throttles: &Throttles, address: &str) -> Result<Option<AddressPermit>, Overloaded> {
    throttles.connection(address.parse::<IpAddr>().unwrap())
}

/// Permit of a connection within the limit.
fn welcome(throttles: &Throttles, address: &str) -> AddressPermit {
    let permit = connect(throttles, address).unwrap().unwrap();
    assert!(!permit.is_surplus(), "{address} has too many already");
    permit
}

#[test]
fn connections_are_capped_by_ipv4_address_and_ipv6_network() {
    let throttles = Throttles::new(Vec::new(), Some(2));
    let is_surplus = |address| connect(&throttles, address).unwrap().unwrap().is_surplus();
    let first = welcome(&throttles, "192.0.2.1");
    let _second = welcome(&throttles, "::ffff:192.0.2.1");
    assert!(is_surplus("192.0.2.1"), "mapped or not, it is the same client");
    assert!(!is_surplus("192.0.2.2"));
    drop(first);
    let _third = welcome(&throttles, "192.0.2.1");
    assert!(is_surplus("::ffff:192.0.2.1"));

    let _a = welcome(&throttles, "2001:db8:0:1::1");
    let _b = welcome(&throttles, "2001:db8:0:1:ffff::2");
    assert!(is_surplus("2001:db8:0:1:8000::3"), "one /64 is one client");
    assert!(!is_surplus("2001:db8:0:2::1"));
}

#[test]
fn a_flood_of_connections_is_not_answered() {
    let throttles = Throttles::new(Vec::new(), Some(2));
    let here = "192.0.2.1";
    let mut open: Vec<_> = (0..4).map(|_| connect(&throttles, here).unwrap().unwrap()).collect();
    let surplus: Vec<_> = open.iter().map(AddressPermit::is_surplus).collect();
    assert_eq!(surplus, [false, false, true, true]);
    assert!(connect(&throttles, here).is_err());
    open.pop();
    assert!(connect(&throttles, here).unwrap().unwrap().is_surplus());
    open.clear();
    welcome(&throttles, here);
}

#[test]
fn the_tighter_of_two_caps_holds() {
    for (file, option) in [(Some(1), 5), (Some(5), 1), (None, 1)] {
        let mut throttles = Throttles::new(Vec::new(), file);
        throttles.cap_connections(option);
        let _first = welcome(&throttles, "192.0.2.1");
        assert!(connect(&throttles, "192.0.2.1").unwrap().unwrap().is_surplus());
    }
}

#[test]
fn a_configuration_read_again_forgets_no_connection_and_no_sender() {
    let rules = vec![Rate { min: 600, ..rule("**", 1000) }];
    let old = Throttles::new(rules.clone(), Some(1));
    let old = Arc::new(old);
    let _connection = welcome(&old, "192.0.2.1");
    let sending = admit(&old, "a").unwrap();
    let mut new = Throttles::new(rules, Some(1));
    new.follow(&old);
    let new = Arc::new(new);
    assert!(connect(&new, "192.0.2.1").unwrap().unwrap().is_surplus());
    assert!(admit(&new, "a").is_err());
    drop(sending);
    assert!(admit(&new, "a").is_ok());

    let mut changed = Throttles::new(vec![rule("**", 5), rule("**", 6)], None);
    changed.follow(&new);
    assert!(admit(&Arc::new(changed), "a").unwrap().is_some());
}

#[test]
fn a_rule_per_address_or_connection_gives_each_its_own_budget() {
    use crate::throttle::Allowance::{Bytes, Until};
    let here = |address: &str| address.parse::<SocketAddr>().unwrap();
    for (each, same, other) in [
        (Each::Address, "[2001:db8::2]:2", "[2001:db8:0:1::1]:1"),
        (Each::Connection, "[2001:db8::1]:1", "[2001:db8::1]:2"),
    ] {
        let throttles = throttles(vec![Rate { each, ..rule("**", 1000) }]);
        let now = Instant::now();
        let mut first = throttles.admit(&Name::plain(b"a"), here("[2001:db8::1]:1")).unwrap().unwrap();
        while let Bytes(n) = first.allowance(now) {
            first.sent(n, now);
        }
        let mut same = throttles.admit(&Name::plain(b"a"), here(same)).unwrap().unwrap();
        assert!(matches!(same.allowance(now), Until(_)), "{each:?}");
        let mut other = throttles.admit(&Name::plain(b"a"), here(other)).unwrap().unwrap();
        assert!(matches!(other.allowance(now), Bytes(_)), "{each:?}");
    }
}

/// Reports `bytes` as sent, and advances time by 2 s.
fn tick(throttles: &Throttles, pacer: &mut Pacer, bytes: u64) -> Vec<(Level, String)> {
    pacer.sent(bytes, Instant::now());
    throttles.tick().into_iter().map(|message| (message.level, message.text)).collect()
}

#[test]
fn the_log_tells_of_rates_beyond_the_limits_in_the_words_of_thttpd() {
    let throttles = throttles(vec![rule("other", 1), Rate { min: 300, ..rule("/a|/b", 1000) }]);
    let mut pacer = admit(&throttles, "a").unwrap().unwrap();
    let said = |level, text: &str| vec![(level, format!("throttle #1 'a|b' rate {text}; 1 sending"))];
    assert_eq!(tick(&throttles, &mut pacer, 1000), said(Level::Notice, "166 lower than minimum 300"));
    assert_eq!(tick(&throttles, &mut pacer, 3000), []);
    assert_eq!(tick(&throttles, &mut pacer, 6000), said(Level::Info, "1406 exceeding limit 1000"));
    assert_eq!(tick(&throttles, &mut pacer, 9000), said(Level::Notice, "2437 greatly exceeding limit 1000"));
    assert_eq!(
        throttles.report(),
        [
            "throttle #0 'other' - rate 0, limits 0-1; 0 sending",
            "throttle #1 'a|b' - rate 2437, limits 300-1000; 1 sending",
        ]
    );
    drop(pacer);
    assert!(throttles.tick().is_empty(), "nothing is being sent");
}

#[test]
fn the_average_does_not_overflow() {
    let throttles = throttles(vec![rule("**", u64::MAX)]);
    let mut pacer = admit(&throttles, "a").unwrap().unwrap();
    for _ in 0..100 {
        tick(&throttles, &mut pacer, u64::MAX);
    }
}

#[test]
fn a_long_pattern_is_cut_in_messages_as_thttpd_cuts_it() {
    let throttles = throttles(vec![rule(&"x".repeat(200), 1)]);
    assert!(throttles.report()[0].contains(&format!("'{}'", "x".repeat(80))), "{:?}", throttles.report());
}
