//! The listening sockets of a server.

use std::io;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, PoisonError, RwLock};

use super::listen_socket::Listener;

use crate::sys::atomic::AtomicU64;

/// Listening sockets, which the acceptor and workers accept from.
#[derive(Debug)]
pub struct Listeners {
    listeners: RwLock<Option<Arc<[Listener]>>>,
    /// Connections accepted so far, by the acceptor and by workers.
    accepted: AtomicU64,
}

impl Listeners {
    /// Takes over `listeners`, which must be listening already.
    ///
    /// # Errors
    /// As fcntl(2).
    pub fn new(listeners: Vec<Listener>) -> io::Result<Listeners> {
        for listener in &listeners {
            listener.set_nonblocking()?;
        }
        let listeners = RwLock::new(Some(listeners.into()));
        Ok(Listeners { listeners, accepted: AtomicU64::new(0) })
    }

    /// Connections accepted so far, by the acceptor and by workers.
    pub fn accepted_total(&self) -> u64 {
        self.accepted.load(Relaxed)
    }

    /// Counts an accepted connection.
    pub fn count_accepted(&self) {
        self.accepted.fetch_add(1, Relaxed);
    }

    /// Listening sockets; they stay open as long as the result lives.
    pub fn sockets(&self) -> Option<Arc<[Listener]>> {
        self.listeners.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Runs `take` on each listener in turn until it yields something.
    pub fn find_map<T>(&self, take: impl Fn(&Listener) -> Option<T>) -> Option<T> {
        let open = self.listeners.read().unwrap_or_else(PoisonError::into_inner);
        let listeners = open.as_ref()?;
        let first = usize::try_from(self.accepted_total()).unwrap_or_default();
        in_turn(first, listeners.len()).find_map(|at| take(&listeners[at]))
    }

    /// Ends accepting; the sockets are closed once the acceptor has let go of them.
    pub fn close(&self) {
        *self.listeners.write().unwrap_or_else(PoisonError::into_inner) = None;
    }
}

/// The places of `count` listeners, beginning elsewhere for each `first`.
pub fn in_turn(first: usize, count: usize) -> impl Iterator<Item = usize> {
    (0..count).map(move |at| (at + first % count) % count)
}
