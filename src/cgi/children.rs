//! The scripts that run: started here, counted here, ended and reaped here, and nowhere else.
//!
//! A [`Job`] enters; a [`Running`] leaves, which the connection reads the output from. One thread
//! ([`watch`](super::watch)) looks after all scripts: it reads their standard error, keeps their
//! time limit and learns when they end. So no worker ever waits for a script.
//!
//! What makes signals safe: a process number, and with it the number of its group, is free for
//! others to get only once the process has been reaped. Reaping and signalling both happen under
//! the one lock of the table, and a script leaves the table when it is reaped. Before it is, its
//! group gets KILL, so nothing that it left behind outlives it.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::OwnedFd;
use std::process::ExitStatus;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags};
use nix::sys::eventfd::{EfdFlags, EventFd};
use nix::sys::wait::{Id, WaitPidFlag, waitid, waitpid};

use super::complaint::printable;
use super::note::{Note, Why};
use super::script::{KILL_AFTER, Script};
use super::watch;
use crate::sys::process;

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

/// Why a script was not started.
#[derive(Debug)]
pub enum NotStarted {
    /// As many run as may, or the server stops.
    Busy,
    /// It cannot be run, or there is no room for another process.
    Failed(io::Error),
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
    shared: Arc<Shared>,
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
        let shared = Arc::new(Shared::new(tell)?);
        let watched = Arc::clone(&shared);
        let watcher = thread::Builder::new().name("scripts".into()).spawn(move || watch::run(&watched))?;
        Ok(Children { shared, watcher: Some(watcher) })
    }

    /// Starts `job`, in its own directory and its own process group, if `bounds` allow.
    ///
    /// # Errors
    /// [`NotStarted`]; a failure has been told to the log.
    pub fn run(&self, job: Job, bounds: Bounds) -> Result<Running, NotStarted> {
        self.shared.start(job, bounds)
    }

    /// Scripts that run now: started and not yet reaped.
    pub fn count(&self) -> usize {
        self.shared.lock().scripts.len()
    }

    /// For SIGCHLD: reaps what has ended. That includes processes that were never ours but became
    /// so when their parent died, as happens to process 1 of a container; so only a process that
    /// has no other children may call it.
    pub fn reap(&self) {
        let mut notes = Vec::new();
        let mut table = self.shared.lock();
        self.shared.reap_all(&mut table, &mut notes);
        reap_strangers(&table);
        drop(table);
        self.shared.tell(&notes);
    }

    /// Ends all scripts and lets no more start: INT now, KILL after `grace`. Returns when all have
    /// been reaped.
    pub fn stop(&self, grace: Duration) {
        let mut notes = Vec::new();
        let mut table = self.shared.lock();
        table.stopping = true;
        for entry in table.scripts.values_mut() {
            entry.script.interrupt(Why::ServerStop, grace, &mut notes);
        }
        self.shared.ring();
        // Beyond the grace only what the kernel itself holds back can still be there.
        let patience = grace + KILL_AFTER;
        let waited = self.shared.empty.wait_timeout_while(table, patience, |table| !table.scripts.is_empty());
        drop(waited.unwrap_or_else(PoisonError::into_inner));
        self.shared.tell(&notes);
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

/// One running script, as its connection sees it. Dropping it ends the script, unless it was
/// [released](Running::release).
pub struct Running {
    id: u64,
    name: String,
    output: File,
    end: Arc<OnceLock<End>>,
    shared: Arc<Shared>,
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

    /// How the script ended; none while it runs. Looks anew each time it is asked.
    pub fn end(&self) -> Option<End> {
        if self.end.get().is_none() {
            let mut notes = Vec::new();
            let mut table = self.shared.lock();
            self.shared.reap(&mut table, self.id, &mut notes);
            drop(table);
            self.shared.tell(&notes);
        }
        self.known_end()
    }

    /// The same, without looking.
    pub fn known_end(&self) -> Option<End> {
        self.end.get().copied()
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
        let reason = match self.known_end() {
            Some(end) => format!("{reason} ({})", end.status),
            None => reason.to_owned(),
        };
        self.shared.tell(&[Note::BadOutput { name: self.name.clone(), reason }]);
    }
}

impl fmt::Debug for Running {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Running").field("name", &self.name).field("end", &self.known_end()).finish()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let Some(why) = self.unwanted.filter(|_| self.end.get().is_none()) else { return };
        let mut notes = Vec::new();
        let mut table = self.shared.lock();
        if let Some(entry) = table.scripts.get_mut(&self.id) {
            entry.script.interrupt(why, KILL_AFTER, &mut notes);
            self.shared.ring();
        }
        drop(table);
        self.shared.tell(&notes);
    }
}

/// What the connections, the watching thread and the signal thread share.
pub(super) struct Shared {
    table: Mutex<Table>,
    /// Signalled when the last script has been reaped.
    empty: Condvar,
    /// What the watching thread waits in.
    pub(super) epoll: Epoll,
    /// Wakes it when a deadline has come nearer or the server stops.
    pub(super) bell: EventFd,
    tell: Tell,
}

/// The scripts that have not been reaped.
#[derive(Default)]
pub(super) struct Table {
    pub(super) scripts: BTreeMap<u64, Entry>,
    pub(super) stopping: bool,
    last_id: u64,
}

