//! Ownership of connections: acceptor, channel, workers, poller.
//!
//! ```text
//!             accept             channel (unbounded; the ConnectionLimiter bounds it)
//!  listeners ────────► acceptor ─────────► worker 1..N ──turn──► closed
//!                                           ▲      │ Next::Park
//!                                     ready │      ▼
//!                                           poller ◄──── deadlines ── timer thread
//! ```
//!
//! The acceptor waits for the [`listener`]s; a worker that has just served a new connection accepts the
//! next one itself, if there is one.
//!
//! A connection has exactly one owner: the channel, a worker, or the poller. A worker does all that
//! can be done without waiting on the client; a connection that then waits — for a request, for room
//! in a socket buffer, for a throttle's pause to end — waits in the [`poller`], so no slow client
//! holds a worker. Workers themselves wait in one place only, the poller's epoll set, in which an
//! eventfd becomes ready when something was put into the channel. As many workers are active as there
//! are processors; the rest are on standby for turns that may block ([`active_workers`]).

use std::io;
use std::panic;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::sync::{Arc, PoisonError, RwLock};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, unbounded};
use nix::errno::Errno;
use threadpool::ThreadPool;

use crate::cache::watcher::Ticket;
use crate::conn::Connection;
use crate::conn::stop_phase::StopPhase;
use crate::conn::wait::Wake;
use crate::docroot::blocking::RemoteSlots;
use crate::site::Site;
use crate::sys::thread;
use crate::throttle::AddressPermit;

mod acceptor;
mod active_workers;
mod admission;
mod generation;
mod health;
pub mod listen_socket;
mod listener;
mod metrics;
mod poller;
mod status;
mod timers;
mod worker;

use acceptor::Acceptor;
use active_workers::ActiveWorkers;
use admission::{ConnectionLimiter, ConnectionPermit};
use generation::ConfigGeneration;
use listen_socket::ListenerSet;
use listener::Listeners;
use poller::Poller;

/// A worker's stack: a turn needs some tens of KiB at its deepest.
const WORKER_STACK: usize = 256 * 1024;

/// How long a reload waits for turns by the old configuration. A worker that waits for a connection's next
/// request does so for some milliseconds; only a turn that waits for a disk takes longer.
const RELOAD_WAIT: Duration = Duration::from_millis(250);

/// A connection and what it holds while it lives.
#[derive(Debug)]
struct AdmittedConnection {
    connection: Connection,
    /// Events registered with epoll.
    watched: poller::Registration,
    _permit: ConnectionPermit,
    /// Its place among its client's connections, where these are bounded.
    _address: Option<Box<AddressPermit>>,
}

/// A connection on its way to a worker.
#[derive(Debug)]
struct ReadyConnection {
    admitted: Box<AdmittedConnection>,
    wake: Wake,
    /// When it was seen to be ready, for one that was.
    ticket: Option<Ticket>,
}

/// State that acceptor, workers and timer share.
#[derive(Debug)]
struct Shared {
    listeners: Listeners,
    poller: Poller,
    limiter: Arc<ConnectionLimiter>,
    active_workers: ActiveWorkers,
    /// ConnectionBounds the workers that are in storage which may not answer.
    remote: RemoteSlots,
    /// Files kept open are to be looked through for deleted ones.
    tidy_due: AtomicBool,
    to_workers: Sender<ReadyConnection>,
    ready: Receiver<ReadyConnection>,
    site: RwLock<Arc<Site>>,
    /// Counts configurations, so that a worker sees cheaply that its own is old.
    config_generation: ConfigGeneration,
    stop_phase: Arc<StopPhase>,
    aborting: AtomicBool,
    ended: AtomicBool,
    heartbeat: AtomicU64,
}

impl Shared {
    fn site(&self) -> Arc<Site> {
        Arc::clone(&self.site.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Puts a connection into the channel and wakes an idle worker for it.
    fn enqueue(&self, admitted: Box<AdmittedConnection>, wake: Wake) {
        self.requeue(ReadyConnection { admitted, wake, ticket: None });
    }

    /// Puts a connection that was ready already into the channel.
    fn requeue(&self, ready: ReadyConnection) {
        // The receiving end lives as long as we do.
        let _ = self.to_workers.send(ready);
        self.poller.notify_if_idle();
    }

    /// A slot for storage that may not answer is free: the connection that has waited longest for it goes on.
    fn serve_storage_queue(&self) {
        while let Some(key) = self.remote.next_in_queue() {
            if let Some(admitted) = self.poller.take_from_storage_queue(key) {
                return self.enqueue(admitted, Wake::Ready);
            }
        }
    }

    /// Tells every parked connection that the server ends.
    fn wake_all_waiting(&self) {
        self.poller.take_all(&mut |admitted| self.enqueue(admitted, Wake::Drain));
    }
}

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
    /// When the system has no threads or descriptors for us.
    pub fn start(listeners: ListenerSet, site: Arc<Site>) -> io::Result<Server> {
        let count = worker_count(&site);
        let (to_workers, ready) = unbounded();
        let bounds = admission::ConnectionBounds::new(site.config.limits.connections, count);
        let shared = Arc::new(Shared {
            listeners: Listeners::new(listeners.serving)?,
            poller: Poller::new()?,
            limiter: ConnectionLimiter::new(bounds, Arc::clone(&site.stats)),
            active_workers: ActiveWorkers::new(thread::processors()),
            remote: RemoteSlots::new(count),
            tidy_due: AtomicBool::new(false),
            to_workers,
            ready,
            site: RwLock::new(site),
            config_generation: ConfigGeneration::new(count),
            stop_phase: Arc::default(),
            aborting: AtomicBool::new(false),
            ended: AtomicBool::new(false),
            heartbeat: AtomicU64::new(0),
        });
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

    /// Announces the end: `/healthz` turns 503, and responses close their connections. Nothing else
    /// changes, so that whoever sends clients here has time to hear of it.
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

    /// A count that goes on as long as workers run: asks one to come round, so that a caller who
    /// asks again later sees a higher number.
    pub fn heartbeat(&self) -> u64 {
        self.shared.poller.notify();
        self.shared.heartbeat.load(Relaxed)
    }

    /// Has a worker let go of what nobody can ask for any more. Nothing is looked at here: the caller is
    /// not to wait for a disk.
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

/// A pool of `count` threads. The pool's builder panics where the system has no thread for it, which is
/// an error like any other; so its panic is caught, and not told of.
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

/// Enough that a few may wait for a disk while the processors stay busy.
fn worker_count(site: &Site) -> usize {
    match site.config.workers {
        0 => (2 * thread::processors()).clamp(4, 64),
        n => n,
    }
}
