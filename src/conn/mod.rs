//! The life of one connection.
//!
//! A connection is always in one [`State`]. A worker gives it a [`turn`](Connection::turn): it does
//! all that can be done without waiting and answers with a [`Next`], what it waits for. Nothing here
//! knows of threads or of the parking lot (`net`); nothing here blocks, but for the patient read.
//!
//! ```text
//!             ┌──────────────────────── keep-alive ───────────────────────┐
//!             ▼                                                           │
//!  (accept ─► ReadProxyHead on a listener with `;proxy`)
//!  accept ─► ReadRequest ─► exchange ─► SendResponse ─► DiscardBody (unwanted content)┘
//!             │ │ malformed, too slow  │ close          │ too much
//!             │ └──────────────────────┴─► Linger ◄──┘ ─► closed
//!             └─► a script responds: ReadBody (its input) ─► RelayCgi (its output) ─► ReadRequest, closed
//! ```

use std::net::{Ipv4Addr, SocketAddr};
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::cache::watcher::Freshness;
use crate::docroot::blocking::Blocking;
use crate::request::{Client, Rejection};
use crate::response::head::Clock;
use crate::rules::Charged;
use crate::site::Site;
use crate::sys::memory::{MemoryReservation, REQUEST_MEMORY};

mod cgi_request;
mod discard_body;
mod dress;
mod exchange;
#[cfg(debug_assertions)]
mod failpoint;
mod linger;
mod log_details;
mod log_record;
mod now;
mod progress;
mod read_body;
mod read_proxy_head;
mod read_request;
mod receive_buffer;
mod relay_cgi;
mod reply;
mod send_queue;
mod send_response;
pub mod socket;
pub mod spin;
pub mod stop_phase;
pub mod wait;

use discard_body::DiscardBody;
use linger::Linger;
use log_details::LogDetails;
use now::Now;
use progress::{MinimumRate, SendLimits};
use read_body::ReadBody;
use read_proxy_head::ReadProxyHead;
use read_request::ReadRequest;
use receive_buffer::ReceiveBuffer;
use relay_cgi::RelayCgi;
use send_response::SendResponse;
use socket::Socket;
use spin::BlockingReadPolicy;
use stop_phase::StopPhase;
use wait::{Next, On, Wait, Wake};

/// Bytes a connection may move in one turn while others wait: more than the first piece of a file and its
/// head. What is begun within them is brought to its end.
const TURN_BYTES: u64 = 1280 * 1024;

/// Requests a connection may have answered in one turn while others wait.
const TURN_REQUESTS: u32 = 64;

/// One client's connection. Owned by one place at a time: channel, worker or parking lot.
#[derive(Debug)]
pub struct Connection {
    socket: Socket,
    /// The other end: the socket's peer, or the client that a PROXY head named.
    sender: Client,
    /// The client of the request at hand.
    client: Client,
    /// Its address as logged: IPv4 in IPv6 shown as IPv4.
    client_text: Arc<str>,
    state: State,
    /// Bytes received and not yet understood; empty (and unallocated) between requests.
    pending: Vec<u8>,
    /// Their part of the memory for all requests.
    pending_memory: Option<MemoryReservation>,
    /// There was no memory for bytes that came behind a request being answered; they are dropped, and the
    /// connection ends with its response.
    has_lost_input: bool,
    /// All that had come with the last request is understood, the client had not ended its side, and what
    /// comes since is noted.
    input_drained: bool,
    accepted: Instant,
    /// When the first byte of the request at hand came.
    began: Instant,
    /// What the log tells of it beyond the Combined line, where it does.
    details: Option<Box<LogDetails>>,
    /// Requests answered.
    served: u64,
    /// Said to the first request instead of an answer: this client has too many connections.
    refusal: Option<Box<Rejection>>,
    /// Rules that have counted the request at hand.
    charged: Charged,
}

/// What a connection is doing; each variant owns only what it needs.
#[derive(Debug)]
enum State {
    ReadProxyHead(ReadProxyHead),
    ReadRequest(ReadRequest),
    ReadBody(Box<ReadBody>),
    RelayCgi(Box<RelayCgi>),
    SendResponse(Box<SendResponse>),
    DiscardBody(Box<DiscardBody>),
    Linger(Linger),
    /// Between two phases, and after the last.
    Over,
}

/// What a phase came to.
#[derive(Debug)]
enum Step {
    /// Go on in this phase.
    Enter(State),
    /// Stay in this phase until something happens.
    Wait(State, Wait),
    /// Stay in this phase, and nothing is under way: between two requests.
    Idle(State, Wait),
    /// Stay in this phase; others are waiting.
    Yield(State),
    /// Done.
    Close,
}

