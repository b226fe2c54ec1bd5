//! Byte budgets: the bytes that may be sent now under one limit, and the time for a fair share.
//!
//! A [`Budget`] answers two separate questions. *May these bytes be sent now?* is exact, in integers: a
//! token bucket with the bytes of a quarter second. *When should a sender come back?* is an estimate: the
//! time of its last bytes at an equal share of the rate. The estimate makes sending even and wake-ups
//! useful. The bucket alone keeps the limit, so that no order of calls, late wake-up or vanished client can
//! break it.
//!
//! A sender counts in each budget only for the part of an equal share that it can use: a sender that waits
//! for a budget `W`, and could have continued in this budget after `w`, counts `w/W` here. Over several
//! turns these weights converge: every budget is used up, or no sender needs more.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use crate::request::client::ClientNetwork;

/// Factor of levels, which are in billionths of a byte: rate × nanoseconds, without rounding.
const BYTE: i128 = 1_000_000_000;

/// Weight of a sender that only this budget limits.
const WHOLE: u64 = 1 << 16;

/// Maximum rate in bytes a second: above that of any network, and sums of it do not overflow.
const FASTEST: u64 = 1 << 50;

/// Maximum of an estimated wait; keeps arithmetic on instants in range.
const LONGEST_WAIT: Duration = Duration::from_secs(3600);

/// Token bucket for the responses of one payer under one rule.
#[derive(Debug)]
pub(super) struct Budget {
    /// Rate in bytes a second, 1 to `FASTEST`.
    rate: u64,
    /// Level at `as_of` in billionths of a byte; negative after bytes were sent without a grant.
    level: i128,
    /// Granted bytes that may be sent at any time. With `level` they never exceed the capacity.
    ///
    /// A worker that sends late thus does not increase the bytes that others may send.
    granted: u64,
    as_of: Option<Instant>,
    /// Number of responses that use the budget.
    pacers: usize,
    /// Sum of the weights of responses that wait or have their turn.
    waiting: u64,
    /// Bytes reserved for senders that came in time and found too few.
    owed: u64,
}

impl Budget {
    fn new(rate: u64) -> Budget {
        let rate = rate.clamp(1, FASTEST);
        let mut budget = Budget { rate, level: 0, granted: 0, as_of: None, pacers: 0, waiting: 0, owed: 0 };
        budget.level = budget.capacity();
        budget
    }

    /// Capacity: the bytes of a quarter second, which any interval may exceed `rate × t` by.
    fn capacity(&self) -> i128 {
        (i128::from(self.rate) * BYTE / 4).max(BYTE)
    }

    /// Maximum of `level` beside the granted bytes.
    fn room(&self) -> i128 {
        self.capacity() - bytes(self.granted)
    }

    /// Bytes that estimates leave in the bucket, for senders that come slightly early.
    fn reserve(&self) -> i128 {
        let room = (self.capacity() - bytes(self.slice())).max(0);
        (self.capacity() / 4).min(room / 2)
    }

    /// Bytes for one turn, so that each sender has four turns a second.
    ///
    /// A turn is at least a millisecond or a small packet long, so that many senders do not cause many tiny
    /// wake-ups. A turn is short enough that a late one does not overflow the bucket.
    fn slice(&self) -> u64 {
        let rate = self.rate as f64;
        let longest = (1460.0 / rate).clamp(0.05, 0.125);
        let round = 0.25 / self.pacers.max(1) as f64;
        let turn = round.max(0.001).max(256.0 / rate).min(longest);
        ((rate * turn) as u64).max(1)
    }

    /// Fills the bucket up to `now`. A `now` slightly before the last one changes nothing.
    fn refill(&mut self, now: Instant) {
        let since = self.as_of.map_or(Duration::ZERO, |as_of| now.saturating_duration_since(as_of));
        let gain = i128::from(self.rate).saturating_mul(since.as_nanos() as i128);
        self.level = self.level.saturating_add(gain).min(self.room());
        self.as_of = Some(self.as_of.map_or(now, |as_of| as_of.max(now)));
    }

    /// Tells whether `n` bytes are available beside those reserved for others.
    fn holds(&self, n: u64) -> bool {
        self.level >= bytes(n) + bytes(self.owed)
    }

