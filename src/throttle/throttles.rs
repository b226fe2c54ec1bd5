//! All rules of the throttles, and what is sent under them.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::address::{AddressPermit, Addresses};
use super::budget::{Budgets, Payer, Scope};
use super::file::{self, ThrottleFileError};
use super::overloaded::Overloaded;
use crate::log::{Event, Level};
use crate::request::client::ClientNetwork;
use crate::rules::rate::{Each, Rate};
use crate::sys::read_lines;

impl Rate {
    /// Tells whether one more sender beside `sending` others would make the shares too small.
    ///
    /// This is the meaning of the minimum in the manual. thttpd 2.29 compares it with the past rate, which
    /// starts at zero, and so refuses every request forever.
    pub(super) fn refuses(&self, sending: usize) -> bool {
        self.max == 0 || self.max / (sending as u64).saturating_add(1) < self.min
    }

    /// Budget of this rule, the `index`th, for a response to `peer`.
    pub(super) fn scope(&self, index: usize, peer: SocketAddr) -> Scope {
        let payer = match self.each {
            Each::Rule => Payer::Everyone,
            Each::Address => Payer::Network(ClientNetwork::from_address(peer.ip())),
            Each::Connection => Payer::Connection(peer),
        };
        Scope { rule: index, payer }
    }
}

/// Totals of one rule, for its minimum, the log and the statistics.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Tally {
    /// Number of responses in progress.
    pub(super) sending: usize,
    /// Bytes sent since the last tick.
    pub(super) bytes: u64,
    /// Rolling average in bytes a second.
    rate: u64,
}

impl Tally {
    /// Updates thttpd's average: two parts of the past, one of the last 2 s, in integers.
    fn average(&mut self) {
        self.rate = self.rate.saturating_mul(2).saturating_add(self.bytes / 2) / 3;
        self.bytes = 0;
    }
}

/// Use of one rule, for metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RuleUsage<'a> {
    /// Pattern of the rule.
    pub pattern: &'a [u8],
    /// Rolling average in bytes a second.
    pub now: u64,
    /// Maximum in bytes a second.
    pub most: u64,
}

/// State that changes while responses are sent.
///
/// One lock protects the whole state. The lock is held for a microsecond, some ten times a second for each
/// download, and makes the check of all budgets and the taking of bytes one step.
#[derive(Debug)]
pub(super) struct Ledger {
    pub(super) budgets: Budgets,
    /// Tally of each rule.
    pub(super) tallies: Vec<Tally>,
}

/// All rules in file order, with their state.
#[derive(Debug)]
pub struct Throttles {
    pub(super) rules: Vec<Rate>,
    ledger: Arc<Mutex<Ledger>>,
    addresses: Addresses,
}

impl Throttles {
    /// Throttles without rules.
    pub fn none() -> Throttles {
        Throttles::new(Vec::new(), None)
    }

    /// Throttles with `rules` in file order; `connections_per_address` limits simultaneous connections.
    pub fn new(rules: Vec<Rate>, connections_per_address: Option<usize>) -> Throttles {
        let ledger = Ledger { budgets: Budgets::default(), tallies: vec![Tally::default(); rules.len()] };
        Throttles {
            rules,
            ledger: Arc::new(Mutex::new(ledger)),
            addresses: Addresses::new(connections_per_address),
        }
    }

    /// Reads the throttle file. Invalid lines are skipped and reported, as in thttpd.
    ///
    /// # Errors
    /// The file cannot be read; the start then fails, as in thttpd.
    pub fn load(path: &Path) -> io::Result<(Throttles, Vec<ThrottleFileError>)> {
        let parsed = file::parse(path, &read_lines(path)?);
        Ok((Throttles::new(parsed.rules, parsed.connections_per_address), parsed.problems))
    }

    /// Adds rates of the rules file behind those of the throttle file.
    pub fn add_rates(&mut self, rates: impl Iterator<Item = Rate>) {
        self.rules.extend(rates);
        self.ledger().tallies.resize(self.rules.len(), Tally::default());
    }