/// One worker's workplace: buffers that are reused for every connection, and what it may read.
pub struct WorkerContext {
    /// The configuration in force.
    pub site: Arc<Site>,
    /// The server is ending: no connection persists.
    pub stopping: bool,
    /// The end is announced: responses close their connections.
    pub closing: bool,
    /// The server's phase, of which the two flags above are the last reading.
    stop_phase: Arc<StopPhase>,
    /// For a patient read.
    pub blocking_read: BlockingReadPolicy,
    /// Whether the kernel was asked for changes on disk since the requests at hand arrived.
    pub freshness: Freshness,
    /// When the bytes at hand came.
    now: Now,
    /// The worker itself: others go on while it is kept waiting.
    blocking: Rc<dyn Blocking>,
    clock: Clock,
    receive_buffer: ReceiveBuffer,
    output: Vec<u8>,
}

impl WorkerContext {
    /// A workplace under `site`; `blocking` is told before anything that may take long.
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
        }
    }

    /// Reads the server's phase for what this worker does next.
    pub fn read_stop_phase(&mut self) {
        self.stopping = self.stop_phase.is_stopping();
        self.closing = self.stop_phase.is_announced();
    }

    /// Does the server end, now or soon?
    fn ends(&self) -> bool {
        self.closing || self.stopping
    }

    /// Bytes have come, or may have: what was known of the time is out of date.
    fn read_clock(&mut self) {
        self.now = Now::read();
        self.clock.advance(self.now.wall, &self.site.head_policy);
    }

    /// Forgets the time, the state of the disk and the server's phase: bytes read from here on may be newer.
    fn expire_readings(&mut self) {
        self.read_stop_phase();
        self.freshness.expire();
        self.read_clock();
    }

    /// Changes to another configuration, between turns.
    pub fn reconfigure(&mut self, site: Arc<Site>) {
        *self = WorkerContext {
            stopping: self.stopping,
            closing: self.closing,
            ..WorkerContext::new(
                site,
                self.blocking_read.most,
                Rc::clone(&self.blocking),
                Arc::clone(&self.stop_phase),
            )
        };
    }
}

/// What is left of a connection's part of a worker's time.
#[derive(Debug)]
struct TurnBudget {
    bytes: u64,
    requests: u32,
}

impl TurnBudget {
    fn whole() -> TurnBudget {
        TurnBudget { bytes: TURN_BYTES, requests: TURN_REQUESTS }
    }

    fn spend_request(&mut self) {
        self.requests = self.requests.saturating_sub(1);
    }

    fn spend_bytes(&mut self, n: u64) {
        self.bytes = self.bytes.saturating_sub(n);
    }

    fn is_spent(&self) -> bool {
        self.bytes == 0 || self.requests == 0
    }
}

impl Connection {
    /// A connection that has just been accepted.
    pub fn new(stream: impl Into<OwnedFd>, peer: Option<SocketAddr>) -> Connection {
        let (sender, now) = (Client::of_socket(peer), Instant::now());
        Connection {
            socket: Socket::new(stream),
            sender,
            client: sender,
            client_text: sender.address.to_string().into(),
            state: State::ReadRequest(ReadRequest::first()),
            pending: Vec::new(),
            pending_memory: None,
            has_lost_input: false,
            input_drained: false,
            accepted: now,
            began: now,
            details: None,
            served: 0,
            refusal: None,
            charged: Charged::default(),
        }
    }

    /// The same, but its first request is answered with `refusal`.
    pub fn refused(self, refusal: Rejection) -> Connection {
        Connection { refusal: Some(Box::new(refusal)), ..self }
    }

    /// The same, but a PROXY protocol head comes before its first request.
    pub fn behind_proxy(self) -> Connection {
        Connection { state: State::ReadProxyHead(ReadProxyHead), ..self }
    }

    /// The client of the request at hand.
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// Takes note of the client of the request at hand; most often that of the one before.
    fn set_client(&mut self, client: Client) {
        if client.address != self.client.address {
            self.client_text = client.address.to_string().into();
        }
        self.client = client;
    }

    /// Begins to take notes on a request for a log that tells more than the Combined line.
    fn begin_details(&mut self, context: &WorkerContext) -> Option<&mut LogDetails> {
        if !context.site.log.has_details() {
            return None;
        }
        let details = self.details.get_or_insert_default();
        details.begin(&self.client);
        Some(details)
    }

    /// The address and port by which rates tell senders apart. A client behind a proxy has the proxy's port:
    /// two of its connections are two.
    fn sender_key(&self) -> SocketAddr {
        let address = self.client.address.known().unwrap_or(Ipv4Addr::UNSPECIFIED.into());
        let number = self.client.peer.map(|peer| peer.port());
        SocketAddr::new(address, number.unwrap_or(self.socket.raw_fd() as u16))
    }

