//! Signals → [`SignalAction`]s. No handler runs anywhere: every thread blocks all of these, and one thread
//! waits for them, so what a signal asks for is done by ordinary code in an ordinary place.
//!
//! Commands wait as flags, not in a queue: a thousand HUPs that arrive during one reload are one more
//! reload, and a TERM behind them is obeyed first.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use nix::sys::signal::{SigSet, Signal};

use crate::sys::{signal, thread};

/// Action that a signal asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SignalAction {
    /// TERM, INT: end soon.
    Stop(Signal),
    /// USR1: accept nothing more, and end when everything under way is done.
    Drain,
    /// HUP: open the log anew, and read the configuration again where that is switched on.
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

/// Commands that wait to be obeyed, equal ones merged.
#[derive(Debug, Default)]
struct PendingCommands {
    /// TERM and INT so far, at most two: the second one hurries the first.
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

    /// Takes the most urgent one out: the end first, and what may take long last.
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

/// The way from the thread that waits for signals to the one that obeys them.
#[derive(Debug, Clone, Default)]
pub struct Commands(Arc<Mailbox>);

#[derive(Debug, Default)]
struct Mailbox {
    pending: Mutex<PendingCommands>,
    /// A wait is to end without a command.
    woken: AtomicBool,
    arrived: Condvar,
}

impl Commands {
    fn add(&self, command: SignalAction) {
        self.pending().add(command);
        self.0.arrived.notify_one();
    }

    /// Ends the present wait for a command, or the next one.
    pub fn wake(&self) {
        let _pending = self.pending();
        self.0.woken.store(true, Relaxed);
        self.0.arrived.notify_one();
    }

    /// The most urgent command; none when none arrives within `timeout`, or after [`Commands::wake`].
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

/// The signals we obey, blocked.
#[derive(Debug)]
pub struct Signals(SigSet);

impl Signals {
    /// Blocks the signals for the calling thread and all that it starts; call it before any thread is
    /// started. What arrives from now on waits.
    pub fn block() -> Signals {
        use Signal::{SIGCHLD, SIGHUP, SIGINT, SIGTERM, SIGUSR1, SIGUSR2, SIGXFSZ};
        // XFSZ asks for nothing: a log that may not grow any more is a failed write, not our end.
        let signals = [SIGTERM, SIGINT, SIGUSR1, SIGUSR2, SIGHUP, SIGCHLD, SIGXFSZ];
        let signals: SigSet = signals.into_iter().collect();
        // Fails for an invalid set only.
        let _ = signals.thread_block();
        Signals(signals)
    }

    /// Starts the thread that waits for them.
    ///
    /// # Errors
    ///
    /// The system has no thread for us.
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
