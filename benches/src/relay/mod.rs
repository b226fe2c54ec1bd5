//! The relay: loopback made as slow as a real distance.
//!
//! A process between the load generator and a server that holds each chunk back for a set time in each
//! direction. Both ends are ordinary sockets of this machine, so a server meets what a distance changes
//! for it: connections that are busy less of the time, smaller batches and more wake-ups. Loss,
//! congestion and the length of a packet are not imitated, and opening a connection is not delayed.
//!
//! One thread and one epoll set. Every chunk is held for the same time, so those held back lie in a
//! queue in the order in which they are due, and no heap of timers is needed. Nothing bounds the
//! queue: relayed bodies are small.
//!
//! A relay that is awake sends along what is due within a [grain]. A wake-up costs more than a chunk, and
//! network cards hold their interrupts back for as long.

pub mod cost;
mod stream;

use std::collections::VecDeque;
use std::env;
use std::net::{Ipv4Addr, SocketAddrV4, TcpListener, TcpStream};
use std::os::fd::AsFd;
use std::rc::Rc;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, ppoll};
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use nix::sys::prctl;
use nix::sys::time::TimeSpec;

use crate::Result;
use crate::limit::listener;
use crate::server::{Role, Server};
use stream::{Chunk, Received, Stream};

/// The first argument with which this program is a relay.
pub const KIND: &str = "relay";

const EVENTS: usize = 256;
/// Bytes received at a time.
const BUFFER: usize = 64 * 1024;
/// The listening socket's event; descriptors are never that large.
const LISTENER: u64 = u64::MAX;
/// How late the kernel may wake the relay, in nanoseconds; the usual 50 µs would be half of a short delay.
const TIMER_SLACK: u64 = 1;
/// Most time by which a chunk may be early.
const COARSEST: Duration = Duration::from_micros(50);
/// Grains in a delay, at least.
const GRAINS: u32 = 16;

/// Time by which a chunk may be early, so that fewer wake-ups suffice.
fn grain(delay: Duration) -> Duration {
    (delay / GRAINS).min(COARSEST)
}

/// The relay to `target` as a program to start.
///
/// # Errors
/// The system does not say where this program lies.
pub fn program(target: SocketAddrV4, delay: Duration) -> Result<Server> {
    let program = env::current_exe()?.to_string_lossy().into_owned();
    let (target, delay) = (target.port().to_string(), delay.as_nanos().to_string());
    Ok(Server {
        name: KIND.to_owned(),
        role: Role::Limit,
        command: vec![program, KIND.to_owned(), "{port}".to_owned(), target, delay],
        configuration: None,
        places: Vec::new(),
        version: String::new(),
    })
}

/// Relays until a signal ends the process.
///
/// # Errors
/// The arguments are not `relay PORT TARGET-PORT NANOSECONDS`, or the port is taken.
pub fn serve(arguments: &[String]) -> Result<()> {
    let [_, port, target, delay] = arguments else {
        return Err("a relay wants PORT TARGET-PORT NANOSECONDS".into());
    };
    let address =
        |port: &str| -> Result<SocketAddrV4> { Ok(SocketAddrV4::new(Ipv4Addr::LOCALHOST, port.parse()?)) };
    let delay = Duration::from_nanos(delay.parse()?);
    Relay::new(listener(address(port)?)?, address(target)?, delay)?.run()
}

struct Relay {
    listener: TcpListener,
    target: SocketAddrV4,
    delay: Duration,
    epoll: Epoll,
    /// By descriptor; `None` once both of its directions have ended.
    ends: Vec<Option<End>>,
    /// Chunks on their way, the next due first.
    held_back: VecDeque<HeldBack>,
    buffer: Vec<u8>,
}

/// A socket that is read, and the one that its bytes go to.
struct End {
    from: Rc<Stream>,
    to: Rc<Stream>,
    /// Whether the end of the input has come. The socket may still have to send then.
    has_ended: bool,
}

struct HeldBack {
    due: Instant,
    to: Rc<Stream>,
    chunk: Chunk,
}

