//! `/healthz`: whether the server is able to serve, as two threads have observed it before, so that the answer
//! waits for no disk and no worker.
//!
//! The status thread looks every second whether workers go on. A thread of its
//! own opens the directory now and then, and may be stuck in that for as long as its disk does not answer.

use std::io;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::shared::Shared;
use crate::sys::thread;

/// Workers that have ended no round for this long are stuck, as is a disk that has not answered.
const STUCK_AFTER: Duration = Duration::from_secs(10);
/// Time between two looks at the directory.
const LOOK_INTERVAL: Duration = Duration::from_secs(5);

/// Progress of the workers, as the answering thread has seen it.
#[derive(Debug)]
pub struct Pulse {
    heartbeat: u64,
    moved_at: Instant,
}

impl Pulse {
    /// A pulse that begins now.
    pub fn new() -> Pulse {
        Pulse { heartbeat: 0, moved_at: Instant::now() }
    }

    /// Looks whether a worker has ended a round since the last look, and wakes an idle one for the next. So the
    /// count stands still only if all workers are stuck.
    pub fn look(&mut self, shared: &Shared) {
        shared.poller.notify();
        self.observe(shared.heartbeat.load(Relaxed), Instant::now());
    }

    fn observe(&mut self, heartbeat: u64, now: Instant) {
        if heartbeat != self.heartbeat {
            (self.heartbeat, self.moved_at) = (heartbeat, now);
        }
    }

    fn is_stuck(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.moved_at) >= STUCK_AFTER
    }
}

/// State of the directory, as its thread has seen it.
#[derive(Debug, Default)]
pub struct DirectoryWatch(Mutex<Look>);

#[derive(Debug, Default)]
struct Look {
    /// Start of the check in progress.
    since: Option<Instant>,
    /// Reason why the last check failed.
    failure: Option<String>,
}

impl DirectoryWatch {
    /// Starts the thread that looks.
    ///
    /// # Errors
    ///
    /// The system lacks a thread.
    pub fn start(shared: &Arc<Shared>) -> io::Result<Arc<DirectoryWatch>> {
        let watch = Arc::new(DirectoryWatch::default());
        let (shared, own) = (Arc::clone(shared), Arc::clone(&watch));
        let work = move || {
            while !shared.ended.load(Relaxed) {
                own.look(&|| shared.site().resolver.root().check());
                std::thread::sleep(LOOK_INTERVAL);
            }
        };
        thread::start("dir-watch", 64 * 1024, Box::new(work))?;
        Ok(watch)
    }

    fn look(&self, check: &dyn Fn() -> nix::Result<()>) {
        self.set(|look| look.since = Some(Instant::now()));
        let failure = check().err().map(|errno| crate::sys::reason(&errno.into()));
        self.set(|look| *look = Look { since: None, failure });
    }

    fn set(&self, change: impl FnOnce(&mut Look)) {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// Reason why the directory cannot be served, if any.
    fn fault(&self, now: Instant) -> Option<String> {
        let look = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let hangs = look.since.is_some_and(|since| now.saturating_duration_since(since) >= STUCK_AFTER);
        let hanging = hangs.then(|| "the disk does not answer".to_owned());
        hanging
            .or_else(|| look.failure.clone())
            .map(|why| format!("the web directory cannot be opened: {why}"))
    }
}

/// Reason why no more clients should be sent here; `None` if the server is healthy.
pub fn fault(shared: &Shared, pulse: &Pulse, directory: &DirectoryWatch) -> Option<String> {
    let now = Instant::now();
    if shared.stop_phase.is_announced() {
        return Some("the server is stopping".into());
    }
    if pulse.is_stuck(now) {
        return Some("no worker has ended a turn for ten seconds".into());
    }
    directory.fault(now)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn workers_are_stuck_when_their_count_stands_still() {
        let mut pulse = Pulse::new();
        let begin = Instant::now();
        let at = |seconds| begin + Duration::from_secs(seconds);
        pulse.observe(1, at(1));
        assert!(!pulse.is_stuck(at(10)));
        pulse.observe(1, at(10));
        assert!(pulse.is_stuck(at(11)));
        pulse.observe(2, at(12));
        assert!(!pulse.is_stuck(at(13)));
    }

    #[test]
    fn a_directory_that_fails_or_hangs_is_told_of() {
        let watch = DirectoryWatch::default();
        let now = Instant::now();
        assert_eq!(watch.fault(now), None);
        watch.look(&|| Err(nix::errno::Errno::ENOENT));
        assert!(watch.fault(now).unwrap().ends_with("No such file or directory"));
        watch.look(&|| Ok(()));
        assert_eq!(watch.fault(now), None);
        watch.set(|look| look.since = Some(now));
        assert_eq!(watch.fault(now + Duration::from_secs(9)), None);
        assert!(watch.fault(now + STUCK_AFTER).unwrap().ends_with("does not answer"));
    }
}
