//! The scripts that run, as the rest of the server sees them.
//!
//! A [`Job`] enters; a [`RunningScript`] leaves at once, which the connection reads the output from. All
//! else happens in one thread of its own ([`supervisor_thread`](super::watch)), which starts scripts, hears them,
//! signals them and reaps them; so no worker ever waits for a process, not even for fork and exec,
//! which take their time on a busy machine.

use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};
use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use nix::fcntl::{FcntlArg, OFlag, fcntl};

use super::event::{KillReason, ScriptEvent};
use super::job::{Job, ScriptBounds, ScriptExit, StartError};
use super::script::{KILL_AFTER, status_of};
use super::stderr_lines::printable;
use super::supervisor::{EventSink, ScriptCommand, ScriptSlot, ScriptStatus, StartRequest, Supervisor};
use super::supervisor_thread::SupervisorThread;
use crate::sys::fd::FdGuard;
use crate::sys::latch::latch;
use crate::sys::{process, thread};

/// The watching thread's stack: what it needs at its deepest is the start of a script.
const STACK: usize = 256 * 1024;

/// All running scripts. Dropping it ends them.
pub struct Children {
    supervisor: Arc<Supervisor>,
    watcher: Option<JoinHandle<()>>,
}

impl Children {
    /// No scripts yet. Starts the thread that looks after them: call it after the process has
    /// become a daemon.
    ///
    /// # Errors
    /// No descriptors or no thread to be had.
    pub fn new(tell: EventSink) -> io::Result<Children> {
        process::keep_ended_children();
        let supervisor = Arc::new(Supervisor::new(tell)?);
        let watch = SupervisorThread::new(Arc::clone(&supervisor))?;
        let watcher = thread::start("scripts", STACK, Box::new(move || watch.run()))?;
        Ok(Children { supervisor, watcher: Some(watcher) })
    }

    /// Takes a slot and descriptors for a script, so that its start lacks none of them later.
    ///
    /// # Errors
    /// As many scripts run as may, or the system lacks descriptors.
    pub fn reserve(&self, bounds: ScriptBounds) -> Result<ScriptReservation, StartError> {
        let place = ScriptSlot::take(&self.supervisor, bounds.scripts).ok_or(StartError::Busy)?;
        let (output, written) = io::pipe().map_err(|_| StartError::NoRoom)?;
        let output = OwnedFd::from(output);
        // The flag belongs to our end alone.
        fcntl(output.as_fd(), FcntlArg::F_SETFL(OFlag::O_NONBLOCK)).map_err(|_| StartError::NoRoom)?;
        let output = File::from(output);
        let status_cell = Arc::new(ScriptStatus::from_output(&output).map_err(|_| StartError::NoRoom)?);
        Ok(ScriptReservation { bounds, place, output, written: written.into(), status_cell })
    }

    /// Has `job` started, in its own directory and its own process group. Whether that went well is known
    /// when its output ends: see [`RunningScript::end`].
    pub fn run(&self, job: Job, reservation: ScriptReservation) -> RunningScript {
        let ScriptReservation { bounds, place, output, written, status_cell } = reservation;
        let (id, name) = (self.supervisor.next_id(), printable(&job.name));
        let ordered = StartRequest {
            id,
            job,
            scripts: bounds.scripts,
            due: (!bounds.time.is_zero()).then(|| Instant::now() + bounds.time),
            room_until: Instant::now() + bounds.room,
            lacks_room: false,
            output: written,
            status_cell: Arc::clone(&status_cell),
            place,
        };
        self.supervisor.give(ScriptCommand::Start(Box::new(ordered)));
        let supervisor = Arc::clone(&self.supervisor);
        RunningScript {
            id,
            name,
            output,
            status_cell,
            supervisor,
            unwanted: Some(KillReason::Unwanted),
            _descriptors: FdGuard::new(5),
        }
    }

    /// Scripts that run now: ordered and not yet reaped.
    pub fn count(&self) -> usize {
        self.supervisor.count()
    }

    /// For SIGCHLD: reaps what has ended. That includes processes that were never ours but became
    /// so when their parent died, as happens to process 1 of a container; so only a process that
    /// has no other children may call it.
    pub fn reap(&self) {
        self.supervisor.give(ScriptCommand::Reap);
    }

    /// Ends all scripts and lets no more start: INT now, KILL after `grace`. Returns when all have
    /// been reaped.
    pub fn stop(&self, grace: Duration) {
        self.supervisor.close();
        let (done, told) = latch();
        self.supervisor.give(ScriptCommand::Stop { grace, done });
        // Beyond the grace only what the kernel itself holds back can still be there.
        told.wait(grace + KILL_AFTER);
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

/// A slot and descriptors for one script that is to be started.
pub struct ScriptReservation {
    bounds: ScriptBounds,
    place: ScriptSlot,
    output: File,
    written: OwnedFd,
    status_cell: Arc<ScriptStatus>,
}

/// One script, as its connection sees it. Dropping it ends the script, unless it was
/// [released](RunningScript::release).
pub struct RunningScript {
    id: u64,
    name: String,
    output: File,
    status_cell: Arc<ScriptStatus>,
    supervisor: Arc<Supervisor>,
    /// KillReason a drop ends it; none after release.
    unwanted: Option<KillReason>,
    /// The output, its set, standard error, a handle on the process, and at first the outcome of its exec.
    _descriptors: FdGuard,
}

impl RunningScript {
    /// A descriptor that is readable when there is output, or an end of it, or of the script.
    pub fn news(&self) -> RawFd {
        self.status_cell.news.0.as_raw_fd()
    }

    /// Is it known whether the script's file could be executed?
    pub fn is_decided(&self) -> bool {
        self.status_cell.decided.load(SeqCst)
    }

    /// Reads output.
    ///
    /// # Errors
    /// `WouldBlock` when there is none yet; a read of 0 bytes is its end.
    pub fn read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        (&self.output).read(buffer)
    }

    /// How the script ended, or why it never began; none while it runs.
    pub fn end(&self) -> Option<Result<ScriptExit, StartError>> {
        // The kernel knows before the watching thread has come to it.
        self.status_cell.end.get().copied().or_else(|| {
            let status = status_of(self.status_cell.pidfd.get()?)?;
            Some(Ok(ScriptExit { status, by: self.status_cell.by.get().copied() }))
        })
    }

    /// Has it been reaped, or will it not be started?
    pub fn is_over(&self) -> bool {
        self.status_cell.end.get().is_some()
    }

    /// Ends the script, for the reason `why`.
    pub fn finish_off(mut self, why: KillReason) {
        self.unwanted = Some(why);
    }

    /// Lets the script go on, within its time limit, after its output has ended.
    pub fn release(mut self) {
        self.unwanted = None;
    }

    /// Tells the log that the output was of no use, and how the script ended if it did.
    pub fn log_failure(&self, reason: &str) {
        let reason = match self.end() {
            Some(Ok(end)) => format!("{reason} ({})", end.status),
            _ => reason.to_owned(),
        };
        self.supervisor.tell(&ScriptEvent::BadOutput { name: self.name.clone(), reason });
    }
}

impl fmt::Debug for RunningScript {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RunningScript").field("name", &self.name).field("over", &self.is_over()).finish()
    }
}

impl Drop for RunningScript {
    fn drop(&mut self) {
        if let Some(why) = self.unwanted
            && !self.is_over()
        {
            self.status_cell.unwanted.store(true, SeqCst);
            self.supervisor.give(ScriptCommand::End { id: self.id, why });
        }
    }
}

#[cfg(test)]
mod tests;
