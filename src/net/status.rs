//! Status listeners (`;status`): `/healthz` and `/metrics`, and nothing else.
//!
//! One thread of its own accepts, reads and answers, so that it does so also when every worker is
//! busy, no more connections are taken, or the server is ending. Its descriptors are set aside at
//! start. Exchanges are neither logged, counted nor throttled.

use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant, SystemTime};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{MsgFlags, Shutdown, recv, send, shutdown};

use super::health::{self, DirectoryWatch, Pulse};
use super::listen_socket::Listener;
use super::metrics;
use super::shared::Shared;
use crate::config::Limits;
use crate::request::{Method, Parsed, Request, Version, head};
use crate::response::head::{Clock, Frame, HeadPolicy, write as write_head};
use crate::response::{Body, Response, SERVER};
use crate::sys::{fd, thread};

/// Connections at once. One more takes the place of the oldest.
const MOST_CONNECTIONS: usize = 8;
/// Time that one exchange may take.
const TIME_LIMIT: Duration = Duration::from_secs(5);
/// Time between two looks at the workers.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);
/// Bytes of a request's head.
const HEAD_LIMIT: usize = 8 * 1024;
/// Calls of the socket for one connection before the others have their turn.
const CALLS_AT_ONCE: usize = 16;

/// One connection.
#[derive(Debug)]
struct Exchange {
    stream: OwnedFd,
    request: Vec<u8>,
    /// The response, once there is one, and how much of it is sent.
    response: Option<(Vec<u8>, usize)>,
    until: Instant,
}

/// Progress of a connection.
#[derive(Debug, PartialEq, Eq)]
enum ExchangeProgress {
    Waits,
    Over,
}

/// Starts to answer on `listeners`, if there are any.
///
/// # Errors
///
/// The system lacks a thread.
pub fn start(listeners: Vec<Listener>, shared: &Arc<Shared>) -> io::Result<()> {
    if listeners.is_empty() {
        return Ok(());
    }
    listeners.iter().try_for_each(Listener::set_nonblocking)?;
    let directory = DirectoryWatch::start(shared)?;
    let status = StatusServer {
        shared: Arc::clone(shared),
        directory,
        pulse: Pulse::new(),
        policy: HeadPolicy::new(SERVER, b"", None),
        exchanges: Vec::new(),
    };
    thread::start("status", 256 * 1024, Box::new(move || status.run(&listeners))).map(drop)
}

struct StatusServer {
    shared: Arc<Shared>,
    directory: Arc<DirectoryWatch>,
    pulse: Pulse,
    policy: HeadPolicy,
    exchanges: Vec<Exchange>,
}

impl StatusServer {
    fn run(mut self, listeners: &[Listener]) {
        let _reserved = fd::FdGuard::new(MOST_CONNECTIONS);
        while !self.shared.ended.load(Relaxed) {
            let ready = self.wait(listeners);
            self.pulse.look(&self.shared);
            let exchanges = std::mem::take(&mut self.exchanges);
            self.exchanges = exchanges.into_iter().filter_map(|exchange| self.advance(exchange)).collect();
            for (listener, is_ready) in listeners.iter().zip(ready) {
                if is_ready {
                    self.accept(listener);
                }
            }
        }
    }

    /// Waits until something happens; tells which listeners have a connection.
    fn wait(&self, listeners: &[Listener]) -> Vec<bool> {
        let mut fds: Vec<PollFd<'_>> =
            listeners.iter().map(|listener| PollFd::new(listener.as_fd(), PollFlags::POLLIN)).collect();
        for exchange in &self.exchanges {
            let is_sending = exchange.response.as_ref().is_some_and(|(bytes, sent)| *sent < bytes.len());
            let events = if is_sending { PollFlags::POLLOUT } else { PollFlags::POLLIN };
            fds.push(PollFd::new(exchange.stream.as_fd(), events));
        }
        let timeout = PollTimeout::try_from(LOOK_INTERVAL).unwrap_or(PollTimeout::ZERO);
        // An interrupted wait is a wait in which nothing happened.
        let _ = poll(&mut fds, timeout);
        fds.iter().take(listeners.len()).map(|fd| fd.any() == Some(true)).collect()
    }

