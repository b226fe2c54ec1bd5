//! Limit of workers that serve at the same time.
//!
//! As many workers are active as there are processors; more would only compete for them and pay for
//! each context switch. The others are on standby. A worker about to block — a look-up on disk, a
//! file's bytes, a slow password hash, the start of a script — releases its slot for the rest of its
//! turn, and a standby worker takes it. Before such a worker goes on standby itself, it helps while
//! the active ones are overloaded.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// Slots of active workers, and the workers that wait for one.
#[derive(Debug)]
pub struct ActiveWorkers {
    limit: usize,
    active: AtomicUsize,
    standby: AtomicUsize,
    lock: Mutex<()>,
    free: Condvar,
}

impl ActiveWorkers {
    /// Allows `limit` active workers; blocked ones do not count.
    pub fn new(limit: usize) -> ActiveWorkers {
        ActiveWorkers {
            limit,
            active: AtomicUsize::new(0),
            standby: AtomicUsize::new(0),
            lock: Mutex::new(()),
            free: Condvar::new(),
        }
    }

    /// Takes a slot, on standby until one is free; returns at once when `ended`. After each
    /// [`wake_standby`](ActiveWorkers::wake_standby) the waiting worker calls `when_woken`.
    pub fn acquire(&self, ended: &AtomicBool, when_woken: &mut dyn FnMut()) {
        if self.try_take() {
            return;
        }
        let mut guard = self.guard();
        self.standby.fetch_add(1, SeqCst);
        // Checked again after being counted: a worker that frees a slot from here on sees this one.
        while !self.try_take() && !ended.load(SeqCst) {
            drop(self.free.wait(guard).unwrap_or_else(PoisonError::into_inner));
            when_woken();
            guard = self.guard();
        }
        self.standby.fetch_sub(1, SeqCst);
    }

    /// True if all slots are taken, with more connections `waiting` than workers can take at once.
    pub fn is_overloaded(&self, waiting: usize) -> bool {
        waiting > self.limit && self.active.load(SeqCst) >= self.limit
    }

    fn try_take(&self) -> bool {
        self.active.fetch_update(SeqCst, SeqCst, |active| (active < self.limit).then_some(active + 1)).is_ok()
    }

    /// Frees a slot and wakes a standby worker.
    pub fn release(&self) {
        self.active.fetch_sub(1, SeqCst);
        if self.standby.load(SeqCst) > 0 {
            drop(self.guard());
            self.free.notify_one();
        }
    }

    /// Wakes all standby workers, to see the end of the server or a new configuration.
    pub fn wake_standby(&self) {
        drop(self.guard());
        self.free.notify_all();
    }

    fn guard(&self) -> MutexGuard<'_, ()> {
        self.lock.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_stands_by_hears_a_call_and_comes_forward_when_a_post_is_free() {
        let (active_workers, ended, called) =
            (ActiveWorkers::new(1), AtomicBool::new(false), AtomicBool::new(false));
        active_workers.acquire(&ended, &mut || ());
        std::thread::scope(|scope| {
            let second = scope.spawn(|| active_workers.acquire(&ended, &mut || called.store(true, SeqCst)));
            while !called.load(SeqCst) {
                active_workers.wake_standby();
                std::thread::yield_now();
            }
            assert!(!second.is_finished(), "there is one post");
            active_workers.release();
            second.join().unwrap();
        });
    }
}
