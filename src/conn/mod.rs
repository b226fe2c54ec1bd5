//! The life of one connection.
//!
//! A connection is always in one [`Phase`]. A worker gives it a [`turn`](Connection::turn): it does
//! all that can be done without waiting and answers with a [`Next`], what it waits for. Nothing here
//! knows of threads or of the parking lot (`net`); nothing here blocks, but for the patient read.
//!
//! ```text
//!             ┌──────────────────────── keep-alive ───────────────────────┐
//!             ▼                                                           │
//!  accept ─► Reading ─► exchange ─► Sending ─► Draining (unwanted content)┘
//!             │ │ malformed, too slow  │ close          │ too much
//!             │ └──────────────────────┴─► Lingering ◄──┘ ─► closed
//!             └─► a script responds: Receiving (its input) ─► Relaying (its output) ─► Reading, closed
//! ```

use std::net::{IpAddr, SocketAddr, TcpStream};
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::request::head::Refused;
use crate::request::{Client, Rejection};
use crate::resource::watch::Inquiry;
use crate::response::head::Clock;
use crate::site::Site;
use crate::sys::memory::{Held, REQUEST_MEMORY};

mod draining;
mod errand;
mod exchange;
mod input;
mod lingering;
#[cfg(debug_assertions)]
mod mishap;
mod moment;
mod outgoing;
mod reading;
mod receiving;
mod record;
mod relaying;
mod sending;
pub mod socket;
pub mod vigil;
pub mod wait;

use draining::Draining;
use input::Input;
use lingering::Lingering;
use moment::Moment;
use reading::Reading;
use receiving::Receiving;
use relaying::Relaying;
use sending::Sending;
use socket::Socket;
use vigil::Patience;
use wait::{Next, On, Wait, Wake};

/// Bytes a connection may move in one turn while others wait: more than the first piece of a file and its
/// head. What is begun within them is brought to its end.
const SHARE_BYTES: u64 = 1280 * 1024;

/// Requests a connection may have answered in one turn while others wait.
const SHARE_REQUESTS: u32 = 64;

/// One client's connection. Owned by one place at a time: channel, worker or parking lot.
#[derive(Debug)]
pub struct Connection {
    socket: Socket,
    peer: SocketAddr,
    /// The client of the requests that come in here.
    client: Client,
    /// The peer's address as logged: IPv4 in IPv6 shown as IPv4.
    peer_text: Arc<str>,
    phase: Phase,
    /// Bytes received and not yet understood; empty (and unallocated) between requests.
    pending: Vec<u8>,
    /// Their part of the memory for all requests.
    pending_memory: Option<Held>,
    /// There was no memory for bytes that came behind a request being answered; they are dropped, and the
    /// connection ends with its response.
    has_lost_input: bool,
    /// All that had come with the last request is understood, the client had not ended its side, and what
    /// comes since is noted.
    is_heard: bool,
    accepted: Instant,
    /// Requests answered.
    served: u64,
    /// Said to the first request instead of an answer: this client has too many connections.
    refusal: Option<Box<Rejection>>,
}

/// What a connection is doing; each variant owns only what it needs.
#[derive(Debug)]
enum Phase {
    Reading(Reading),
    Receiving(Box<Receiving>),
    Relaying(Box<Relaying>),
    Sending(Box<Sending>),
    Draining(Box<Draining>),
    Lingering(Lingering),
    /// Between two phases, and after the last.
    Over,
}

/// What a phase came to.
#[derive(Debug)]
enum Step {
    /// Go on in this phase.
    Enter(Phase),
    /// Stay in this phase until something happens.
    Wait(Phase, Wait),
    /// Stay in this phase, and nothing is under way: between two requests.
    Idle(Phase, Wait),
    /// Stay in this phase; others are waiting.
    Yield(Phase),
    /// Done.
    Close,
}

/// One worker's workplace: buffers that are reused for every connection, and what it may read.
pub struct Desk {
    /// The configuration in force.
    pub site: Arc<Site>,
    /// The server is ending: no connection persists.
    pub draining: bool,
    /// For a patient read.
    pub patience: Patience,
    /// Whether the kernel was asked for changes on disk since the requests at hand arrived.
    pub inquiry: Inquiry,
    /// When the bytes at hand came.
    now: Moment,
    /// To be called before anything that may take long: others go on meanwhile.
    slow: Rc<dyn Fn()>,
    clock: Clock,
    input: Input,
    output: Vec<u8>,
}

impl Desk {
    /// A workplace under `site`; `slow` is called before anything that may take long.
    pub fn new(site: Arc<Site>, patience: Duration, slow: Rc<dyn Fn()>) -> Desk {
        let patience = Patience::of(patience);
        let now = Moment::now();
        let clock = Clock::new(now.wall, &site.head_policy);
        let input = Input::with_room_for(site.config.limits.head);
        let output = Vec::with_capacity(8192);
        let inquiry = Inquiry::default();
        Desk { site, draining: false, patience, inquiry, now, slow, clock, input, output }
    }

