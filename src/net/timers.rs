//! Deadlines of waits: a heap of times, and one thread that sleeps until the earliest.
//!
//! A connection has at most one entry that counts: that of its slot. A wait with a later deadline adds
//! nothing: when the entry is due, the slot is asked for the real deadline. So a busy keep-alive connection
//! costs an entry every twenty seconds, not one a request.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

/// Stale entries are swept out once there are more than this, and twice what the last sweep left.
const SWEEP_OVER: usize = 4096;

/// Time and key of a deadline; the earliest sorts highest.
pub type Due = Reverse<(Instant, usize)>;

#[derive(Debug, Default)]
struct TimerHeap {
    entries: BinaryHeap<Due>,
    sweep_over: usize,
    ended: bool,
}

/// Deadlines of all waits, and the signal that wakes the timer thread.
#[derive(Debug, Default)]
pub struct Deadlines {
    heap: Mutex<TimerHeap>,
    earlier: Condvar,
}

/// Event for the timer thread.
#[derive(Debug)]
pub enum TimerEvent {
    /// The deadline of this key has come.
    Due(usize, Instant),
    /// All entries, of which there are too many: give back those that still count.
    Sweep(Vec<Due>),
    /// The server ended.
    Ended,
}

impl Deadlines {
    /// Adds a deadline; wakes the timer thread if it is the earliest.
    pub fn add(&self, at: Instant, key: usize) {
        let mut heap = self.heap();
        let earliest = heap.entries.peek().is_none_or(|Reverse((first, _))| at < *first);
        heap.entries.push(Reverse((at, key)));
        drop(heap);
        if earliest {
            self.earlier.notify_one();
        }
    }

    /// Gives back entries after a sweep.
    pub fn restore(&self, entries: Vec<Due>) {
        let mut heap = self.heap();
        heap.sweep_over = 2 * entries.len();
        for entry in entries {
            heap.entries.push(entry);
        }
    }

    /// Sleeps until there is something to do.
    pub fn next(&self) -> TimerEvent {
        let mut heap = self.heap();
        loop {
            if heap.ended {
                return TimerEvent::Ended;
            }
            if heap.entries.len() > heap.sweep_over.max(SWEEP_OVER) {
                return TimerEvent::Sweep(std::mem::take(&mut heap.entries).into_vec());
            }
            let now = Instant::now();
            match heap.entries.peek().map(|&Reverse(first)| first) {
                Some((at, key)) if at <= now => {
                    heap.entries.pop();
                    return TimerEvent::Due(key, at);
                }
                Some((at, _)) => {
                    let slept = self.earlier.wait_timeout(heap, at - now);
                    heap = slept.unwrap_or_else(PoisonError::into_inner).0;
                }
                None => heap = self.earlier.wait(heap).unwrap_or_else(PoisonError::into_inner),
            }
        }
    }

    /// Ends the timer thread.
    pub fn end(&self) {
        self.heap().ended = true;
        self.earlier.notify_all();
    }

    fn heap(&self) -> MutexGuard<'_, TimerHeap> {
        self.heap.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
