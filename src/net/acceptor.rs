//! The acceptor: one thread that takes new connections in and hands them over.

use std::io;
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::eventfd::{EfdFlags, EventFd};

use super::accept::{AcceptOutcome, accept};
use super::admission::ConnectionLimiter;
use super::listen_socket::Listener;
use super::listener::{Listeners, in_turn};
use super::shared::Shared;
use crate::conn::wait::Wake;
use crate::sys::thread;

/// First and longest pause when the system is out of descriptors or memory.
const PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// Pause in which workers accept from a busy listener themselves.
const PACING_PAUSE: Duration = Duration::from_micros(100);

/// Rounds at most until the acceptor measures again whether the listeners are busy.
const MOST_ROUNDS: u32 = 32;

/// Connections taken from one listener in a row: clients of another must not wait for all of them.
const MOST_IN_A_ROW: usize = 64;

/// Connections taken from one listener's backlog at the end, at most.
const MOST_AT_THE_END: usize = 4096;

/// Minimum interval between two log lines of one kind, so that a flood of connections does not flood
/// the log.
const WARNING_INTERVAL: Duration = Duration::from_secs(60);

/// The accepting thread, and how to stop it.
#[derive(Debug)]
pub struct Acceptor {
    stop: Arc<StopSignal>,
    limiter: Arc<ConnectionLimiter>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

#[derive(Debug)]
struct StopSignal {
    asked: AtomicBool,
    notifier: EventFd,
}

impl Acceptor {
    /// Starts the thread that accepts from the listeners of `shared`.
    ///
    /// # Errors
    /// The system lacks a thread or descriptor.
    pub fn start(shared: Arc<Shared>) -> io::Result<Acceptor> {
        let notifier = EventFd::from_flags(EfdFlags::EFD_CLOEXEC)?;
        let stop = Arc::new(StopSignal { asked: AtomicBool::new(false), notifier });
        let limiter = Arc::clone(&shared.limiter);
        let thread = {
            let stop = Arc::clone(&stop);
            thread::start("acceptor", 128 * 1024, Box::new(move || accept_all(&shared, &stop)))?
        };
        Ok(Acceptor { stop, limiter, thread: Mutex::new(Some(thread)) })
    }

