//! Pacer: the bytes that one response may send, and when.
//!
//! `conn` calls [`Pacer::allowance`], sends at most that many bytes, reports the sent ones by
//! [`Pacer::sent`], and parks the connection if told to come back later. Time is a parameter, so that tests
//! can simulate it. Dropping the pacer frees its share at once.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use super::budget::{Scope, Share, ThrottleTurn};
use super::overloaded::Overloaded;
use super::throttles::Throttles;
use crate::rules::Name;

/// Permission to send.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Allowance {
    /// Send up to this many bytes (at least one) now, and report the number by [`Pacer::sent`].
    Bytes(u64),
    /// Send nothing before this time; ask again then.
    Until(Instant),
}

/// Pacer of one response under all rules that cover it; the lowest rate applies.
#[derive(Debug)]
pub struct Pacer {
    throttles: Arc<Throttles>,
    shares: Vec<Share>,
    state: PaceState,
    /// Number of bytes left to send, as far as known.
    remaining: u64,
    /// Bytes sent in the last turn, and the time of it; `None` before the first.
    last: Option<(u64, Instant)>,
}

/// State of the response in its cycle of turns.
#[derive(Debug, Clone, Copy)]
enum PaceState {
    /// No turn was requested.
    Idle,
    /// The response has its turn at this time.
    Waiting(Instant),
    /// The response may be sending this many bytes now.
    Granted(u64),
}

impl Throttles {
    /// Admits a response to `peer`; `None` if no rule covers it.
    ///
    /// `name` is the expanded name below the root without a leading slash, virtual host included, before an
    /// index file is chosen: `.` for the top, `sub` for `/sub/`.
    ///
    /// # Errors
    /// [`Overloaded`] if one more sender would break a rule's minimum.
    pub fn admit(
        self: &Arc<Throttles>,
        name: &Name<'_>,
        peer: SocketAddr,
    ) -> Result<Option<Box<Pacer>>, Overloaded> {
        let covering: Vec<usize> =
            (0..self.rules.len()).filter(|&i| self.rules[i].pattern.matches(name)).collect();
        if covering.is_empty() {
            return Ok(None);
        }
        let mut ledger = self.ledger();
        if covering.iter().any(|&i| self.rules[i].refuses(ledger.tallies[i].sending)) {
            return Err(Overloaded);
        }
        let scopes = covering.iter().map(|&i| {
            ledger.tallies[i].sending += 1;
            let scope = self.rules[i].scope(i, peer);
            ledger.budgets.enter(scope, self.rules[i].max);
            scope
        });
        let scopes = scopes.collect();
        Ok(Some(Box::new(Pacer::new(Arc::clone(self), scopes))))
    }
}

impl Pacer {
    fn new(throttles: Arc<Throttles>, scopes: Vec<Scope>) -> Pacer {
        let shares = scopes.into_iter().map(Share::new).collect();
        Pacer { throttles, shares, state: PaceState::Idle, remaining: u64::MAX, last: None }
    }

    /// Sets the number of bytes left to send: the rest of a response, or the output of a script so far.
    ///
    /// Without this, a full turn is requested even for a few bytes, and others wait longer than needed.
    pub fn set_remaining(&mut self, bytes: u64) {
        self.remaining = bytes;
    }

    /// Bytes that may be sent at `now`.
    ///
    /// Ask only with data to send and a client that accepts it: granted bytes are kept from the others
    /// until [`Pacer::sent`].
    pub fn allowance(&mut self, now: Instant) -> Allowance {
        let Pacer { throttles, shares, state, remaining, last } = self;
        let budgets = &mut throttles.ledger().budgets;
        let slice = match *remaining {
            0 => budgets.slice(shares),
            left => budgets.slice(shares).min(left),
        };
        let due = match *state {
            PaceState::Waiting(due) => due,
            PaceState::Idle | PaceState::Granted(_) => {
                if let PaceState::Granted(unsent) = *state {
                    budgets.refund(shares, unsent);
                }
                let (charge, since) = last.unwrap_or((slice, now));
                budgets.queue(shares, ThrottleTurn { slice, charge, since, now })
            }
        };
        let turn = if due > now { Err(due) } else { budgets.take(shares, slice, now) };
        match turn {
            Ok(()) => {
                *state = PaceState::Granted(slice);
                Allowance::Bytes(slice)
            }
            Err(later) => {
                *state = PaceState::Waiting(later);
                Allowance::Until(later)
            }
        }
    }

    /// Reports the bytes sent since the last [`Pacer::allowance`], head included, once for each call; 0 if
    /// none.
    ///
    /// Unused bytes of the grant become available to others.
    pub fn sent(&mut self, bytes: u64, now: Instant) {
        let Pacer { throttles, shares, state, remaining, last } = self;
        let mut ledger = throttles.ledger();
        let granted = match std::mem::replace(state, PaceState::Idle) {
            PaceState::Granted(granted) => granted,
            PaceState::Idle | PaceState::Waiting(_) => 0,
        };
        ledger.budgets.step_back(shares);
        ledger.budgets.settle(shares, granted, bytes, now);
        for share in shares {
            let tally = &mut ledger.tallies[share.scope.rule];
            tally.bytes = tally.bytes.saturating_add(bytes);
        }
        *remaining = match *remaining {
            u64::MAX => u64::MAX,
            known => known.saturating_sub(bytes),
        };
        *last = Some((bytes, now));
    }
}

impl Drop for Pacer {
    fn drop(&mut self) {
        let Pacer { throttles, shares, state, .. } = self;
        let mut ledger = throttles.ledger();
        if let PaceState::Granted(unsent) = *state {
            ledger.budgets.refund(shares, unsent);
        }
        ledger.budgets.leave(shares);
        for share in shares {
            let sending = &mut ledger.tallies[share.scope.rule].sending;
            *sending = sending.saturating_sub(1);
        }
    }
}