    /// Bytes have come, or may have: what was known of the time is out of date.
    fn look_at_clock(&mut self) {
        self.now = Moment::now();
        self.clock.advance(self.now.wall, &self.site.head_policy);
    }

    /// Changes to another configuration, between turns.
    pub fn refit(&mut self, site: Arc<Site>) {
        *self =
            Desk { draining: self.draining, ..Desk::new(site, self.patience.most, Rc::clone(&self.slow)) };
    }
}

/// What is left of a connection's part of a worker's time.
#[derive(Debug)]
struct Share {
    bytes: u64,
    requests: u32,
}

impl Share {
    fn whole() -> Share {
        Share { bytes: SHARE_BYTES, requests: SHARE_REQUESTS }
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
    pub fn new(stream: TcpStream, peer: SocketAddr) -> Connection {
        Connection {
            socket: Socket::new(stream),
            peer,
            client: Client::of_peer(peer),
            peer_text: peer.ip().to_canonical().to_string().into(),
            phase: Phase::Reading(Reading::first()),
            pending: Vec::new(),
            pending_memory: None,
            has_lost_input: false,
            is_heard: false,
            accepted: Instant::now(),
            served: 0,
            refusal: None,
        }
    }

    /// The same, but its first request is answered with `refusal`.
    pub fn refused(stream: TcpStream, peer: SocketAddr, refusal: Rejection) -> Connection {
        Connection { refusal: Some(Box::new(refusal)), ..Connection::new(stream, peer) }
    }

    /// The client of the request at hand.
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// The client's address.
    pub fn peer(&self) -> IpAddr {
        self.peer.ip()
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
    pub fn turn(&mut self, wake: Wake, desk: &mut Desk) -> Next {
        if wake == Wake::Cut {
            self.abandon(desk);
            return Next::Close;
        }
        desk.look_at_clock();
        let mut share = Share::whole();
        let mut wake = wake;
        loop {
            let step = match std::mem::replace(&mut self.phase, Phase::Over) {
                Phase::Reading(_) | Phase::Draining(_) if self.has_lost_input => Lingering::enter(self),
                Phase::Reading(reading) => reading.go_on(self, wake, desk, &mut share),
                Phase::Receiving(receiving) => receiving.go_on(self, wake, desk, &mut share),
                Phase::Relaying(relaying) => relaying.go_on(self, desk, &mut share),
                Phase::Sending(sending) => sending.go_on(self, wake, desk, &mut share),
                Phase::Draining(draining) => draining.go_on(self, wake, desk, &mut share),
                Phase::Lingering(lingering) => lingering.go_on(self, wake, desk, &mut share),
                Phase::Over => Step::Close,
            };
            let (phase, next) = match self.within_memory(step, desk) {
                Step::Enter(phase) => {
                    // What is read from here on is news.
                    desk.inquiry.expire();
                    self.phase = phase;
                    wake = Wake::Ready;
                    continue;
                }
                Step::Wait(phase, wait) => {
                    // The lot notes nothing for one that waits there for something else.
                    self.is_heard = false;
                    (phase, Next::Park(wait))
                }
                Step::Idle(phase, wait) => (phase, Next::Idle(wait)),
                Step::Yield(phase) => (phase, Next::Yield),
                Step::Close => return Next::Close,
            };
            self.phase = phase;
            return next;
        }
    }

    /// `step`, if there is memory for what is pending while it waits. Otherwise a request that is not whole
    /// is refused with 503; what has come behind a request being answered is dropped.
    fn within_memory(&mut self, step: Step, desk: &mut Desk) -> Step {
        if matches!(step, Step::Enter(_) | Step::Close) || self.hold_pending() {
            return step;
        }
        self.pending = Vec::new();
        self.pending_memory = None;
        if let Step::Wait(Phase::Reading(_), _) | Step::Yield(Phase::Reading(_)) = step {
            let rejection = Rejection::fatal(503, "");
            return exchange::refuse(self, &Refused { rejection, line: None }, desk);
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
                *none = REQUEST_MEMORY.hold(len);
                none.is_some()
            }
        }
    }

    /// Logs what is cut off.
    fn abandon(&mut self, desk: &Desk) {
        match std::mem::replace(&mut self.phase, Phase::Over) {
            Phase::Sending(sending) => sending.record(self, desk),
            Phase::Relaying(relaying) => relaying.abandon(self, desk),
            _ => {}
        }
    }

    /// May this connection take another request after the one being answered?
    fn may_persist(&self, desk: &Desk) -> bool {
        let config = &desk.site.config;
        let most = config.limits.keepalive_requests;
        let life = config.timeouts.keepalive_total;
        !desk.draining
            && (most == 0 || self.served + 1 < most)
            && (life.is_zero() || desk.now.since(self.accepted) < life)
    }
}

/// A wait for bytes from the client.
fn readable_within(limit: Duration, desk: &Desk) -> Wait {
    Wait { on: On::Readable, until: desk.now.instant + limit }
}
