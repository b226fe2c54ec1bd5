//! Budgets: how many bytes may leave now under one cap, and how long a fair share of it takes.
//!
//! A [`Budget`] answers two questions that are kept apart on purpose. *May these bytes go now?* is
//! exact, in whole numbers: a token bucket that holds a quarter second's worth. *When should a sender
//! come back?* is an estimate: its last bytes at an equal share of the rate. The estimate makes
//! sending even and wake-ups useful; the bucket alone keeps the limit, so no order of calls, late
//! wake-up or vanished client can break it.
//!
//! A sender counts in each of its budgets only for the part of an equal share it can use: one that
//! waits for a budget `W` although this one would have let it go after `w` counts `w/W` here. As the
//! senders come round, these weights settle where every budget is used up or nobody wants more.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use super::address::Network;

/// Levels are counted in billionths of a byte: rate × nanoseconds, without rounding.
const BYTE: i128 = 1_000_000_000;

/// The weight of a sender that only this budget holds back.
const WHOLE: u64 = 1 << 16;

/// No estimate is trusted for longer than this; it also keeps arithmetic on instants in range.
const LONGEST_WAIT: Duration = Duration::from_secs(3600);

/// What the responses of one payer under one rule may use.
#[derive(Debug)]
pub(super) struct Budget {
    /// Bytes a second, at least 1.
    rate: u64,
    /// Billionths of a byte that may be sent at `as_of`; below zero after bytes nobody asked for.
    level: i128,
    as_of: Option<Instant>,
    /// Responses that draw on it.
    pacers: usize,
    /// Weights of the responses waiting for their turn or in the middle of it.
    waiting: u64,
    /// Up to when turns are promised to those who came on time and found too little.
    promised: Option<Instant>,
}

impl Budget {
    fn new(rate: u64) -> Budget {
        let mut budget =
            Budget { rate: rate.max(1), level: 0, as_of: None, pacers: 0, waiting: 0, promised: None };
        budget.level = budget.capacity();
        budget
    }

    /// A quarter second's worth: what may go beyond `rate × t` in any stretch of time.
    fn capacity(&self) -> i128 {
        (i128::from(self.rate) * BYTE / 4).max(BYTE)
    }

    /// What the estimates leave in the bucket for senders who come a little early.
    fn reserve(&self) -> i128 {
        let room = (self.capacity() - bytes(self.slice())).max(0);
        (self.capacity() / 4).min(room / 2)
    }

    /// Bytes for one turn: the senders come round four times a second, but no turn is shorter than a
    /// millisecond or a small packet, so that crowds do not wake the server for crumbs; and none is
    /// so long that a late one makes the bucket run over.
    fn slice(&self) -> u64 {
        let rate = self.rate as f64;
        let longest = (1460.0 / rate).clamp(0.05, 0.125);
        let round = 0.25 / self.pacers.max(1) as f64;
        let turn = round.max(0.001).max(256.0 / rate).min(longest);
        ((rate * turn) as u64).max(1)
    }

    /// Fills the bucket up to `now`. A `now` from just before the last one changes nothing.
    fn refill(&mut self, now: Instant) {
        let since = self.as_of.map_or(Duration::ZERO, |as_of| now.saturating_duration_since(as_of));
        let gain = i128::from(self.rate).saturating_mul(since.as_nanos() as i128);
        self.level = self.level.saturating_add(gain).min(self.capacity());
        self.as_of = Some(self.as_of.map_or(now, |as_of| as_of.max(now)));
    }

    fn holds(&self, n: u64) -> bool {
        self.level >= bytes(n)
    }

    /// When the bucket holds `n` bytes if nobody else takes any.
    fn filled(&self, n: u64, now: Instant) -> Instant {
        let missing = (bytes(n) - self.level).max(0) as u128;
        let nanos = missing.div_ceil(u128::from(self.rate));
        now + Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX)).min(LONGEST_WAIT)
    }

    /// Seconds that `n` bytes take at an equal share among those waiting.
    fn fair_time(&self, n: u64) -> f64 {
        n as f64 * (1.0 + self.waiting as f64 / WHOLE as f64) / self.rate as f64
    }

    /// Seconds by which sending lags behind the rate; below zero, by which it is ahead.
    fn lag(&self) -> f64 {
        (self.level - self.reserve()) as f64 / BYTE as f64 / self.rate as f64
    }

    /// A later turn for a sender that came on time and found too little, after all others so promised.
    fn promise(&mut self, n: u64, now: Instant) -> Instant {
        let turn = self.promised.map_or(now, |promised| promised.max(now)).max(self.filled(n, now));
        let length = Duration::from_secs_f64(n as f64 / self.rate as f64);
        self.promised = Some(turn + length.min(LONGEST_WAIT));
        turn.min(now + LONGEST_WAIT)
    }

    /// Nobody uses it and a new one would be no different.
    fn is_spent(&mut self, now: Instant) -> bool {
        self.refill(now);
        self.pacers == 0 && self.level == self.capacity()
    }
}