    fn accept(&mut self, listener: &Listener) {
        match listener.accept() {
            Ok((stream, _)) => {
                if self.exchanges.len() >= MOST_CONNECTIONS {
                    self.exchanges.remove(0);
                }
                let until = Instant::now() + TIME_LIMIT;
                let exchange = Exchange { stream, request: Vec::new(), response: None, until };
                // A prober's request comes with its connection, or soon.
                let going_on = self.advance(exchange);
                self.exchanges.extend(going_on);
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            // Short of descriptors or memory: not at once again.
            Err(_) => std::thread::sleep(Duration::from_millis(50)),
        }
    }

    /// Does what can be done without waiting; the exchange if it is not over.
    fn advance(&self, mut exchange: Exchange) -> Option<Exchange> {
        let is_late = Instant::now() >= exchange.until;
        let mut respond = |request: &[u8]| self.response(request);
        (!is_late && exchange.advance(&mut respond) == ExchangeProgress::Waits).then_some(exchange)
    }

    /// The whole response, once the request's head is whole or cannot become one.
    fn response(&self, bytes: &[u8]) -> Option<Vec<u8>> {
        let limits = Limits { head: HEAD_LIMIT, ..Limits::default() };
        Some(match head::parse(bytes, &limits) {
            Ok(Parsed::Partial) => return None,
            Ok(Parsed::Complete(request, _)) => self.answer(&request),
            Err(refused) => {
                let status = refused.status;
                self.write(plain(status, &refused.to_string()), Version::Http11, false)
            }
        })
    }

    fn answer(&self, request: &Request<'_>) -> Vec<u8> {
        let response = match (&*request.path, request.method) {
            (b"healthz", Method::Get | Method::Head) => {
                match health::fault(&self.shared, &self.pulse, &self.directory) {
                    None => plain(200, "ok"),
                    Some(fault) => plain(503, &fault),
                }
            }
            (b"metrics", Method::Get | Method::Head) => {
                Response::page(200, metrics::MEDIA_TYPE.as_bytes(), metrics::page(&self.shared).into_bytes())
            }
            (b"healthz" | b"metrics", _) => {
                plain(405, "only GET and HEAD are answered here").with("Allow", &b"GET, HEAD"[..])
            }
            _ => plain(404, "this listener answers /healthz and /metrics"),
        };
        self.write(response, request.version, request.is_head())
    }

    fn write(&self, response: Response, version: Version, is_head: bool) -> Vec<u8> {
        // Errors say so of themselves.
        let is_error = response.status.is_error();
        let response = if is_error { response } else { response.with("Cache-Control", &b"no-store"[..]) };
        let clock = Clock::new(SystemTime::now(), &self.policy);
        let frame = Frame { version, keep_alive: false, chunked: false, clock: &clock, policy: &self.policy };
        let mut bytes = Vec::new();
        write_head(&mut bytes, &response, &frame);
        if let (Body::Page(page), false) = (&response.body, is_head) {
            bytes.extend_from_slice(page);
        }
        bytes
    }
}

impl Exchange {
    /// Reads and sends as far as that needs no wait. `respond` makes the response of a whole request.
    ///
    /// The number of calls is bounded: a client that sends without end would keep all others waiting.
    fn advance(&mut self, respond: &mut dyn FnMut(&[u8]) -> Option<Vec<u8>>) -> ExchangeProgress {
        let fd = self.stream.as_raw_fd();
        for _ in 0..CALLS_AT_ONCE {
            if let Some((bytes, sent)) = &mut self.response
                && *sent < bytes.len()
            {
                match send(fd, &bytes[*sent..], MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_NOSIGNAL) {
                    Ok(n) => *sent += n,
                    Err(errno) => return waiting(errno),
                }
                if *sent == bytes.len() {
                    let _ = shutdown(fd, Shutdown::Write);
                }
                continue;
            }
            let mut piece = [0; 2048];
            match recv(fd, &mut piece, MsgFlags::MSG_DONTWAIT) {
                Ok(0) => return ExchangeProgress::Over,
                // Bytes behind the request are read so that closing does not reset the connection.
                Ok(_) if self.response.is_some() => {}
                Ok(n) => {
                    self.request.extend_from_slice(&piece[..n]);
                    self.response = respond(&self.request).map(|bytes| (bytes, 0));
                }
                Err(errno) => return waiting(errno),
            }
        }
        ExchangeProgress::Waits
    }
}

fn waiting(errno: Errno) -> ExchangeProgress {
    if matches!(errno, Errno::EAGAIN | Errno::EINTR) {
        ExchangeProgress::Waits
    } else {
        ExchangeProgress::Over
    }
}

/// A line of text.
fn plain(status: u16, text: &str) -> Response {
    Response::page(status, &b"text/plain; charset=utf-8"[..], format!("{text}\n").into_bytes())
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::os::unix::net::UnixStream;

    use super::*;

    /// A client and its exchange.
    fn pair() -> (UnixStream, Exchange) {
        let (client, ours) = UnixStream::pair().unwrap();
        let until = Instant::now() + TIME_LIMIT;
        (client, Exchange { stream: ours.into(), request: Vec::new(), response: None, until })
    }

    #[test]
    fn a_request_in_pieces_is_answered_once_it_is_whole() {
        let (mut client, mut exchange) = pair();
        let mut respond = |request: &[u8]| request.ends_with(b".").then(|| b"response".to_vec());
        for piece in ["re", "quest", "."] {
            assert_eq!(exchange.advance(&mut respond), ExchangeProgress::Waits);
            client.write_all(piece.as_bytes()).unwrap();
        }
        assert_eq!(exchange.advance(&mut respond), ExchangeProgress::Waits);
        let mut text = String::new();
        client.read_to_string(&mut text).unwrap();
        assert_eq!(text, "response");
        drop(client);
        assert_eq!(exchange.advance(&mut respond), ExchangeProgress::Over);
    }

    #[test]
    fn a_client_that_sends_without_end_does_not_keep_its_turn() {
        let (mut client, mut exchange) = pair();
        client.write_all(&[b'x'; 100_000]).unwrap();
        let mut respond = |_: &[u8]| Some(b"response".to_vec());
        assert_eq!(exchange.advance(&mut respond), ExchangeProgress::Waits);
        let unread = recv(exchange.stream.as_raw_fd(), &mut [0], MsgFlags::MSG_DONTWAIT);
        assert_eq!(unread, Ok(1), "the rest is for the next turn");
    }
}
