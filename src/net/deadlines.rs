//! When waits end: a heap of moments that one thread sleeps towards.
//!
//! A connection has at most one entry that counts, the one its slot names as its alarm. A wait whose
//! deadline lies beyond that entry adds nothing: when the entry comes up, the slot is asked for its
//! real deadline. So a busy keep-alive connection costs an entry every twenty seconds, not one a
//! request.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

/// Stale entries are swept out once there are more than this, and twice what the last sweep left.
const SWEEP_OVER: usize = 4096;

/// A key of the lot, due at a moment; the earliest sorts highest.
pub type Due = Reverse<(Instant, usize)>;

#[derive(Debug, Default)]
struct Moments {
    heap: BinaryHeap<Due>,
    sweep_over: usize,
    ended: bool,
}

/// The heap and its sleeper.
#[derive(Debug, Default)]
pub struct Deadlines {
    moments: Mutex<Moments>,
    earlier: Condvar,
}

/// What the sleeping thread woke up to.
#[derive(Debug)]
pub enum Alarm {
    /// This key's moment has come.
    Due(usize, Instant),
    /// Too many entries: here they all are; give back those that still count.
    Sweep(Vec<Due>),
    /// The server ended.
    Ended,
}

impl Deadlines {
    /// Adds a moment; wakes the sleeper if it is the earliest.
    pub fn add(&self, at: Instant, key: usize) {
        let mut moments = self.moments();
        let earliest = moments.heap.peek().is_none_or(|Reverse((first, _))| at < *first);
        moments.heap.push(Reverse((at, key)));
        drop(moments);
        if earliest {
            self.earlier.notify_one();
        }
    }

    /// Gives back entries after a sweep.
    pub fn restore(&self, entries: Vec<Due>) {
        let mut moments = self.moments();
        moments.sweep_over = 2 * entries.len();
        moments.heap.extend(entries);
    }

    /// Sleeps until there is something to do.
    pub fn next(&self) -> Alarm {
        let mut moments = self.moments();
        loop {
            if moments.ended {
                return Alarm::Ended;
            }
            if moments.heap.len() > moments.sweep_over.max(SWEEP_OVER) {
                return Alarm::Sweep(std::mem::take(&mut moments.heap).into_vec());
            }
            let now = Instant::now();
            match moments.heap.peek().map(|&Reverse(first)| first) {
                Some((at, key)) if at <= now => {
                    moments.heap.pop();
                    return Alarm::Due(key, at);
                }
                Some((at, _)) => {
                    let slept = self.earlier.wait_timeout(moments, at - now);
                    moments = slept.unwrap_or_else(PoisonError::into_inner).0;
                }
                None => moments = self.earlier.wait(moments).unwrap_or_else(PoisonError::into_inner),
            }
        }
    }

    /// Ends the sleep for good.
    pub fn end(&self) {
        self.moments().ended = true;
        self.earlier.notify_all();
    }

    fn moments(&self) -> MutexGuard<'_, Moments> {
        self.moments.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
