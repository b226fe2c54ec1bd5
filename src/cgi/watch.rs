//! The thread that looks after all scripts: starts them, reads their standard error, keeps their time
//! limit, ends and reaps them.
//!
//! It owns every script, and takes [`Order`]s from the [`desk`](super::desk). It waits in one place for
//! all of them, and starts one script between two looks, so that a crowd that wants to start does not keep
//! those that run from being heard. It never waits for an exec: the file may lie on storage that does not
//! answer (NFS, FUSE). Such a start costs its own process, and no more than a share of the places is held
//! by the starts of one directory ([`Start`]).

use std::collections::{HashMap, VecDeque};
use std::io;
use std::os::fd::OwnedFd;
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
use super::script::{KILL_AFTER, Script, split};
use crate::sys::reason;

/// How often scripts are looked at where the kernel cannot tell of their end (before Linux 5.3).
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// Events taken at once.
const BATCH: usize = 64;
/// The event of the bell. Script numbers begin at 1.
const BELL: u64 = 0;
/// What an event of a script is about: the last two bits beside its number.
const STDERR: u64 = 0;
const ENDED: u64 = 1;
const STATUS: u64 = 2;

/// Starts that may be under way in one directory, as a share of all scripts (`cgilimit`).
const STARTING_SHARE: usize = 4;
/// The same where scripts are not bounded.
const STARTING: usize = 16;
/// In one directory the next start waits for the one before, but no longer than this: a crowd of scripts that
/// all begin at once would leave the processors to nobody else.
const NEXT_START: Duration = Duration::from_millis(100);
/// A start that takes longer than this is one that hangs, and not one that waits for a busy processor: more
/// of its directory are refused, not queued.
const SLOW_START: Duration = Duration::from_secs(5);
/// How often starts that are held back are looked at.
const HELD_BACK: Duration = Duration::from_millis(50);
/// How long the server's end waits for a script that has been sent KILL.
const GIVE_UP: Duration = Duration::from_secs(1);

/// A script that has not been reaped.
struct Entry {
    script: Script,
    fate: Arc<Fate>,
    /// None once it hangs at its start and its time is over.
    place: Option<Place>,
}

/// What can be done with a script that is to be started.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Start {
    /// Start it.
    Now,
    /// As many starts are under way in its directory as may be.
    Later,
    /// The same, and they hang; or its time is over.
    Never(NotStarted),
}

