//! Configuration generations: which one each worker serves by, so that a reload can wait until no request
//! is answered by the old one.
//!
//! A worker publishes the generation of each turn in a slot of its own. Between turns its slot is empty,
//! and the next turn begins with the newest generation, so only workers in a turn are waited for.

use std::sync::atomic::Ordering::SeqCst;
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::sys::atomic::AtomicU64;

/// A slot's value between turns.
const NO_TURN: u64 = 0;

/// One worker's slot, on a cache line of its own: it is written twice a turn.
#[derive(Debug, Default)]
#[repr(align(64))]
struct TurnSlot(AtomicU64);

/// The newest generation, and what each worker serves by.
#[derive(Debug)]
pub struct ConfigGeneration {
    newest: AtomicU64,
    slots: Box<[TurnSlot]>,
    lock: Mutex<()>,
    /// A worker that served by an old generation has ended its turn.
    left: Condvar,
}

impl ConfigGeneration {
    /// The first generation, for `workers` workers.
    pub fn new(workers: usize) -> ConfigGeneration {
        let slots = (0..workers).map(|_| TurnSlot::default()).collect();
        ConfigGeneration { newest: AtomicU64::new(1), slots, lock: Mutex::new(()), left: Condvar::new() }
    }

    /// The newest generation.
    pub fn newest(&self) -> u64 {
        self.newest.load(SeqCst)
    }

    /// Begins a turn of `worker` by the newest generation, which is returned.
    pub fn begin_turn(&self, worker: usize) -> u64 {
        loop {
            let newest = self.newest();
            let before = self.slots[worker].0.swap(newest, SeqCst);
            // Looked at again after publishing: a reload that missed the slot is seen here.
            if self.newest() == newest {
                if before != NO_TURN && before != newest {
                    self.notify();
                }
                return newest;
            }
        }
    }

    /// Ends what `worker` began by `generation`.
    pub fn end_turn(&self, worker: usize, generation: u64) {
        self.slots[worker].0.store(NO_TURN, SeqCst);
        if self.newest() != generation {
            self.notify();
        }
    }

    /// Makes the next generation the newest one. The configuration itself must be in place already.
    pub fn advance(&self) {
        self.newest.fetch_add(1, SeqCst);
    }

    /// Waits until no turn by an older generation goes on. `false`: `limit` passed first.
    pub fn wait_for_workers(&self, limit: Duration) -> bool {
        let deadline = Instant::now() + limit;
        let mut guard = self.lock.lock().unwrap_or_else(PoisonError::into_inner);
        while self.is_any_behind() {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return false;
            }
            guard = self.left.wait_timeout(guard, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        true
    }

    fn is_any_behind(&self) -> bool {
        let newest = self.newest();
        self.slots.iter().any(|slot| (NO_TURN + 1..newest).contains(&slot.0.load(SeqCst)))
    }

    /// Under the lock, so that a waiter that has just looked is waiting by now.
    fn notify(&self) {
        drop(self.lock.lock().unwrap_or_else(PoisonError::into_inner));
        self.left.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: Duration = Duration::from_secs(30);

    #[test]
    fn a_reload_waits_for_the_turn_that_goes_on_and_for_no_other() {
        let generation = ConfigGeneration::new(3);
        generation.advance();
        assert!(generation.wait_for_workers(LONG), "no turn goes on");
        let old = generation.begin_turn(1);
        generation.advance();
        let newer = generation.begin_turn(2);
        assert!(newer > old);
        assert!(!generation.wait_for_workers(Duration::from_millis(10)));
        std::thread::scope(|scope| {
            let waiter = scope.spawn(|| generation.wait_for_workers(LONG));
            generation.end_turn(1, old);
            assert!(waiter.join().unwrap());
        });
    }

    #[test]
    fn the_next_turn_of_the_same_worker_ends_the_wait_too() {
        let generation = ConfigGeneration::new(1);
        generation.begin_turn(0);
        generation.advance();
        std::thread::scope(|scope| {
            let waiter = scope.spawn(|| generation.wait_for_workers(LONG));
            generation.begin_turn(0);
            assert!(waiter.join().unwrap());
        });
    }
}
