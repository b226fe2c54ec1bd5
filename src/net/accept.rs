//! One connection accepted: admission, permits, and the refusal of one too many.

use std::io;

use nix::errno::Errno;

use super::admission::Reservation;
use super::admitted::AdmittedConnection;
use super::listen_socket::{AcceptedSocket, Listener};
use super::shared::Shared;
use crate::conn::Connection;
use crate::request::Rejection;
use crate::throttle::Overloaded;

/// Result of one accept.
pub enum AcceptOutcome {
    /// A client, let in.
    Connection(Box<AdmittedConnection>),
    /// A client that was turned away or has left again: there may be others behind it.
    Dropped,
    /// No connection was waiting, or there is no room.
    Empty,
}

/// Accepts one connection from `listener`.
///
/// # Errors
/// The system is short of something. A client that has left again is no error.
pub fn accept(listener: &Listener, shared: &Shared) -> io::Result<AcceptOutcome> {
    let Some(reservation) = shared.limiter.reserve() else { return Ok(AcceptOutcome::Empty) };
    let error = match listener.accept() {
        Ok(socket) => {
            return Ok(admit(socket, listener, reservation, shared)
                .map_or(AcceptOutcome::Dropped, AcceptOutcome::Connection));
        }
        Err(error) => error,
    };
    match error.raw_os_error().map(Errno::from_raw) {
        Some(Errno::EAGAIN) => Ok(AcceptOutcome::Empty),
        // The client has left again, or the network said so: no fault of the server.
        Some(
            Errno::EINTR
            | Errno::ECONNABORTED
            | Errno::EPROTO
            | Errno::EPERM
            | Errno::ENETDOWN
            | Errno::ENETUNREACH
            | Errno::EHOSTUNREACH
            | Errno::EHOSTDOWN
            | Errno::ENONET
            | Errno::ENOPROTOOPT
            | Errno::ETIMEDOUT,
        ) => Ok(AcceptOutcome::Dropped),
        _ => Err(error),
    }
}

/// Connection with its permits; none when its client may not have one more, and is not told so.
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
            let refusal = Rejection { close: true, ..Overloaded.into() };
            (connection.refused(refusal), Some(permit))
        }
        Ok(permit) => (connection, permit),
        Err(Overloaded) => return None,
    };
    let connection = if listener.expects_proxy { connection.behind_proxy() } else { connection };
    shared.listeners.count_accepted();
    Some(Box::new(AdmittedConnection::new(connection, reservation, address)))
}

/// Accepts one connection for a worker that has just served one and has nothing else at hand. The acceptor
/// finds what goes wrong.
pub fn try_accept(shared: &Shared) -> Option<Box<AdmittedConnection>> {
    shared.listeners.find_map(|listener| match accept(listener, shared) {
        Ok(AcceptOutcome::Connection(admitted)) => Some(admitted),
        _ => None,
    })
}