impl Relay {
    fn new(listener: TcpListener, target: SocketAddrV4, delay: Duration) -> Result<Self> {
        prctl::set_timerslack(TIMER_SLACK)?;
        listener.set_nonblocking(true)?;
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
        epoll.add(&listener, EpollEvent::new(EpollFlags::EPOLLIN, LISTENER))?;
        let (ends, held_back, buffer) = (Vec::new(), VecDeque::new(), vec![0; BUFFER]);
        Ok(Self { listener, target, delay, epoll, ends, held_back, buffer })
    }

    fn run(&mut self) -> Result<()> {
        let mut events = [EpollEvent::empty(); EVENTS];
        let grain = grain(self.delay);
        loop {
            let now = Instant::now();
            self.deliver(now + grain);
            let count = match self.epoll.wait(&mut events, EpollTimeout::ZERO) {
                Err(Errno::EINTR) => 0,
                count => count?,
            };
            for event in &events[..count] {
                if event.data() == LISTENER {
                    self.accept()?;
                } else {
                    self.ready(event.data() as usize, event.events(), now);
                }
            }
            if count == 0 {
                self.wait()?;
            }
        }
    }

    /// Sends the chunks that are due by `until`.
    fn deliver(&mut self, until: Instant) {
        let due = self.held_back.partition_point(|chunk| chunk.due <= until);
        for HeldBack { to, chunk, .. } in self.held_back.drain(..due) {
            to.send(chunk);
            let key = to.key();
            if to.is_closed() && self.ends[key].as_ref().is_some_and(|end| end.has_ended) {
                self.ends[key] = None;
            }
        }
    }

    /// Waits until an event comes or the next chunk is due: in ppoll(2), which knows shorter times than
    /// epoll_wait(2).
    fn wait(&self) -> Result<()> {
        let next = self.held_back.front().map(|chunk| chunk.due.saturating_duration_since(Instant::now()));
        let mut set = [PollFd::new(self.epoll.0.as_fd(), PollFlags::POLLIN)];
        match ppoll(&mut set, next.map(TimeSpec::from_duration), None) {
            Ok(_) | Err(Errno::EINTR) => Ok(()),
            Err(errno) => Err(errno.into()),
        }
    }

    /// Connects to the target for each new connection. On this machine that is done at once.
    fn accept(&mut self) -> Result<()> {
        while let Ok((near, _)) = self.listener.accept() {
            // A refusal ends the accepted connection: that is what its client would have met.
            let Ok(far) = TcpStream::connect(self.target) else { continue };
            let (near, far) = (Rc::new(Stream::new(near)?), Rc::new(Stream::new(far)?));
            self.watch(&near, &far)?;
            self.watch(&far, &near)?;
        }
        Ok(())
    }

    fn watch(&mut self, from: &Rc<Stream>, to: &Rc<Stream>) -> Result<()> {
        let key = from.key();
        if self.ends.len() <= key {
            self.ends.resize_with(key + 1, || None);
        }
        self.ends[key] = Some(End { from: Rc::clone(from), to: Rc::clone(to), has_ended: false });
        let interest =
            EpollFlags::EPOLLIN | EpollFlags::EPOLLRDHUP | EpollFlags::EPOLLOUT | EpollFlags::EPOLLET;
        self.epoll.add(from.socket(), EpollEvent::new(interest, key as u64))?;
        Ok(())
    }

