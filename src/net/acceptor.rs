//! The acceptor: one thread that takes new connections in and hands them over.

use std::cell::Cell;
use std::io;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::eventfd::{EfdFlags, EventFd};

use super::{Floor, Held, lot};
use crate::conn::Connection;
use crate::conn::wait::Wake;
use crate::request::Rejection;
use crate::throttle::Refused;

/// First and longest pause when the system is out of descriptors or memory.
const PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// Connections taken from one listener's backlog at the end, at most.
const MOST_AT_THE_END: usize = 4096;

/// What is complained of, is so at most once in this time: a flood must not become one of messages.
const COMPLAINT_INTERVAL: Duration = Duration::from_secs(60);

/// The accepting thread, and how to stop it.
#[derive(Debug)]
pub struct Acceptor {
    stop: Arc<Stop>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

#[derive(Debug)]
struct Stop {
    asked: AtomicBool,
    bell: EventFd,
}

impl Acceptor {
    /// Starts to accept on `listeners`.
    ///
    /// # Errors
    /// When the system has no thread or descriptor for us.
    pub fn start(listeners: Vec<TcpListener>, floor: Arc<Floor>) -> io::Result<Acceptor> {
        for listener in &listeners {
            listener.set_nonblocking(true)?;
        }
        let bell = EventFd::from_flags(EfdFlags::EFD_CLOEXEC)?;
        let stop = Arc::new(Stop { asked: AtomicBool::new(false), bell });
        let thread = {
            let stop = Arc::clone(&stop);
            std::thread::Builder::new()
                .name("acceptor".into())
                .stack_size(128 * 1024)
                .spawn(move || accept_all(&listeners, &floor, &stop))?
        };
        Ok(Acceptor { stop, thread: Mutex::new(Some(thread)) })
    }

    /// Closes the listening sockets; returns when they are closed.
    pub fn stop(&self) {
        self.stop.asked.store(true, Relaxed);
        let _ = self.stop.bell.write(1);
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = thread {
            let _ = thread.join();
        }
    }
}

fn accept_all(listeners: &[TcpListener], floor: &Floor, stop: &Stop) {
    let mut pause = PAUSE;
    let (mut crowded, mut failing) = (Complaint::default(), Complaint::default());
    while !stop.asked.load(Relaxed) {
        if !floor.gate.has_room() {
            crowded.say(format_args!("too many connections!"));
            wait_for_room(floor, stop);
            continue;
        }
        let mut ready: Vec<PollFd<'_>> =
            listeners.iter().map(|listener| PollFd::new(listener.as_fd(), PollFlags::POLLIN)).collect();
        ready.push(PollFd::new(stop.bell.as_fd(), PollFlags::POLLIN));
        // A failed poll is retried; what it failed of will show in accept.
        let _ = poll(&mut ready, PollTimeout::NONE);
        for (listener, ready) in listeners.iter().zip(&ready) {
            if ready.any() == Some(false) {
                continue;
            }
            match accept_ready(listener, floor, &|| !stop.asked.load(Relaxed)) {
                Ok(()) => pause = PAUSE,
                Err(error) => {
                    failing.say(format_args!("accept - {error}; accepting pauses until it works again"));
                    std::thread::sleep(pause);
                    pause = LONGEST_PAUSE.min(pause * 2);
                }
            }
        }
    }
    listeners.iter().for_each(|listener| empty_backlog(listener, floor));
}

/// Whoever waits in the kernel's backlog has been told that the connection is made, and may have sent
/// its request: to close the listener now would reset it.
fn empty_backlog(listener: &TcpListener, floor: &Floor) {
    let left = Cell::new(MOST_AT_THE_END);
    let takes_more = || left.replace(left.get().saturating_sub(1)) > 0;
    // There is no later try for what fails now.
    let _ = accept_ready(listener, floor, &takes_more);
}

/// Something to complain of, and when it was last.
#[derive(Default)]
struct Complaint(Option<Instant>);

impl Complaint {
    fn say(&mut self, what: std::fmt::Arguments<'_>) {
        if self.0.is_none_or(|at| at.elapsed() >= COMPLAINT_INTERVAL) {
            self.0 = Some(Instant::now());
            crate::log::warning!("{what}");
        }
    }
}

/// The rest of the world waits in the kernel's backlog meanwhile.
fn wait_for_room(floor: &Floor, stop: &Stop) {
    while !floor.gate.has_room() && !stop.asked.load(Relaxed) {
        floor.gate.wait_for_room(PAUSE);
    }
}

/// Takes what waits on one listener, as long as `goes_on`.
fn accept_ready(listener: &TcpListener, floor: &Floor, goes_on: &dyn Fn() -> bool) -> io::Result<()> {
    while floor.gate.has_room() && goes_on() {
        match listener.accept() {
            Ok((stream, peer)) => admit(stream, peer, floor),
            Err(error) => match error.raw_os_error().map(Errno::from_raw) {
                Some(Errno::EAGAIN) => return Ok(()),
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
                ) => {}
                _ => return Err(error),
            },
        }
    }
    Ok(())
}

fn admit(stream: TcpStream, peer: SocketAddr, floor: &Floor) {
    let (connection, address) = match floor.site().throttles.connection(peer.ip()) {
        Ok(Some(permit)) if permit.is_surplus() => {
            let refusal = Rejection { close: true, ..Refused.into() };
            (Connection::refused(stream, peer, refusal), Some(permit))
        }
        Ok(permit) => (Connection::new(stream, peer), permit),
        Err(Refused) => return,
    };
    let held =
        Held { connection, watched: lot::Watched::default(), _permit: floor.gate.enter(), _address: address };
    floor.hand(Box::new(held), Wake::Ready);
}
