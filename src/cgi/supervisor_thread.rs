//! The thread that looks after all scripts: starts them, reads their standard error, keeps their time
//! limit, ends and reaps them.
//!
//! It owns every script, and takes [`ScriptCommand`]s from the [`supervisor`](super::supervisor). It waits in one place for
//! all of them, and starts one script between two looks, so that a crowd that wants to start does not keep
//! those that run from being heard. It never waits for an exec: the file may lie on storage that does not
//! answer (NFS, FUSE). Such a start costs its own process, and no more than a share of the places is held
//! by the starts of one script ([`Start`]).

use std::collections::{HashMap, VecDeque};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use nix::sys::wait::{Id, WaitPidFlag, waitid, waitpid};

use super::event::{KillReason, ScriptEvent};
use super::job::StartError;
use super::script::{KILL_AFTER, ScriptProcess};
use super::stderr_lines::printable;
use super::supervisor::{ScriptCommand, ScriptSlot, ScriptStatus, StartRequest, Supervisor};
use crate::sys::latch::LatchSetter;
use crate::sys::{is_process_shortage, reason};

/// How often scripts are looked at where the kernel cannot tell of their end (before Linux 5.3).
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// Events taken at once.
const BATCH: usize = 64;
/// Key of the notifier; numbers of scripts begin at 1.
const NOTIFIER: u64 = 0;
/// Source of a script's event: the last two bits of the key.
const STDERR: u64 = 0;
const ENDED: u64 = 1;
const STATUS: u64 = 2;

/// Starts of one script that may be under way, as a share of all scripts (`cgilimit`).
const STARTING_SHARE: usize = 4;
/// Starts at once where the number of scripts is not bounded.
const STARTING: usize = 16;
/// The next start of a script waits for the one before, but no longer than this: a crowd of scripts that
/// all begin at once would take all processors.
const NEXT_START: Duration = Duration::from_millis(100);
/// A start that takes longer than this is one that hangs, and not one that waits for a busy processor: more
/// of the script are refused, not queued.
const SLOW_START: Duration = Duration::from_secs(2);
/// How often starts that are held back are looked at.
const HELD_BACK: Duration = Duration::from_millis(50);
/// How long the server's end waits for a script that has been sent KILL.
const GIVE_UP: Duration = Duration::from_secs(1);

/// A script that has not been reaped.
struct SupervisedScript {
    script: ScriptProcess,
    status_cell: Arc<ScriptStatus>,
    /// None once it hangs at its start and its time is over.
    place: Option<ScriptSlot>,
}

/// Decision about a script that is to be started.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Start {
    /// Start it.
    Now,
    /// As many of its starts are under way as may be.
    Later,
    /// No start: those before it hang, or its time is over.
    Never(StartError),
}

/// The thread's possessions.
pub(super) struct SupervisorThread {
    supervisor: Arc<Supervisor>,
    epoll: Epoll,
    scripts: HashMap<u64, SupervisedScript>,
    /// To be started, in order.
    waiting: VecDeque<StartRequest>,
    /// None of those can be started for now.
    is_held_back: bool,
    /// To be dropped when the last script is gone; the thread ends then.
    stopping: Vec<LatchSetter>,
}

impl SupervisorThread {
    /// No scripts yet.
    ///
    /// # Errors
    /// No descriptors to be had.
    pub(super) fn new(supervisor: Arc<Supervisor>) -> io::Result<SupervisorThread> {
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
        epoll.add(&supervisor.notifier, EpollEvent::new(EpollFlags::EPOLLIN, NOTIFIER))?;
        let (scripts, waiting) = (HashMap::new(), VecDeque::new());
        Ok(SupervisorThread {
            supervisor,
            epoll,
            scripts,
            waiting,
            is_held_back: false,
            stopping: Vec::new(),
        })
    }

