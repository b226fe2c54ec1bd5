//! Life of one connection.
//!
//! A connection is always in one [`State`]. A worker gives it a [`turn`](Connection::turn): the state does
//! all that can be done without waiting, and either stays or leaves by a [`Transition`]. This file alone
//! carries transitions out, and makes states. Nothing here knows of threads or of the poller (`net`);
//! nothing blocks, but for the read of [`Wake::SpinRead`].
//!
//! ```text
//!            ┌───────────────────────── NextRequest ────────────────────────────────┐
//!            ▼                                                                      │
//!  accept ─► ReadRequest ─► Respond ─► SendResponse ─► DiscardBody (content without use)┤
//!   │ ▲         │ │                        │ Linger                                 │
//!   │ │         │ └─► ReadBody ─► RunScript ─► StartCgi (waits for what is short)   │
//!   ▼ │         │          │         └─► RelayCgi ─► Redirect (answered here) ──────┤
//!  ReadProxyHead│          └─► Fail (an error in the script's place) ───────────────┘
//!               └─► Linger ─► Close(reason)
//! ```
//!
//! | Transition | Leads to |
//! |---|---|
//! | `NextRequest` | `ReadRequest`; `Linger` where input was dropped for want of memory |
//! | `Respond` | `SendResponse` |
//! | `ReadBody` | `ReadBody` |
//! | `RunScript` | `RelayCgi`; `StartCgi` where the system lacks descriptors; `Fail` |
//! | `Redirect`, `Fail` | a response or script ([`answer`]), and by it any other |
//! | `DiscardBody` | `DiscardBody`; `Linger` where input was dropped |
//! | `Linger` | `Linger` |
//! | `Close` | closed, and [`Next::Close`] says why |

use std::mem::replace;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::time::Instant;

use crate::request::{Client, Rejection};

mod answer;
mod apply_rules;
mod cgi_request;
pub mod close_reason;
pub mod context;
mod exchange;
#[cfg(debug_assertions)]
mod failpoint;
pub mod io;
mod log_details;
mod log_record;
mod now;
mod outgoing;
mod progress;
mod reply;
mod response_cache;
mod session;
mod state;
pub mod stop_phase;
#[cfg(test)]
mod tests;
mod timeouts;
mod transition;
pub mod wait;

pub use close_reason::CloseReason;
pub use context::WorkerContext;

use context::{Turn, TurnBudget};
use io::socket::Socket;
use reply::log_unanswered;
use session::Session;
use state::discard_body::DiscardBody;
use state::linger::Linger;
use state::read_body::ReadBody;
use state::read_proxy_head::ReadProxyHead;
use state::read_request::ReadRequest;
use state::relay_cgi::RelayCgi;
use state::send_response::SendResponse;
use state::start_cgi::StartCgi;
use transition::{Advance, Pause, Transition, Upload};
use wait::{Next, On, Wake};

/// One client's connection. Owned by one place at a time: channel, worker or poller.
#[derive(Debug)]
pub struct Connection {
    session: Session,
    state: State,
}

/// State of a connection; each variant owns only what it needs.
#[derive(Debug)]
enum State {
    ReadProxyHead(ReadProxyHead),
    ReadRequest(ReadRequest),
    ReadBody(Box<ReadBody>),
    StartCgi(StartCgi),
    RelayCgi(Box<RelayCgi>),
    SendResponse(SendResponse),
    DiscardBody(Box<DiscardBody>),
    Linger(Linger),
    /// After the last, and while another has the turn.
    Closed,
}

impl Connection {
    /// A connection that has just been accepted.
    pub fn new(stream: impl Into<OwnedFd>, peer: Option<SocketAddr>) -> Connection {
        let state = State::ReadRequest(ReadRequest::default());
        Connection { session: Session::new(stream, peer), state }
    }

    /// Answers the first request with `refusal`.
    pub fn refused(mut self, refusal: Rejection) -> Connection {
        self.session.refuse_first(refusal);
        self
    }

    /// Expects a PROXY protocol head before the first request.
    pub fn behind_proxy(self) -> Connection {
        Connection { state: State::ReadProxyHead(ReadProxyHead), ..self }
    }

    /// The client of the request at hand.
    pub fn client(&self) -> &Client {
        self.session.client()
    }

    /// True while nothing that the client sent has been understood.
    pub fn is_new(&self) -> bool {
        self.session.is_new()
    }

    /// The socket, to be watched for events.
    pub fn socket(&self) -> &Socket {
        self.session.socket()
    }

    /// Does as much as can be done without waiting on the client.
    pub fn turn(&mut self, wake: Wake, worker: &mut WorkerContext) -> Next {
        let mut state = replace(&mut self.state, State::Closed);
        if wake == Wake::Abort {
            state.abandon(&mut self.session, worker);
            return Next::Close(CloseReason::Aborted);
        }
        // Deadlines pass while the process is stopped or its machine is overloaded; bytes that have come count.
        let is_in_time = wake == Wake::Expired && state.reads_client() && self.session.socket().has_unread();
        let wake = if is_in_time { Wake::Ready } else { wake };
        worker.read_clock();
        let mut turn = Turn { session: &mut self.session, worker, budget: TurnBudget::whole(), wake };
        loop {
            let transition = match state.advance(&mut turn) {
                Advance::Stay(state, pause) => match stay(&state, &mut turn) {
                    None => {
                        self.state = state;
                        return park(pause, &mut self.session);
                    }
                    Some(transition) => transition,
                },
                Advance::Go(transition) => transition,
            };
            // Bytes that are read from here on may be newer than the last check of the cache.
            turn.worker.freshness.expire();
            turn.wake = Wake::Ready;
            state = match enter(transition, &mut turn) {
                Ok(state) => state,
                Err(reason) => return Next::Close(reason),
            };
        }
    }
}

