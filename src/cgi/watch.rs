//! The thread that looks after all scripts: starts them, reads their standard error, keeps their time
//! limit, ends and reaps them.
//!
//! It owns every script, and takes [`Order`]s from the [`desk`](super::desk). It waits in one
//! place for all of them, and starts one script between two looks, so that a crowd that wants to
//! start does not keep those that run from being heard.

use std::collections::{HashMap, VecDeque};
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender};
use nix::errno::Errno;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use nix::sys::wait::{Id, WaitPidFlag, waitid, waitpid};

use super::complaint::printable;
use super::desk::{Desk, Fate, Order, Ordered, Place};
use super::job::NotStarted;
use super::note::{Note, Why};
use super::script::{KILL_AFTER, Script};
use crate::sys::reason;

/// How often scripts are looked at where the kernel cannot tell of their end (before Linux 5.3).
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// Events taken at once.
const BATCH: usize = 64;
/// The event of the bell. Script numbers begin at 1.
const BELL: u64 = 0;

/// A script that has not been reaped.
struct Entry {
    script: Script,
    fate: Arc<Fate>,
    place: Place,
}

/// The thread's possessions.
pub(super) struct Watch {
    desk: Arc<Desk>,
    orders: Receiver<Order>,
    epoll: Epoll,
    scripts: HashMap<u64, Entry>,
    /// To be started, in order.
    waiting: VecDeque<Ordered>,
    /// Whom to tell when the last script is gone; the thread ends then.
    stopping: Vec<Sender<()>>,
}

impl Watch {
    /// No scripts yet.
    ///
    /// # Errors
    /// No descriptors to be had.
    pub(super) fn new(desk: Arc<Desk>, orders: Receiver<Order>) -> io::Result<Watch> {
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
        epoll.add(&desk.bell, EpollEvent::new(EpollFlags::EPOLLIN, BELL))?;
        let (scripts, waiting) = (HashMap::new(), VecDeque::new());
        Ok(Watch { desk, orders, epoll, scripts, waiting, stopping: Vec::new() })
    }

    /// The thread.
    pub(super) fn run(mut self) {
        let mut events = [EpollEvent::empty(); BATCH];
        while self.stopping.is_empty() || !self.scripts.is_empty() {
            match self.epoll.wait(&mut events, self.next_wait()) {
                Ok(n) => self.attend(&events[..n]),
                Err(Errno::EINTR) => {}
                // Nothing else can be wrong with arguments that were right before.
                Err(_) => return,
            }
        }
        for done in self.stopping {
            _ = done.send(());
        }
    }

    /// How long until something is due.
    fn next_wait(&self) -> EpollTimeout {
        if !self.waiting.is_empty() {
            return EpollTimeout::ZERO;
        }
        let now = Instant::now();
        let due = self.scripts.values().filter_map(|entry| entry.script.due()).min();
        let mut wait = due.map(|due| due.saturating_duration_since(now));
        if self.must_look() {
            wait = Some(wait.map_or(LOOK_EVERY, |wait| wait.min(LOOK_EVERY)));
        }
        // Rounded up: to wake a moment early would be to wake twice.
        let millis = wait.map(|wait| wait.as_millis().saturating_add(1).min(60_000));
        millis.and_then(|ms| EpollTimeout::try_from(ms).ok()).unwrap_or(EpollTimeout::NONE)
    }

    /// Is there a script whose end the kernel does not tell?
    fn must_look(&self) -> bool {
        self.scripts.values().any(|entry| entry.fate.pidfd.get().is_none())
    }

    fn attend(&mut self, events: &[EpollEvent]) {
        let mut notes = Vec::new();
        for event in events {
            match event.data() {
                BELL => _ = self.desk.bell.read(),
                end if end & 1 == 1 => self.reap(end >> 1, &mut notes),
                stderr => self.listen(stderr >> 1, &mut notes),
            }
        }
        while let Ok(order) = self.orders.try_recv() {
            self.obey(order, &mut notes);
        }
        let now = Instant::now();
        for entry in self.scripts.values_mut() {
            if entry.script.due().is_some_and(|due| due <= now) {
                entry.expire(&mut notes);
            }
        }
        if self.must_look() {
            self.reap_all(&mut notes);
        }
        if let Some(ordered) = self.waiting.pop_front() {
            self.start(ordered, &mut notes);
        }
        notes.iter().for_each(|note| self.desk.tell(note));
    }

    fn obey(&mut self, order: Order, notes: &mut Vec<Note>) {
        match order {
            Order::Start(ordered) if self.stopping.is_empty() => self.waiting.push_back(*ordered),
            Order::Start(ordered) => ordered.refuse(NotStarted::Busy),
            Order::End { id, why } => {
                if let Some(entry) = self.scripts.get_mut(&id) {
                    entry.interrupt(why, KILL_AFTER, notes);
                }
            }
            Order::Reap => self.reap_children(notes),
            Order::Stop { grace, done } => {
                self.waiting.drain(..).for_each(|ordered| ordered.refuse(NotStarted::Busy));
                for entry in self.scripts.values_mut() {
                    entry.interrupt(Why::ServerStop, grace, notes);
                }
                self.stopping.push(done);
            }
        }
    }

