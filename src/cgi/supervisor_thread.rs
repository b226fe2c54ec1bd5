//! Supervisor thread of all scripts: starts them, reads standard error, enforces time limits, reaps.
//!
//! The thread owns every script and receives [`ScriptCommand`]s from the [`supervisor`](super::supervisor).
//! One epoll set covers all scripts. Only one script is started between two polls, so that many starts do
//! not delay the running scripts. The thread never waits for an exec, as the file may lie on storage that
//! does not answer (NFS, FUSE). Such a start blocks only its own process, and the starts of one script hold
//! a limited share of the slots ([`Start`]).

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
use super::supervisor::{ScriptCommand, ScriptSlot, ScriptStatus, StartRequest, Supervisor};
use crate::config::printable::printable;
use crate::sys::latch::LatchSetter;
use crate::sys::{is_process_shortage, reason};

/// Interval for checking scripts on kernels without pidfd polling (before Linux 5.3).
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// Maximum number of events per epoll_wait.
const BATCH: usize = 64;
/// Epoll key of the notifier; script ids begin at 1.
const NOTIFIER: u64 = 0;
/// Source of an event, in the last two bits of its key.
const STDERR: u64 = 0;
const ENDED: u64 = 1;
const STATUS: u64 = 2;

/// Divisor of `cgilimit` that gives the maximum number of simultaneous starts of one script.
const STARTING_SHARE: usize = 4;
/// Maximum number of simultaneous starts of one script without a `cgilimit`.
const STARTING: usize = 16;
/// Maximum time that the start of a script waits for the start before it.
///
/// Many scripts that begin at once would occupy all processors.
const NEXT_START: Duration = Duration::from_millis(100);
/// Time after which a start counts as hanging, instead of waiting for a busy processor.
///
/// Further starts of that script are then refused instead of queued.
const SLOW_START: Duration = Duration::from_secs(2);
/// Interval for checking starts that are held back.
const HELD_BACK: Duration = Duration::from_millis(50);
/// Time that the server's shutdown waits for a script after KILL.
const GIVE_UP: Duration = Duration::from_secs(1);

/// Script that has not been reaped.
struct SupervisedScript {
    id: u64,
    script: ScriptProcess,
    status_cell: Arc<ScriptStatus>,
    /// Slot of the script; `None` if it hangs at its start after its time limit.
    slot: Option<ScriptSlot>,
}

/// Decision about a waiting script.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Start {
    /// Start now.
    Now,
    /// Wait: the limit on simultaneous starts of this script is reached.
    Later,
    /// Refuse: earlier starts hang, or the time limit has passed.
    Never(StartError),
}

/// State of the supervisor thread.
pub(super) struct SupervisorThread {
    supervisor: Arc<Supervisor>,
    epoll: Epoll,
    /// Scripts in no order. A search passes all of them, as the search for the next deadline does anyway.
    scripts: Vec<SupervisedScript>,
    /// Scripts to start, in order.
    waiting: Vec<StartRequest>,
    /// Set if no waiting script can be started at present.
    is_held_back: bool,
    /// To be dropped when the last script is gone; the thread ends then.
    stopping: Vec<LatchSetter>,
}

impl SupervisorThread {
    /// Thread state without scripts.
    ///
    /// # Errors
    /// No descriptors are left.
    pub(super) fn new(supervisor: Arc<Supervisor>) -> io::Result<SupervisorThread> {
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
        epoll.add(&supervisor.notifier, EpollEvent::new(EpollFlags::EPOLLIN, NOTIFIER))?;
        let (scripts, waiting) = (Vec::new(), Vec::new());
        Ok(SupervisorThread {
            supervisor,
            epoll,
            scripts,
            waiting,
            is_held_back: false,
            stopping: Vec::new(),
        })
    }

    /// Runs the thread.
    pub(super) fn run(mut self) {
        let mut events = [EpollEvent::empty(); BATCH];
        while self.stopping.is_empty() || self.scripts.iter().any(SupervisedScript::may_end) {
            match self.epoll.wait(&mut events, self.next_wait()) {
                Ok(n) => self.handle_events(&events[..n]),
                Err(Errno::EINTR) => {}
                // The arguments were valid before, so that no other error is expected.
                Err(errno) => {
                    return crate::log::critical!(
                        "scripts are no longer supervised: epoll_wait - {}",
                        reason(&errno.into())
                    );
                }
            }
        }
    }