impl State {
    fn advance(self, turn: &mut Turn<'_>) -> Advance<State> {
        match self {
            State::ReadProxyHead(state) => state.advance(turn).map(State::ReadProxyHead),
            State::ReadRequest(state) => state.advance(turn).map(State::ReadRequest),
            State::ReadBody(state) => state.advance(turn).map(State::ReadBody),
            State::StartCgi(state) => state.advance(turn).map(State::StartCgi),
            State::RelayCgi(state) => state.advance(turn).map(State::RelayCgi),
            State::SendResponse(state) => state.advance(turn).map(State::SendResponse),
            State::DiscardBody(state) => state.advance(turn).map(State::DiscardBody),
            State::Linger(state) => state.advance(turn).map(State::Linger),
            State::Closed => Advance::close(CloseReason::Aborted),
        }
    }

    /// Tells whether the deadline of the state's waits is one for bytes from the client.
    fn reads_client(&self) -> bool {
        matches!(
            self,
            State::ReadProxyHead(_) | State::ReadRequest(_) | State::ReadBody(_) | State::DiscardBody(_)
        )
    }

    /// Logs what is cut off.
    fn abandon(self, session: &mut Session, worker: &WorkerContext) {
        match self {
            State::ReadRequest(state) => state.abandon(session, worker),
            State::ReadBody(state) => log_unanswered(session, worker, state.upload()),
            State::StartCgi(state) => log_unanswered(session, worker, state.upload()),
            State::SendResponse(state) => state.log(session, worker),
            State::RelayCgi(state) => state.abandon(session, worker),
            _ => {}
        }
    }
}

/// Takes memory for the input that is kept while the connection waits. Without it a request that is not
/// whole is refused with 503; input behind a request that is being answered is dropped.
fn stay(state: &State, turn: &mut Turn<'_>) -> Option<Transition> {
    if turn.session.reserve_pending() {
        return None;
    }
    let pending = turn.session.drop_pending();
    if matches!(state, State::ReadRequest(_)) {
        let rejection = Rejection::fatal(503, "");
        return Some(answer::refuse(turn, &pending, &rejection, CloseReason::NoMemory));
    }
    turn.session.set_lost_input();
    None
}

/// Place of a connection that stays in its state.
fn park(pause: Pause, session: &mut Session) -> Next {
    match pause {
        Pause::Wait(wait) => {
            // The poller notes no input for a connection that waits for something else.
            session.set_input_drained(false);
            if wait.on != On::Readable {
                session.set_end_may_be_unseen();
            }
            Next::Park(wait)
        }
        Pause::Idle(wait) => Next::Idle(wait),
        Pause::Yield => Next::Yield,
    }
}

/// Carries `transition` out, and those that follow from it: the next state.
///
/// # Errors
/// The reason why the connection is closed.
fn enter(mut transition: Transition, turn: &mut Turn<'_>) -> Result<State, CloseReason> {
    loop {
        transition = match transition {
            Transition::NextRequest | Transition::DiscardBody(_) if turn.session.has_lost_input() => {
                Transition::Linger(CloseReason::NoMemory)
            }
            Transition::NextRequest => {
                let is_drained = turn.session.input_drained() && !turn.worker.stopping;
                return Ok(State::ReadRequest(ReadRequest::new(is_drained)));
            }
            Transition::Respond(outgoing) => return Ok(State::SendResponse(SendResponse::new(outgoing))),
            Transition::ReadBody(upload) => return Ok(State::ReadBody(Box::new(ReadBody::new(upload)))),
            Transition::RunScript(upload) => match run_script(upload, turn) {
                Ok(state) => return Ok(state),
                Err(failed) => failed,
            },
            Transition::Fail(mut cgi_request, rejection, reason) => {
                answer::fail(turn, &mut cgi_request, &rejection, reason).unless_unread(turn.session.socket())
            }
            Transition::Redirect(cgi_request, head) => {
                answer::redirect(turn, cgi_request, &head).unless_unread(turn.session.socket())
            }
            Transition::DiscardBody(length) => {
                return Ok(State::DiscardBody(Box::new(DiscardBody::new(length))));
            }
            Transition::Linger(reason) => {
                turn.session.socket().finish_sending();
                return Ok(State::Linger(Linger::new(reason)));
            }
            Transition::Close(reason) => return Err(reason),
        }
    }
}

/// Starts a script. One that lacks descriptors is tried again, at most for `head_timeout`.
///
/// # Errors
/// The transition that answers in its place.
fn run_script(mut upload: Box<Upload>, turn: &Turn<'_>) -> Result<State, Transition> {
    let site = &turn.worker.site;
    let started = match &site.cgi {
        Some(cgi) => upload.cgi_request.start(&mut upload.spool, cgi),
        None => Err(Rejection::new(503, "")),
    };
    let since = *upload.waits_since.get_or_insert_with(Instant::now);
    match started {
        Ok(script) => Ok(State::RelayCgi(Box::new(RelayCgi::new(upload.cgi_request, script)))),
        Err(rejection) if rejection.may_pass && since.elapsed() < site.config.timeouts.head => {
            Ok(State::StartCgi(StartCgi::new(upload)))
        }
        Err(rejection) => Err(Transition::Fail(upload.cgi_request, rejection, CloseReason::Rejected)),
    }
}
