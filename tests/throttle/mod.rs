//! Throttles with real sockets: rates are measured over seconds, with tolerances from the rule under test.
//!
//! A client sees bytes later than they were sent. So "at most `max × (t + ¼ s)` since the first request"
//! holds on any machine, and is asserted without exception. Full use of a rate also needs a machine that
//! runs the server in time: a worker that is late by some hundred milliseconds must not catch up.
//! Assertions about an interval are therefore tried again on the next few intervals ([`patiently`]); a
//! faulty server fails in all of them.

mod bursts;
mod crowd;
mod rates;
mod refusals;
mod told;

use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::os::fd::AsRawFd;
use std::time::{Duration, Instant};

use nix::sys::socket::{AddressFamily, SockFlag, SockType, SockaddrIn, bind, connect, socket};

use super::support::{Server, Tree};

/// A tree with a large file of each name, and a server with `rules` for its throttle file.
fn serve(rules: &str, large: &[&str]) -> (Tree, Server) {
    serve_with(&[], rules, large)
}

/// Starts a server with throttle rules and further flags.
fn serve_with(flags: &[&str], rules: &str, large: &[&str]) -> (Tree, Server) {
    let tree = Tree::new();
    for name in large {
        tree.file(name, vec![b'x'; 4 * 1024 * 1024]);
    }
    let file = tree.beside("throttles", rules);
    let server = Server::start(&tree, &[&["-t", file.to_str().unwrap()], flags].concat());
    (tree, server)
}

/// A download that notes what arrives, and when.
struct Download {
    stream: TcpStream,
    began: Instant,
    /// Moment and bytes of each piece, head included.
    pieces: Vec<(Instant, usize)>,
}

impl Download {
    fn begin(server: &Server, target: &str) -> Download {
        Download::on(TcpStream::connect(server.address()).unwrap(), target)
    }

    /// From another address of this machine.
    fn begin_from(address: Ipv4Addr, server: &Server, target: &str) -> Download {
        let kind = (AddressFamily::Inet, SockType::Stream, SockFlag::SOCK_CLOEXEC);
        let fd = socket(kind.0, kind.1, kind.2, None).unwrap();
        let [a, b, c, d] = address.octets();
        bind(fd.as_raw_fd(), &SockaddrIn::new(a, b, c, d, 0)).unwrap();
        connect(fd.as_raw_fd(), &SockaddrIn::new(127, 0, 0, 1, server.port)).unwrap();
        Download::on(fd.into(), target)
    }

    fn on(mut stream: TcpStream, target: &str) -> Download {
        let began = Instant::now();
        write!(stream, "GET {target} HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
        Download { stream, began, pieces: Vec::new() }
    }

    /// Reads until `end`.
    fn read_until(&mut self, end: Instant) {
        let mut buffer = vec![0; 256 * 1024];
        while let left = end.saturating_duration_since(Instant::now())
            && !left.is_zero()
        {
            self.stream.set_read_timeout(Some(left)).unwrap();
            match self.stream.read(&mut buffer) {
                Ok(0) => panic!("the response ended before the test did"),
                Ok(n) => self.pieces.push((Instant::now(), n)),
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
                Err(error) => panic!("{error}"),
            }
        }
    }

    /// Bytes that arrived in `from..to`.
    fn bytes(&self, from: Instant, to: Instant) -> f64 {
        let within = self.pieces.iter().filter(|&&(at, _)| at >= from && at < to);
        within.map(|&(_, n)| n as f64).sum()
    }
}

/// Reads all downloads at once until `end`.
fn read_all(downloads: &mut [Download], end: Instant) {
    std::thread::scope(|scope| {
        for download in downloads {
            scope.spawn(move || download.read_until(end));
        }
    });
}

/// Bytes of all downloads in `from..to`.
fn total(downloads: &[Download], from: Instant, to: Instant) -> f64 {
    downloads.iter().map(|download| download.bytes(from, to)).sum()
}

/// Tries `check` until it finds nothing to object to, five times at most.
fn patiently(mut check: impl FnMut() -> Result<(), String>) {
    let mut objection = String::new();
    for _ in 0..5 {
        match check() {
            Ok(()) => return,
            Err(why) => objection = why,
        }
    }
    panic!("{objection}, in the last of five tries");
}

/// Is `got` within `percent` of `want`?
fn within(got: f64, want: f64, percent: f64) -> Result<(), String> {
    let off = (got - want).abs() / want * 100.0;
    let objection = format!("{got:.0} instead of {want:.0}: {off:.1} % off, {percent} % allowed");
    if off <= percent { Ok(()) } else { Err(objection) }
}

/// Reads all downloads for some seconds: each gets its rate of `shares`, in bytes a second.
fn get_shares(downloads: &mut [Download], length: f64, shares: &[f64]) {
    patiently(|| {
        let begin = Instant::now();
        let end = begin + seconds(length);
        read_all(downloads, end);
        let all: f64 = shares.iter().sum();
        within(total(downloads, begin, end), all * length, 5.0)?;
        let mut each = downloads.iter().zip(shares);
        each.try_for_each(|(download, share)| within(download.bytes(begin, end), share * length, 10.0))
    });
}

fn seconds(n: f64) -> Duration {
    Duration::from_secs_f64(n)
}
