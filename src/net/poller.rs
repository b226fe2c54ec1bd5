//! Poller: every waiting connection waits here and holds no worker.
//!
//! The poller consists of an edge-triggered epoll set in which idle workers themselves wait, a slot for
//! each descriptor number, and the deadlines. A socket is registered once, when it is first parked, and
//! stays registered for life: a request on a parked connection costs no call to arm anything.
//!
//! An edge that comes while a worker has the connection is noted in its slot; the worker finds the note
//! when it parks the connection, and tries again. So no wake-up is lost. A connection is never in two
//! places: the thread that takes it out of its slot, under the slot's lock, owns it.

use std::collections::VecDeque;
use std::io;
use std::os::fd::RawFd;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst, fence};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Instant;

use nix::errno::Errno;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use nix::sys::eventfd::{EfdFlags, EventFd};

use super::admission::MOST_DESCRIPTORS;
use super::admitted::{AdmittedConnection, ReadyConnection};
use super::timers::{Deadlines, Due, TimerEvent};

use crate::cache::Ticket;
use crate::conn::io::spin::SpinWait;
use crate::conn::wait::{On, Wait, Wake};

/// Number of slots that are allocated at once.
const CHUNK: usize = 1024;
/// Number of chunks, enough for a slot of each descriptor number.
const CHUNKS: usize = MOST_DESCRIPTORS / CHUNK;

/// Events taken from the set at once. The connections behind them are served one after another, so
/// many would make the last of them wait; few cost a system call each.
const BATCH: usize = 32;

/// Key of the notifier in the epoll set.
const NOTIFIER: u64 = u64::MAX;

/// Marks an event of a script's pipe; the key is that of its connection's socket.
const PIPE: u64 = 1 << 32;

/// Events watched on every registered socket.
const INPUT: EpollFlags = EpollFlags::EPOLLIN.union(EpollFlags::EPOLLRDHUP).union(EpollFlags::EPOLLET);

/// Slot of one descriptor number.
#[derive(Debug, Default)]
struct PollSlot {
    parked: Option<(Box<AdmittedConnection>, Wait)>,
    /// Set if an edge came while a worker had the connection.
    missed: bool,
    /// Set if that edge reported that the peer has shut down its side.
    hangup: bool,
    /// Deadline of the connection; other entries of the slot in [`Deadlines`] are stale.
    deadline: Option<Instant>,
}

/// Slots of neighbouring descriptor numbers.
type Chunk = Box<[Mutex<PollSlot>]>;

/// Epoll set, slots and deadlines: see the module.
#[derive(Debug)]
pub struct Poller {
    set: Epoll,
    notifier: EventFd,
    /// Number of workers that wait in the set, or are about to.
    idle: AtomicUsize,
    /// Slots by descriptor number, allocated in chunks as the numbers come into use.
    slots: Box<[OnceLock<Chunk>]>,
    deadlines: Deadlines,
}

impl Poller {
    /// Creates a poller without connections.
    ///
    /// # Errors
    /// The system lacks descriptors.
    pub fn new() -> io::Result<Poller> {
        let set = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
        let notifier = EventFd::from_flags(EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK)?;
        set.add(&notifier, EpollEvent::new(EpollFlags::EPOLLIN | EpollFlags::EPOLLET, NOTIFIER))?;
        let slots = (0..CHUNKS).map(|_| OnceLock::new()).collect();
        Ok(Poller { set, notifier, idle: AtomicUsize::new(0), slots, deadlines: Deadlines::default() })
    }

    /// Parks a connection. Gives it back if the event that it waits for has already happened.
    pub fn park(
        &self,
        mut admitted: Box<AdmittedConnection>,
        wait: Wait,
    ) -> Option<(Box<AdmittedConnection>, Wake)> {
        let key = key_of(&admitted);
        let mut slot = self.slot(key);
        let missed = std::mem::take(&mut slot.missed);
        let hangup = std::mem::take(&mut slot.hangup);
        if missed && !matches!(wait.on, On::Time | On::RemoteStorage) {
            return Some((admitted, if hangup { Wake::Hangup } else { Wake::Ready }));
        }
        // Registered under the slot's lock: an event that this brings finds the connection there.
        if self.watch(&mut admitted, key, wait.on).is_err() {
            return Some((admitted, Wake::Abort));
        }
        slot.parked = Some((admitted, wait));
        if slot.deadline.is_none_or(|deadline| wait.until < deadline) {
            slot.deadline = Some(wait.until);
            self.deadlines.add(wait.until, key);
        }
        None
    }