    /// Time until the next deadline.
    fn next_wait(&self) -> EpollTimeout {
        if !self.waiting.is_empty() && !self.is_held_back {
            return EpollTimeout::ZERO;
        }
        let now = Instant::now();
        let due = self.scripts.iter().filter_map(|entry| entry.script.due()).min();
        let due = due.map(|due| due.saturating_duration_since(now));
        let held_back = (!self.waiting.is_empty()).then_some(HELD_BACK);
        let look = (self.must_look() || !self.stopping.is_empty()).then_some(LOOK_EVERY);
        let wait = [due, held_back, look].into_iter().flatten().min();
        // Rounded up, to avoid waking once too early and then again.
        let millis = wait.map(|wait| wait.as_millis().saturating_add(1).min(60_000));
        millis.and_then(|ms| EpollTimeout::try_from(ms).ok()).unwrap_or(EpollTimeout::NONE)
    }

    /// Tells whether the kernel cannot report the end of some script.
    fn must_look(&self) -> bool {
        self.scripts.iter().any(|entry| entry.script.pidfd().is_none())
    }

    fn handle_events(&mut self, events: &[EpollEvent]) {
        let mut script_events = Vec::new();
        for event in events {
            match event.data() {
                NOTIFIER => _ = self.supervisor.notifier.read(),
                event if event & 3 == ENDED => self.reap(event >> 2, &mut script_events),
                event if event & 3 == STATUS => self.take_status(event >> 2, &mut script_events),
                event => self.read_stderr(event >> 2, &mut script_events),
            }
        }
        for command in self.supervisor.take_commands() {
            self.obey(command, &mut script_events);
        }
        let now = Instant::now();
        for entry in &mut self.scripts {
            if entry.script.due().is_some_and(|due| due <= now) {
                entry.expire(&self.supervisor, &mut script_events);
            }
        }
        if self.must_look() {
            self.reap_all(&mut script_events);
        }
        self.start_next(&mut script_events);
        script_events.iter().for_each(|event| self.supervisor.report(event));
    }

    fn obey(&mut self, command: ScriptCommand, script_events: &mut Vec<ScriptEvent>) {
        match command {
            ScriptCommand::Start(request) if self.stopping.is_empty() => self.waiting.push(*request),
            ScriptCommand::Start(request) => request.refuse(StartError::Busy, &self.supervisor),
            ScriptCommand::End { id, why } => {
                if let Some(entry) = find(&mut self.scripts, id) {
                    entry.interrupt(why, KILL_AFTER, script_events);
                }
            }
            ScriptCommand::Reap => self.reap_children(script_events),
            ScriptCommand::Stop { grace, done } => {
                for request in self.waiting.drain(..) {
                    request.refuse(StartError::Busy, &self.supervisor);
                }
                for entry in &mut self.scripts {
                    match entry.script.is_starting() {
                        true => entry.expire(&self.supervisor, script_events),
                        false => entry.interrupt(KillReason::ServerStop, grace, script_events),
                    }
                }
                self.stopping.push(done);
            }
        }
    }

    /// Starts the first waiting script that may start, and refuses those that must not.
    fn start_next(&mut self, script_events: &mut Vec<ScriptEvent>) {
        let mut at = 0;
        while let Some(start) = self.waiting.get(at).map(|request| self.may_start(request)) {
            if start == Start::Later {
                at += 1;
                continue;
            }
            let request = self.waiting.remove(at);
            let Start::Never(why) = start else {
                self.is_held_back = false;
                return self.start(request, script_events);
            };
            let (name, reason) = (printable(&request.job.name), reason_not_to_start(why).to_owned());
            script_events.push(ScriptEvent::NotStarted { name, reason });
            request.refuse(why, &self.supervisor);
        }
        self.is_held_back = true;
    }

