//! State shared by [`children`](mod@super::children) and the `supervisor_thread`.
//!
//! The state holds the commands, each script's status, and the count of slots in use.

use std::fs::File;
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags};
use nix::sys::eventfd::{EfdFlags, EventFd};

use super::event::{KillReason, ScriptEvent};
use super::job::{Job, ScriptExit, StartError};
use crate::sys::atomic::AtomicU64;
use crate::sys::latch::LatchSetter;

/// Receiver of [`ScriptEvent`]s, which must not block.
pub type EventSink = Box<dyn Fn(&ScriptEvent) + Send + Sync>;

/// Commands to the supervisor thread.
pub(super) enum ScriptCommand {
    /// Start a script.
    Start(Box<StartRequest>),
    /// Ends a script.
    End { id: u64, why: KillReason },
    /// Reaps ended children, orphans included.
    Reap,
    /// Ends all scripts, with INT now and KILL after `grace`, and confirms on `done`.
    Stop { grace: Duration, done: LatchSetter },
}

/// Script to start.
pub(super) struct StartRequest {
    pub(super) id: u64,
    pub(super) job: Job,
    /// Maximum number of simultaneous scripts; 0 = no limit.
    pub(super) scripts: usize,
    /// Time at which the script is to be ended, counted from the request; `None` without a limit.
    pub(super) due: Option<Instant>,
    /// Time until which the start waits for resources that the system lacks.
    pub(super) room_until: Instant,
    /// Set if the last try failed for lack of resources.
    pub(super) lacks_room: bool,
    /// Standard output of the script.
    pub(super) output: OwnedFd,
    pub(super) status_cell: Arc<ScriptStatus>,
    pub(super) slot: ScriptSlot,
}

/// Command queue of the supervisor thread, and counters shared with it.
pub(super) struct Supervisor {
    commands: Mutex<Vec<ScriptCommand>>,
    /// Eventfd that wakes the supervisor thread.
    pub(super) notifier: EventFd,
    /// Eventfd that is always readable: added to an epoll set, it wakes the threads waiting for that set.
    readable: EventFd,
    /// Number of scripts that were requested and are not yet reaped.
    count: AtomicUsize,
    last_id: AtomicU64,
    /// Set if no more scripts are accepted.
    closed: AtomicBool,
    report: EventSink,
}

impl Supervisor {
    /// Supervisor state without scripts.
    ///
    /// # Errors
    /// No descriptors are left.
    pub(super) fn new(report: EventSink) -> nix::Result<Supervisor> {
        let flags = EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK;
        let (notifier, readable) = (EventFd::from_flags(flags)?, EventFd::from_value_and_flags(1, flags)?);
        let (count, last_id, closed) = (AtomicUsize::new(0), AtomicU64::new(0), AtomicBool::new(false));
        Ok(Supervisor { commands: Mutex::default(), notifier, readable, count, last_id, closed, report })
    }

    /// Records the end of a script, and wakes its connection.
    ///
    /// Background jobs may hold the output pipe open, so that the end of the output alone does not tell.
    pub(super) fn settle(&self, status_cell: &ScriptStatus, end: Result<ScriptExit, StartError>) {
        if status_cell.end.set(end).is_ok() {
            // If this fails, the connection notices the end by its own timer within half a second.
            _ = status_cell.readiness.add(&self.readable, EpollEvent::new(EpollFlags::EPOLLIN, 0));
        }
    }

    /// New script id, never used before.
    pub(super) fn next_id(&self) -> u64 {
        self.last_id.fetch_add(1, SeqCst) + 1
    }

    /// Number of scripts that were requested and are not yet reaped.
    pub(super) fn count(&self) -> usize {
        self.count.load(SeqCst)
    }

    /// Refuses further scripts.
    pub(super) fn close(&self) {
        self.closed.store(true, SeqCst);
    }

    /// Sends a command to the supervisor thread, and wakes the thread.
    pub(super) fn send(&self, command: ScriptCommand) {
        self.commands.lock().unwrap_or_else(PoisonError::into_inner).push(command);
        // The notifier is full only when it is signalled already.
        _ = self.notifier.write(1);
    }

    /// Takes the commands sent so far, in order.
    pub(super) fn take_commands(&self) -> Vec<ScriptCommand> {
        std::mem::take(&mut *self.commands.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Passes an event to the log.
    pub(super) fn report(&self, event: &ScriptEvent) {
        (self.report)(event);
    }
}

/// Status of one script, shared with its connection.
#[derive(Debug)]
pub(super) struct ScriptStatus {
    /// Epoll set that is readable when output has arrived or the end is recorded.
    pub(super) readiness: Epoll,
    /// pidfd of the process after exec, if the kernel supports that.
    pub(super) pidfd: OnceLock<Arc<OwnedFd>>,
    /// Set once the result of exec is known.
    pub(super) decided: AtomicBool,
    /// Reason for sending INT, if INT was sent.
    pub(super) by: OnceLock<KillReason>,
    /// Exit of the script after reaping, or the reason why it was not started.
    pub(super) end: OnceLock<Result<ScriptExit, StartError>>,
    /// Set if the connection is closed.
    pub(super) unwanted: AtomicBool,
}

impl ScriptStatus {
    /// Initial status of the script that writes to `output`.
    ///
    /// # Errors
    /// No descriptors are left.
    pub(super) fn from_output(output: &File) -> nix::Result<ScriptStatus> {
        let readiness = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
        readiness.add(output, EpollEvent::new(EpollFlags::EPOLLIN, 0))?;
        Ok(ScriptStatus {
            readiness,
            pidfd: OnceLock::new(),
            decided: AtomicBool::new(false),
            by: OnceLock::new(),
            end: OnceLock::new(),
            unwanted: AtomicBool::new(false),
        })
    }
}

/// Slot in the limit on simultaneous scripts, returned on drop.
pub(super) struct ScriptSlot(Arc<Supervisor>);

impl ScriptSlot {
    /// Takes a slot if fewer than `most` are taken (0 = no limit) and the supervisor is open.
    pub(super) fn take(supervisor: &Arc<Supervisor>, most: usize) -> Option<ScriptSlot> {
        let more = |count| (most == 0 || count < most).then_some(count + 1);
        supervisor.count.fetch_update(SeqCst, SeqCst, more).ok()?;
        let slot = ScriptSlot(Arc::clone(supervisor));
        (!supervisor.closed.load(SeqCst)).then_some(slot)
    }
}

impl Drop for ScriptSlot {
    fn drop(&mut self) {
        self.0.count.fetch_sub(1, SeqCst);
    }
}
