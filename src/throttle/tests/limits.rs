//! Limits hold over any interval, whatever arrives, waits, stalls or vanishes.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use proptest::prelude::*;

use super::simulation::{peer, rule};
use crate::rules::Name;
use crate::rules::Pattern;
use crate::throttle::{Allowance, Each, Pacer, Rate, Throttles};

/// Names covered by different rules of [`rules`].
const NAMES: [&str; 4] = ["a.html", "b.mpg", "sub/c.mpg", "sub/d.html"];

/// Maximum number of simultaneous responses; several share an address, and some a connection.
const SLOTS: usize = 8;

fn client(slot: usize) -> SocketAddr {
    SocketAddr::new(peer(slot / 3).ip(), 40_000 + slot as u16 / 2)
}

/// Time at which a response reports its sent bytes, and whether they were sent at once or only then.
#[derive(Debug, Clone, Copy)]
struct Told {
    after: Duration,
    leaves_late: bool,
}

impl Told {
    const AT_ONCE: Told = Told { after: Duration::ZERO, leaves_late: false };
}

fn told() -> impl Strategy<Value = Told> {
    (moment(), any::<bool>()).prop_map(|(after, leaves_late)| Told { after, leaves_late })
}

/// Event of the simulation.
#[derive(Debug, Clone)]
enum Event {
    /// A response asks, and sends this part of the allowance.
    Ask { slot: usize, part: f64, told: Told },
    /// A response asks again at its time, or later.
    Return { slot: usize, late: Duration },
    /// A client vanishes in the middle of a response.
    Vanish { slot: usize },
    /// A response sets the number of bytes left.
    Expect { slot: usize, left: u64 },
}

fn moment() -> impl Strategy<Value = Duration> {
    prop_oneof![
        4 => Just(Duration::ZERO),
        4 => (0..50_000_000_u64).prop_map(Duration::from_nanos),
        1 => (0..3_000_000_000_u64).prop_map(Duration::from_nanos),
        1 => Just(Duration::from_secs(100_000)),
    ]
}

fn event() -> impl Strategy<Value = Event> {
    let part = prop_oneof![3 => Just(1.0), 1 => Just(0.0), 2 => 0.0..1.0];
    prop_oneof![
        6 => (0..SLOTS, part, told()).prop_map(|(slot, part, told)| Event::Ask { slot, part, told }),
        8 => (0..SLOTS, moment()).prop_map(|(slot, late)| Event::Return { slot, late }),
        1 => (0..SLOTS).prop_map(|slot| Event::Vanish { slot }),
        1 => (0..SLOTS, any::<u64>()).prop_map(|(slot, left)| Event::Expect { slot, left }),
    ]
}

fn rate() -> impl Strategy<Value = u64> {
    prop_oneof![1..10_u64, 1..100_000_u64, any::<u64>().prop_map(|n| n.max(1)), Just(u64::MAX)]
}

fn rules() -> impl Strategy<Value = Vec<Rate>> {
    let each = prop_oneof![2 => Just(Each::Rule), 1 => Just(Each::Address), 1 => Just(Each::Connection)];
    let pattern = prop_oneof![Just("**"), Just("**.mpg"), Just("sub/**|b.mpg")];
    let any_rule = (pattern, each, rate()).prop_map(|(pattern, each, max)| Rate {
        pattern: Pattern::relative(pattern),
        each,
        min: 0,
        max,
    });
    prop::collection::vec(any_rule, 1..5)
}

/// Rate, and the client it sums up for, unless for all.
type Payer = (usize, Option<IpAddr>, Option<SocketAddr>);

/// Independent check: sums up the bytes of each payer under each rule, without the throttles' code.
#[derive(Default)]
struct Witness {
    levels: HashMap<Payer, (i128, Instant)>,
}

impl Witness {
    const BYTE: i128 = 1_000_000_000;

    /// Records that `bytes` of a response were sent, and checks all rules over all intervals that end now.
    fn sees(&mut self, rules: &[Rate], (name, to): (&str, SocketAddr), bytes: u64, now: Instant) {
        for (index, rule) in rules.iter().enumerate() {
            if !rule.pattern.matches(&Name::plain(name.as_bytes())) {
                continue;
            }
            let payer = match rule.each {
                Each::Rule => (index, None, None),
                Each::Address => (index, Some(to.ip()), None),
                Each::Connection => (index, None, Some(to)),
            };
            let (level, since) = self.levels.entry(payer).or_insert((0, now));
            let drained = i128::from(rule.max) * (now - *since).as_nanos() as i128;
            *level = (*level - drained).max(0) + i128::from(bytes) * Witness::BYTE;
            *since = now;
            let quarter = (i128::from(rule.max) * Witness::BYTE / 4).max(Witness::BYTE);
            assert!(*level <= quarter, "{rule:?} let out {level} of {quarter} billionths of a byte at once");
        }
    }
}

/// Response in progress.
struct Response {
    pacer: Box<Pacer>,
    name: &'static str,
    due: Option<Instant>,
}

struct World {
    throttles: Arc<Throttles>,
    witness: Witness,
    responses: Vec<Option<Response>>,
    now: Instant,
    arrivals: usize,
}