/// A script, and where its connection will find how it ended.
pub(super) struct Entry {
    pub(super) script: Script,
    end: Arc<OnceLock<End>>,
}

impl Shared {
    fn new(tell: Tell) -> io::Result<Shared> {
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
        let bell = EventFd::from_flags(EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK)?;
        epoll.add(&bell, EpollEvent::new(EpollFlags::EPOLLIN, watch::BELL))?;
        Ok(Shared { table: Mutex::default(), empty: Condvar::new(), epoll, bell, tell })
    }

    /// The table. A panic elsewhere leaves it whole: every change to it is one step.
    pub(super) fn lock(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn tell(&self, notes: &[Note]) {
        notes.iter().for_each(|note| (self.tell)(note));
    }

    fn ring(&self) {
        // Full only when it has rung already.
        _ = self.bell.write(1);
    }

    /// Holds the lock over fork and exec: no one may reap a child that is not in the table yet.
    fn start(self: &Arc<Shared>, job: Job, bounds: Bounds) -> Result<Running, NotStarted> {
        let name = printable(&job.name);
        let mut table = self.lock();
        let full = bounds.scripts != 0 && table.scripts.len() >= bounds.scripts;
        if full || table.stopping {
            return Err(NotStarted::Busy);
        }
        let started = Script::start(job, bounds.time)
            .and_then(|(script, output)| self.enter(&mut table, script, output));
        drop(table);
        match started {
            Ok((pid, running)) => {
                self.tell(&[Note::Spawned { pid, name }]);
                Ok(running)
            }
            Err(error) => {
                self.tell(&[Note::NotStarted { name, reason: error.to_string() }]);
                Err(NotStarted::Failed(error))
            }
        }
    }

    /// Puts a new script into the table. When that fails it is ended at once.
    fn enter(
        self: &Arc<Shared>,
        table: &mut Table,
        mut script: Script,
        output: OwnedFd,
    ) -> io::Result<(i32, Running)> {
        let id = table.last_id + 1;
        if let Err(error) = self.attend_to(&script, id) {
            script.reap();
            return Err(error);
        }
        let end = Arc::new(OnceLock::new());
        let running = Running {
            id,
            name: script.name().to_owned(),
            output: output.into(),
            end: Arc::clone(&end),
            shared: Arc::clone(self),
            unwanted: Some(Why::Unwanted),
        };
        let pid = script.pid().as_raw();
        table.last_id = id;
        table.scripts.insert(id, Entry { script, end });
        self.ring();
        Ok((pid, running))
    }

    /// Has the watching thread attend to the script.
    fn attend_to(&self, script: &Script, id: u64) -> io::Result<()> {
        let readable = |event| EpollEvent::new(EpollFlags::EPOLLIN, event);
        if let Some(stderr) = script.stderr() {
            self.epoll.add(stderr, readable(watch::stderr_of(id)))?;
        }
        if let Some(pidfd) = script.pidfd() {
            self.epoll.add(pidfd, readable(watch::end_of(id)))?;
        }
        Ok(())
    }

    /// Reads what the script has written to its standard error, and lets go of it at its end.
    pub(super) fn listen(&self, table: &mut Table, id: u64, notes: &mut Vec<Note>) {
        if let Some(stderr) = table.scripts.get_mut(&id).and_then(|entry| entry.script.listen(notes)) {
            _ = self.epoll.delete(stderr);
        }
    }

    /// Reaps the script if it has ended, after its group.
    pub(super) fn reap(&self, table: &mut Table, id: u64, notes: &mut Vec<Note>) {
        if !table.scripts.get(&id).is_some_and(|entry| entry.script.has_ended()) {
            return;
        }
        let Some(Entry { mut script, end: place }) = table.scripts.remove(&id) else { return };
        let end = script.reap();
        // Out of the set first: the descriptors may live on for a moment in other copies.
        for fd in [script.hear_out(notes).as_ref(), script.stderr(), script.pidfd()].into_iter().flatten() {
            _ = self.epoll.delete(fd);
        }
        if end.by.is_none() && !end.status.success() {
            let (pid, name) = (script.pid().as_raw(), script.name().to_owned());
            notes.push(Note::Ended { pid, name, status: end.status });
        }
        _ = place.set(end);
        if table.scripts.is_empty() {
            self.empty.notify_all();
        }
    }

    /// Reaps every script that has ended.
    pub(super) fn reap_all(&self, table: &mut Table, notes: &mut Vec<Note>) {
        let ids: Vec<u64> = table.scripts.keys().copied().collect();
        for id in ids {
            self.reap(table, id, notes);
        }
    }
}

/// Reaps children that are not in the table, up to the first that is.
fn reap_strangers(table: &Table) {
    let peek = WaitPidFlag::WEXITED | WaitPidFlag::WNOHANG | WaitPidFlag::WNOWAIT;
    while let Ok(status) = waitid(Id::All, peek)
        && let Some(pid) = status.pid()
        && !table.scripts.values().any(|entry| entry.script.pid() == pid)
    {
        _ = waitpid(pid, Some(WaitPidFlag::WNOHANG));
    }
}

#[cfg(test)]
mod tests;
