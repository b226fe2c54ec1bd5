//! Running scripts, as the rest of the server uses them.
//!
//! [`Children::run`] takes a [`Job`] and returns a [`RunningScript`] at once, which the connection reads
//! output from. One thread (`supervisor_thread`) starts, reads, signals and
//! reaps all scripts. No worker waits for a process, not even for fork and exec, which take long on a busy
//! machine.

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
use super::supervisor::{EventSink, ScriptCommand, ScriptSlot, ScriptStatus, StartRequest, Supervisor};
use super::supervisor_thread::SupervisorThread;
use crate::config::printable::printable;
use crate::sys::fd::FdGuard;
use crate::sys::latch::latch;
use crate::sys::socket::readable;
use crate::sys::{process, thread};

/// Stack size of the supervisor thread in bytes; starting a script needs most of it.
const STACK: usize = 256 * 1024;

/// All running scripts. Dropping the value ends them.
pub struct Children {
    supervisor: Arc<Supervisor>,
    watcher: Option<JoinHandle<()>>,
}

impl Children {
    /// Starts the supervisor thread, without scripts. Call this after the process has become a daemon.
    ///
    /// # Errors
    /// No descriptors or threads are left.
    pub fn new(report: EventSink) -> io::Result<Children> {
        process::keep_ended_children();
        let supervisor = Arc::new(Supervisor::new(report)?);
        let watch = SupervisorThread::new(Arc::clone(&supervisor))?;
        let watcher = thread::start("scripts", STACK, Box::new(move || watch.run()))?;
        Ok(Children { supervisor, watcher: Some(watcher) })
    }

    /// Takes a slot and descriptors for a script, so that its start lacks none of them later.
    ///
    /// # Errors
    /// As many scripts run as may, or the system lacks descriptors.
    pub fn reserve(&self, bounds: ScriptBounds) -> Result<ScriptReservation, StartError> {
        let slot = ScriptSlot::take(&self.supervisor, bounds.scripts).ok_or(StartError::Busy)?;
        let (output, written) = io::pipe().map_err(|_| StartError::NoRoom)?;
        let output = OwnedFd::from(output);
        // O_NONBLOCK applies to the server's end of the pipe alone.
        fcntl(output.as_fd(), FcntlArg::F_SETFL(OFlag::O_NONBLOCK)).map_err(|_| StartError::NoRoom)?;
        let output = File::from(output);
        let status_cell = Arc::new(ScriptStatus::from_output(&output).map_err(|_| StartError::NoRoom)?);
        Ok(ScriptReservation { bounds, slot, output, written: written.into(), status_cell })
    }

    /// Has `job` started, in its own directory and its own process group. Whether that went well is known
    /// when its output ends: see [`RunningScript::end`].
    pub fn run(&self, job: Job, reservation: ScriptReservation) -> RunningScript {
        let ScriptReservation { bounds, slot, output, written, status_cell } = reservation;
        let (id, name) = (self.supervisor.next_id(), printable(&job.name));
        let request = StartRequest {
            id,
            job,
            scripts: bounds.scripts,
            due: (!bounds.time.is_zero()).then(|| Instant::now() + bounds.time),
            room_until: Instant::now() + bounds.room,
            lacks_room: false,
            output: written,
            status_cell: Arc::clone(&status_cell),
            slot,
        };
        self.supervisor.send(ScriptCommand::Start(Box::new(request)));
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

    /// Number of scripts that were requested and are not yet reaped.
    pub fn count(&self) -> usize {
        self.supervisor.count()
    }

    /// Reaps ended children after SIGCHLD, including orphans that process 1 of a container inherits.
    ///
    /// Only a process without other children may call this.
    pub fn reap(&self) {
        self.supervisor.send(ScriptCommand::Reap);
    }

    /// Ends all scripts, with INT now and KILL after `grace`, and refuses new ones.
    ///
    /// Returns when all scripts have been reaped.
    pub fn stop(&self, grace: Duration) {
        self.supervisor.close();
        let (done, told) = latch();
        self.supervisor.send(ScriptCommand::Stop { grace, done });
        // After the grace time, only processes in an uninterruptible system call can remain.
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
    slot: ScriptSlot,
    output: File,
    written: OwnedFd,
    status_cell: Arc<ScriptStatus>,
}

/// One script, as its connection uses it. Dropping the value ends the script, unless it was
/// [released](RunningScript::release).
pub struct RunningScript {
    id: u64,
    name: String,
    output: File,
    status_cell: Arc<ScriptStatus>,
    supervisor: Arc<Supervisor>,
    /// Reason for ending the script on drop; `None` after release.
    unwanted: Option<KillReason>,
    /// Descriptors of one script: output, epoll set, standard error, pidfd and the exec status pipe.
    _descriptors: FdGuard,
}

impl RunningScript {
    /// Descriptor that is readable when output has arrived, the output has ended, or the script has ended.
    pub fn poll_fd(&self) -> RawFd {
        self.status_cell.readiness.0.as_raw_fd()
    }

    /// Tells whether the result of exec is known.
    pub fn is_decided(&self) -> bool {
        self.status_cell.decided.load(SeqCst)
    }

    /// Reads output.
    ///
    /// # Errors
    /// `WouldBlock` without new output; a read of 0 bytes is the end.
    pub fn read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        (&self.output).read(buffer)
    }

    /// Number of bytes of output that can be read now.
    pub fn unread(&self) -> usize {
        readable(&self.output)
    }

    /// Exit of the script, or the reason why it was not started; `None` while it runs.
    pub fn end(&self) -> Option<Result<ScriptExit, StartError>> {
        // The kernel may know the exit before the supervisor thread has processed it.
        self.status_cell.end.get().copied().or_else(|| {
            let status = status_of(self.status_cell.pidfd.get()?)?;
            Some(Ok(ScriptExit { status, by: self.status_cell.by.get().copied() }))
        })
    }

    /// Tells whether the script was reaped, or will not be started.
    pub fn is_over(&self) -> bool {
        self.status_cell.end.get().is_some()
    }

    /// Ends the script for the reason `why`.
    pub fn finish_off(mut self, why: KillReason) {
        self.unwanted = Some(why);
    }

    /// Lets the script run on within its time limit, after its output has ended.
    pub fn release(mut self) {
        self.unwanted = None;
    }

    /// Logs that the output was not usable, and the exit status if the script has ended.
    pub fn log_failure(&self, reason: &str) {
        let reason = match self.end() {
            Some(Ok(end)) => format!("{reason} ({})", end.status),
            _ => reason.to_owned(),
        };
        self.supervisor.report(&ScriptEvent::BadOutput { name: self.name.clone(), reason });
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
            self.supervisor.send(ScriptCommand::End { id: self.id, why });
        }
    }
}

#[cfg(test)]
mod tests;