    fn may_start(&self, request: &StartRequest) -> Start {
        if request.due.is_some_and(|due| due <= Instant::now()) {
            let why = if request.lacks_room { StartError::NoRoom } else { StartError::TooSlow };
            return Start::Never(why);
        }
        let most = match request.scripts {
            0 => STARTING,
            scripts => (scripts / STARTING_SHARE).max(1),
        };
        let name = printable(&request.job.name);
        let starts = self.scripts.iter().filter_map(|entry| entry.script.starting_as(&name));
        let ages: Vec<Duration> = starts.collect();
        let (youngest, oldest) = (ages.iter().min(), ages.iter().max());
        match () {
            () if youngest.is_some_and(|age| *age < NEXT_START) => Start::Later,
            () if ages.len() < most => Start::Now,
            () if oldest.is_some_and(|age| *age < SLOW_START) => Start::Later,
            () => Start::Never(StartError::Busy),
        }
    }

    /// Starts a script. If the system lacks a process, memory or descriptors, the script waits.
    fn start(&mut self, mut request: StartRequest, script_events: &mut Vec<ScriptEvent>) {
        if request.status_cell.unwanted.load(SeqCst) {
            return;
        }
        let started = ScriptProcess::start(&request.job, request.output.as_fd(), request.due);
        let waits = Instant::now() < request.room_until;
        match started {
            Err(error) if waits && is_process_shortage(&error) => {
                request.lacks_room = true;
                self.waiting.insert(0, request);
                self.is_held_back = true;
            }
            started => self.started(request, started, script_events),
        }
    }

    fn started(
        &mut self,
        request: StartRequest,
        started: io::Result<ScriptProcess>,
        script_events: &mut Vec<ScriptEvent>,
    ) {
        let StartRequest { id, job, status_cell, slot, .. } = request;
        match started.and_then(|script| self.watch(id, script)) {
            Ok(script) => self.scripts.push(SupervisedScript { id, script, status_cell, slot: Some(slot) }),
            Err(error) => {
                drop(slot);
                self.not_started(&status_cell, printable(&job.name), &error, script_events);
            }
        }
    }

    fn not_started(
        &self,
        status_cell: &ScriptStatus,
        name: String,
        error: &io::Error,
        script_events: &mut Vec<ScriptEvent>,
    ) {
        let why = if is_process_shortage(error) { StartError::NoRoom } else { StartError::Unrunnable };
        status_cell.decided.store(true, SeqCst);
        self.supervisor.settle(status_cell, Err(why));
        script_events.push(ScriptEvent::NotStarted { name, reason: reason(error) });
    }

    /// Adds the descriptors of a new script to the epoll set. If that fails, the script is ended.
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

    /// Reads the result of a script's exec.
    fn take_status(&mut self, id: u64, script_events: &mut Vec<ScriptEvent>) {
        let Some(entry) = find(&mut self.scripts, id) else { return };
        let Some((result, status)) = entry.script.exec_result() else { return };
        _ = self.epoll.delete(&status);
        let name = entry.script.name().to_owned();
        match result {
            Ok(()) => {
                if entry.slot.is_some() {
                    script_events.push(ScriptEvent::Spawned { pid: entry.script.pid().as_raw(), name });
                }
                if let Some(pidfd) = entry.script.pidfd() {
                    _ = entry.status_cell.pidfd.set(Arc::clone(pidfd));
                }
                entry.status_cell.decided.store(true, SeqCst);
            }
            Err(error) => {
                let Some(mut entry) = self.remove(id) else { return };
                // The process can only exit now, so that reaping does not block.
                entry.script.reap();
                drop(entry.slot);
                self.not_started(&entry.status_cell, name, &error, script_events);
            }
        }
    }

    /// Removes a script and its descriptors from the epoll set.
    ///
    /// The descriptors may stay open for a moment in forked copies, so that closing them would not remove
    /// them.
    fn remove(&mut self, id: u64) -> Option<SupervisedScript> {
        let at = self.scripts.iter().position(|entry| entry.id == id)?;
        let entry = self.scripts.swap_remove(at);
        let pidfd = entry.script.pidfd().map(|fd| &**fd);
        for fd in [entry.script.stderr(), entry.script.status(), pidfd].into_iter().flatten() {
            _ = self.epoll.delete(fd);
        }
        Some(entry)
    }