    /// Has nothing been made of anything it sent?
    pub fn is_new(&self) -> bool {
        self.served == 0 && self.pending.is_empty()
    }

    /// The socket, for whoever waits on it.
    pub fn socket(&self) -> &Socket {
        &self.socket
    }

    /// Does as much as can be done without waiting on the client.
    pub fn turn(&mut self, wake: Wake, context: &mut WorkerContext) -> Next {
        if wake == Wake::Abort {
            self.abandon(context);
            return Next::Close;
        }
        context.read_clock();
        let mut budget = TurnBudget::whole();
        let mut wake = wake;
        loop {
            let step = match std::mem::replace(&mut self.state, State::Over) {
                State::ReadRequest(_) | State::DiscardBody(_) if self.has_lost_input => Linger::enter(self),
                State::ReadProxyHead(state) => state.advance(self, wake, context),
                State::ReadRequest(read_request) => read_request.advance(self, wake, context, &mut budget),
                State::ReadBody(read_body) => read_body.advance(self, wake, context, &mut budget),
                State::RelayCgi(relay_cgi) => relay_cgi.advance(self, context, &mut budget),
                State::SendResponse(send_response) => send_response.advance(self, context, &mut budget),
                State::DiscardBody(discard) => discard.advance(self, wake, context, &mut budget),
                State::Linger(linger) => linger.advance(self, wake, context, &mut budget),
                State::Over => Step::Close,
            };
            let (state, next) = match self.within_memory(step, context) {
                Step::Enter(state) => {
                    // What is read from here on is news.
                    context.freshness.expire();
                    self.state = state;
                    wake = Wake::Ready;
                    continue;
                }
                Step::Wait(state, wait) => {
                    // The lot notes nothing for one that waits there for something else.
                    self.input_drained = false;
                    (state, Next::Park(wait))
                }
                Step::Idle(state, wait) => (state, Next::Idle(wait)),
                Step::Yield(state) => (state, Next::Yield),
                Step::Close => return Next::Close,
            };
            self.state = state;
            return next;
        }
    }

    /// `step`, if there is memory for what is pending while it waits. Otherwise a request that is not whole
    /// is refused with 503; what has come behind a request being answered is dropped.
    fn within_memory(&mut self, step: Step, context: &mut WorkerContext) -> Step {
        if matches!(step, Step::Enter(_) | Step::Close) || self.hold_pending() {
            return step;
        }
        let pending = std::mem::take(&mut self.pending);
        self.pending_memory = None;
        if let Step::Wait(State::ReadRequest(_), _) | Step::Yield(State::ReadRequest(_)) = step {
            let rejection = Rejection::fatal(503, "");
            return exchange::refuse(self, &pending, &rejection, context);
        }
        self.has_lost_input = true;
        step
    }

    /// Takes memory for what is pending, or gives back that of what no longer is. `false`: there is none.
    fn hold_pending(&mut self) -> bool {
        match (&mut self.pending_memory, self.pending.len()) {
            (None, 0) => true,
            (held, 0) => {
                *held = None;
                true
            }
            (Some(held), len) => held.resize(len),
            (none, len) => {
                *none = REQUEST_MEMORY.reserve(len);
                none.is_some()
            }
        }
    }

    /// Logs what is cut off.
    fn abandon(&mut self, context: &WorkerContext) {
        match std::mem::replace(&mut self.state, State::Over) {
            State::SendResponse(send_response) => send_response.record(self, context),
            State::RelayCgi(relay_cgi) => relay_cgi.abandon(self, context),
            _ => {}
        }
    }

    /// May this connection take another request after the one being answered?
    fn may_persist(&self, context: &WorkerContext) -> bool {
        let config = &context.site.config;
        let most = config.limits.keepalive_requests;
        let life = config.timeouts.keepalive_total;
        !context.ends()
            && (most == 0 || self.served + 1 < most)
            && (life.is_zero() || context.now.since(self.accepted) < life)
    }
}

/// What `site` asks of a client that takes a response. One that `holds` memory which other responses need
/// may not even be still for longer than the rate is averaged over.
fn send_limits(site: &Site, holds: bool) -> SendLimits {
    let (limits, timeouts) = (&site.config.limits, &site.config.timeouts);
    let rate = MinimumRate { bytes_per_second: limits.send_rate, window: timeouts.rate_window };
    let is_strict = holds && limits.send_rate > 0;
    let still = if is_strict { timeouts.send.min(timeouts.rate_window) } else { timeouts.send };
    SendLimits { still, rate }
}

/// A wait for bytes from the client.
fn readable_within(limit: Duration, context: &WorkerContext) -> Wait {
    Wait { on: On::Readable, until: context.now.monotonic + limit }
}