    fn start(&mut self, ordered: Ordered, notes: &mut Vec<Note>) {
        if ordered.fate.unwanted.load(SeqCst) {
            return;
        }
        let Ordered { id, job, limit, output, fate, place } = ordered;
        let name = printable(&job.name);
        let started = Script::start(job, output, limit).and_then(|script| self.watch(id, script, &fate));
        match started {
            Ok(script) => {
                notes.push(Note::Spawned { pid: script.pid().as_raw(), name });
                self.scripts.insert(id, Entry { script, fate, place });
            }
            Err(error) => {
                drop(place);
                let why = if is_shortage(&error) { NotStarted::NoRoom } else { NotStarted::Unrunnable };
                _ = fate.end.set(Err(why));
                notes.push(Note::NotStarted { name, reason: reason(&error) });
            }
        }
    }

    /// Puts what tells of a new script into the set. If that fails, the script is ended at once.
    fn watch(&self, id: u64, mut script: Script, fate: &Fate) -> io::Result<Script> {
        if let Some(pidfd) = script.pidfd() {
            _ = fate.pidfd.set(pidfd);
        }
        let readable = |event| EpollEvent::new(EpollFlags::EPOLLIN, event);
        let stderr = script.stderr().map_or(Ok(()), |fd| self.epoll.add(fd, readable(id << 1)));
        let end = fate.pidfd.get().map_or(Ok(()), |fd| self.epoll.add(fd, readable(id << 1 | 1)));
        match stderr.and(end) {
            Ok(()) => Ok(script),
            Err(errno) => {
                script.reap();
                Err(errno.into())
            }
        }
    }

    /// Reads what the script has written to its standard error, and lets go of it at its end.
    fn listen(&mut self, id: u64, notes: &mut Vec<Note>) {
        if let Some(stderr) = self.scripts.get_mut(&id).and_then(|entry| entry.script.listen(notes)) {
            _ = self.epoll.delete(stderr);
        }
    }

    /// Reaps the script if it has ended, after its group.
    fn reap(&mut self, id: u64, notes: &mut Vec<Note>) {
        if !self.scripts.get(&id).is_some_and(|entry| entry.script.has_ended()) {
            return;
        }
        let Some(Entry { mut script, fate, place }) = self.scripts.remove(&id) else { return };
        let end = script.reap();
        // Out of the set first: the descriptors may live on for a moment in other copies.
        let pidfd = fate.pidfd.get();
        for fd in [script.hear_out(notes).as_ref(), script.stderr(), pidfd].into_iter().flatten() {
            _ = self.epoll.delete(fd);
        }
        if end.by.is_none() && !end.status.success() {
            let (pid, name) = (script.pid().as_raw(), script.name().to_owned());
            notes.push(Note::Ended { pid, name, status: end.status });
        }
        drop(place);
        _ = fate.end.set(Ok(end));
    }

    /// Reaps every script that has ended.
    fn reap_all(&mut self, notes: &mut Vec<Note>) {
        let ids: Vec<u64> = self.scripts.keys().copied().collect();
        for id in ids {
            self.reap(id, notes);
        }
    }

    /// Reaps all children that have ended, scripts or not.
    fn reap_children(&mut self, notes: &mut Vec<Note>) {
        let peek = WaitPidFlag::WEXITED | WaitPidFlag::WNOHANG | WaitPidFlag::WNOWAIT;
        while let Ok(status) = waitid(Id::All, peek)
            && let Some(pid) = status.pid()
        {
            match self.scripts.iter().find(|(_, entry)| entry.script.pid() == pid).map(|(&id, _)| id) {
                Some(id) => self.reap(id, notes),
                None => _ = waitpid(pid, Some(WaitPidFlag::WNOHANG)),
            }
        }
    }
}

impl Ordered {
    /// It will not be started. Its output ends with this.
    fn refuse(self, why: NotStarted) {
        drop(self.place);
        _ = self.fate.end.set(Err(why));
    }
}

impl Entry {
    /// The first signal, of which the connection knows before it can see what comes of it.
    fn interrupt(&mut self, why: Why, kill_after: Duration, notes: &mut Vec<Note>) {
        _ = self.fate.by.set(why);
        self.script.interrupt(why, kill_after, notes);
    }

    /// Its deadline has passed: the next signal.
    fn expire(&mut self, notes: &mut Vec<Note>) {
        match self.script.ended_by() {
            None => self.interrupt(Why::TimeLimit, KILL_AFTER, notes),
            Some(_) => self.script.kill(notes),
        }
    }
}

/// It may work later.
fn is_shortage(error: &io::Error) -> bool {
    const SHORTAGES: [Errno; 4] = [Errno::EAGAIN, Errno::ENOMEM, Errno::EMFILE, Errno::ENFILE];
    error.raw_os_error().is_some_and(|code| SHORTAGES.contains(&Errno::from_raw(code)))
}