impl World {
    fn new(rules: Vec<Rate>) -> World {
        World {
            throttles: Arc::new(Throttles::new(rules, None)),
            witness: Witness::default(),
            responses: (0..SLOTS).map(|_| None).collect(),
            now: Instant::now(),
            arrivals: 0,
        }
    }

    fn happens(&mut self, event: Event) {
        match event {
            Event::Ask { slot, part, told } => self.ask(slot, part, told),
            Event::Return { slot, late } => {
                let due = self.responses[slot].as_ref().and_then(|response| response.due);
                self.now = self.now.max(due.unwrap_or(self.now)) + late;
                self.ask(slot, 1.0, Told::AT_ONCE);
            }
            Event::Vanish { slot } => self.responses[slot] = None,
            Event::Expect { slot, left } => {
                if let Some(response) = &mut self.responses[slot] {
                    response.pacer.set_remaining(left);
                }
            }
        }
    }

    fn ask(&mut self, slot: usize, part: f64, told: Told) {
        let World { throttles, witness, responses, now, arrivals } = self;
        if responses[slot].is_none() {
            *arrivals += 1;
            let name = NAMES[*arrivals % NAMES.len()];
            let admitted = throttles.admit(&Name::plain(name.as_bytes()), client(slot)).unwrap();
            responses[slot] = admitted.map(|pacer| Response { pacer, name, due: None });
        }
        let Some(response) = &mut responses[slot] else { return };
        match response.pacer.allowance(*now) {
            Allowance::Until(at) => {
                assert!(at > *now, "told to wait for a moment that is not to come");
                response.due = Some(at);
            }
            Allowance::Bytes(n) => {
                assert!(n > 0);
                response.due = None;
                let sent = ((n as f64 * part) as u64).min(n);
                let leaves = if told.leaves_late { *now + told.after } else { *now };
                witness.sees(throttles.rules(), (response.name, client(slot)), sent, leaves);
                *now += told.after;
                response.pacer.sent(sent, *now);
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 2000, ..ProptestConfig::default() })]

    #[test]
    fn no_rule_lets_out_more_than_its_rate_and_a_quarter_second_over_any_window(
        rules in rules(),
        events in prop::collection::vec(event(), 1..300),
    ) {
        let mut world = World::new(rules);
        for event in events {
            world.happens(event);
        }
        world.responses.clear();
        let ledger = world.throttles.ledger();
        prop_assert!(ledger.budgets.are_idle(), "a response that ended left something behind");
        prop_assert!(ledger.tallies.iter().all(|tally| tally.sending == 0));
    }
}

#[test]
fn the_slowest_rate_still_makes_progress() {
    let throttles = Arc::new(Throttles::new(vec![rule("**", 1)], None));
    let mut pacers: Vec<Box<Pacer>> =
        (0..3).map(|n| throttles.admit(&Name::plain(b"a"), peer(n)).unwrap().unwrap()).collect();
    let start = Instant::now();
    let mut got = [0; 3];
    for second in 0..60 {
        for (pacer, got) in pacers.iter_mut().zip(&mut got) {
            let now = start + Duration::from_secs(second);
            if let Allowance::Bytes(n) = pacer.allowance(now) {
                pacer.sent(n, now);
                *got += n;
            }
        }
    }
    assert!(got.iter().all(|&bytes| (19..=21).contains(&bytes)), "{got:?}");
}

#[test]
fn bytes_sent_without_asking_are_made_up_for() {
    let throttles = Arc::new(Throttles::new(vec![rule("**", 1000)], None));
    let mut pacer = throttles.admit(&Name::plain(b"a"), peer(0)).unwrap().unwrap();
    let start = Instant::now();
    pacer.sent(5250, start);
    match pacer.allowance(start) {
        Allowance::Until(at) => assert!(at - start > Duration::from_secs(5), "{:?}", at - start),
        Allowance::Bytes(n) => panic!("{n} more bytes, 5 s too early"),
    }
}

#[test]
fn asking_again_and_again_is_no_way_round_a_limit() {
    for each in [Each::Rule, Each::Address, Each::Connection] {
        let slow = Rate { each, ..rule("**", 10_000) };
        let throttles = Arc::new(Throttles::new(vec![slow], None));
        let start = Instant::now();
        let mut total = 0;
        for millisecond in 0..4000 {
            let now = start + Duration::from_millis(millisecond);
            let mut pacer = throttles.admit(&Name::plain(b"a"), peer(0)).unwrap().unwrap();
            if let Allowance::Bytes(n) = pacer.allowance(now) {
                total += n.min(500);
                pacer.sent(n.min(500), now);
            }
        }
        assert!(total <= 42_500, "{each:?}: {total} bytes in 4 s");
    }
}

#[test]
fn a_turn_that_is_not_used_is_given_back() {
    let throttles = Arc::new(Throttles::new(vec![rule("**", 10_000)], None));
    let now = Instant::now();
    let mut grants = 0;
    for n in 0..1000 {
        let mut pacer = throttles.admit(&Name::plain(b"a"), peer(n)).unwrap().unwrap();
        match pacer.allowance(now) {
            Allowance::Bytes(_) if n % 2 == 0 => pacer.sent(0, now),
            Allowance::Bytes(_) => drop(pacer),
            Allowance::Until(_) => continue,
        }
        grants += 1;
    }
    assert_eq!(grants, 1000, "each client found the whole budget");
}