/// The thread's possessions.
pub(super) struct Watch {
    desk: Arc<Desk>,
    orders: Receiver<Order>,
    epoll: Epoll,
    scripts: HashMap<u64, Entry>,
    /// To be started, in order.
    waiting: VecDeque<Ordered>,
    /// None of those can be started for now.
    is_held_back: bool,
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
        Ok(Watch { desk, orders, epoll, scripts, waiting, is_held_back: false, stopping: Vec::new() })
    }

    /// The thread.
    pub(super) fn run(mut self) {
        let mut events = [EpollEvent::empty(); BATCH];
        while self.stopping.is_empty() || self.scripts.values().any(Entry::may_end) {
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
        if !self.waiting.is_empty() && !self.is_held_back {
            return EpollTimeout::ZERO;
        }
        let now = Instant::now();
        let due = self.scripts.values().filter_map(|entry| entry.script.due()).min();
        let due = due.map(|due| due.saturating_duration_since(now));
        let held_back = (!self.waiting.is_empty()).then_some(HELD_BACK);
        let look = (self.must_look() || !self.stopping.is_empty()).then_some(LOOK_EVERY);
        let wait = [due, held_back, look].into_iter().flatten().min();
        // Rounded up: to wake a moment early would be to wake twice.
        let millis = wait.map(|wait| wait.as_millis().saturating_add(1).min(60_000));
        millis.and_then(|ms| EpollTimeout::try_from(ms).ok()).unwrap_or(EpollTimeout::NONE)
    }

    /// Is there a script whose end the kernel does not tell?
    fn must_look(&self) -> bool {
        self.scripts.values().any(|entry| entry.script.pidfd().is_none())
    }

    fn attend(&mut self, events: &[EpollEvent]) {
        let mut notes = Vec::new();
        for event in events {
            match event.data() {
                BELL => _ = self.desk.bell.read(),
                event if event & 3 == ENDED => self.reap(event >> 2, &mut notes),
                event if event & 3 == STATUS => self.take_status(event >> 2, &mut notes),
                event => self.listen(event >> 2, &mut notes),
            }
        }
        while let Ok(order) = self.orders.try_recv() {
            self.obey(order, &mut notes);
        }
        let now = Instant::now();
        for entry in self.scripts.values_mut() {
            if entry.script.due().is_some_and(|due| due <= now) {
                entry.expire(&self.desk, &mut notes);
            }
        }
        if self.must_look() {
            self.reap_all(&mut notes);
        }
        self.start_next(&mut notes);
        notes.iter().for_each(|note| self.desk.tell(note));
    }

    fn obey(&mut self, order: Order, notes: &mut Vec<Note>) {
        match order {
            Order::Start(ordered) if self.stopping.is_empty() => self.waiting.push_back(*ordered),
            Order::Start(ordered) => ordered.refuse(NotStarted::Busy, &self.desk),
            Order::End { id, why } => {
                if let Some(entry) = self.scripts.get_mut(&id) {
                    entry.interrupt(why, KILL_AFTER, notes);
                }
            }
            Order::Reap => self.reap_children(notes),
            Order::Stop { grace, done } => {
                self.waiting.drain(..).for_each(|ordered| ordered.refuse(NotStarted::Busy, &self.desk));
                for entry in self.scripts.values_mut() {
                    match entry.script.is_starting() {
                        true => entry.expire(&self.desk, notes),
                        false => entry.interrupt(Why::ServerStop, grace, notes),
                    }
                }
                self.stopping.push(done);
            }
        }
    }

    /// Starts the first script that can be, and refuses those that will not be.
    fn start_next(&mut self, notes: &mut Vec<Note>) {
        for _ in 0..self.waiting.len() {
            let Some(ordered) = self.waiting.pop_front() else { break };
            match self.may_start(&ordered) {
                Start::Now => {
                    self.is_held_back = false;
                    return self.start(ordered, notes);
                }
                Start::Later => self.waiting.push_back(ordered),
                Start::Never(why) => {
                    let name = printable(&ordered.job.name);
                    let reason = match why {
                        NotStarted::Busy => "earlier starts in its directory hang",
                        _ => "its time was over before it could be started",
                    };
                    let reason = reason.to_owned();
                    notes.push(Note::NotStarted { name, reason });
                    ordered.refuse(why, &self.desk);
                }
            }
        }
        self.is_held_back = true;
    }

    fn may_start(&self, ordered: &Ordered) -> Start {
        if ordered.due.is_some_and(|due| due <= Instant::now()) {
            return Start::Never(NotStarted::TooSlow);
        }
        let most = match ordered.scripts {
            0 => STARTING,
            scripts => (scripts / STARTING_SHARE).max(1),
        };
        let (directory, _) = split(&ordered.job.name);
        let starts = self.scripts.values().filter_map(|entry| entry.script.starting_in(directory));
        let ages: Vec<Duration> = starts.collect();
        let (youngest, oldest) = (ages.iter().min(), ages.iter().max());
        match () {
            () if youngest.is_some_and(|age| *age < NEXT_START) => Start::Later,
            () if ages.len() < most => Start::Now,
            () if oldest.is_some_and(|age| *age < SLOW_START) => Start::Later,
            () => Start::Never(NotStarted::Busy),
        }
    }

    fn start(&mut self, ordered: Ordered, notes: &mut Vec<Note>) {
        if ordered.fate.unwanted.load(SeqCst) {
            return;
        }
        let Ordered { id, job, due, output, fate, place, .. } = ordered;
        let name = printable(&job.name);
        match Script::start(job, output, due).and_then(|script| self.watch(id, script)) {
            Ok(script) => _ = self.scripts.insert(id, Entry { script, fate, place: Some(place) }),
            Err(error) => {
                drop(place);
                self.not_started(&fate, name, &error, notes);
            }
        }
    }

    fn not_started(&self, fate: &Fate, name: String, error: &io::Error, notes: &mut Vec<Note>) {
        let why = if is_shortage(error) { NotStarted::NoRoom } else { NotStarted::Unrunnable };
        fate.decided.store(true, SeqCst);
        self.desk.settle(fate, Err(why));
        notes.push(Note::NotStarted { name, reason: reason(error) });
    }

    /// Puts what tells of a new script into the set. If that fails, the script is ended at once.
    fn watch(&self, id: u64, mut script: Script) -> io::Result<Script> {
        let add = |fd: Option<&OwnedFd>, about| {
            let event = EpollEvent::new(EpollFlags::EPOLLIN, id << 2 | about);
            fd.map_or(Ok(()), |fd| self.epoll.add(fd, event))
        };
        let pidfd = script.pidfd().map(|fd| &**fd);
        let added = add(script.stderr(), STDERR).and(add(pidfd, ENDED)).and(add(script.status(), STATUS));
        match added {
            Ok(()) => Ok(script),
            Err(errno) => {
                script.kill(&mut Vec::new());
                script.reap();
                Err(errno.into())
            }
        }
    }

    /// Learns whether the script's file could be executed.
    fn take_status(&mut self, id: u64, notes: &mut Vec<Note>) {
        let Some(entry) = self.scripts.get_mut(&id) else { return };
        let Some((result, status)) = entry.script.exec_result() else { return };
        _ = self.epoll.delete(&status);
        let name = entry.script.name().to_owned();
        match result {
            Ok(()) => {
                if entry.place.is_some() {
                    notes.push(Note::Spawned { pid: entry.script.pid().as_raw(), name });
                }
                if let Some(pidfd) = entry.script.pidfd() {
                    _ = entry.fate.pidfd.set(Arc::clone(pidfd));
                }
                entry.fate.decided.store(true, SeqCst);
            }
            Err(error) => {
                let Some(mut entry) = self.remove(id) else { return };
                // It has nothing left to do but to exit.
                entry.script.reap();
                drop(entry.place);
                self.not_started(&entry.fate, name, &error, notes);
            }
        }
    }

    /// Lets go of a script, and of what tells of it: the descriptors may live on for a moment in other
    /// copies.
    fn remove(&mut self, id: u64) -> Option<Entry> {
        let entry = self.scripts.remove(&id)?;
        let pidfd = entry.script.pidfd().map(|fd| &**fd);
        for fd in [entry.script.stderr(), entry.script.status(), pidfd].into_iter().flatten() {
            _ = self.epoll.delete(fd);
        }
        Some(entry)
    }

    /// Reads what the script has written to its standard error, and lets go of it at its end.
    fn listen(&mut self, id: u64, notes: &mut Vec<Note>) {
        if let Some(stderr) = self.scripts.get_mut(&id).and_then(|entry| entry.script.listen(notes)) {
            _ = self.epoll.delete(stderr);
        }
    }

    /// Reaps the script if it has ended.
    fn reap(&mut self, id: u64, notes: &mut Vec<Note>) {
        // One that could not be executed has ended too.
        self.take_status(id, notes);
        if !self.scripts.get(&id).is_some_and(|entry| entry.script.has_ended()) {
            return;
        }
        let Some(Entry { mut script, fate, place }) = self.remove(id) else { return };
        let end = script.reap();
        script.hear_out(notes);
        if end.by.is_none() && !end.status.success() {
            let (pid, name) = (script.pid().as_raw(), script.name().to_owned());
            notes.push(Note::Ended { pid, name, status: end.status });
        }
        drop(place);
        self.desk.settle(&fate, Ok(end));
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
    fn refuse(self, why: NotStarted, desk: &Desk) {
        drop(self.place);
        self.fate.decided.store(true, SeqCst);
        desk.settle(&self.fate, Err(why));
    }
}

impl Entry {
    /// The first signal, of which the connection knows before it can see what comes of it.
    fn interrupt(&mut self, why: Why, kill_after: Duration, notes: &mut Vec<Note>) {
        _ = self.fate.by.set(why);
        self.script.interrupt(why, kill_after, notes);
    }

    /// Its deadline has passed: the next signal. A start that hangs is given up: KILL ends it as soon as its
    /// storage answers, and until then its place is another's.
    fn expire(&mut self, desk: &Desk, notes: &mut Vec<Note>) {
        if self.script.is_starting() {
            let (name, reason) = (self.script.name().to_owned(), "its start took too long".to_owned());
            notes.push(Note::NotStarted { name, reason });
            self.interrupt(Why::TimeLimit, Duration::ZERO, notes);
            self.script.kill(notes);
            self.place = None;
            self.fate.decided.store(true, SeqCst);
            return desk.settle(&self.fate, Err(NotStarted::TooSlow));
        }
        match self.script.ended_by() {
            None => self.interrupt(Why::TimeLimit, KILL_AFTER, notes),
            Some(_) => self.script.kill(notes),
        }
    }

    /// Can the server's end wait for it? KILL does not reach a process that waits for its storage.
    fn may_end(&self) -> bool {
        self.script.killed().is_none_or(|at| at.elapsed() < GIVE_UP)
    }
}

/// It may work later.
fn is_shortage(error: &io::Error) -> bool {
    const SHORTAGES: [Errno; 4] = [Errno::EAGAIN, Errno::ENOMEM, Errno::EMFILE, Errno::ENFILE];
    error.raw_os_error().is_some_and(|code| SHORTAGES.contains(&Errno::from_raw(code)))
}