    /// Limits simultaneous connections of each address (`max_connections_per_address`).
    ///
    /// The lower of this limit and that of the throttle file applies.
    pub fn cap_connections(&mut self, per_address: usize) {
        self.addresses.cap(per_address);
    }

    /// Takes over the state of `old` after reading the configuration again.
    ///
    /// Connections stay counted, and so do bytes and senders if the rules are unchanged. Under changed
    /// rules, responses in progress keep the old rules.
    pub fn follow(&mut self, old: &Throttles) {
        self.addresses.follow(&old.addresses);
        if self.rules == old.rules {
            self.ledger = Arc::clone(&old.ledger);
        }
    }

    /// Tells whether there is no rule: [`Throttles::admit`] is then free, and ticks are not needed.
    pub fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }

    /// The rules, in file order.
    pub fn rules(&self) -> &[Rate] {
        &self.rules
    }

    /// Limits and use of each rule, in file order.
    pub fn usage(&self) -> Vec<RuleUsage<'_>> {
        let ledger = self.ledger();
        let rules = self.rules.iter().zip(&ledger.tallies);
        rules
            .map(|(rule, tally)| RuleUsage {
                pattern: rule.pattern.as_bytes(),
                now: tally.rate,
                most: rule.max,
            })
            .collect()
    }

    /// Counts a new connection; the permit lives as long as the connection. `None` without a limit.
    ///
    /// Beyond the limit, a client may have the limit's number of connections again, marked as surplus
    /// (`is_surplus`), which get a 503 response.
    ///
    /// # Errors
    /// [`Overloaded`] beyond that: the connection is closed without a response.
    pub fn connection(&self, peer: IpAddr) -> Result<Option<AddressPermit>, Overloaded> {
        self.addresses.admit(peer)
    }

    /// Updates the averages, and returns messages for the log. Called every 2 s if there are rules.
    pub fn tick(&self) -> Vec<Event> {
        let mut ledger = self.ledger();
        ledger.budgets.sweep(std::time::Instant::now());
        ledger.tallies.iter_mut().for_each(Tally::average);
        let mut events = Vec::new();
        for ((number, rule), tally) in self.rules.iter().enumerate().zip(&ledger.tallies) {
            events.extend(remarks(number, rule, tally));
        }
        events
    }

    /// Lines for the statistics: limits, rate and senders of each rule.
    pub fn report(&self) -> Vec<String> {
        let ledger = self.ledger();
        let rules = self.rules.iter().enumerate().zip(&ledger.tallies);
        rules
            .map(|((number, rule), tally)| {
                let each = match rule.each {
                    Each::Rule => "",
                    Each::Address => " per address",
                    Each::Connection => " per connection",
                };
                format!(
                    "throttle #{number} '{:.80}' - rate {}, limits {}-{}{each}; {} sending",
                    rule.pattern, tally.rate, rule.min, rule.max, tally.sending
                )
            })
            .collect()
    }

    pub(super) fn ledger(&self) -> MutexGuard<'_, Ledger> {
        // A panic under the lock may leave outdated numbers, but no broken invariant.
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Messages of thttpd about one rule after a tick; none while no response uses the rule.
fn remarks(number: usize, rule: &Rate, tally: &Tally) -> Vec<Event> {
    let Tally { sending, rate, .. } = *tally;
    if sending == 0 || rule.each != Each::Rule {
        return Vec::new();
    }
    let line = |level, verdict: &str, limit: u64| {
        let pattern = &rule.pattern;
        let text =
            format!("throttle #{number} '{pattern:.80}' rate {rate} {verdict} {limit}; {sending} sending");
        Event { level, text }
    };
    let mut remarks = Vec::new();
    if rate > rule.max.saturating_mul(2) {
        remarks.push(line(Level::Notice, "greatly exceeding limit", rule.max));
    } else if rate > rule.max {
        remarks.push(line(Level::Info, "exceeding limit", rule.max));
    }
    if rate < rule.min {
        remarks.push(line(Level::Notice, "lower than minimum", rule.min));
    }
    remarks
}