fn bytes(n: u64) -> i128 {
    i128::from(n) * BYTE
}

/// Who a budget belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Payer {
    Everyone,
    Network(Network),
    /// By both ends' address, so that it lasts from one request of a persistent connection to the next.
    Connection(SocketAddr),
}

/// Names a budget.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Scope {
    /// Index of the rule.
    pub(super) rule: usize,
    pub(super) payer: Payer,
}

/// A sender's place in one budget.
#[derive(Debug, Clone, Copy)]
pub(super) struct Share {
    pub(super) scope: Scope,
    /// Its part of the budget's `waiting`.
    weight: u64,
}

impl Share {
    pub(super) fn new(scope: Scope) -> Share {
        Share { scope, weight: 0 }
    }
}

/// All budgets that are in use or not yet full again.
#[derive(Debug, Default)]
pub(super) struct Budgets {
    all: HashMap<Scope, Budget>,
    /// Size at which full, unused budgets are looked for, so that a flood of addresses cannot pile
    /// them up between two ticks.
    sweep_at: usize,
}

impl Budgets {
    /// One more response draws on `scope`.
    pub(super) fn enter(&mut self, scope: Scope, rate: u64) {
        self.all.entry(scope).or_insert_with(|| Budget::new(rate)).pacers += 1;
    }

    /// The response has ended. Its budget stays until it is full: asking again must not be a way
    /// round the limit.
    pub(super) fn leave(&mut self, shares: &mut [Share]) {
        self.step_back(shares);
        self.each(shares, |budget, _| budget.pacers = budget.pacers.saturating_sub(1));
    }

    /// Forgets the budgets that nobody would miss at `now`.
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

    /// Queues for `slice` bytes, having sent `charge` bytes since `since`. Returns when to come.
    pub(super) fn queue(&mut self, shares: &mut [Share], turn: Turn) -> Instant {
        let Turn { slice, charge, since, now } = turn;
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
    /// When to come again, nothing taken, if one of them holds less.
    pub(super) fn take(&mut self, shares: &mut [Share], n: u64, now: Instant) -> Result<(), Instant> {
        let mut later = None;
        self.each(shares, |budget, _| {
            budget.refill(now);
            if !budget.holds(n) {
                later = later.max(Some(budget.promise(n, now)));
            }
        });
        match later {
            Some(at) => Err(at),
            None => {
                self.charge(shares, n);
                Ok(())
            }
        }
    }

    /// Takes `n` bytes that have gone out, whether or not they are there.
    pub(super) fn charge(&mut self, shares: &mut [Share], n: u64) {
        self.each(shares, |budget, _| budget.level = budget.level.saturating_sub(bytes(n)));
    }

    /// Puts back `n` bytes that were taken and not sent.
    pub(super) fn give_back(&mut self, shares: &mut [Share], n: u64) {
        self.each(shares, |budget, _| {
            budget.level = budget.level.saturating_add(bytes(n)).min(budget.capacity());
        });
    }

    /// Leaves the queues.
    pub(super) fn step_back(&mut self, shares: &mut [Share]) {
        self.each(shares, |budget, share| {
            budget.waiting = budget.waiting.saturating_sub(std::mem::take(&mut share.weight));
        });
    }

    fn each(&mut self, shares: &mut [Share], mut f: impl FnMut(&mut Budget, &mut Share)) {
        for share in shares {
            if let Some(budget) = self.all.get_mut(&share.scope) {
                f(budget, share);
            }
        }
    }
}

/// What a sender asks a turn for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Turn {
    /// Bytes it would send.
    pub(super) slice: u64,
    /// Bytes its share has to cover first.
    pub(super) charge: u64,
    /// Since when its share covers them.
    pub(super) since: Instant,
    pub(super) now: Instant,
}
