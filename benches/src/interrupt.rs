//! SIGINT and SIGTERM → a clean end: servers stopped, files removed.

use std::process;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use nix::sys::signal::{SigSet, Signal};

use crate::Result;

/// Tells whether someone asked the benchmark to end.
pub struct Interrupt(Arc<AtomicBool>);

impl Interrupt {
    /// Catches the signals from here on; to be called before any other thread starts.
    ///
    /// # Errors
    /// The signal mask cannot be set.
    pub fn catch() -> Result<Self> {
        let signals = signals();
        signals.thread_block()?;
        let asked = Arc::new(AtomicBool::new(false));
        let shared = Arc::clone(&asked);
        thread::spawn(move || {
            while signals.wait().is_ok() {
                if shared.swap(true, Ordering::Relaxed) {
                    // Asked twice: at once, whatever is left behind.
                    process::exit(130);
                }
            }
        });
        Ok(Self(asked))
    }

    /// Passes unless a signal has come; long work calls it now and then.
    ///
    /// # Errors
    /// A signal has come.
    pub fn check(&self) -> Result<()> {
        if self.0.load(Ordering::Relaxed) { Err("interrupted".into()) } else { Ok(()) }
    }
}

/// Runs `spawn` with the signals let through: a child inherits the mask, and some servers never
/// open it again.
///
/// # Errors
/// The signal mask cannot be set, or what `spawn` says.
pub fn let_through<T>(spawn: impl FnOnce() -> Result<T>) -> Result<T> {
    let signals = signals();
    signals.thread_unblock()?;
    let spawned = spawn();
    signals.thread_block()?;
    spawned
}

fn signals() -> SigSet {
    [Signal::SIGINT, Signal::SIGTERM].into_iter().collect()
}
