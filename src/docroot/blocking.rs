//! What a worker does before a call that may take long, and how many may be in such calls at once.
//!
//! A local disk is slow at worst; a network file system, or one that a program serves (NFS, CIFS, FUSE),
//! may not answer for ever, and the worker that asked stays in the call. [`RemoteSlots`] bounds these
//! workers, so that some are always left for what lies on this machine.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// The worker that a request is served by, as the stages that may keep it waiting see it.
pub trait Blocking {
    /// Called before a call that may take long: other connections are served meanwhile.
    fn block_in_place(&self);

    /// Called before a look at a file system that may never answer. False = as many workers as may be
    /// are in such calls: to be tried again later.
    fn enter_remote(&self) -> bool;
}

/// A thread on whose behalf nobody waits, such as that of a command or a test.
#[derive(Debug, Clone, Copy, Default)]
pub struct Patient;

impl Blocking for Patient {
    fn block_in_place(&self) {}

    fn enter_remote(&self) -> bool {
        true
    }
}

/// Counts the workers that are in file systems which may not answer, and queues the connections that
/// wait for one of them to come back.
#[derive(Debug)]
pub struct RemoteSlots {
    most: usize,
    state: Mutex<SlotQueue>,
}

#[derive(Debug, Default)]
struct SlotQueue {
    taken: usize,
    /// Keys of connections, each at most once, in the order in which they came.
    queue: VecDeque<usize>,
}

impl RemoteSlots {
    /// Lets half of `workers` in at once, but at least one.
    pub fn new(workers: usize) -> RemoteSlots {
        RemoteSlots { most: (workers / 2).max(1), state: Mutex::default() }
    }

    /// Takes a slot; false if none is free.
    pub fn try_take(&self) -> bool {
        let mut state = self.state();
        let is_free = state.taken < self.most;
        state.taken += usize::from(is_free);
        is_free
    }

    /// Gives a slot back.
    pub fn give_back(&self) {
        let mut state = self.state();
        state.taken = state.taken.saturating_sub(1);
    }

    /// Queues a connection until a slot is given back; false if one is free now.
    pub fn queue(&self, key: usize) -> bool {
        let mut state = self.state();
        if state.taken < self.most {
            return false;
        }
        // One that was answered meanwhile may have left its key.
        if !state.queue.contains(&key) {
            state.queue.push_back(key);
        }
        true
    }

    /// The connection that has waited longest.
    pub fn next_in_queue(&self) -> Option<usize> {
        self.state().queue.pop_front()
    }

    fn state(&self) -> MutexGuard<'_, SlotQueue> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_of_the_workers_are_let_in_and_the_rest_queue_in_order() {
        let slots = RemoteSlots::new(5);
        assert!(slots.try_take() && slots.try_take() && !slots.try_take());
        assert!(slots.queue(7) && slots.queue(8) && slots.queue(7));
        slots.give_back();
        assert!(!slots.queue(9), "one is free");
        let queued: Vec<usize> = std::iter::from_fn(|| slots.next_in_queue()).collect();
        assert_eq!(queued, [7, 8]);
    }

    #[test]
    fn a_single_worker_is_let_in() {
        let slots = RemoteSlots::new(1);
        assert!(slots.try_take() && !slots.try_take());
    }
}
