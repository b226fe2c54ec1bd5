//! Throttles: bandwidth limits by URL pattern (thttpd's `-t`, `throttles=`).
//!
//! Input: the throttle file ([`file`] has its syntax), and for each request the name it asks
//! for. Output: a [`Pacer`] that says how many bytes of the response may be sent now or when to
//! ask again, or [`Refused`]. `boot` calls [`Throttles::load`], `conn` calls [`Throttles::admit`] once
//! a request and keeps the pacer beside the response, a timer calls [`Throttles::tick`] every 2 s.
//!
//! Each rule has a budget of bytes that fills at the rule's maximum (`budget`). Two promises follow:
//!
//! * never more than `max × (t + ¼ s)` bytes in any stretch of `t` seconds (one byte at least: below
//!   4 B/s a single byte is more than a quarter second's worth);
//! * senders under one rule get equal shares, and what one cannot use, because its client is slow or
//!   another rule holds it lower, goes to the others.
//!
//! thttpd evens out shares every 2 s and paces by the average since a download began; limits and
//! messages are the same here, the flow is smoother. This module never waits: a pause is a moment
//! to come back at, and the moments of many senders are spread so that each wake-up finds its bytes.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::log::{Event, Level};
use crate::request::Rejection;
use crate::request::client::ClientNetwork;
use crate::rules::Name;
use crate::sys::read_regular_file;

mod address;
mod budget;
pub mod file;
mod pacer;

#[cfg(test)]
mod tests;

pub use crate::rules::rate::{Each, Rate as Rule};
pub use address::AddressPermit;
pub use file::ThrottleFileError;
pub use pacer::{Allowance, Pacer};

use address::Addresses;
use budget::{Budgets, Payer, Scope};

impl Rule {
    /// Would one more sender beside `sending` others be left too little? This is what the manual
    /// says of the minimum; thttpd 2.29 compares it with the past rate, which starts at zero, and so
    /// refuses every request for ever.
    fn refuses(&self, sending: usize) -> bool {
        self.max == 0 || self.max / (sending as u64).saturating_add(1) < self.min
    }

    /// The budget of this rule, the `index`th, that a response to `peer` draws on.
    fn scope(&self, index: usize, peer: SocketAddr) -> Scope {
        let payer = match self.each {
            Each::Rule => Payer::Everyone,
            Each::Address => Payer::Network(ClientNetwork::from_address(peer.ip())),
            Each::Connection => Payer::Connection(peer),
        };
        Scope { rule: index, payer }
    }
}

/// A request or a connection is turned away for now: 503 with Retry-After (RFC 9110 §10.2.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Refused;

impl From<Refused> for Rejection {
    fn from(_: Refused) -> Rejection {
        Rejection::new(503, "Too many are asking at once; please try again later.")
    }
}

/// Totals of one rule, for its minimum, the log and the statistics.
#[derive(Debug, Default, Clone, Copy)]
struct Tally {
    /// Responses under way.
    sending: usize,
    /// Bytes sent since the last tick.
    bytes: u64,
    /// Rolling average in bytes a second.
    rate: u64,
}

impl Tally {
    /// thttpd's average: two parts of the past, one of the last 2 s, in whole numbers.
    fn average(&mut self) {
        self.rate = self.rate.saturating_mul(2).saturating_add(self.bytes / 2) / 3;
        self.bytes = 0;
    }
}

/// The use of one rule, for metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate<'a> {
    /// The names it covers.
    pub pattern: &'a [u8],
    /// Rolling average in bytes a second.
    pub now: u64,
    /// Bytes a second at most.
    pub most: u64,
}

/// Everything that changes while responses are sent.
///
/// One lock guards it all: it is held for a microsecond, some ten times a second for each download,
/// and makes "enough in every budget, so take from each" a single step.
#[derive(Debug)]
struct Ledger {
    budgets: Budgets,
    /// One for each rule.
    tallies: Vec<Tally>,
}

/// All rules, in file order, and what is being sent under them.
#[derive(Debug)]
pub struct Throttles {
    rules: Vec<Rule>,
    ledger: Arc<Mutex<Ledger>>,
    addresses: Addresses,
}

impl Throttles {
    /// No rules: nothing is ever paced or refused.
    pub fn none() -> Throttles {
        Throttles::new(Vec::new(), None)
    }

    /// `rules` in file order; `connections_per_address` caps simultaneous connections.
    pub fn new(rules: Vec<Rule>, connections_per_address: Option<usize>) -> Throttles {
        let ledger = Ledger { budgets: Budgets::default(), tallies: vec![Tally::default(); rules.len()] };
        Throttles {
            rules,
            ledger: Arc::new(Mutex::new(ledger)),
            addresses: Addresses::new(connections_per_address),
        }
    }