    /// Holds back what has come, the end of the input included.
    fn ready(&mut self, key: usize, flags: EpollFlags, now: Instant) {
        let Some(Some(end)) = self.ends.get_mut(key) else { return };
        end.from.flush();
        if end.has_ended {
            if end.from.is_closed() {
                self.ends[key] = None;
            }
            return;
        }
        let due = now + self.delay;
        let ends = flags.intersects(EpollFlags::EPOLLRDHUP | EpollFlags::EPOLLHUP | EpollFlags::EPOLLERR);
        loop {
            let (chunk, drained) = match end.from.receive(&mut self.buffer) {
                Received::Nothing => return,
                // A short receive has drained the socket, but does not tell whether its end has come.
                Received::Bytes(bytes) => {
                    (Chunk::Bytes(self.buffer[..bytes].into()), bytes < BUFFER && !ends)
                }
                Received::End => (Chunk::End, true),
            };
            let is_end = matches!(chunk, Chunk::End);
            self.held_back.push_back(HeldBack { due, to: Rc::clone(&end.to), chunk });
            if is_end {
                end.has_ended = true;
                if end.from.is_closed() {
                    self.ends[key] = None;
                }
                return;
            }
            if drained {
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::{Shutdown, SocketAddr};
    use std::thread;

    use super::*;

    const DELAY: Duration = Duration::from_millis(20);

    fn address(listener: &TcpListener) -> SocketAddrV4 {
        let SocketAddr::V4(address) = listener.local_addr().unwrap() else { panic!("not IPv4") };
        address
    }

    fn relay_to(target: SocketAddrV4) -> SocketAddrV4 {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let relay = address(&listener);
        thread::spawn(move || Relay::new(listener, target, DELAY).unwrap().run().unwrap());
        relay
    }

    /// A server that sends back what it gets, and its end after the end.
    fn echo() -> SocketAddrV4 {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let echo = address(&listener);
        thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                thread::spawn(move || std::io::copy(&mut stream.try_clone().unwrap(), &mut stream));
            }
        });
        echo
    }

    fn connect(relay: SocketAddrV4) -> TcpStream {
        let stream = TcpStream::connect(relay).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        stream
    }

    #[test]
    fn each_direction_takes_the_delay() {
        let mut stream = connect(relay_to(echo()));
        for _ in 0..3 {
            let begun = Instant::now();
            stream.write_all(b"ping").unwrap();
            stream.read_exact(&mut [0; 4]).unwrap();
            assert!(begun.elapsed() >= 2 * (DELAY - grain(DELAY)), "{:?}", begun.elapsed());
        }
    }

    #[test]
    fn a_grain_is_small_beside_the_delay_and_never_above_fifty_microseconds() {
        for delay in [Duration::from_micros(200), Duration::from_millis(1), Duration::from_millis(100)] {
            assert!(grain(delay) <= Duration::from_micros(50) && grain(delay) <= delay / 16, "{delay:?}");
        }
    }

    #[test]
    fn chunks_are_held_back_side_by_side() {
        let relay = relay_to(echo());
        let mut streams: Vec<_> = (0..50).map(|_| connect(relay)).collect();
        let begun = Instant::now();
        streams.iter_mut().for_each(|stream| stream.write_all(b"ping").unwrap());
        streams.iter_mut().for_each(|stream| stream.read_exact(&mut [0; 4]).unwrap());
        let one_after_the_other = 2 * DELAY * 50;
        assert!(begun.elapsed() < one_after_the_other / 2, "{:?}", begun.elapsed());
    }

    #[test]
    fn bytes_come_whole_and_in_order_and_the_end_after_them() {
        let mut stream = connect(relay_to(echo()));
        let sent: Vec<u8> = (0..8 << 20).map(|index: u32| (index / 7) as u8).collect();
        let mut writer = stream.try_clone().unwrap();
        let expected = sent.clone();
        thread::spawn(move || {
            writer.write_all(&sent).unwrap();
            writer.shutdown(Shutdown::Write).unwrap();
        });
        let mut received = Vec::new();
        stream.read_to_end(&mut received).unwrap();
        assert!(received == expected, "{} of {} bytes", received.len(), expected.len());
    }

    #[test]
    fn a_client_that_has_ended_its_side_gets_all_that_is_due_however_late_it_reads() {
        const BYTES: usize = 16 << 20;
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let target = address(&listener);
        let server = thread::spawn(move || {
            let mut stream = listener.accept().unwrap().0;
            stream.read_to_end(&mut Vec::new()).unwrap();
            stream.write_all(&vec![7; BYTES]).unwrap();
        });
        let mut stream = connect(relay_to(target));
        stream.shutdown(Shutdown::Write).unwrap();
        server.join().unwrap();
        // By now all is due and the socket is full.
        thread::sleep(5 * DELAY);
        let mut received = Vec::new();
        stream.read_to_end(&mut received).unwrap();
        assert_eq!(received.len(), BYTES);
    }

    #[test]
    fn a_target_that_refuses_ends_the_connection() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let nobody = address(&listener);
        drop(listener);
        assert!(!matches!(connect(relay_to(nobody)).read(&mut [0]), Ok(1..)));
    }
}
