//! Admission: how many connections there may be, and what happens when something runs out.
//!
//! A connection holds a [`ConnectionPermit`] from accept to close. The [`ConnectionLimiter`] gives one while
//! fewer than `max_connections` are open and the descriptors of connections, cached files, responses and
//! scripts together leave room ([`crate::sys::fd`]). By default half of the memory that the process may
//! have bounds them, too.
//!
//! | what runs out                       | where it shows                 | what happens                         |
//! |-------------------------------------|--------------------------------|--------------------------------------|
//! | connections, descriptors            | accept                         | clients wait in the kernel's backlog |
//! | connections of one address          | accept                         | 503, then closed at once             |
//! | descriptors, kernel memory          | a file, a directory, a script  | the request waits, then 503          |
//! | processes                           | a script's start               | the request waits, then 503          |
//! | workers for slow hashes             | passwords, entity tags         | the request waits, then 503          |
//! | memory of requests, disk of content | a head, a body                 | 503                                  |
//! | memory of lists                     | a list                         | 503                                  |
//! | scripts (`cgilimit`)                | a script                       | 503                                  |
//! | threads                             | the server's start             | it ends with a line that says so     |
//!
//! "Waits" is one rule: the connection is parked and holds no worker, for at most `head_timeout`; 503 has
//! Retry-After. What counts as a shortage is one list ([`crate::sys::is_shortage`]).

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::cache::share_for_files;
use crate::log::stats::Stats;
use crate::sys::fd;
use crate::sys::memory_limit::memory_limit;

/// Descriptor numbers that the poller has slots for.
pub const MOST_DESCRIPTORS: usize = 1024 * 1024;

/// Descriptors kept back for logs, listeners, the readiness set and the like. (thttpd's SPARE_FDS is
/// 10; we hold a dozen before the first connection comes.)
const SPARE_DESCRIPTORS: usize = 24;

/// Memory of a connection that waits: ours is some hundred bytes, the kernel's some thousand.
const CONNECTION_MEMORY: usize = 16 * 1024;

/// Interval of looking for room when `max_connections` are open.
const ROOM_CHECK: Duration = Duration::from_secs(10);

/// Interval of looking for room when descriptors have run out.
const DESCRIPTOR_CHECK: Duration = Duration::from_millis(50);

/// Limits on the number of connections.
#[derive(Debug, Clone, Copy)]
pub struct ConnectionBounds {
    /// Maximum number of connections.
    most: usize,
    /// Maximum number of descriptors of connections, cached files, responses and scripts together.
    descriptors: usize,
}

/// Admission bounds and count.
#[derive(Debug)]
pub struct ConnectionLimiter {
    bounds: ConnectionBounds,
    open: AtomicUsize,
    /// Set while a thread waits for `open` to fall; only then does a closing connection notify.
    has_waiter: AtomicBool,
    lock: Mutex<()>,
    closed: Condvar,
    stats: Arc<Stats>,
}

/// Slot reserved for the next connection; given back when dropped.
#[derive(Debug)]
pub struct Reservation(Arc<ConnectionLimiter>);

/// Slot of a connection; given back when dropped.
#[derive(Debug)]
pub struct ConnectionPermit(Reservation);

impl ConnectionBounds {
    /// `wanted` connections if not zero, else what half of the memory that the process may have is enough
    /// for; but never more than the descriptor limit leaves beside cached files and what `workers` busy
    /// connections add (a file and a pipe each). What is open beyond that, because
    /// many a connection has a file of its own, takes the place of others.
    pub fn new(wanted: usize, workers: usize) -> ConnectionBounds {
        let all = fd::limit().min(MOST_DESCRIPTORS);
        let fit = all.saturating_sub(SPARE_DESCRIPTORS + 2 * workers + share_for_files(all)).max(1);
        let by_memory = || memory_limit().map_or(usize::MAX, |limit| limit / 2 / CONNECTION_MEMORY).max(1);
        let most = if wanted == 0 { fit.min(by_memory()) } else { wanted.min(fit) };
        ConnectionBounds { most, descriptors: all.saturating_sub(SPARE_DESCRIPTORS) }
    }

    fn have_room(self, open: usize) -> bool {
        open < self.most && (open == 0 || open + fd::non_connection_fds() < self.descriptors)
    }
}

impl ConnectionLimiter {
    /// A limiter under `bounds`.
    pub fn new(bounds: ConnectionBounds, stats: Arc<Stats>) -> Arc<ConnectionLimiter> {
        Arc::new(ConnectionLimiter {
            bounds,
            open: AtomicUsize::new(0),
            has_waiter: AtomicBool::new(false),
            lock: Mutex::new(()),
            closed: Condvar::new(),
            stats,
        })
    }

    /// Reserves a slot for one more connection, if there is one.
    pub fn reserve(self: &Arc<ConnectionLimiter>) -> Option<Reservation> {
        let one_more = |open| self.bounds.have_room(open).then_some(open + 1);
        self.open.fetch_update(SeqCst, SeqCst, one_more).is_ok().then(|| Reservation(Arc::clone(self)))
    }

    /// Tells whether there is room for one more connection.
    pub fn has_room(&self) -> bool {
        self.bounds.have_room(self.open())
    }