    /// Time at which the budget [`holds`](Budget::holds) `n` bytes, if no sender takes any.
    fn filled(&self, n: u64, now: Instant) -> Instant {
        let missing = (bytes(n) + bytes(self.owed) - self.level).max(0) as u128;
        let nanos = missing.div_ceil(u128::from(self.rate));
        now + Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX)).min(LONGEST_WAIT)
    }

    /// Time in seconds that `n` bytes take at an equal share among those waiting.
    fn fair_time(&self, n: u64) -> f64 {
        n as f64 * (1.0 + self.waiting as f64 / WHOLE as f64) / self.rate as f64
    }

    /// Time in seconds by which sending is behind the rate; negative if ahead.
    fn lag(&self) -> f64 {
        (self.level - self.reserve() - bytes(self.owed)) as f64 / BYTE as f64 / self.rate as f64
    }

    /// Tells whether the budget is unused and full, so that it equals a new one.
    fn is_spent(&mut self, now: Instant) -> bool {
        self.refill(now);
        self.pacers == 0 && self.level == self.capacity()
    }
}

fn bytes(n: u64) -> i128 {
    i128::from(n) * BYTE
}

/// Unit that a budget belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Payer {
    Everyone,
    Network(ClientNetwork),
    /// Connection by both addresses, so that the budget lasts across requests on a persistent connection.
    Connection(SocketAddr),
}

/// Key of a budget.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Scope {
    /// Index of the rule.
    pub(super) rule: usize,
    pub(super) payer: Payer,
}

/// Share of a sender in one budget.
#[derive(Debug, Clone, Copy)]
pub(super) struct Share {
    pub(super) scope: Scope,
    /// Part of the budget's `waiting`.
    weight: u64,
    /// Part of the budget's `owed`.
    owed: u64,
}

impl Share {
    pub(super) fn new(scope: Scope) -> Share {
        Share { scope, weight: 0, owed: 0 }
    }
}

/// Budgets in use, and those not yet full again.
#[derive(Debug, Default)]
pub(super) struct Budgets {
    all: HashMap<Scope, Budget>,
    /// Number of budgets at which full, unused ones are removed, even between two ticks.
    sweep_at: usize,
}

impl Budgets {
    /// Adds a response to the budget of `scope`.
    pub(super) fn enter(&mut self, scope: Scope, rate: u64) {
        self.all.entry(scope).or_insert_with(|| Budget::new(rate)).pacers += 1;
    }

    /// Ends a response. Its budget stays until full, so that a new request cannot evade the limit.
    pub(super) fn leave(&mut self, shares: &mut [Share]) {
        self.step_back(shares);
        self.each(shares, |budget, _| budget.pacers -= 1);
    }

    /// Removes budgets that are unused and full at `now`.
    pub(super) fn sweep(&mut self, now: Instant) {
        self.all.retain(|_, budget| !budget.is_spent(now));
        self.sweep_at = self.all.len() * 2 + 64;
    }

    /// Bytes for one turn under all of `shares`.
    pub(super) fn slice(&mut self, shares: &mut [Share]) -> u64 {
        let mut slice = u64::MAX;
        self.each(shares, |budget, _| slice = slice.min(budget.slice()));
        slice
    }

    /// Queues for a turn; returns the time of the turn.
    pub(super) fn queue(&mut self, shares: &mut [Share], turn: ThrottleTurn) -> Instant {
        let ThrottleTurn { slice, charge, since, now } = turn;
        if self.all.len() >= self.sweep_at {
            self.sweep(now);
        }
        self.step_back(shares);
        let elapsed = now.saturating_duration_since(since).as_secs_f64();
        let (mut due, mut longest) = (now, 0_f64);
        self.each(shares, |budget, _| {
            budget.refill(now);
            let fair = budget.fair_time(charge);
            longest = longest.max(fair);
            let wait = (fair - elapsed - budget.lag()).clamp(0.0, LONGEST_WAIT.as_secs_f64());
            due = due.max(now + Duration::from_secs_f64(wait)).max(budget.filled(slice, now));
        });
        self.each(shares, |budget, share| {
            let part = if longest > 0.0 { budget.fair_time(charge) / longest } else { 1.0 };
            share.weight = (part * WHOLE as f64) as u64;
            budget.waiting += share.weight;
        });
        due
    }

    /// Takes `n` bytes from every budget.
    ///
    /// # Errors
    /// Time to come again, if one of the budgets has fewer bytes. No byte is taken, and the bytes are
    /// reserved: senders that come earlier do not get them.
    pub(super) fn take(&mut self, shares: &mut [Share], n: u64, now: Instant) -> Result<(), Instant> {
        let mut later = None;
        self.each(shares, |budget, share| {
            budget.refill(now);
            let enough = if share.owed > 0 { budget.level >= bytes(n) } else { budget.holds(n) };
            if !enough {
                budget.owed -= std::mem::take(&mut share.owed);
                later = later.max(Some(budget.filled(n, now)));
                budget.owed += n;
                share.owed = n;
            }
        });
        match later {
            Some(at) => Err(at),
            None => {
                self.each(shares, |budget, share| {
                    budget.level = budget.level.saturating_sub(bytes(n));
                    budget.granted += n;
                    budget.owed -= std::mem::take(&mut share.owed);
                });
                Ok(())
            }
        }
    }