    /// The thread.
    pub(super) fn run(mut self) {
        let mut events = [EpollEvent::empty(); BATCH];
        while self.stopping.is_empty() || self.scripts.values().any(SupervisedScript::may_end) {
            match self.epoll.wait(&mut events, self.next_wait()) {
                Ok(n) => self.attend(&events[..n]),
                Err(Errno::EINTR) => {}
                // Nothing else can be wrong with arguments that were right before.
                Err(_) => return,
            }
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

    /// True when the kernel cannot report the end of some script.
    fn must_look(&self) -> bool {
        self.scripts.values().any(|entry| entry.script.pidfd().is_none())
    }

    fn attend(&mut self, events: &[EpollEvent]) {
        let mut notes = Vec::new();
        for event in events {
            match event.data() {
                NOTIFIER => _ = self.supervisor.notifier.read(),
                event if event & 3 == ENDED => self.reap(event >> 2, &mut notes),
                event if event & 3 == STATUS => self.take_status(event >> 2, &mut notes),
                event => self.listen(event >> 2, &mut notes),
            }
        }
        for order in self.supervisor.take_orders() {
            self.obey(order, &mut notes);
        }
        let now = Instant::now();
        for entry in self.scripts.values_mut() {
            if entry.script.due().is_some_and(|due| due <= now) {
                entry.expire(&self.supervisor, &mut notes);
            }
        }
        if self.must_look() {
            self.reap_all(&mut notes);
        }
        self.start_next(&mut notes);
        notes.iter().for_each(|event| self.supervisor.tell(event));
    }

    fn obey(&mut self, order: ScriptCommand, notes: &mut Vec<ScriptEvent>) {
        match order {
            ScriptCommand::Start(ordered) if self.stopping.is_empty() => self.waiting.push_back(*ordered),
            ScriptCommand::Start(ordered) => ordered.refuse(StartError::Busy, &self.supervisor),
            ScriptCommand::End { id, why } => {
                if let Some(entry) = self.scripts.get_mut(&id) {
                    entry.interrupt(why, KILL_AFTER, notes);
                }
            }
            ScriptCommand::Reap => self.reap_children(notes),
            ScriptCommand::Stop { grace, done } => {
                self.waiting.drain(..).for_each(|ordered| ordered.refuse(StartError::Busy, &self.supervisor));
                for entry in self.scripts.values_mut() {
                    match entry.script.is_starting() {
                        true => entry.expire(&self.supervisor, notes),
                        false => entry.interrupt(KillReason::ServerStop, grace, notes),
                    }
                }
                self.stopping.push(done);
            }
        }
    }

    /// Starts the first script that can be, and refuses those that will not be.
    fn start_next(&mut self, notes: &mut Vec<ScriptEvent>) {
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
                        StartError::Busy => "earlier starts of it hang",
                        StartError::NoRoom => "the system lacked a process, memory or descriptors for it",
                        _ => "its time was over before it could be started",
                    };
                    let reason = reason.to_owned();
                    notes.push(ScriptEvent::NotStarted { name, reason });
                    ordered.refuse(why, &self.supervisor);
                }
            }
        }
        self.is_held_back = true;
    }

    fn may_start(&self, ordered: &StartRequest) -> Start {
        if ordered.due.is_some_and(|due| due <= Instant::now()) {
            let why = if ordered.lacks_room { StartError::NoRoom } else { StartError::TooSlow };
            return Start::Never(why);
        }
        let most = match ordered.scripts {
            0 => STARTING,
            scripts => (scripts / STARTING_SHARE).max(1),
        };
        let name = printable(&ordered.job.name);
        let starts = self.scripts.values().filter_map(|entry| entry.script.starting_as(&name));
        let ages: Vec<Duration> = starts.collect();
        let (youngest, oldest) = (ages.iter().min(), ages.iter().max());
        match () {
            () if youngest.is_some_and(|age| *age < NEXT_START) => Start::Later,
            () if ages.len() < most => Start::Now,
            () if oldest.is_some_and(|age| *age < SLOW_START) => Start::Later,
            () => Start::Never(StartError::Busy),
        }
    }

    /// Starts a script. One for which the system lacks a process, memory or descriptors waits.
    fn start(&mut self, mut ordered: StartRequest, notes: &mut Vec<ScriptEvent>) {
        if ordered.status_cell.unwanted.load(SeqCst) {
            return;
        }
        let started = ScriptProcess::start(&ordered.job, ordered.output.as_fd(), ordered.due);
        let waits = Instant::now() < ordered.room_until;
        match started {
            Err(error) if waits && is_process_shortage(&error) => {
                ordered.lacks_room = true;
                self.waiting.push_front(ordered);
                self.is_held_back = true;
            }
            started => self.started(ordered, started, notes),
        }
    }

    fn started(
        &mut self,
        ordered: StartRequest,
        started: io::Result<ScriptProcess>,
        notes: &mut Vec<ScriptEvent>,
    ) {
        let StartRequest { id, job, status_cell, place, .. } = ordered;
        match started.and_then(|script| self.watch(id, script)) {
            Ok(script) => {
                _ = self.scripts.insert(id, SupervisedScript { script, status_cell, place: Some(place) })
            }
            Err(error) => {
                drop(place);
                self.not_started(&status_cell, printable(&job.name), &error, notes);
            }
        }
    }

    fn not_started(
        &self,
        status_cell: &ScriptStatus,
        name: String,
        error: &io::Error,
        notes: &mut Vec<ScriptEvent>,
    ) {
        let why = if is_process_shortage(error) { StartError::NoRoom } else { StartError::Unrunnable };
        status_cell.decided.store(true, SeqCst);
        self.supervisor.settle(status_cell, Err(why));
        notes.push(ScriptEvent::NotStarted { name, reason: reason(error) });
    }

    /// Puts what tells of a new script into the set. If that fails, the script is ended at once.
    fn watch(&self, id: u64, mut script: ScriptProcess) -> io::Result<ScriptProcess> {
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
    fn take_status(&mut self, id: u64, notes: &mut Vec<ScriptEvent>) {
        let Some(entry) = self.scripts.get_mut(&id) else { return };
        let Some((result, status)) = entry.script.exec_result() else { return };
        _ = self.epoll.delete(&status);
        let name = entry.script.name().to_owned();
        match result {
            Ok(()) => {
                if entry.place.is_some() {
                    notes.push(ScriptEvent::Spawned { pid: entry.script.pid().as_raw(), name });
                }
                if let Some(pidfd) = entry.script.pidfd() {
                    _ = entry.status_cell.pidfd.set(Arc::clone(pidfd));
                }
                entry.status_cell.decided.store(true, SeqCst);
            }
            Err(error) => {
                let Some(mut entry) = self.remove(id) else { return };
                // The process has nothing left to do but to exit.
                entry.script.reap();
                drop(entry.place);
                self.not_started(&entry.status_cell, name, &error, notes);
            }
        }
    }

    /// Lets go of a script, and of what tells of it: the descriptors may live on for a moment in other
    /// copies.
    fn remove(&mut self, id: u64) -> Option<SupervisedScript> {
        let entry = self.scripts.remove(&id)?;
        let pidfd = entry.script.pidfd().map(|fd| &**fd);
        for fd in [entry.script.stderr(), entry.script.status(), pidfd].into_iter().flatten() {
            _ = self.epoll.delete(fd);
        }
        Some(entry)
    }

    /// Reads what the script has written to its standard error, and lets go of it at its end.
    fn listen(&mut self, id: u64, notes: &mut Vec<ScriptEvent>) {
        if let Some(stderr) = self.scripts.get_mut(&id).and_then(|entry| entry.script.listen(notes)) {
            _ = self.epoll.delete(stderr);
        }
    }

    /// Reaps the script if it has ended.
    fn reap(&mut self, id: u64, notes: &mut Vec<ScriptEvent>) {
        // One that could not be executed has ended too.
        self.take_status(id, notes);
        if !self.scripts.get(&id).is_some_and(|entry| entry.script.has_ended()) {
            return;
        }
        let Some(SupervisedScript { mut script, status_cell, place }) = self.remove(id) else { return };
        let end = script.reap();
        script.drain_stderr(notes);
        if end.by.is_none() && !end.status.success() {
            let (pid, name) = (script.pid().as_raw(), script.name().to_owned());
            notes.push(ScriptEvent::Ended { pid, name, status: end.status });
        }
        drop(place);
        self.supervisor.settle(&status_cell, Ok(end));
    }

    /// Reaps every script that has ended.
    fn reap_all(&mut self, notes: &mut Vec<ScriptEvent>) {
        let ids: Vec<u64> = self.scripts.keys().copied().collect();
        for id in ids {
            self.reap(id, notes);
        }
    }

    /// Reaps all children that have ended, scripts or not.
    fn reap_children(&mut self, notes: &mut Vec<ScriptEvent>) {
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

impl StartRequest {
    /// Refuses the start, which ends the output.
    fn refuse(self, why: StartError, supervisor: &Supervisor) {
        drop(self.place);
        self.status_cell.decided.store(true, SeqCst);
        supervisor.settle(&self.status_cell, Err(why));
    }
}

impl SupervisedScript {
    /// The first signal, of which the connection knows before it can see what comes of it.
    fn interrupt(&mut self, why: KillReason, kill_after: Duration, notes: &mut Vec<ScriptEvent>) {
        _ = self.status_cell.by.set(why);
        self.script.interrupt(why, kill_after, notes);
    }

    /// Its deadline has passed: the next signal. A start that hangs is given up: KILL ends it as soon as its
    /// storage answers, and until then its place is another's.
    fn expire(&mut self, supervisor: &Supervisor, notes: &mut Vec<ScriptEvent>) {
        if self.script.is_starting() {
            let (name, reason) = (self.script.name().to_owned(), "its start took too long".to_owned());
            notes.push(ScriptEvent::NotStarted { name, reason });
            self.interrupt(KillReason::TimeLimit, Duration::ZERO, notes);
            self.script.kill(notes);
            self.place = None;
            self.status_cell.decided.store(true, SeqCst);
            return supervisor.settle(&self.status_cell, Err(StartError::TooSlow));
        }
        match self.script.ended_by() {
            None => self.interrupt(KillReason::TimeLimit, KILL_AFTER, notes),
            Some(_) => self.script.kill(notes),
        }
    }

    /// Can the server's end wait for it? KILL does not reach a process that waits for its storage.
    fn may_end(&self) -> bool {
        self.script.killed().is_none_or(|at| at.elapsed() < GIVE_UP)
    }
}
