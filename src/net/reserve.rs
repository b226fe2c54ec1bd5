//! Who serves, and who stands by.
//!
//! As many workers as there are processors serve at the front; more would only take turns on them, and
//! pay for each change. The others stand by. A worker about to do something that may take long without
//! using a processor, or that would keep others waiting — a look-up on disk, a file's bytes, a slow
//! password hash, the start of a script — steps aside for the length of its turn, and one of those
//! who stand by comes forward. Before it stands by itself, it helps while the front is overrun.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// Posts at the front, and who waits for one.
#[derive(Debug)]
pub struct Reserve {
    posts: usize,
    taken: AtomicUsize,
    standing_by: AtomicUsize,
    lock: Mutex<()>,
    free: Condvar,
}

impl Reserve {
    /// `posts` workers serve at once, except while some step aside.
    pub fn new(posts: usize) -> Reserve {
        Reserve {
            posts,
            taken: AtomicUsize::new(0),
            standing_by: AtomicUsize::new(0),
            lock: Mutex::new(()),
            free: Condvar::new(),
        }
    }

    /// Takes a post, standing by until one is free; returns at once when `ended`. Whenever somebody
    /// [calls](Reserve::call_all), whoever stands by does what is to be done by `when_called`.
    pub fn come_forward(&self, ended: &AtomicBool, when_called: &mut dyn FnMut()) {
        if self.try_take() {
            return;
        }
        let mut guard = self.guard();
        self.standing_by.fetch_add(1, SeqCst);
        // Looked at again after being counted: whoever frees a post from here on sees us, and calls.
        while !self.try_take() && !ended.load(SeqCst) {
            drop(self.free.wait(guard).unwrap_or_else(PoisonError::into_inner));
            when_called();
            guard = self.guard();
        }
        self.standing_by.fetch_sub(1, SeqCst);
    }

    /// Is the front full, with more `waiting` than it can take at once?
    pub fn is_overrun(&self, waiting: usize) -> bool {
        waiting > self.posts && self.taken.load(SeqCst) >= self.posts
    }

    fn try_take(&self) -> bool {
        self.taken.fetch_update(SeqCst, SeqCst, |taken| (taken < self.posts).then_some(taken + 1)).is_ok()
    }

    /// Frees a post, and calls somebody forward.
    pub fn step_aside(&self) {
        self.taken.fetch_sub(1, SeqCst);
        if self.standing_by.load(SeqCst) > 0 {
            drop(self.guard());
            self.free.notify_one();
        }
    }

    /// Wakes all who stand by: to see that all has ended, or that something is new.
    pub fn call_all(&self) {
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
        let (reserve, ended, called) = (Reserve::new(1), AtomicBool::new(false), AtomicBool::new(false));
        reserve.come_forward(&ended, &mut || ());
        std::thread::scope(|scope| {
            let second = scope.spawn(|| reserve.come_forward(&ended, &mut || called.store(true, SeqCst)));
            while !called.load(SeqCst) {
                reserve.call_all();
                std::thread::yield_now();
            }
            assert!(!second.is_finished(), "there is one post");
            reserve.step_aside();
            second.join().unwrap();
        });
    }
}
