//! Blocking calls of workers: announcement before a slow call, and a limit on calls to remote storage.
//!
//! A local disk may be slow. A network or user-space file system (NFS, CIFS, FUSE) may never answer, and
//! the calling worker hangs. [`RemoteSlots`] limits the number of such workers, so that some remain for
//! local files.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Interface by which the stages of a request tell their worker that a call may block.
pub trait Blocking {
    /// Announces a call that may take long, so that another thread serves the other connections.
    fn block_in_place(&self);

    /// Announces access to a file system that may never answer.
    ///
    /// False if the limit of workers in such calls is reached: the request must be tried again later.
    fn enter_remote(&self) -> bool;
}

/// Implementation for threads that may block at any time, such as those of commands and tests.
#[derive(Debug, Clone, Copy, Default)]
pub struct BlockingAllowed;

impl Blocking for BlockingAllowed {
    fn block_in_place(&self) {}

    fn enter_remote(&self) -> bool {
        true
    }
}

/// Limit on the workers that access file systems which may not answer, with a queue of waiting connections.
#[derive(Debug)]
pub struct RemoteSlots {
    most: usize,
    state: Mutex<SlotQueue>,
}

#[derive(Debug, Default)]
struct SlotQueue {
    taken: usize,
    /// Keys of waiting connections in their order of arrival, each at most once.
    queue: VecDeque<usize>,
}

impl RemoteSlots {
    /// Limit of half of `workers`, but at least one.
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

    /// Returns a slot.
    pub fn give_back(&self) {
        let mut state = self.state();
        state.taken = state.taken.saturating_sub(1);
    }

    /// Queues a connection until a slot is returned; false if a slot is free now.
    pub fn queue(&self, key: usize) -> bool {
        let mut state = self.state();
        if state.taken < self.most {
            return false;
        }
        // A connection that was answered meanwhile may have left its key in the queue.
        if !state.queue.contains(&key) {
            state.queue.push_back(key);
        }
        true
    }

    /// Takes the first connection from the queue.
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