    /// Stops watching a connection whose worker is about to wait in a read of it. Otherwise the next request
    /// would wake a second worker for nothing.
    pub fn unwatch(&self, admitted: &mut AdmittedConnection) {
        if admitted.watched.socket.is_some_and(|flags| flags != EpollFlags::EPOLLET)
            && self.modify(admitted, EpollFlags::EPOLLET).is_ok()
        {
            admitted.watched.socket = Some(EpollFlags::EPOLLET);
        }
    }

    fn watch(&self, admitted: &mut AdmittedConnection, key: usize, on: On) -> nix::Result<()> {
        let wanted = match on {
            On::Readable | On::Time | On::RemoteStorage => INPUT,
            On::Writable => INPUT | EpollFlags::EPOLLOUT,
            On::Pipe(fd) => {
                self.watch_pipe(key, fd)?;
                INPUT
            }
        };
        let flags = match admitted.watched.socket {
            // EPOLLOUT stays watched once it was asked for: an edge-triggered set reports each change once.
            Some(present) if present.contains(wanted) => return Ok(()),
            Some(present) => {
                self.modify(admitted, present | wanted)?;
                present | wanted
            }
            None => {
                self.set.add(admitted.connection.socket().fd(), EpollEvent::new(wanted, key as u64))?;
                wanted
            }
        };
        admitted.watched.socket = Some(flags);
        Ok(())
    }

    fn modify(&self, admitted: &AdmittedConnection, flags: EpollFlags) -> nix::Result<()> {
        self.set
            .modify(admitted.connection.socket().fd(), &mut EpollEvent::new(flags, key_of(admitted) as u64))
    }

    /// Watches a script's pipe, anew at each wait: the number may be that of another pipe by now.
    fn watch_pipe(&self, key: usize, fd: RawFd) -> nix::Result<()> {
        let mut event = EpollEvent::new(EpollFlags::EPOLLIN | EpollFlags::EPOLLET, key as u64 | PIPE);
        let pipe = crate::sys::fd::borrow(fd);
        match self.set.add(pipe, event) {
            Err(Errno::EEXIST) => self.set.modify(pipe, &mut event),
            answer => answer,
        }
    }

    /// Waits for events, or without a `spin` only polls; takes out every connection that is ready.
    /// `has_ready` tells whether the channel holds a connection. Returns true if the worker slept.
    pub fn wait(
        &self,
        spin: Option<&mut SpinWait>,
        has_ready: &dyn Fn() -> bool,
        ready: &mut VecDeque<ReadyConnection>,
    ) -> bool {
        let mut events = [EpollEvent::empty(); BATCH];
        let mut slept = false;
        let count = match spin {
            None => self.look(&mut events),
            Some(spin) => {
                let look = || Some(self.look(&mut events)).filter(|count| *count > 0 || has_ready());
                spin.poll(look).unwrap_or_else(|| {
                    let (count, has_slept) = spin.block(|| self.sleep(&mut events, has_ready));
                    slept = has_slept;
                    count
                })
            }
        };
        let ticket = Some(Ticket::latest());
        for event in &events[..count] {
            if event.data() != NOTIFIER {
                let taken = self.take(event.data(), event.events());
                ready.extend(taken.map(|(admitted, wake)| ReadyConnection { admitted, wake, ticket }));
            }
        }
        slept
    }

    /// Fetches the events that are ready now.
    fn look(&self, events: &mut [EpollEvent]) -> usize {
        self.set.wait(events, EpollTimeout::ZERO).unwrap_or(0)
    }

    /// Sleeps until something is ready, or handed over.
    fn sleep(&self, events: &mut [EpollEvent], has_ready: &dyn Fn() -> bool) -> usize {
        self.idle.fetch_add(1, SeqCst);
        // A thread that enqueues after the check below sees this worker idle, and notifies.
        fence(SeqCst);
        let timeout = if has_ready() { EpollTimeout::ZERO } else { EpollTimeout::NONE };
        // An interrupted wait is a wait in which nothing happened.
        let count = self.set.wait(events, timeout).unwrap_or(0);
        self.idle.fetch_sub(1, SeqCst);
        count
    }

