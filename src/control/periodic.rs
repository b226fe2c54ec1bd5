//! Tasks that are repeated at an interval.

use std::time::{Duration, Instant};

/// Task that is repeated at an interval.
#[derive(Debug)]
pub(super) struct Periodic {
    every: Duration,
    pub(super) next: Instant,
}

impl Periodic {
    /// Task with the interval `every`; `None` for zero.
    pub(super) fn new(every: Duration) -> Option<Periodic> {
        (!every.is_zero()).then(|| Periodic { every, next: Instant::now() + every })
    }

    pub(super) fn is_due(periodic: &mut Option<Periodic>, now: Instant) -> bool {
        let Some(periodic) = periodic else { return false };
        let due = now >= periodic.next;
        if due {
            periodic.next = now + periodic.every;
        }
        due
    }
}
