//! Signals → [`Command`]s. No handler runs anywhere: every thread blocks all of these, and one thread
//! waits for them, so what a signal asks for is done by ordinary code in an ordinary place.

use crossbeam_channel::{Receiver, Sender, unbounded};
use nix::sys::signal::{SigSet, Signal};

use crate::sys::signal;

/// What a signal asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Command {
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

impl Command {
    fn of(signal: Signal) -> Option<Command> {
        match signal {
            Signal::SIGTERM | Signal::SIGINT => Some(Command::Stop(signal)),
            Signal::SIGUSR1 => Some(Command::Drain),
            Signal::SIGHUP => Some(Command::Reopen),
            Signal::SIGUSR2 => Some(Command::Stats),
            Signal::SIGCHLD => Some(Command::Reap),
            _ => None,
        }
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
    pub fn listen(self) -> std::io::Result<Receiver<Command>> {
        let (commands, receiver) = unbounded();
        let thread = std::thread::Builder::new().name("signals".into()).stack_size(64 * 1024);
        thread.spawn(move || pass_on(&self.0, &commands))?;
        Ok(receiver)
    }
}

fn pass_on(signals: &SigSet, commands: &Sender<Command>) {
    loop {
        let command = signal::wait(signals).and_then(Command::of);
        if command.is_some_and(|command| commands.send(command).is_err()) {
            return;
        }
    }
}
