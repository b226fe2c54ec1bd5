//! State shared by [`children`](super::children) and the [`supervisor_thread`](super::supervisor_thread): the
//! commands, each script's status, and the count of slots in use.

use std::fs::File;
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags};
use nix::sys::eventfd::{EfdFlags, EventFd};

use super::event::{KillReason, ScriptEvent};
use super::job::{Job, ScriptExit, StartError};
use crate::sys::latch::LatchSetter;

/// Where [`ScriptEvent`]s go. Must not wait.
pub type EventSink = Box<dyn Fn(&ScriptEvent) + Send + Sync>;

/// Commands to the supervisor thread.
pub(super) enum ScriptCommand {
    /// Start a script.
    Start(Box<StartRequest>),
    /// ScriptExit one.
    End { id: u64, why: KillReason },
    /// Reap what has ended, strangers too.
    Reap,
    /// ScriptExit all, INT now and KILL after `grace`; say when it is done.
    Stop { grace: Duration, done: LatchSetter },
}

/// A script to start.
pub(super) struct StartRequest {
    pub(super) id: u64,
    pub(super) job: Job,
    /// Scripts that may run at once; 0 = no bound.
    pub(super) scripts: usize,
    /// When it is to be ended; none without a limit. FdGuard from the order.
    pub(super) due: Option<Instant>,
    /// Until when its start waits for what the system lacks.
    pub(super) room_until: Instant,
    /// The last try failed for that.
    pub(super) lacks_room: bool,
    /// Its standard output.
    pub(super) output: OwnedFd,
    pub(super) status_cell: Arc<ScriptStatus>,
    pub(super) place: ScriptSlot,
}

/// Where orders to the watching thread are given, and what both sides count.
pub(super) struct Supervisor {
    orders: Mutex<Vec<ScriptCommand>>,
    /// Wakes the watching thread.
    pub(super) notifier: EventFd,
    /// Readable for ever: put into a set of descriptors, it wakes those who wait for the set.
    readable: EventFd,
    /// Scripts ordered and not yet reaped.
    count: AtomicUsize,
    last_id: AtomicU64,
    /// No more scripts are taken.
    closed: AtomicBool,
    tell: EventSink,
}

impl Supervisor {
    /// Nothing is ordered yet.
    ///
    /// # Errors
    /// No descriptors to be had.
    pub(super) fn new(tell: EventSink) -> nix::Result<Supervisor> {
        let flags = EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK;
        let (notifier, readable) = (EventFd::from_flags(flags)?, EventFd::from_value_and_flags(1, flags)?);
        let (count, last_id, closed) = (AtomicUsize::new(0), AtomicU64::new(0), AtomicBool::new(false));
        Ok(Supervisor { orders: Mutex::default(), notifier, readable, count, last_id, closed, tell })
    }

    /// Settles a script's fate, and wakes its connection: background jobs may hold the pipe of its output
    /// open, so that the end of the output does not tell.
    pub(super) fn settle(&self, status_cell: &ScriptStatus, end: Result<ScriptExit, StartError>) {
        if status_cell.end.set(end).is_ok() {
            // Should that fail, the connection looks again in half a second by itself.
            _ = status_cell.news.add(&self.readable, EpollEvent::new(EpollFlags::EPOLLIN, 0));
        }
    }

    /// A number that no script has had.
    pub(super) fn next_id(&self) -> u64 {
        self.last_id.fetch_add(1, SeqCst) + 1
    }

    /// Scripts ordered and not yet reaped.
    pub(super) fn count(&self) -> usize {
        self.count.load(SeqCst)
    }

    /// Takes no more scripts.
    pub(super) fn close(&self) {
        self.closed.store(true, SeqCst);
    }

    /// Gives the watching thread an order, and wakes it.
    pub(super) fn give(&self, order: ScriptCommand) {
        self.orders.lock().unwrap_or_else(PoisonError::into_inner).push(order);
        // The notifier is full only when it is signalled already.
        _ = self.notifier.write(1);
    }

    /// Takes the orders that were given, the first one first.
    pub(super) fn take_orders(&self) -> Vec<ScriptCommand> {
        std::mem::take(&mut *self.orders.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Tells the log.
    pub(super) fn tell(&self, event: &ScriptEvent) {
        (self.tell)(event);
    }
}

/// Status of one script, as its connection sees it.
#[derive(Debug)]
pub(super) struct ScriptStatus {
    /// Readable when there is output, or the fate is settled.
    pub(super) news: Epoll,
    /// The process, once its file is executed, where the kernel has such a thing.
    pub(super) pidfd: OnceLock<Arc<OwnedFd>>,
    /// Its file is executed, or will not be.
    pub(super) decided: AtomicBool,
    /// KillReason it was sent INT, if it was.
    pub(super) by: OnceLock<KillReason>,
    /// How it ended, once it has been reaped; or why it was not started.
    pub(super) end: OnceLock<Result<ScriptExit, StartError>>,
    /// Its connection is gone.
    pub(super) unwanted: AtomicBool,
}

impl ScriptStatus {
    /// Nothing is known yet of the script that writes to `output`.
    ///
    /// # Errors
    /// No descriptors to be had.
    pub(super) fn from_output(output: &File) -> nix::Result<ScriptStatus> {
        let news = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
        news.add(output, EpollEvent::new(EpollFlags::EPOLLIN, 0))?;
        Ok(ScriptStatus {
            news,
            pidfd: OnceLock::new(),
            decided: AtomicBool::new(false),
            by: OnceLock::new(),
            end: OnceLock::new(),
            unwanted: AtomicBool::new(false),
        })
    }
}

/// One script's place among those that may run at once; given back when dropped.
pub(super) struct ScriptSlot(Arc<Supervisor>);

impl ScriptSlot {
    /// A place, if fewer than `most` are taken (0 = no bound) and there are any to be had.
    pub(super) fn take(supervisor: &Arc<Supervisor>, most: usize) -> Option<ScriptSlot> {
        let more = |count| (most == 0 || count < most).then_some(count + 1);
        supervisor.count.fetch_update(SeqCst, SeqCst, more).ok()?;
        let place = ScriptSlot(Arc::clone(supervisor));
        (!supervisor.closed.load(SeqCst)).then_some(place)
    }
}

impl Drop for ScriptSlot {
    fn drop(&mut self) {
        self.0.count.fetch_sub(1, SeqCst);
    }
}
