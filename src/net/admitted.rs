//! Connections with their permits, as they go from place to place.

use nix::sys::epoll::EpollFlags;

use super::admission::{ConnectionPermit, Reservation};
use crate::cache::Ticket;
use crate::conn::Connection;
use crate::conn::wait::Wake;
use crate::throttle::AddressPermit;

/// Events registered with epoll for one connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Registration {
    /// Flags of the socket; none before it is first parked.
    pub socket: Option<EpollFlags>,
}

/// A connection with its permits.
#[derive(Debug)]
pub struct AdmittedConnection {
    /// The connection.
    pub connection: Connection,
    /// Events registered with epoll.
    pub watched: Registration,
    _permit: ConnectionPermit,
    /// Permit among the client's connections, if these are limited.
    _address: Option<Box<AddressPermit>>,
}

impl AdmittedConnection {
    /// A connection that takes the place of `reservation`.
    pub fn new(
        connection: Connection,
        reservation: Reservation,
        address: Option<AddressPermit>,
    ) -> AdmittedConnection {
        let (permit, address) = (reservation.into_permit(), address.map(Box::new));
        AdmittedConnection {
            connection,
            watched: Registration::default(),
            _permit: permit,
            _address: address,
        }
    }
}

/// A connection on its way to a worker.
#[derive(Debug)]
pub struct ReadyConnection {
    /// The connection.
    pub admitted: Box<AdmittedConnection>,
    /// Reason for which a worker takes it.
    pub wake: Wake,
    /// Time at which it was seen to be ready, where it was.
    pub ticket: Option<Ticket>,
}
