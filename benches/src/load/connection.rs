//! One connection of the load generator: its socket and how far its exchange has come.

use std::net::SocketAddrV4;
use std::os::fd::{AsRawFd, OwnedFd};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::sys::socket::{self, AddressFamily, MsgFlags, SockFlag, SockType, SockaddrIn, setsockopt, sockopt};
use nix::sys::time::TimeVal;

/// How long a blocking receive waits before the thread looks at the clock again.
const BLOCKING_RECEIVE: Duration = Duration::from_millis(200);

/// Event that the connection waits for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Stage {
    /// The next request of the connection.
    Pause,
    /// Room to send the request (the handshake may still be under way).
    Send,
    /// The rest of the response's head.
    Head,
    /// Rest of the body, in bytes.
    Body(u64),
    /// The end of the connection, all bytes having come.
    End,
}

/// Result of a receive.
pub enum Received {
    /// Number of bytes.
    Bytes(usize),
    /// Nothing for now.
    Nothing,
    /// The other side has ended the connection.
    End,
}

/// A socket, and the exchange under way on it.
pub struct Connection {
    socket: OwnedFd,
    /// Blocking sockets serve a thread that has one connection and thus nothing else to do.
    blocking: bool,
    /// Which exchange is under way.
    pub exchange: usize,
    /// When it began.
    pub begun: Instant,
    /// How far it has come.
    pub stage: Stage,
    /// Responses this connection has carried.
    pub served: u64,
    /// The part of a head that came in an earlier receive.
    pub partial: Vec<u8>,
}

impl Connection {
    /// Begins to connect; a non-blocking socket finishes on its own.
    ///
    /// # Errors
    /// `socket` or `connect` failed, the descriptor limit included.
    pub fn open(address: SocketAddrV4, blocking: bool) -> nix::Result<Self> {
        let begun = Instant::now();
        let flags = if blocking { SockFlag::empty() } else { SockFlag::SOCK_NONBLOCK };
        let socket =
            socket::socket(AddressFamily::Inet, SockType::Stream, flags | SockFlag::SOCK_CLOEXEC, None)?;
        if blocking {
            let wait = TimeVal::new(0, i64::from(BLOCKING_RECEIVE.subsec_micros()));
            setsockopt(&socket, sockopt::ReceiveTimeout, &wait)?;
        }
        match socket::connect(socket.as_raw_fd(), &SockaddrIn::from(address)) {
            Ok(()) | Err(Errno::EINPROGRESS) => {}
            Err(errno) => return Err(errno),
        }
        Ok(Self { socket, blocking, exchange: 0, begun, stage: Stage::Send, served: 0, partial: Vec::new() })
    }

    /// Connects and returns once that is done, with a non-blocking socket. Thousands that begin to connect
    /// together would overrun the server's queue, and wait a second to try again.
    ///
    /// # Errors
    /// As [`Connection::open`].
    pub fn open_and_wait(address: SocketAddrV4) -> nix::Result<Self> {
        let mut connection = Self::open(address, true)?;
        let flags = OFlag::from_bits_retain(fcntl(&connection.socket, FcntlArg::F_GETFL)?);
        fcntl(&connection.socket, FcntlArg::F_SETFL(flags | OFlag::O_NONBLOCK))?;
        connection.blocking = false;
        Ok(connection)
    }

    /// The socket, to watch it.
    pub fn socket(&self) -> &OwnedFd {
        &self.socket
    }

    /// Sends a whole request; `false` if the socket has no room or is not connected yet.
    ///
    /// # Errors
    /// The connection is refused or broken.
    pub fn send(&self, request: &[u8]) -> nix::Result<bool> {
        match socket::send(self.socket.as_raw_fd(), request, MsgFlags::MSG_NOSIGNAL) {
            // A few hundred bytes into an empty socket buffer go whole or not at all.
            Ok(_) => Ok(true),
            Err(Errno::EAGAIN) => Ok(false),
            Err(errno) => Err(errno),
        }
    }

    /// Receives into `buffer`, or with `discard` lets the kernel drop the bytes and only count them.
    ///
    /// # Errors
    /// The connection is broken.
    pub fn receive(&self, buffer: &mut [u8], discard: bool) -> nix::Result<Received> {
        let flags = if discard { MsgFlags::MSG_TRUNC } else { MsgFlags::empty() };
        match socket::recv(self.socket.as_raw_fd(), buffer, flags) {
            Ok(0) => Ok(Received::End),
            Ok(bytes) => Ok(Received::Bytes(bytes)),
            Err(Errno::EAGAIN | Errno::EINTR) => Ok(Received::Nothing),
            Err(errno) => Err(errno),
        }
    }

    /// Whether an answer has come before, and nothing yet of the next one.
    pub fn is_between_requests(&self) -> bool {
        self.served > 0
            && matches!(self.stage, Stage::Pause | Stage::Send | Stage::Head)
            && self.partial.is_empty()
    }

    /// Whether a receive waits for bytes.
    pub fn is_blocking(&self) -> bool {
        self.blocking
    }
}
