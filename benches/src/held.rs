//! Connections that hang on while others are measured: idle ones, half-sent heads, slow readers.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, SocketAddrV4, TcpStream};
use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use nix::sys::socket::{self, AddressFamily, SockFlag, SockType, SockaddrIn, setsockopt, sockopt};

use crate::Result;
use crate::load::head::Exchange;
use crate::tree::{Pages, Tree};

/// Descriptors left to others than held or distant connections.
pub const OTHERS: usize = 256;
/// How long a server may take over one connection of the preparation.
const PATIENCE: Duration = Duration::from_secs(10);
/// A slow reader's receive buffer and the bytes it takes at a time.
const SIP: usize = 4096;
/// Every slow reader takes a sip once in so many rounds of [`ROUND`]: 8 KiB a second.
const ROUNDS_A_SIP: usize = 50;
const ROUND: Duration = Duration::from_millis(10);

/// Connections that are held open during a measurement.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Held {
    /// Nothing.
    Nothing,
    /// Persistent connections that had one answer and ask for no more.
    Idle(usize),
    /// Connections that have sent half a request head.
    HalfHeads(usize),
    /// Connections that asked for 1 MiB and read it slowly.
    SlowReaders(usize),
}

impl Held {
    /// Limits the number of connections to those that fit: a process may have `descriptors` open, lighttpd
    /// wants two for each connection, and the measured ones need room too.
    pub fn fitting(self, descriptors: u64) -> Self {
        let most = usize::try_from(descriptors / 2).unwrap_or(usize::MAX).saturating_sub(OTHERS);
        match self {
            Self::Nothing => Self::Nothing,
            Self::Idle(count) => Self::Idle(count.min(most)),
            Self::HalfHeads(count) => Self::HalfHeads(count.min(most)),
            Self::SlowReaders(count) => Self::SlowReaders(count.min(most)),
        }
    }

    /// How many connections that is.
    pub fn count(self) -> usize {
        match self {
            Self::Nothing => 0,
            Self::Idle(count) | Self::HalfHeads(count) | Self::SlowReaders(count) => count,
        }
    }

    /// Opens the connections and brings them to where they hang.
    ///
    /// # Errors
    /// The server refused one, or did not answer in time.
    pub fn begin(self, address: SocketAddrV4, tree: &Tree) -> Result<Holding> {
        let (first, pages): (fn(_, &Exchange) -> _, _) = match self {
            Self::Nothing | Self::Idle(_) => (idle, Pages::Kibibyte),
            Self::HalfHeads(_) => (half_head, Pages::Kibibyte),
            Self::SlowReaders(_) => (slow_reader, Pages::Mebibyte),
        };
        let exchange = Exchange::of(&tree.pages(pages)[0]);
        let mut streams = Vec::with_capacity(self.count());
        for index in 0..self.count() {
            let stream = first(address, &exchange)
                .map_err(|error| format!("held connection {index} of {}: {error}", self.count()))?;
            stream.set_nonblocking(true)?;
            streams.push(stream);
        }
        let streams = Arc::new(streams);
        let ended = Arc::new(AtomicBool::new(false));
        let sipping = matches!(self, Self::SlowReaders(_)).then(|| {
            let (streams, ended) = (Arc::clone(&streams), Arc::clone(&ended));
            thread::spawn(move || sip_until(&streams, &ended))
        });
        Ok(Holding { streams, ended, sipping })
    }
}

/// Connections that hang on until this is dropped.
pub struct Holding {
    streams: Arc<Vec<TcpStream>>,
    ended: Arc<AtomicBool>,
    sipping: Option<JoinHandle<()>>,
}

impl Holding {
    /// How many of them the server has ended.
    pub fn lost(&self) -> usize {
        self.streams.iter().filter(|stream| has_ended(stream)).count()
    }
}

impl Drop for Holding {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::Relaxed);
        if let Some(thread) = self.sipping.take() {
            // A panic in there has been printed, and held connections carry no result.
            let _ = thread.join();
        }
    }
}

fn connect(address: SocketAddrV4) -> Result<TcpStream> {
    let stream = TcpStream::connect_timeout(&SocketAddr::V4(address), PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    Ok(stream)
}

fn idle(address: SocketAddrV4, exchange: &Exchange) -> Result<TcpStream> {
    let mut stream = connect(address)?;
    stream.write_all(&exchange.request)?;
    exchange.receive(&mut stream)?;
    Ok(stream)
}

fn half_head(address: SocketAddrV4, exchange: &Exchange) -> Result<TcpStream> {
    let mut stream = connect(address)?;
    stream.write_all(&exchange.request[..exchange.request.len() / 2])?;
    Ok(stream)
}

fn slow_reader(address: SocketAddrV4, exchange: &Exchange) -> Result<TcpStream> {
    let socket = socket::socket(AddressFamily::Inet, SockType::Stream, SockFlag::SOCK_CLOEXEC, None)?;
    // Before the handshake, so that the window never opens wide.
    setsockopt(&socket, sockopt::RcvBuf, &SIP)?;
    socket::connect(socket.as_raw_fd(), &SockaddrIn::from(address))?;
    let mut stream = TcpStream::from(socket);
    stream.write_all(&exchange.request)?;
    Ok(stream)
}

/// Reads a sip from every stream in turn, evenly over time.
fn sip_until(streams: &[TcpStream], ended: &AtomicBool) {
    let mut part = [0; SIP];
    while !ended.load(Ordering::Relaxed) {
        for group in streams.chunks(streams.len().div_ceil(ROUNDS_A_SIP).max(1)) {
            for mut stream in group {
                // Nothing there, or the end: `lost` tells them apart afterwards.
                let _ = stream.read(&mut part);
            }
            thread::sleep(ROUND);
        }
    }
}

fn has_ended(stream: &TcpStream) -> bool {
    match stream.peek(&mut [0]) {
        Ok(bytes) => bytes == 0,
        Err(error) => error.kind() != ErrorKind::WouldBlock,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn held_connections_leave_half_of_the_descriptors_and_room_for_others() {
        assert_eq!(Held::Idle(10_000).fitting(20_000), Held::Idle(9_744));
        assert_eq!(Held::Idle(10_000).fitting(1 << 20), Held::Idle(10_000));
        assert_eq!(Held::SlowReaders(500).fitting(256), Held::SlowReaders(0));
    }
}
