//! A listening socket, and what its connections begin with.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixListener;

/// A socket that listens already.
#[derive(Debug)]
pub struct Listener {
    socket: ListeningSocket,
    /// A PROXY protocol head comes before the first request (`;proxy`).
    pub expects_proxy: bool,
}

/// The listeners of a server, by what they are for.
#[derive(Debug, Default)]
pub struct ListenerSet {
    /// Listeners that serve files.
    pub serving: Vec<Listener>,
    /// Listeners that answer `/healthz` and `/metrics`.
    pub status: Vec<Listener>,
}

/// Socket of one of the two kinds; only a TCP socket names the peer of a connection.
#[derive(Debug)]
enum ListeningSocket {
    Tcp(TcpListener),
    Unix(UnixListener),
}

/// An accepted socket and the address at its other end; none on a Unix-domain socket.
pub type AcceptedSocket = (OwnedFd, Option<SocketAddr>);

impl From<TcpListener> for Listener {
    fn from(socket: TcpListener) -> Listener {
        Listener { socket: ListeningSocket::Tcp(socket), expects_proxy: false }
    }
}

impl From<UnixListener> for Listener {
    fn from(socket: UnixListener) -> Listener {
        Listener { socket: ListeningSocket::Unix(socket), expects_proxy: false }
    }
}

impl Listener {
    /// Takes the next connection out of the kernel's queue.
    ///
    /// # Errors
    ///
    /// As accept(2).
    pub fn accept(&self) -> io::Result<AcceptedSocket> {
        match &self.socket {
            ListeningSocket::Tcp(socket) => socket.accept().map(|(stream, peer)| (stream.into(), Some(peer))),
            ListeningSocket::Unix(socket) => socket.accept().map(|(stream, _)| (stream.into(), None)),
        }
    }

    /// Makes [`Listener::accept`] return at once where no connection waits.
    ///
    /// # Errors
    ///
    /// As fcntl(2).
    pub fn set_nonblocking(&self) -> io::Result<()> {
        match &self.socket {
            ListeningSocket::Tcp(socket) => socket.set_nonblocking(true),
            ListeningSocket::Unix(socket) => socket.set_nonblocking(true),
        }
    }

    /// The address that connections come in on.
    pub fn address(&self) -> ListenerAddress {
        match &self.socket {
            ListeningSocket::Tcp(socket) => {
                socket.local_addr().map_or(ListenerAddress::Unnamed, ListenerAddress::Ip)
            }
            ListeningSocket::Unix(socket) => {
                let address = socket.local_addr().ok();
                let path = address.as_ref().and_then(|address| address.as_pathname());
                path.map_or(ListenerAddress::Unnamed, |path| ListenerAddress::Unix(path.to_owned()))
            }
        }
    }
}

impl AsFd for Listener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match &self.socket {
            ListeningSocket::Tcp(socket) => socket.as_fd(),
            ListeningSocket::Unix(socket) => socket.as_fd(),
        }
    }
}

impl ListenerAddress {
    /// Port of an address; none of a path.
    pub fn port(&self) -> Option<u16> {
        if let ListenerAddress::Ip(address) = self { Some(address.port()) } else { None }
    }

    /// Tells whether the address is one of IPv4.
    pub fn is_ipv4(&self) -> bool {
        matches!(self, ListenerAddress::Ip(SocketAddr::V4(_)))
    }
}

/// Where a listener is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ListenerAddress {
    /// An address and port.
    Ip(SocketAddr),
    /// A path in the file system as it was when the socket was bound.
    Unix(std::path::PathBuf),
    /// A socket without a name, handed over by another process.
    Unnamed,
}
