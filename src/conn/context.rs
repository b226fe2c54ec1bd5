//! Context of a turn: the worker with its buffers, its budget, and the connection at hand.

use std::mem::take;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use super::close_reason::CloseReason;
use super::io::receive_buffer::ReceiveBuffer;
use super::io::socket::PeerState;
use super::io::spin::BlockingReadPolicy;
use super::now::Now;
use super::response_cache::ResponseCache;
use super::session::Session;
use super::stop_phase::StopPhase;
use super::wait::{On, Wait, Wake};
use crate::cache::Freshness;
use crate::docroot::blocking::Blocking;
use crate::response::head::Clock;
use crate::site::Site;

/// Bytes a connection may move in one turn while others wait: more than the first piece of a file and its
/// head. A piece begun within them is sent whole.
const TURN_BYTES: u64 = 1280 * 1024;

/// Requests a connection may have answered in one turn while others wait.
const TURN_REQUESTS: u32 = 64;

/// One worker's context: buffers that are reused for every connection, and the configuration in force.
pub struct WorkerContext {
    /// The configuration in force.
    pub site: Arc<Site>,
    /// Set once the server is ending: no connection persists.
    pub stopping: bool,
    /// Set once the end is announced: responses close their connections.
    pub closing: bool,
    /// The server's phase, of which the two flags above are the last reading.
    stop_phase: Arc<StopPhase>,
    /// Policy for waiting in a read.
    pub blocking_read: BlockingReadPolicy,
    /// Freshness of the cache for the requests at hand.
    pub freshness: Freshness,
    /// Time at which the bytes at hand came.
    pub(super) now: Now,
    /// Worker, which is told before a call that may block.
    pub(super) blocking: Rc<dyn Blocking>,
    pub(super) clock: Clock,
    pub(super) receive_buffer: ReceiveBuffer,
    pub(super) output: Vec<u8>,
    pub(super) response_cache: ResponseCache,
}

impl WorkerContext {
    /// A context under `site`; `blocking` is told before anything that may take long.
    pub fn new(
        site: Arc<Site>,
        blocking_read: Duration,
        blocking: Rc<dyn Blocking>,
        stop_phase: Arc<StopPhase>,
    ) -> WorkerContext {
        let blocking_read = BlockingReadPolicy::new(blocking_read);
        let now = Now::read();
        let clock = Clock::new(now.wall, &site.head_policy);
        let receive_buffer = ReceiveBuffer::with_room_for(site.config.limits.head);
        let output = Vec::with_capacity(8192);
        let freshness = Freshness::default();
        let response_cache = ResponseCache::new(&site);
        WorkerContext {
            site,
            stopping: false,
            closing: false,
            stop_phase,
            blocking_read,
            freshness,
            now,
            blocking,
            clock,
            receive_buffer,
            output,
            response_cache,
        }
    }

    /// Changes to another configuration, between turns.
    pub fn reconfigure(&mut self, site: Arc<Site>) {
        let (blocking, stop_phase) = (Rc::clone(&self.blocking), Arc::clone(&self.stop_phase));
        *self = WorkerContext {
            stopping: self.stopping,
            closing: self.closing,
            ..WorkerContext::new(site, self.blocking_read.most, blocking, stop_phase)
        };
    }

    /// Reads the server's phase for the worker's next response.
    pub fn read_stop_phase(&mut self) {
        self.stopping = self.stop_phase.is_stopping();
        self.closing = self.stop_phase.is_announced();
    }

    /// Tells whether the server ends, now or soon.
    pub(super) fn ends(&self) -> bool {
        self.closing || self.stopping
    }

    /// Reads both clocks, after bytes have come or may have.
    pub(super) fn read_clock(&mut self) {
        self.now = Now::read();
        self.freshness.set_time(self.now.monotonic);
        self.clock.advance(self.now.wall, &self.site.head_policy);
    }

    /// Forgets the time, the state of the disk and the server's phase: bytes read from here on may be newer.
    pub(super) fn expire_readings(&mut self) {
        self.read_stop_phase();
        self.freshness.expire();
        self.read_clock();
    }

    /// Reason why `session` takes no request after the one at hand; none if it may.
    pub(super) fn end_of_keepalive(&self, session: &Session) -> Option<CloseReason> {
        let config = &self.site.config;
        let most = config.limits.keepalive_requests;
        if self.ends() {
            Some(CloseReason::Shutdown)
        } else if most > 0 && session.served() + 1 >= most || self.is_past_total(session) {
            Some(CloseReason::KeepAliveLimit)
        } else {
            None
        }
    }

    /// Tells whether `session` is older than `keepalive_max_time`, if that is limited.
    pub(super) fn is_past_total(&self, session: &Session) -> bool {
        let total = self.site.config.timeouts.keepalive_total;
        !total.is_zero() && self.now.since(session.accepted()) >= total
    }

    /// A wait for bytes from the client.
    pub(super) fn readable_within(&self, limit: Duration) -> Wait {
        Wait { on: On::Readable, until: self.now.monotonic + limit }
    }
}

/// Rest of a connection's share of a worker's time.
#[derive(Debug)]
pub struct TurnBudget {
    bytes: u64,
    requests: u32,
}

impl TurnBudget {
    /// The budget that a turn begins with.
    pub fn whole() -> TurnBudget {
        TurnBudget { bytes: TURN_BYTES, requests: TURN_REQUESTS }
    }

    /// Bytes that may still be moved.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Counts an answered request.
    pub fn spend_request(&mut self) {
        self.requests = self.requests.saturating_sub(1);
    }

    /// Counts bytes moved.
    pub fn spend_bytes(&mut self, n: u64) {
        self.bytes = self.bytes.saturating_sub(n);
    }

    /// Tells whether the budget is spent, so that other connections come first.
    pub fn is_spent(&self) -> bool {
        self.bytes == 0 || self.requests == 0
    }
}

/// One turn of a connection: the argument of each state's `advance`.
pub struct Turn<'a> {
    /// The connection's session.
    pub session: &'a mut Session,
    /// The worker that gives the turn.
    pub worker: &'a mut WorkerContext,
    /// Rest of the connection's share.
    pub budget: TurnBudget,
    /// Reason for which the worker has the connection.
    pub wake: Wake,
}

impl Turn<'_> {
    /// Tells whether the poller has reported the end of the connection in both directions, or a reset.
    ///
    /// A client that has only ended its side may still read. One that has closed its socket looks the same
    /// until its system answers what it is sent.
    pub fn client_is_gone(&self) -> bool {
        self.wake == Wake::Hangup && self.session.socket().peer_state() == PeerState::Gone
    }

    /// Lends `read` the worker's buffer with the session's kept input, and keeps what is left in it.
    pub fn with_buffer<T>(&mut self, read: impl FnOnce(&mut Self, &mut ReceiveBuffer) -> T) -> T {
        let mut buffer = take(&mut self.worker.receive_buffer);
        self.session.load_pending(&mut buffer);
        let outcome = read(self, &mut buffer);
        self.session.keep_pending(&mut buffer);
        self.worker.receive_buffer = buffer;
        outcome
    }
}