    /// Ends a grant of `granted` bytes, of which `sent` were sent by `now`. Bytes beyond the grant are
    /// charged too.
    pub(super) fn settle(&mut self, shares: &mut [Share], granted: u64, sent: u64, now: Instant) {
        self.each(shares, |budget, _| {
            // The refill comes first, while the grant still reduces the maximum level.
            budget.refill(now);
            budget.granted -= granted;
            let level = budget.level.saturating_add(bytes(granted)).saturating_sub(bytes(sent));
            budget.level = level.min(budget.room());
        });
    }

    /// Ends a grant of `granted` bytes without sending.
    pub(super) fn refund(&mut self, shares: &mut [Share], granted: u64) {
        self.each(shares, |budget, _| {
            budget.granted -= granted;
            budget.level = budget.level.saturating_add(bytes(granted)).min(budget.room());
        });
    }

    /// Leaves the queues of all shares.
    pub(super) fn step_back(&mut self, shares: &mut [Share]) {
        self.each(shares, |budget, share| {
            budget.waiting -= std::mem::take(&mut share.weight);
            budget.owed -= std::mem::take(&mut share.owed);
        });
    }

    /// Tells whether no sender uses a budget, waits for one or has reserved bytes.
    #[cfg(test)]
    pub(super) fn are_idle(&self) -> bool {
        self.all
            .values()
            .all(|budget| (budget.pacers, budget.waiting, budget.owed, budget.granted) == (0, 0, 0, 0))
    }

    fn each(&mut self, shares: &mut [Share], mut f: impl FnMut(&mut Budget, &mut Share)) {
        for share in shares {
            if let Some(budget) = self.all.get_mut(&share.scope) {
                f(budget, share);
            }
        }
    }
}

/// Request of a sender for one turn.
#[derive(Debug, Clone, Copy)]
pub(super) struct ThrottleTurn {
    /// Bytes to send.
    pub(super) slice: u64,
    /// Bytes sent before, which the share must cover first.
    pub(super) charge: u64,
    /// Start of the time that covers them.
    pub(super) since: Instant,
    pub(super) now: Instant,
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv6Addr;

    fn scope(site: u64) -> Scope {
        let address = Ipv6Addr::from_bits(u128::from(site) << 64);
        Scope { rule: 0, payer: Payer::Network(ClientNetwork::from_address(address.into())) }
    }

    #[test]
    fn budgets_of_clients_long_gone_are_forgotten() {
        let mut budgets = Budgets::default();
        let start = Instant::now();
        let mut most = 0;
        for n in 0..100_000 {
            let now = start + Duration::from_micros(100) * n;
            let mut shares = [Share::new(scope(n.into()))];
            budgets.enter(shares[0].scope, 1000);
            budgets.queue(&mut shares, ThrottleTurn { slice: 10, charge: 10, since: now, now });
            budgets.take(&mut shares, 10, now).unwrap();
            budgets.settle(&mut shares, 10, 10, now);
            budgets.leave(&mut shares);
            most = most.max(budgets.all.len());
        }
        assert!(most < 1000, "{most} budgets for 10 000 clients a second, each full again after 10 ms");
        budgets.sweep(start + Duration::from_secs(20));
        assert_eq!(budgets.all.len(), 0);
    }

    #[test]
    fn a_budget_in_use_or_not_yet_full_is_kept() {
        let mut budgets = Budgets::default();
        let now = Instant::now();
        let mut used = [Share::new(scope(1))];
        let mut owing = [Share::new(scope(2))];
        budgets.enter(used[0].scope, 1000);
        budgets.enter(owing[0].scope, 1000);
        budgets.take(&mut owing, 100, now).unwrap();
        budgets.settle(&mut owing, 100, 100, now);
        budgets.leave(&mut owing);
        budgets.sweep(now + Duration::from_millis(99));
        assert_eq!(budgets.all.len(), 2);
        budgets.sweep(now + Duration::from_millis(100));
        assert_eq!(budgets.all.len(), 1);
        budgets.leave(&mut used);
        budgets.sweep(now + Duration::from_millis(100));
        assert_eq!(budgets.all.len(), 0);
    }
}