    /// Reads the throttle file. Lines that mean nothing are skipped and told of, as in thttpd.
    ///
    /// # Errors
    /// The file cannot be read; boot ends then, as in thttpd.
    pub fn load(path: &Path) -> io::Result<(Throttles, Vec<ThrottleFileError>)> {
        let parsed = file::parse(path, &read_regular_file(path)?);
        Ok((Throttles::new(parsed.rules, parsed.connections_per_address), parsed.problems))
    }

    /// Adds rates of the rules file behind those of the throttle file.
    pub fn add_rates(&mut self, rates: impl Iterator<Item = Rule>) {
        self.rules.extend(rates);
        self.ledger().tallies.resize(self.rules.len(), Tally::default());
    }

    /// Bounds the simultaneous connections of each client address as well (the option
    /// `max_connections_per_address`); the tighter of it and the file's own cap holds.
    pub fn cap_connections(&mut self, per_address: usize) {
        self.addresses.cap(per_address);
    }

    /// Takes the place of `old` when the configuration is read again: connections stay counted, and
    /// as long as the rules are the same, so do the bytes and senders under them. Under changed rules
    /// responses end as they began, beside those that begin anew.
    pub fn follow(&mut self, old: &Throttles) {
        self.addresses.follow(&old.addresses);
        if self.rules == old.rules {
            self.ledger = Arc::clone(&old.ledger);
        }
    }

    /// No rule: [`Throttles::admit`] costs nothing and there is no need to tick.
    pub fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }

    /// The rules, in file order.
    pub fn rules(&self) -> &[Rule] {
        &self.rules
    }

    /// What each rule allows and is used for, in file order.
    pub fn rates(&self) -> Vec<Rate<'_>> {
        let ledger = self.ledger();
        let rules = self.rules.iter().zip(&ledger.tallies);
        rules
            .map(|(rule, tally)| Rate { pattern: rule.pattern.as_bytes(), now: tally.rate, most: rule.max })
            .collect()
    }

    /// Starts a response to `peer`. `name` is the symlink-expanded name below the root without a
    /// leading slash, virtual host included, before an index file is chosen: `.` for the top, `sub`
    /// for `/sub/`. None when no rule covers it.
    ///
    /// # Errors
    /// [`Refused`] when a rule's minimum could not be kept with one more sender.
    pub fn admit(self: &Arc<Throttles>, name: &Name<'_>, peer: SocketAddr) -> Result<Option<Pacer>, Refused> {
        let covering: Vec<usize> =
            (0..self.rules.len()).filter(|&i| self.rules[i].pattern.matches(name)).collect();
        if covering.is_empty() {
            return Ok(None);
        }
        let mut ledger = self.ledger();
        if covering.iter().any(|&i| self.rules[i].refuses(ledger.tallies[i].sending)) {
            return Err(Refused);
        }
        let scopes = covering.iter().map(|&i| {
            ledger.tallies[i].sending += 1;
            let scope = self.rules[i].scope(i, peer);
            ledger.budgets.enter(scope, self.rules[i].max);
            scope
        });
        let scopes = scopes.collect();
        Ok(Some(Pacer::new(Arc::clone(self), scopes)))
    }

    /// Takes note of a new connection; the permit is kept as long as the connection. None when there
    /// is no cap on simultaneous connections per address. Beyond the cap a client may have as many
    /// connections again that are only told so (`is_surplus`): answering is polite, but not to a flood.
    ///
    /// # Errors
    /// [`Refused`] beyond that: the connection is not worth an answer.
    pub fn connection(&self, peer: IpAddr) -> Result<Option<AddressPermit>, Refused> {
        self.addresses.admit(peer)
    }

    /// To be called every 2 s while there are rules: brings the averages up to date and returns what
    /// the log should say of them.
    pub fn tick(&self) -> Vec<Event> {
        let mut ledger = self.ledger();
        ledger.budgets.sweep(std::time::Instant::now());
        ledger.tallies.iter_mut().for_each(Tally::average);
        let rules = self.rules.iter().enumerate().zip(&ledger.tallies);
        rules.flat_map(|((number, rule), tally)| remarks(number, rule, tally)).collect()
    }

    /// For the statistics: a line for each rule with its limits, rate and senders.
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

    fn ledger(&self) -> MutexGuard<'_, Ledger> {
        // A panic in another request's turn leaves numbers behind, not broken invariants.
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// thttpd's messages about one rule after a tick; none while nothing is sent under it.
fn remarks(number: usize, rule: &Rule, tally: &Tally) -> Vec<Event> {
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
