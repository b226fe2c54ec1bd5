//! The pacer: what one response may send, and when.
//!
//! `conn` asks [`Pacer::allowance`], sends no more than it says, tells [`Pacer::sent`] what really
//! went out, and parks the connection when it is told to come back later. Time is a parameter, so
//! that a test can be a simulation. Dropping the pacer frees its share at once.

use std::sync::Arc;
use std::time::Instant;

use super::Throttles;
use super::budget::{Scope, Share, ThrottleTurn};

/// Permission of a response to send.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Allowance {
    /// Send this many bytes, at least one, at once; then say with [`Pacer::sent`] how many went out.
    Bytes(u64),
    /// Nothing before this moment; ask again then.
    Until(Instant),
}

/// Paces one response under all rules that cover it; the tightest holds.
#[derive(Debug)]
pub struct Pacer {
    throttles: Arc<Throttles>,
    shares: Vec<Share>,
    state: PaceState,
    /// Bytes there are to send, as far as is known.
    remaining: u64,
    /// Bytes sent in the last turn, and when; none before the first.
    last: Option<(u64, Instant)>,
}

/// Where the response is in its cycle.
#[derive(Debug, Clone, Copy)]
enum PaceState {
    /// Nothing asked for.
    Idle,
    /// The response has a turn at this moment.
    Waiting(Instant),
    /// The response may be sending this many bytes right now.
    Granted(u64),
}

impl Pacer {
    pub(super) fn new(throttles: Arc<Throttles>, scopes: Vec<Scope>) -> Pacer {
        let shares = scopes.into_iter().map(Share::new).collect();
        Pacer { throttles, shares, state: PaceState::Idle, remaining: u64::MAX, last: None }
    }

    /// Says that there are no more than `bytes` to send: the rest of a response, head included, or
    /// what a script has written so far. Without it a turn is asked for in full even for a few bytes,
    /// and others wait longer than they need.
    pub fn set_remaining(&mut self, bytes: u64) {
        self.remaining = bytes;
    }

    /// How much may be sent at `now`. Ask when there is something to send and the client takes it: a
    /// turn that is asked for is kept from the others until [`Pacer::sent`].
    pub fn allowance(&mut self, now: Instant) -> Allowance {
        let throttles = Arc::clone(&self.throttles);
        let budgets = &mut throttles.ledger().budgets;
        let slice = match self.remaining {
            0 => budgets.slice(&mut self.shares),
            left => budgets.slice(&mut self.shares).min(left),
        };
        let due = match self.state {
            PaceState::Waiting(due) => due,
            PaceState::Idle | PaceState::Granted(_) => {
                if let PaceState::Granted(unsent) = self.state {
                    budgets.give_back(&mut self.shares, unsent);
                }
                let (charge, since) = self.last.unwrap_or((slice, now));
                budgets.queue(&mut self.shares, ThrottleTurn { slice, charge, since, now })
            }
        };
        let turn = if due > now { Err(due) } else { budgets.take(&mut self.shares, slice, now) };
        match turn {
            Ok(()) => {
                self.state = PaceState::Granted(slice);
                Allowance::Bytes(slice)
            }
            Err(later) => {
                self.state = PaceState::Waiting(later);
                Allowance::Until(later)
            }
        }
    }

    /// Tells what went out since the last [`Pacer::allowance`]: once for each, with every byte of the
    /// response, its head too; 0 if the client took none. What was not sent is free for others.
    pub fn sent(&mut self, bytes: u64, now: Instant) {
        let throttles = Arc::clone(&self.throttles);
        let mut ledger = throttles.ledger();
        let granted = match std::mem::replace(&mut self.state, PaceState::Idle) {
            PaceState::Granted(granted) => granted,
            PaceState::Idle | PaceState::Waiting(_) => 0,
        };
        ledger.budgets.step_back(&mut self.shares);
        ledger.budgets.settle(&mut self.shares, granted, bytes, now);
        for share in &self.shares {
            let tally = &mut ledger.tallies[share.scope.rule];
            tally.bytes = tally.bytes.saturating_add(bytes);
        }
        self.remaining = match self.remaining {
            u64::MAX => u64::MAX,
            known => known.saturating_sub(bytes),
        };
        self.last = Some((bytes, now));
    }
}

impl Drop for Pacer {
    fn drop(&mut self) {
        let throttles = Arc::clone(&self.throttles);
        let mut ledger = throttles.ledger();
        if let PaceState::Granted(unsent) = self.state {
            ledger.budgets.give_back(&mut self.shares, unsent);
        }
        ledger.budgets.leave(&mut self.shares);
        for share in &self.shares {
            let sending = &mut ledger.tallies[share.scope.rule].sending;
            *sending = sending.saturating_sub(1);
        }
    }
}
