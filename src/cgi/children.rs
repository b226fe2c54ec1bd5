//! The scripts that run, as the rest of the server sees them.
//!
//! A [`Job`] enters; a [`Running`] leaves at once, which the connection reads the output from. All
//! else happens in one thread of its own ([`watch`](super::watch)), which starts scripts, hears them,
//! signals them and reaps them; so no worker ever waits for a process, not even for fork and exec,
//! which take their time on a busy machine.

use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};
use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crossbeam_channel::{bounded, unbounded};
use nix::fcntl::{FcntlArg, OFlag, fcntl};

use super::complaint::printable;
use super::desk::{Desk, Fate, Order, Ordered, Place, Tell};
use super::job::{Bounds, End, Job, NotStarted};
use super::note::{Note, Why};
use super::script::{KILL_AFTER, status_of};
use super::watch::Watch;
use crate::sys::fd::Counted;
use crate::sys::process;

/// The watching thread's stack: what it needs at its deepest is the start of a script.
const STACK: usize = 256 * 1024;

/// All running scripts. Dropping it ends them.
pub struct Children {
    desk: Arc<Desk>,
    watcher: Option<JoinHandle<()>>,
}

impl Children {
    /// No scripts yet. Starts the thread that looks after them: call it after the process has
    /// become a daemon.
    ///
    /// # Errors
    /// No descriptors or no thread to be had.
    pub fn new(tell: Tell) -> io::Result<Children> {
        process::keep_ended_children();
        let (orders, taken) = unbounded();
        let desk = Arc::new(Desk::new(orders, tell)?);
        let watch = Watch::new(Arc::clone(&desk), taken)?;
        let thread = thread::Builder::new().name("scripts".into()).stack_size(STACK);
        let watcher = thread.spawn(move || watch.run())?;
        Ok(Children { desk, watcher: Some(watcher) })
    }

    /// Has `job` started, in its own directory and its own process group, if `bounds` allow. Whether
    /// that went well is known when its output ends: see [`Running::end`].
    ///
    /// # Errors
    /// It will not be started.
    pub fn run(&self, job: Job, bounds: Bounds) -> Result<Running, NotStarted> {
        let place = Place::take(&self.desk, bounds.scripts).ok_or(NotStarted::Busy)?;
        let (output, written) = io::pipe().map_err(|_| NotStarted::NoRoom)?;
        let output = OwnedFd::from(output);
        // The flag belongs to our end alone.
        fcntl(output.as_fd(), FcntlArg::F_SETFL(OFlag::O_NONBLOCK)).map_err(|_| NotStarted::NoRoom)?;
        let (id, name, output) = (self.desk.next_id(), printable(&job.name), File::from(output));
        let fate = Arc::new(Fate::of(&output).map_err(|_| NotStarted::NoRoom)?);
        let ordered = Ordered {
            id,
            job,
            scripts: bounds.scripts,
            due: (!bounds.time.is_zero()).then(|| Instant::now() + bounds.time),
            output: written.into(),
            fate: Arc::clone(&fate),
            place,
        };
        self.desk.give(Order::Start(Box::new(ordered)));
        let desk = Arc::clone(&self.desk);
        Ok(Running {
            id,
            name,
            output,
            fate,
            desk,
            unwanted: Some(Why::Unwanted),
            _descriptors: Counted::new(5),
        })
    }

    /// Scripts that run now: ordered and not yet reaped.
    pub fn count(&self) -> usize {
        self.desk.count()
    }

    /// For SIGCHLD: reaps what has ended. That includes processes that were never ours but became
    /// so when their parent died, as happens to process 1 of a container; so only a process that
    /// has no other children may call it.
    pub fn reap(&self) {
        self.desk.give(Order::Reap);
    }

    /// Ends all scripts and lets no more start: INT now, KILL after `grace`. Returns when all have
    /// been reaped.
    pub fn stop(&self, grace: Duration) {
        self.desk.close();
        let (done, told) = bounded(1);
        self.desk.give(Order::Stop { grace, done });
        // Beyond the grace only what the kernel itself holds back can still be there.
        _ = told.recv_timeout(grace + KILL_AFTER);
    }
}

impl fmt::Debug for Children {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Children").field("running", &self.count()).finish()
    }
}

impl Drop for Children {
    fn drop(&mut self) {
        self.stop(Duration::ZERO);
        if let Some(watcher) = self.watcher.take() {
            _ = watcher.join();
        }
    }
}

/// One script, as its connection sees it. Dropping it ends the script, unless it was
/// [released](Running::release).
pub struct Running {
    id: u64,
    name: String,
    output: File,
    fate: Arc<Fate>,
    desk: Arc<Desk>,
    /// Why a drop ends it; none after release.
    unwanted: Option<Why>,
    /// The output, its set, standard error, a handle on the process, and at first the outcome of its exec.
    _descriptors: Counted,
}

impl Running {
    /// A descriptor that is readable when there is output, or an end of it, or of the script.
    pub fn news(&self) -> RawFd {
        self.fate.news.0.as_raw_fd()
    }

    /// Is it known whether the script's file could be executed?
    pub fn is_decided(&self) -> bool {
        self.fate.decided.load(SeqCst)
    }

    /// Reads output.
    ///
    /// # Errors
    /// `WouldBlock` when there is none yet; a read of 0 bytes is its end.
    pub fn read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        (&self.output).read(buffer)
    }

    /// How the script ended, or why it never began; none while it runs.
    pub fn end(&self) -> Option<Result<End, NotStarted>> {
        // The kernel knows before the watching thread has come to it.
        self.fate.end.get().copied().or_else(|| {
            let status = status_of(self.fate.pidfd.get()?)?;
            Some(Ok(End { status, by: self.fate.by.get().copied() }))
        })
    }

    /// Has it been reaped, or will it not be started?
    pub fn is_over(&self) -> bool {
        self.fate.end.get().is_some()
    }

    /// Ends the script, for the reason `why`.
    pub fn finish_off(mut self, why: Why) {
        self.unwanted = Some(why);
    }

    /// Lets the script go on, within its time limit, after its output has ended.
    pub fn release(mut self) {
        self.unwanted = None;
    }

    /// Tells the log that the output was of no use, and how the script ended if it did.
    pub fn complain(&self, reason: &str) {
        let reason = match self.end() {
            Some(Ok(end)) => format!("{reason} ({})", end.status),
            _ => reason.to_owned(),
        };
        self.desk.tell(&Note::BadOutput { name: self.name.clone(), reason });
    }
}

impl fmt::Debug for Running {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Running").field("name", &self.name).field("over", &self.is_over()).finish()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(why) = self.unwanted
            && !self.is_over()
        {
            self.fate.unwanted.store(true, SeqCst);
            self.desk.give(Order::End { id: self.id, why });
        }
    }
}

#[cfg(test)]
mod tests;
