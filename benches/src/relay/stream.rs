//! A socket of the relay, with what it could not take yet.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::ffi::OsString;
use std::net::{Shutdown, TcpStream};
use std::os::fd::AsRawFd;

use nix::errno::Errno;
use nix::sys::socket::{MsgFlags, recv, send, setsockopt, sockopt};

use crate::Result;

/// Data that goes from one socket to the other.
pub enum Chunk {
    /// Bytes to pass on.
    Bytes(Box<[u8]>),
    /// The end of one direction.
    End,
}

/// Result of a receive.
pub enum Received {
    /// Number of bytes.
    Bytes(usize),
    /// Nothing for now.
    Nothing,
    /// The end of the input, in order or not.
    End,
}

/// A non-blocking socket that sends in order.
pub struct Stream {
    socket: TcpStream,
    /// Chunks that were due while the socket had no room, and how much of the first has gone.
    unsent: RefCell<(VecDeque<Chunk>, usize)>,
    closed: Cell<bool>,
}

impl Stream {
    /// # Errors
    /// The socket is broken already.
    pub fn new(socket: TcpStream) -> Result<Self> {
        socket.set_nonblocking(true)?;
        socket.set_nodelay(true)?;
        // BBR, the default of some systems, sends by timers of its own: dearer, and late at random. Every
        // kernel has Reno, and an error would leave the relay as right as before.
        let _ = setsockopt(&socket, sockopt::TcpCongestion, &OsString::from("reno"));
        Ok(Self { socket, unsent: RefCell::default(), closed: Cell::default() })
    }

    /// The socket, to watch it.
    pub fn socket(&self) -> &TcpStream {
        &self.socket
    }

    /// The descriptor as an index.
    pub fn key(&self) -> usize {
        self.socket.as_raw_fd().unsigned_abs() as usize
    }

    /// Whether the end has been sent, so that nothing is left to send.
    pub fn is_closed(&self) -> bool {
        self.closed.get()
    }

    /// Receives what fits into the buffer.
    pub fn receive(&self, buffer: &mut [u8]) -> Received {
        match recv(self.socket.as_raw_fd(), buffer, MsgFlags::empty()) {
            Ok(0) => Received::End,
            Ok(bytes) => Received::Bytes(bytes),
            Err(Errno::EAGAIN | Errno::EINTR) => Received::Nothing,
            Err(_) => Received::End,
        }
    }

    /// Sends a chunk behind those that still wait for room.
    pub fn send(&self, chunk: Chunk) {
        self.unsent.borrow_mut().0.push_back(chunk);
        self.flush();
    }

    /// Sends as much as the socket takes.
    pub fn flush(&self) {
        let (chunks, gone) = &mut *self.unsent.borrow_mut();
        while let Some(chunk) = chunks.front() {
            if let Chunk::Bytes(bytes) = chunk {
                match send(self.socket.as_raw_fd(), &bytes[*gone..], MsgFlags::MSG_NOSIGNAL) {
                    Ok(sent) if *gone + sent < bytes.len() => {
                        *gone += sent;
                        continue;
                    }
                    Err(Errno::EAGAIN) => return,
                    // A broken socket takes everything; its other half is told by its own events.
                    Ok(_) | Err(_) => {}
                }
            } else {
                // A broken connection has no use for an end, so the error is ignored.
                let _ = self.socket.shutdown(Shutdown::Write);
                self.closed.set(true);
            }
            *gone = 0;
            chunks.pop_front();
        }
    }
}
