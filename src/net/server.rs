//! The running server: its threads, its end, and its change to another configuration.

use std::io;
use std::panic;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use threadpool::ThreadPool;

use super::acceptor::Acceptor;
use super::listen_socket::ListenerSet;
use super::shared::Shared;
use super::{status, worker};
use crate::conn::wait::Wake;
use crate::site::Site;
use crate::sys::thread;

/// A worker's stack: a turn needs some tens of KiB at its deepest.
const WORKER_STACK: usize = 256 * 1024;

/// How long a reload waits for turns by the old configuration. A worker that waits for a connection's next
/// request does so for some milliseconds; only a turn that waits for a disk takes longer.
const RELOAD_WAIT: Duration = Duration::from_millis(250);

/// A running server.
#[derive(Debug)]
pub struct Server {
    shared: Arc<Shared>,
    acceptor: Acceptor,
    timer: Option<JoinHandle<()>>,
    workers: ThreadPool,
}

impl Server {
    /// Starts to serve `site` on `listeners`, and to tell of it on those for status.
    ///
    /// # Errors
    /// The system lacks threads or descriptors.
    pub fn start(listeners: ListenerSet, site: Arc<Site>) -> io::Result<Server> {
        let count = worker_count(&site);
        let shared = Arc::new(Shared::new(listeners.serving, site, count)?);
        let workers = start_pool(count)?;
        for number in 0..count {
            let shared = Arc::clone(&shared);
            workers.execute(move || worker::run(&shared, number));
        }
        let timer = {
            let shared = Arc::clone(&shared);
            let work =
                move || shared.poller.watch_deadlines(&|admitted| shared.enqueue(admitted, Wake::Expired));
            thread::start("timer", 64 * 1024, Box::new(work))?
        };
        status::start(listeners.status, &shared)?;
        let acceptor = Acceptor::start(Arc::clone(&shared))?;
        Ok(Server { shared, acceptor, timer: Some(timer), workers })
    }

    /// Closes the listening sockets; returns when they are closed.
    pub fn stop_accepting(&self) {
        self.acceptor.stop();
    }

    /// Announces the end: `/healthz` turns 503, and responses close their connections. Nothing else changes, so
    /// that a load balancer has time to notice.
    pub fn announce_stop(&self) {
        self.shared.stop_phase.announce();
    }

    /// Stops accepting, ends idle persistent connections, and lets the rest end with their responses.
    pub fn drain(&self) {
        self.shared.stop_phase.stop();
        self.stop_accepting();
        self.shared.wake_all_waiting();
    }

    /// Waits until no connection is left; false when `timeout` passes first.
    pub fn wait_empty(&self, timeout: Duration) -> bool {
        self.shared.limiter.wait_empty(Instant::now() + timeout)
    }

    /// Closes every connection, logging what was cut off.
    pub fn cut(&self) {
        self.shared.aborting.store(true, Relaxed);
        self.drain();
    }

    /// Connections open now.
    pub fn connections(&self) -> usize {
        self.shared.limiter.open()
    }

    /// Count of workers' rounds, which grows as long as they run: an idle one is woken for the next.
    pub fn heartbeat(&self) -> u64 {
        self.shared.poller.notify();
        self.shared.heartbeat.load(Relaxed)
    }

    /// Has a worker give up cached files that were deleted. The caller does not wait for a disk.
    pub fn tidy(&self) {
        self.shared.tidy_due.store(true, Relaxed);
        self.shared.poller.notify();
    }

    /// Puts another configuration in force for the requests that come after this has returned. Turns that
    /// go on by the old one are waited for, but not for longer than [`RELOAD_WAIT`].
    pub fn replace_site(&self, site: Arc<Site>) {
        *self.shared.site.write().unwrap_or_else(PoisonError::into_inner) = site;
        self.shared.config_generation.advance();
        // Standby workers would keep the old site and its cache until they become active.
        self.shared.active_workers.wake_standby();
        self.shared.config_generation.wait_for_workers(RELOAD_WAIT);
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.cut();
        self.wait_empty(Duration::from_secs(1));
        self.shared.ended.store(true, Relaxed);
        self.shared.poller.end();
        self.shared.active_workers.wake_standby();
        if let Some(timer) = self.timer.take() {
            let _ = timer.join();
        }
        self.workers.join();
    }
}

/// Starts a pool of `count` threads.
///
/// The pool's builder panics where the system lacks a thread. The panic is caught, and becomes an error without
/// a line in the log.
fn start_pool(count: usize) -> io::Result<ThreadPool> {
    let builder = threadpool::Builder::new()
        .num_threads(count)
        .thread_name("worker".into())
        .thread_stack_size(WORKER_STACK);
    let hook = panic::take_hook();
    panic::set_hook(Box::new(|_| ()));
    let pool = panic::catch_unwind(|| builder.build());
    panic::set_hook(hook);
    pool.map_err(|_| Errno::EAGAIN.into())
}

/// Number of workers: enough that a few may wait for a disk while the processors stay busy.
fn worker_count(site: &Site) -> usize {
    match site.config.workers {
        0 => (2 * thread::processors()).clamp(4, 64),
        n => n,
    }
}