    /// Reads a script's standard error, and closes the pipe at its end.
    fn read_stderr(&mut self, id: u64, script_events: &mut Vec<ScriptEvent>) {
        if let Some(stderr) =
            find(&mut self.scripts, id).and_then(|entry| entry.script.read_stderr(script_events))
        {
            _ = self.epoll.delete(stderr);
        }
    }

    /// Reaps the script if it has ended.
    fn reap(&mut self, id: u64, script_events: &mut Vec<ScriptEvent>) {
        // A script whose exec failed has ended too.
        self.take_status(id, script_events);
        if !self.scripts.iter().any(|entry| entry.id == id && entry.script.has_ended()) {
            return;
        }
        let Some(SupervisedScript { mut script, status_cell, slot, .. }) = self.remove(id) else { return };
        let end = script.reap();
        script.drain_stderr(script_events);
        if end.by.is_none() && !end.status.success() {
            let (pid, name) = (script.pid().as_raw(), script.name().to_owned());
            script_events.push(ScriptEvent::Ended { pid, name, status: end.status });
        }
        drop(slot);
        self.supervisor.settle(&status_cell, Ok(end));
    }

    /// Reaps every script that has ended.
    fn reap_all(&mut self, script_events: &mut Vec<ScriptEvent>) {
        let ids: Vec<u64> = self.scripts.iter().map(|entry| entry.id).collect();
        for id in ids {
            self.reap(id, script_events);
        }
    }

    /// Reaps all children that have ended, scripts or not.
    fn reap_children(&mut self, script_events: &mut Vec<ScriptEvent>) {
        let peek = WaitPidFlag::WEXITED | WaitPidFlag::WNOHANG | WaitPidFlag::WNOWAIT;
        while let Ok(status) = waitid(Id::All, peek)
            && let Some(pid) = status.pid()
        {
            match self.scripts.iter().find(|entry| entry.script.pid() == pid).map(|entry| entry.id) {
                Some(id) => self.reap(id, script_events),
                None => _ = waitpid(pid, Some(WaitPidFlag::WNOHANG)),
            }
        }
    }
}

/// Reason for the log why a waiting script is refused.
fn reason_not_to_start(why: StartError) -> &'static str {
    match why {
        StartError::Busy => "earlier starts of it hang",
        StartError::NoRoom => "the system lacked a process, memory or descriptors for it",
        StartError::TooSlow | StartError::Unrunnable => "its time was over before it could be started",
    }
}

fn find(scripts: &mut [SupervisedScript], id: u64) -> Option<&mut SupervisedScript> {
    scripts.iter_mut().find(|script| script.id == id)
}

impl StartRequest {
    /// Refuses the start, which ends the output.
    fn refuse(self, why: StartError, supervisor: &Supervisor) {
        drop(self.slot);
        self.status_cell.decided.store(true, SeqCst);
        supervisor.settle(&self.status_cell, Err(why));
    }
}

impl SupervisedScript {
    /// Sends the first signal; the connection's status is set before the effect is visible.
    fn interrupt(&mut self, why: KillReason, kill_after: Duration, script_events: &mut Vec<ScriptEvent>) {
        _ = self.status_cell.by.set(why);
        self.script.interrupt(why, kill_after, script_events);
    }

    /// Sends the next signal after the deadline.
    ///
    /// A start that hangs is given up: KILL ends it once its storage answers, and its slot is released now.
    fn expire(&mut self, supervisor: &Supervisor, script_events: &mut Vec<ScriptEvent>) {
        if self.script.is_starting() {
            let (name, reason) = (self.script.name().to_owned(), "its start took too long".to_owned());
            script_events.push(ScriptEvent::NotStarted { name, reason });
            self.interrupt(KillReason::TimeLimit, Duration::ZERO, script_events);
            self.script.kill(script_events);
            self.slot = None;
            self.status_cell.decided.store(true, SeqCst);
            return supervisor.settle(&self.status_cell, Err(StartError::TooSlow));
        }
        match self.script.ended_by() {
            None => self.interrupt(KillReason::TimeLimit, KILL_AFTER, script_events),
            Some(_) => self.script.kill(script_events),
        }
    }

    /// Tells whether the shutdown can wait for the script: KILL does not end an uninterruptible process.
    fn may_end(&self) -> bool {
        self.script.killed().is_none_or(|at| at.elapsed() < GIVE_UP)
    }
}
