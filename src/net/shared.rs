//! State that the threads of a server share.

use std::io;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, PoisonError, RwLock};

use crossbeam_channel::{Receiver, Sender, unbounded};

use super::active_workers::ActiveWorkers;
use super::admission::{ConnectionBounds, ConnectionLimiter};
use super::admitted::{AdmittedConnection, ReadyConnection};
use super::close_counts::CloseCounts;
use super::generation::ConfigGeneration;
use super::listen_socket::Listener;
use super::listener::Listeners;
use super::poller::Poller;
use crate::conn::stop_phase::StopPhase;
use crate::conn::wait::Wake;
use crate::docroot::blocking::RemoteSlots;
use crate::site::Site;
use crate::sys::atomic::AtomicU64;
use crate::sys::thread;

/// State that acceptor, workers and timer share.
#[derive(Debug)]
pub struct Shared {
    /// Listening sockets.
    pub listeners: Listeners,
    /// Waiting connections.
    pub poller: Poller,
    /// Admission of connections.
    pub limiter: Arc<ConnectionLimiter>,
    /// Slots of workers that serve.
    pub active_workers: ActiveWorkers,
    /// Slots of workers in storage that may not answer.
    pub remote: RemoteSlots,
    /// The cache is to give up files that were deleted.
    pub tidy_due: AtomicBool,
    /// Sending end of the channel.
    pub to_workers: Sender<ReadyConnection>,
    /// Receiving end of the channel: connections that a worker can take.
    pub ready: Receiver<ReadyConnection>,
    /// The configuration in force.
    pub site: RwLock<Arc<Site>>,
    /// Counts configurations, so that a worker sees cheaply that its own is old.
    pub config_generation: ConfigGeneration,
    /// Phase of the server's end.
    pub stop_phase: Arc<StopPhase>,
    /// The grace is over: connections are cut off.
    pub aborting: AtomicBool,
    /// Threads return.
    pub ended: AtomicBool,
    /// Rounds of workers.
    pub heartbeat: AtomicU64,
    /// Connections closed, by reason.
    pub closes: CloseCounts,
}

impl Shared {
    /// State of a server with `count` workers.
    ///
    /// # Errors
    /// The system has no descriptors for it.
    pub fn new(listeners: Vec<Listener>, site: Arc<Site>, count: usize) -> io::Result<Shared> {
        let (to_workers, ready) = unbounded();
        let bounds = ConnectionBounds::new(site.config.limits.connections, count);
        Ok(Shared {
            listeners: Listeners::new(listeners)?,
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
            closes: CloseCounts::default(),
        })
    }

    /// The configuration in force.
    pub fn site(&self) -> Arc<Site> {
        Arc::clone(&self.site.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Puts a connection into the channel and wakes an idle worker for it.
    pub fn enqueue(&self, admitted: Box<AdmittedConnection>, wake: Wake) {
        self.requeue(ReadyConnection { admitted, wake, ticket: None });
    }

    /// Puts a connection that was ready already into the channel.
    pub fn requeue(&self, ready: ReadyConnection) {
        // The receiving end lives as long as this sender.
        let _ = self.to_workers.send(ready);
        self.poller.notify_if_idle();
    }

    /// A slot for storage that may not answer is free: the connection that has waited longest for it goes on.
    pub fn serve_storage_queue(&self) {
        while let Some(key) = self.remote.next_in_queue() {
            if let Some(admitted) = self.poller.take_from_storage_queue(key) {
                return self.enqueue(admitted, Wake::Ready);
            }
        }
    }

    /// Tells every parked connection that the server ends.
    pub fn wake_all_waiting(&self) {
        self.poller.take_all(&mut |admitted| self.enqueue(admitted, Wake::Drain));
    }
}