    /// Closes the listening sockets; returns when they are closed.
    pub fn stop(&self) {
        self.stop.asked.store(true, Relaxed);
        let _ = self.stop.notifier.write(1);
        self.limiter.end_waits();
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = thread {
            let _ = thread.join();
        }
    }
}

fn accept_all(shared: &Shared, stop: &StopSignal) {
    let Some(listeners) = shared.listeners.sockets() else { return };
    let mut pause = PAUSE;
    let mut pacing = AcceptPacing::default();
    let mut rounds = 0_usize;
    let (mut crowded, mut failing) = (RateLimitedWarning::default(), RateLimitedWarning::default());
    while !stop.asked.load(Relaxed) {
        if !shared.limiter.has_room() {
            crowded.warn(format_args!("too many connections!"));
            wait_for_room(shared, stop);
            continue;
        }
        let mut ready: Vec<PollFd<'_>> =
            listeners.iter().map(|listener| PollFd::new(listener.as_fd(), PollFlags::POLLIN)).collect();
        ready.push(PollFd::new(stop.notifier.as_fd(), PollFlags::POLLIN));
        // A failed poll is retried; accept meets the cause, and logs it.
        let _ = poll(&mut ready, PollTimeout::NONE);
        // Where there is room for a few, it is each listener's in turn.
        rounds = rounds.wrapping_add(1);
        for at in in_turn(rounds, listeners.len()) {
            if ready[at].any() == Some(false) {
                continue;
            }
            match accept_ready(&listeners[at], shared, MOST_IN_A_ROW, &|| !stop.asked.load(Relaxed)) {
                Ok(()) => pause = PAUSE,
                Err(error) => {
                    failing.warn(format_args!("accept - {error}; accepting pauses until it works again"));
                    std::thread::sleep(pause);
                    pause = LONGEST_PAUSE.min(pause * 2);
                }
            }
        }
        pacing.pause_if_busy(&shared.listeners);
    }
    shared.listeners.close();
    listeners.iter().for_each(|listener| empty_backlog(listener, shared));
}

/// Decides whether to pause between two rounds. Behind a busy listener several connections gather
/// meanwhile, or workers accept them, which saves waking the acceptor for each. A lone client that
/// reconnects at once must not wait for a pause; so a pause in which fewer than two connections came
/// makes the next one rarer.
#[derive(Default)]
struct AcceptPacing {
    /// Rounds to go without a pause.
    skip: u32,
    /// Rounds that were to be skipped the last time.
    skipped: u32,
    /// Connections accepted when the last pause began.
    paused_at: Option<u64>,
}

impl AcceptPacing {
    /// To be called after each round.
    fn pause_if_busy(&mut self, listeners: &Listeners) {
        if let Some(before) = self.paused_at.take() {
            let is_busy = listeners.accepted_total() - before > 1;
            self.skipped = if is_busy { 0 } else { (2 * self.skipped + 1).min(MOST_ROUNDS) };
            self.skip = self.skipped;
        }
        match self.skip.checked_sub(1) {
            Some(left) => self.skip = left,
            None => {
                self.paused_at = Some(listeners.accepted_total());
                std::thread::sleep(PACING_PAUSE);
            }
        }
    }
}

/// Accepts the rest of the kernel's backlog. These clients are connected and may have sent a request;
/// closing the listener now would reset them.
fn empty_backlog(listener: &Listener, shared: &Shared) {
    // There is no later try for what fails now.
    let _ = accept_ready(listener, shared, MOST_AT_THE_END, &|| true);
}

/// Warning that is logged at most once in a while.
#[derive(Default)]
struct RateLimitedWarning(Option<Instant>);

impl RateLimitedWarning {
    fn warn(&mut self, what: std::fmt::Arguments<'_>) {
        if self.0.is_none_or(|at| at.elapsed() >= WARNING_INTERVAL) {
            self.0 = Some(Instant::now());
            crate::log::warning!("{what}");
        }
    }
}

/// Waits for a connection to close; new clients wait in the kernel's backlog meanwhile.
fn wait_for_room(shared: &Shared, stop: &StopSignal) {
    while !shared.limiter.has_room() && !stop.asked.load(Relaxed) {
        shared.limiter.wait_for_room(&|| stop.asked.load(Relaxed));
    }
}

/// Takes what waits on one listener, `most` connections or as long as `goes_on`.
fn accept_ready(
    listener: &Listener,
    shared: &Shared,
    most: usize,
    goes_on: &dyn Fn() -> bool,
) -> io::Result<()> {
    for _ in 0..most {
        if !goes_on() {
            break;
        }
        match accept(listener, shared)? {
            AcceptOutcome::Connection(admitted) => shared.enqueue(admitted, Wake::Ready),
            AcceptOutcome::Dropped => {}
            AcceptOutcome::Empty => break,
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Pauses in 100 rounds, in each of which `arrivals` connections come.
    fn pauses(arrivals: u32) -> usize {
        let listeners = Listeners::new(Vec::new()).unwrap();
        let mut pacing = AcceptPacing::default();
        let mut paused = 0;
        for _ in 0..100 {
            pacing.pause_if_busy(&listeners);
            paused += usize::from(pacing.paused_at.is_some());
            (0..arrivals).for_each(|_| listeners.count_accepted());
        }
        paused
    }

    #[test]
    fn the_acceptor_pauses_at_a_busy_door_and_seldom_before_a_lone_client() {
        assert_eq!(pauses(2), 100);
        assert!((1..10).contains(&pauses(1)), "{}", pauses(1));
    }
}
