//! Signals: converted to [`SignalAction`]s, without signal handlers.
//!
//! Every thread blocks these signals, and one thread waits for them, so that ordinary code carries out the
//! actions. Pending actions are flags instead of a queue: a thousand HUPs during one reload cause one more
//! reload, and a TERM behind them is handled first.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use nix::sys::signal::{SigSet, Signal};

use crate::sys::{signal, thread};

/// Action requested by a signal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SignalAction {
    /// TERM, INT: stop soon.
    Stop(Signal),
    /// USR1: accept no more connections, and exit when all requests are complete.
    Drain,
    /// HUP: reopen the log, and reload the configuration if enabled.
    Reopen,
    /// USR2: log the statistics.
    Stats,
    /// CHLD: a child has ended.
    Reap,
}

impl SignalAction {
    fn from_signal(signal: Signal) -> Option<SignalAction> {
        match signal {
            Signal::SIGTERM | Signal::SIGINT => Some(SignalAction::Stop(signal)),
            Signal::SIGUSR1 => Some(SignalAction::Drain),
            Signal::SIGHUP => Some(SignalAction::Reopen),
            Signal::SIGUSR2 => Some(SignalAction::Stats),
            Signal::SIGCHLD => Some(SignalAction::Reap),
            _ => None,
        }
    }
}

/// Pending actions, with equal ones merged.
#[derive(Debug, Default)]
struct PendingCommands {
    /// TERM and INT so far, at most two: the second one shortens the grace time.
    stops: [Option<Signal>; 2],
    drain: bool,
    reap: bool,
    stats: bool,
    reopen: bool,
}

impl PendingCommands {
    fn add(&mut self, command: SignalAction) {
        match command {
            SignalAction::Stop(signal) => {
                let free = usize::from(self.stops[0].is_some());
                self.stops[free] = Some(signal);
            }
            SignalAction::Drain => self.drain = true,
            SignalAction::Reap => self.reap = true,
            SignalAction::Stats => self.stats = true,
            SignalAction::Reopen => self.reopen = true,
        }
    }

    /// Removes the most urgent action: stopping comes first, and slow actions last.
    fn take(&mut self) -> Option<SignalAction> {
        if let Some(signal) = self.stops[0].take() {
            self.stops.swap(0, 1);
            return Some(SignalAction::Stop(signal));
        }
        let flags = [
            (&mut self.drain, SignalAction::Drain),
            (&mut self.reap, SignalAction::Reap),
            (&mut self.stats, SignalAction::Stats),
            (&mut self.reopen, SignalAction::Reopen),
        ];
        flags.into_iter().find_map(|(flag, command)| std::mem::take(flag).then_some(command))
    }
}

/// Mailbox between the signal thread and the thread that carries out actions.
#[derive(Debug, Clone, Default)]
pub struct Commands(Arc<Mailbox>);

#[derive(Debug, Default)]
struct Mailbox {
    pending: Mutex<PendingCommands>,
    /// Set to end a wait without an action.
    woken: AtomicBool,
    arrived: Condvar,
}

impl Commands {
    fn add(&self, command: SignalAction) {
        self.pending().add(command);
        self.0.arrived.notify_one();
    }

    /// Ends the current wait for an action, or the next one.
    pub fn wake(&self) {
        let _pending = self.pending();
        self.0.woken.store(true, Relaxed);
        self.0.arrived.notify_one();
    }

    /// Most urgent action; `None` after `timeout` or [`Commands::wake`].
    pub fn next(&self, timeout: Duration) -> Option<SignalAction> {
        let mut pending = self.pending();
        if let Some(command) = pending.take() {
            return Some(command);
        }
        if self.0.woken.swap(false, Relaxed) {
            return None;
        }
        pending = self.0.arrived.wait_timeout(pending, timeout).unwrap_or_else(PoisonError::into_inner).0;
        self.0.woken.store(false, Relaxed);
        pending.take()
    }

    fn pending(&self) -> MutexGuard<'_, PendingCommands> {
        self.0.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Set of the handled signals, which are blocked.
#[derive(Debug)]
pub struct Signals(SigSet);

impl Signals {
    /// Blocks the signals for the calling thread and its future threads; call this before starting threads.
    ///
    /// Signals that arrive from now on stay pending.
    pub fn block() -> Signals {
        use Signal::{SIGALRM, SIGCHLD, SIGHUP, SIGINT, SIGTERM, SIGUSR1, SIGUSR2, SIGXFSZ};
        // SIGXFSZ is ignored: at the limit on file size, a write to the log fails instead of ending the
        // process. SIGALRM is ignored: thttpd had a handler for its watchdog, and an alarm set before the
        // start outlives exec.
        let signals = [SIGTERM, SIGINT, SIGUSR1, SIGUSR2, SIGHUP, SIGCHLD, SIGXFSZ, SIGALRM];
        let signals: SigSet = signals.into_iter().collect();
        // The call fails only for an invalid set.
        let _ = signals.thread_block();
        Signals(signals)
    }

    /// Starts the signal thread.
    ///
    /// # Errors
    /// The thread cannot be started.
    pub fn listen(self) -> io::Result<Commands> {
        let commands = Commands::default();
        let sender = commands.clone();
        thread::start("signals", 64 * 1024, Box::new(move || pass_on(&self.0, &sender)))?;
        Ok(commands)
    }
}

fn pass_on(signals: &SigSet, commands: &Commands) -> ! {
    loop {
        if let Some(command) = signal::wait(signals).and_then(SignalAction::from_signal) {
            commands.add(command);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Duration = Duration::ZERO;

    #[test]
    fn equal_commands_merge_and_the_end_comes_first() {
        let commands = Commands::default();
        for _ in 0..1000 {
            commands.add(SignalAction::Reopen);
            commands.add(SignalAction::Stats);
        }
        commands.add(SignalAction::Drain);
        commands.add(SignalAction::Stop(Signal::SIGTERM));
        let all: Vec<_> = std::iter::from_fn(|| commands.next(NOW)).collect();
        let stop = SignalAction::Stop(Signal::SIGTERM);
        assert_eq!(all, [stop, SignalAction::Drain, SignalAction::Stats, SignalAction::Reopen]);
    }

    #[test]
    fn a_second_term_is_not_merged_with_the_first() {
        let commands = Commands::default();
        for signal in [Signal::SIGTERM, Signal::SIGINT, Signal::SIGTERM] {
            commands.add(SignalAction::Stop(signal));
        }
        let stops = [(); 3].map(|()| commands.next(NOW));
        let [first, second, third] = stops;
        assert_eq!(first, Some(SignalAction::Stop(Signal::SIGTERM)));
        assert!(matches!(second, Some(SignalAction::Stop(_))) && third.is_none());
    }

    #[test]
    fn a_command_ends_the_wait() {
        let commands = Commands::default();
        let sender = commands.clone();
        let thread = std::thread::spawn(move || sender.add(SignalAction::Reap));
        let long = Duration::from_secs(60);
        assert_eq!(std::iter::from_fn(|| commands.next(long)).next(), Some(SignalAction::Reap));
        thread.join().unwrap();
    }
}
