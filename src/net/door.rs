//! The listening sockets, and how one connection comes in by them.

use std::io;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, PoisonError, RwLock};

use nix::errno::Errno;

use super::gate::Place;
use super::{Floor, Held, lot};
use crate::conn::Connection;
use crate::request::Rejection;
use crate::throttle::Refused;

/// Where connections come in: the acceptor's, and open to workers who help it.
#[derive(Debug)]
pub struct Door {
    listeners: RwLock<Option<Arc<[TcpListener]>>>,
    /// Connections taken in so far, by whomever.
    taken: AtomicU64,
}

impl Door {
    /// Opens on `listeners`, which must be listening already.
    ///
    /// # Errors
    /// As fcntl(2).
    pub fn open(listeners: Vec<TcpListener>) -> io::Result<Door> {
        for listener in &listeners {
            listener.set_nonblocking(true)?;
        }
        let listeners = RwLock::new(Some(listeners.into()));
        Ok(Door { listeners, taken: AtomicU64::new(0) })
    }

    /// Connections taken in so far, by the acceptor and by workers.
    pub fn taken(&self) -> u64 {
        self.taken.load(Relaxed)
    }

    /// One more was taken in.
    pub fn count_one(&self) {
        self.taken.fetch_add(1, Relaxed);
    }

    /// The sockets; whoever keeps them keeps them open.
    pub fn listeners(&self) -> Option<Arc<[TcpListener]>> {
        self.listeners.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Takes one connection in for a worker that has just served one and has nothing else at hand. What
    /// goes wrong is left for the acceptor to find.
    pub fn help(&self, floor: &Floor) -> Option<Box<Held>> {
        let door = self.listeners.read().unwrap_or_else(PoisonError::into_inner);
        let listeners = door.as_ref()?;
        let first = usize::try_from(self.taken()).unwrap_or_default();
        in_turn(first, listeners.len()).find_map(|at| match accept(&listeners[at], floor) {
            Ok(Arrival::Client(held)) => Some(held),
            _ => None,
        })
    }

    /// Shuts it; the sockets are closed once the acceptor has let go of them.
    pub fn shut(&self) {
        *self.listeners.write().unwrap_or_else(PoisonError::into_inner) = None;
    }
}

/// The places of `count` listeners, beginning elsewhere for each `first`.
pub fn in_turn(first: usize, count: usize) -> impl Iterator<Item = usize> {
    (0..count).map(move |at| (at + first % count) % count)
}

/// Who was at the door.
pub enum Arrival {
    /// A client, let in.
    Client(Box<Held>),
    /// A client that was turned away or has left again: there may be others behind it.
    Gone,
    /// Nobody, or there is no room.
    Nobody,
}

/// Takes one connection from `listener` in.
///
/// # Errors
/// The system is short of something. A client that has left again is no error.
pub fn accept(listener: &TcpListener, floor: &Floor) -> io::Result<Arrival> {
    let Some(place) = floor.gate.place() else { return Ok(Arrival::Nobody) };
    let error = match listener.accept() {
        Ok((stream, peer)) => {
            return Ok(admit(stream, peer, place, floor).map_or(Arrival::Gone, Arrival::Client));
        }
        Err(error) => error,
    };
    match error.raw_os_error().map(Errno::from_raw) {
        Some(Errno::EAGAIN) => Ok(Arrival::Nobody),
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
        ) => Ok(Arrival::Gone),
        _ => Err(error),
    }
}

/// The connection with its permits; none when its client may not have one more, and is not told so.
fn admit(stream: TcpStream, peer: SocketAddr, place: Place, floor: &Floor) -> Option<Box<Held>> {
    let (connection, address) = match floor.site().throttles.connection(peer.ip()) {
        Ok(Some(permit)) if permit.is_surplus() => {
            let refusal = Rejection { close: true, ..Refused.into() };
            (Connection::refused(stream, peer, refusal), Some(permit))
        }
        Ok(permit) => (Connection::new(stream, peer), permit),
        Err(Refused) => return None,
    };
    floor.door.count_one();
    let watched = lot::Watched::default();
    Some(Box::new(Held { connection, watched, _permit: place.take(), _address: address.map(Box::new) }))
}
