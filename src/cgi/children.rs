//! The scripts that run, as the rest of the server sees them.
//!
//! A [`Job`] enters; a [`Running`] leaves at once, which the connection reads the output from. All
//! else happens in one thread of its own ([`watch`](super::watch)), which starts scripts, hears them,
//! signals them and reaps them; so no worker ever waits for a process, not even for fork and exec,
//! which take their time on a busy machine.

use std::ffi::OsString;
use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, OwnedFd};
use std::process::ExitStatus;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, OnceLock};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crossbeam_channel::{Sender, bounded, unbounded};
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::sys::eventfd::{EfdFlags, EventFd};

use super::complaint::printable;
use super::note::{Note, Why};
use super::script::{KILL_AFTER, status_of};
use super::watch::{Order, Ordered, Watch};
use crate::sys::process;

/// The watching thread's stack: what it needs at its deepest is the start of a script.
const STACK: usize = 256 * 1024;

/// Where [`Note`]s go. Must not wait.
pub type Tell = Box<dyn Fn(&Note) + Send + Sync>;

/// A script to run.
#[derive(Debug)]
pub struct Job {
    /// Its file, relative to the process's working directory.
    pub name: Vec<u8>,
    /// Its arguments, without its name.
    pub arguments: Vec<OsString>,
    /// Its whole environment.
    pub variables: Vec<(OsString, OsString)>,
    /// Its standard input, positioned at the start.
    pub input: File,
}

/// Bounds on scripts. They belong to a configuration, and so may change while scripts run.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    /// Scripts at once (`cgilimit`); 0 = no bound.
    pub scripts: usize,
    /// Run time of each (`cgi_timeout`); zero = no bound.
    pub time: Duration,
}

/// Why a script does not run. The log has been told more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NotStarted {
    /// As many run as may, or the server stops.
    Busy,
    /// There is no room for another process.
    NoRoom,
    /// This one cannot be run.
    Unrunnable,
}

/// How a script ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct End {
    /// What the kernel says.
    pub status: ExitStatus,
    /// Why we ended it, if we did.
    pub by: Option<Why>,
}

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
        let bell = EventFd::from_flags(EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK)?;
        let desk = Arc::new(Desk {
            orders,
            bell,
            count: AtomicUsize::new(0),
            last_id: AtomicU64::new(0),
            closed: AtomicBool::new(false),
            tell,
        });
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
        let id = self.desk.last_id.fetch_add(1, SeqCst) + 1;
        let name = printable(&job.name);
        let fate = Arc::new(Fate::default());
        let ordered =
            Ordered { id, job, limit: bounds.time, output: written.into(), fate: Arc::clone(&fate), place };
        self.desk.give(Order::Start(Box::new(ordered)));
        let (output, desk) = (output.into(), Arc::clone(&self.desk));
        Ok(Running { id, name, output, fate, desk, unwanted: Some(Why::Unwanted) })
    }

    /// Scripts that run now: ordered and not yet reaped.
    pub fn count(&self) -> usize {
        self.desk.count.load(SeqCst)
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
        self.desk.closed.store(true, SeqCst);
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
}

impl Running {
    /// The script's standard output: our end of the pipe, non-blocking.
    pub fn output(&self) -> &File {
        &self.output
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

    /// Has it been reaped, with all of its group?
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

/// Where orders to the watching thread are given, and what both sides count.
pub(super) struct Desk {
    orders: Sender<Order>,
    /// Wakes the watching thread.
    pub(super) bell: EventFd,
    /// Scripts ordered and not yet reaped.
    count: AtomicUsize,
    last_id: AtomicU64,
    /// No more scripts are taken.
    closed: AtomicBool,
    tell: Tell,
}

impl Desk {
    fn give(&self, order: Order) {
        // The thread goes only when the server does. The bell is full only when it has rung already.
        _ = self.orders.send(order);
        _ = self.bell.write(1);
    }

    pub(super) fn tell(&self, note: &Note) {
        (self.tell)(note);
    }
}

/// What becomes of one script, for its connection to see.
#[derive(Debug, Default)]
pub(super) struct Fate {
    /// The process, once it is started, where the kernel has such a thing.
    pub(super) pidfd: OnceLock<OwnedFd>,
    /// Why it was sent INT, if it was.
    pub(super) by: OnceLock<Why>,
    /// How it ended, once it has been reaped with its group; or why it was not started.
    pub(super) end: OnceLock<Result<End, NotStarted>>,
    /// Its connection is gone.
    pub(super) unwanted: AtomicBool,
}

/// One script's place among those that may run at once; given back when dropped.
pub(super) struct Place(Arc<Desk>);

impl Place {
    /// A place, if fewer than `most` are taken (0 = no bound) and there are any to be had.
    fn take(desk: &Arc<Desk>, most: usize) -> Option<Place> {
        let more = |count| (most == 0 || count < most).then_some(count + 1);
        desk.count.fetch_update(SeqCst, SeqCst, more).ok()?;
        let place = Place(Arc::clone(desk));
        (!desk.closed.load(SeqCst)).then_some(place)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.count.fetch_sub(1, SeqCst);
    }
}

#[cfg(test)]
mod tests;