    /// Number of open connections, reservations included.
    pub fn open(&self) -> usize {
        self.open.load(SeqCst)
    }

    /// Waits until there is room, or until [`end_waits`](Self::end_waits) once `is_over` holds. Returns early now
    /// and then.
    pub fn wait_for_room(&self, is_over: &dyn Fn() -> bool) {
        // A connection that closes ends the wait. A file that is closed makes room without a word.
        let is_full = |open| open >= self.bounds.most;
        let was_full = is_full(self.open());
        let longest = if was_full { ROOM_CHECK } else { DESCRIPTOR_CHECK };
        // Where descriptors are still short behind the end of a connection, the caller waits anew, for less.
        let is_due = |open| was_full && !is_full(open) || self.bounds.have_room(open);
        self.wait(Instant::now() + longest, &|open| is_over() || is_due(open));
    }

    /// Lets waiting threads look again whether their wait is over.
    pub fn end_waits(&self) {
        drop(self.lock_guard());
        self.closed.notify_all();
    }

    /// Waits until no connection is open; false if the deadline passes first.
    pub fn wait_empty(&self, deadline: Instant) -> bool {
        self.wait(deadline, &|open| open == 0)
    }

    fn wait(&self, deadline: Instant, enough: &dyn Fn(usize) -> bool) -> bool {
        let mut lock_guard = self.lock_guard();
        loop {
            // Announced before the check, so that a connection closed after the check does notify.
            self.has_waiter.store(true, SeqCst);
            if enough(self.open()) {
                self.has_waiter.store(false, SeqCst);
                return true;
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return false;
            }
            lock_guard = self.closed.wait_timeout(lock_guard, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    fn lock_guard(&self) -> MutexGuard<'_, ()> {
        self.lock.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Reservation {
    /// Turns the reservation into a permit: its connection was accepted.
    pub fn into_permit(self) -> ConnectionPermit {
        self.0.stats.connected();
        ConnectionPermit(self)
    }
}

impl Drop for ConnectionPermit {
    fn drop(&mut self) {
        self.0.0.stats.disconnected();
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, SeqCst);
        if self.0.has_waiter.load(SeqCst) {
            self.0.end_waits();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn room_for(most: usize) -> ConnectionBounds {
        ConnectionBounds { most, descriptors: usize::MAX }
    }

    #[test]
    fn no_more_come_in_than_there_are_places_however_many_ask_at_once() {
        let limiter = ConnectionLimiter::new(room_for(3), Arc::new(Stats::default()));
        let inside = AtomicUsize::new(0);
        let entered = AtomicUsize::new(0);
        let come_and_go = || {
            for _ in 0..2000 {
                if let Some(reservation) = limiter.reserve() {
                    let permit = reservation.into_permit();
                    entered.fetch_add(1, SeqCst);
                    assert!(inside.fetch_add(1, SeqCst) < 3, "one too many");
                    std::thread::yield_now();
                    inside.fetch_sub(1, SeqCst);
                    drop(permit);
                }
            }
        };
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(come_and_go);
            }
        });
        assert!(entered.into_inner() > 0);
        assert_eq!(limiter.open(), 0);
    }

    #[test]
    fn a_wait_for_room_ends_with_a_connection_and_with_the_server() {
        let limiter = ConnectionLimiter::new(room_for(1), Arc::new(Stats::default()));
        let begun = Instant::now();
        let ended = AtomicBool::new(false);
        let wait = || limiter.wait_for_room(&|| ended.load(SeqCst));
        let reservation = limiter.reserve();
        std::thread::scope(|scope| {
            let waiter = scope.spawn(wait);
            drop(reservation);
            waiter.join().unwrap();
        });
        let _reservation = limiter.reserve();
        std::thread::scope(|scope| {
            let waiter = scope.spawn(wait);
            ended.store(true, SeqCst);
            limiter.end_waits();
            waiter.join().unwrap();
        });
        assert!(begun.elapsed() < ROOM_CHECK, "neither wait took its whole time");
    }

    #[test]
    fn a_wait_at_the_limit_ends_with_a_connection_though_descriptors_are_short() {
        let bounds = ConnectionBounds { most: 2, descriptors: 0 };
        let limiter = ConnectionLimiter::new(bounds, Arc::new(Stats::default()));
        limiter.open.store(2, SeqCst);
        let begun = Instant::now();
        std::thread::scope(|scope| {
            let waiter = scope.spawn(|| limiter.wait_for_room(&|| false));
            while !limiter.has_waiter.load(SeqCst) {
                std::thread::yield_now();
            }
            limiter.open.store(1, SeqCst);
            limiter.end_waits();
            waiter.join().unwrap();
        });
        assert!(!limiter.has_room() && begun.elapsed() < ROOM_CHECK);
    }

    #[test]
    fn a_place_that_nobody_takes_is_given_back() {
        let limiter = ConnectionLimiter::new(room_for(1), Arc::new(Stats::default()));
        let reservation = limiter.reserve();
        assert!(reservation.is_some() && limiter.reserve().is_none() && !limiter.has_room());
        drop(reservation);
        assert!(limiter.reserve().is_some());
    }
}
