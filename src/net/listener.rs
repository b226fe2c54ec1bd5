//! The listening sockets, and how one connection comes in by them.

use std::io;

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, PoisonError, RwLock};

use nix::errno::Errno;

use super::admission::Reservation;
use super::listen_socket::{AcceptedSocket, Listener};
use super::{AdmittedConnection, Shared, poller};
use crate::conn::Connection;
use crate::request::Rejection;
use crate::throttle::Refused;

/// Where connections come in: the acceptor's, and open to workers who help it.
#[derive(Debug)]
pub struct Listeners {
    listeners: RwLock<Option<Arc<[Listener]>>>,
    /// Connections accepted so far, by the acceptor and by workers.
    accepted: AtomicU64,
}

impl Listeners {
    /// Opens on `listeners`, which must be listening already.
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

    /// Connections taken in so far, by the acceptor and by workers.
    pub fn accepted_total(&self) -> u64 {
        self.accepted.load(Relaxed)
    }

    /// One more was taken in.
    pub fn count_accepted(&self) {
        self.accepted.fetch_add(1, Relaxed);
    }

    /// Listening sockets; they stay open as long as the result lives.
    pub fn sockets(&self) -> Option<Arc<[Listener]>> {
        self.listeners.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Takes one connection in for a worker that has just served one and has nothing else at hand. What
    /// goes wrong is left for the acceptor to find.
    pub fn try_accept(&self, shared: &Shared) -> Option<Box<AdmittedConnection>> {
        let open = self.listeners.read().unwrap_or_else(PoisonError::into_inner);
        let listeners = open.as_ref()?;
        let first = usize::try_from(self.accepted_total()).unwrap_or_default();
        in_turn(first, listeners.len()).find_map(|at| match accept(&listeners[at], shared) {
            Ok(Accepted::Connection(admitted)) => Some(admitted),
            _ => None,
        })
    }

    /// Shuts it; the sockets are closed once the acceptor has let go of them.
    pub fn close(&self) {
        *self.listeners.write().unwrap_or_else(PoisonError::into_inner) = None;
    }
}

/// The places of `count` listeners, beginning elsewhere for each `first`.
pub fn in_turn(first: usize, count: usize) -> impl Iterator<Item = usize> {
    (0..count).map(move |at| (at + first % count) % count)
}

/// Result of one accept.
pub enum Accepted {
    /// A client, let in.
    Connection(Box<AdmittedConnection>),
    /// A client that was turned away or has left again: there may be others behind it.
    Dropped,
    /// No connection was waiting, or there is no room.
    Empty,
}

/// Takes one connection from `listener` in.
///
/// # Errors
/// The system is short of something. A client that has left again is no error.
pub fn accept(listener: &Listener, shared: &Shared) -> io::Result<Accepted> {
    let Some(reservation) = shared.limiter.reserve() else { return Ok(Accepted::Empty) };
    let error = match listener.accept() {
        Ok(socket) => {
            return Ok(
                admit(socket, listener, reservation, shared).map_or(Accepted::Dropped, Accepted::Connection)
            );
        }
        Err(error) => error,
    };
    match error.raw_os_error().map(Errno::from_raw) {
        Some(Errno::EAGAIN) => Ok(Accepted::Empty),
        // The client has left again, or the network said so: no fault of ours.
        Some(
            Errno::EINTR
            | Errno::ECONNABORTED
            | Errno::EPROTO
            | Errno::EPERM
            | Errno::ENETDOWN
            | Errno::ENETUNREACH
            | Errno::EHOSTUNREACH
            | Errno::ETIMEDOUT,
        ) => Ok(Accepted::Dropped),
        _ => Err(error),
    }
}

/// The connection with its permits; none when its client may not have one more, and is not told so.
fn admit(
    socket: AcceptedSocket,
    listener: &Listener,
    reservation: Reservation,
    shared: &Shared,
) -> Option<Box<AdmittedConnection>> {
    let (stream, peer) = socket;
    let site = shared.site();
    let connection = Connection::new(stream, peer);
    // A trusted proxy's connections are those of many clients.
    let is_trusted = site.config.proxies.trusts(connection.client());
    if listener.expects_proxy && !is_trusted {
        crate::log::info!("{} is no trusted proxy; its connection is closed", connection.client().address);
        return None;
    }
    let permit = match peer {
        Some(peer) if !is_trusted => site.throttles.connection(peer.ip()),
        _ => Ok(None),
    };
    let (connection, address) = match permit {
        Ok(Some(permit)) if permit.is_surplus() => {
            let refusal = Rejection { close: true, ..Refused.into() };
            (connection.refused(refusal), Some(permit))
        }
        Ok(permit) => (connection, permit),
        Err(Refused) => return None,
    };
    let connection = if listener.expects_proxy { connection.behind_proxy() } else { connection };
    shared.listeners.count_accepted();
    let watched = poller::Registration::default();
    Some(Box::new(AdmittedConnection {
        connection,
        watched,
        _permit: reservation.into_permit(),
        _address: address.map(Box::new),
    }))
}