    /// Takes out the connection that an event is for, if it waits for such an event.
    fn take(&self, data: u64, flags: EpollFlags) -> Option<(Box<AdmittedConnection>, Wake)> {
        let mut slot = self.slot(usize::try_from(data & (PIPE - 1)).ok()?);
        let of_pipe = data & PIPE != 0;
        let gone = !of_pipe && flags.intersects(EpollFlags::EPOLLHUP | EpollFlags::EPOLLERR);
        let hangup = !of_pipe && flags.intersects(EpollFlags::EPOLLRDHUP | EpollFlags::EPOLLHUP);
        let Some((_, wait)) = &slot.parked else {
            slot.missed = true;
            slot.hangup |= hangup;
            return None;
        };
        let wanted = match wait.on {
            On::Readable => !of_pipe && flags.intersects(EpollFlags::EPOLLIN | EpollFlags::EPOLLRDHUP),
            On::Writable => !of_pipe && flags.intersects(EpollFlags::EPOLLOUT),
            On::Pipe(_) => of_pipe,
            On::Time | On::RemoteStorage => false,
        };
        if !wanted && !gone {
            return None;
        }
        let (admitted, _) = slot.parked.take()?;
        Some((admitted, if hangup { Wake::Hangup } else { Wake::Ready }))
    }

    /// Takes out the connection of `key` if it waits for a worker to return from storage.
    pub fn take_from_storage_queue(&self, key: usize) -> Option<Box<AdmittedConnection>> {
        let mut slot = self.slot(key);
        let waits = slot.parked.as_ref().is_some_and(|(_, wait)| wait.on == On::RemoteStorage);
        slot.parked.take_if(|_| waits).map(|(admitted, _)| admitted)
    }

    /// Takes every connection out, and calls `each` with it.
    pub fn take_all(&self, each: &mut dyn FnMut(Box<AdmittedConnection>)) {
        for slot in self.slots.iter().filter_map(OnceLock::get).flatten() {
            let parked = lock(slot).parked.take();
            if let Some((admitted, _)) = parked {
                each(admitted);
            }
        }
    }

    /// Calls `each` with the event that each parked connection waits for.
    pub fn each_wait(&self, each: &mut dyn FnMut(On)) {
        for slot in self.slots.iter().filter_map(OnceLock::get).flatten() {
            if let Some((_, wait)) = &lock(slot).parked {
                each(wait.on);
            }
        }
    }

    /// Wakes one waiting worker.
    pub fn notify(&self) {
        let _ = self.notifier.write(1);
    }

    /// Wakes one waiting worker if there is any; otherwise the next worker to finish will look.
    pub fn notify_if_idle(&self) {
        fence(SeqCst);
        if self.idle() > 0 {
            self.notify();
        }
    }

    /// Number of workers that wait in the set.
    pub fn idle(&self) -> usize {
        self.idle.load(SeqCst)
    }

    /// Hands out every connection at the end of its wait, until the server ends: the timer thread runs here.
    pub fn watch_deadlines(&self, expired: &dyn Fn(Box<AdmittedConnection>)) {
        loop {
            match self.deadlines.next() {
                TimerEvent::Due(key, at) => {
                    if let Some(admitted) = self.expire(key, at) {
                        expired(admitted);
                    }
                }
                TimerEvent::Sweep(entries) => {
                    let counts = |due: &Due| self.slot(due.0.1).deadline == Some(due.0.0);
                    self.deadlines.restore(entries.into_iter().filter(counts).collect());
                }
                TimerEvent::Ended => return,
            }
        }
    }

    fn expire(&self, key: usize, at: Instant) -> Option<Box<AdmittedConnection>> {
        let mut slot = self.slot(key);
        if slot.deadline != Some(at) {
            return None;
        }
        slot.deadline = None;
        let until = slot.parked.as_ref()?.1.until;
        if until <= Instant::now() {
            return slot.parked.take().map(|(admitted, _)| admitted);
        }
        slot.deadline = Some(until);
        self.deadlines.add(until, key);
        None
    }

    /// Ends the timer thread, and wakes a worker to see the end.
    pub fn end(&self) {
        self.deadlines.end();
        self.notify();
    }

    fn slot(&self, key: usize) -> MutexGuard<'_, PollSlot> {
        let chunk = self.slots[key / CHUNK].get_or_init(|| (0..CHUNK).map(|_| Mutex::default()).collect());
        lock(&chunk[key % CHUNK])
    }
}

/// A panic while a slot was locked leaves it whole: every change to it is a single assignment.
fn lock(slot: &Mutex<PollSlot>) -> MutexGuard<'_, PollSlot> {
    slot.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A parked connection's key.
pub fn key_of(admitted: &AdmittedConnection) -> usize {
    usize::try_from(admitted.connection.socket().raw_fd()).unwrap_or_default()
}
