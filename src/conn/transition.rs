//! Transitions of a connection: values that states answer with, and that `conn/mod.rs` carries out.

use std::time::Instant;

use super::cgi_request::CgiRequest;
use super::close_reason::CloseReason;
use super::io::socket::Socket;
use super::outgoing::{AfterResponse, Outgoing};
use super::wait::Wait;
use crate::request::spool::Spool;
use crate::request::{BodyLength, Rejection};

/// Way out of a state.
#[derive(Debug)]
pub enum Transition {
    /// Send the rest of a response.
    Respond(Box<Outgoing>),
    /// Receive the content of a script's request.
    ReadBody(Box<Upload>),
    /// Start a script; its content is whole.
    RunScript(Box<Upload>),
    /// Answer a script's request with an error. The reason counts if the connection ends with it.
    Fail(Box<CgiRequest>, Rejection, CloseReason),
    /// Answer a script's request as if its client had sent this head: its script wants that.
    Redirect(Box<CgiRequest>, Vec<u8>),
    /// Read past content that no response needs.
    DiscardBody(BodyLength),
    /// Take the next request.
    NextRequest,
    /// Send no more, and close when the client has ended too.
    Linger(CloseReason),
    /// Close.
    Close(CloseReason),
}

/// Result of a state's `advance`.
#[derive(Debug)]
pub enum Advance<S> {
    /// The connection stays in the state until something happens.
    Stay(S, Pause),
    /// The connection leaves it.
    Go(Transition),
}

/// Kind of a stay.
#[derive(Debug, Clone, Copy)]
pub enum Pause {
    /// An event is waited for.
    Wait(Wait),
    /// The next request is waited for: nothing is under way.
    Idle(Wait),
    /// Other connections come first.
    Yield,
}

/// A script's request with its content, received or to come.
#[derive(Debug)]
pub struct Upload {
    /// The request.
    pub cgi_request: Box<CgiRequest>,
    /// Framing of its content.
    pub length: BodyLength,
    /// The client waits for `100 Continue`.
    pub expects_continue: bool,
    /// Content that has come.
    pub spool: Spool,
    /// Time since which its start waits for what the system lacks.
    pub waits_since: Option<Instant>,
}

impl<S> Advance<S> {
    /// Converts the state.
    pub fn map<T>(self, convert: impl FnOnce(S) -> T) -> Advance<T> {
        match self {
            Advance::Stay(state, pause) => Advance::Stay(convert(state), pause),
            Advance::Go(transition) => Advance::Go(transition),
        }
    }

    /// Leaves the state to close the connection.
    pub fn close(reason: CloseReason) -> Advance<S> {
        Advance::Go(Transition::Close(reason))
    }
}

impl Transition {
    /// Lingers in place of closing where the client has sent what was not read: to close would reset the
    /// connection, and could destroy the response on its way.
    pub fn unless_unread(self, socket: &Socket) -> Transition {
        match self {
            Transition::Close(reason) if socket.has_unread() => Transition::Linger(reason),
            other => other,
        }
    }
}

impl From<AfterResponse> for Transition {
    fn from(after: AfterResponse) -> Transition {
        match after {
            AfterResponse::NextRequest => Transition::NextRequest,
            AfterResponse::DiscardBody(length) => Transition::DiscardBody(length),
            AfterResponse::Linger(reason) => Transition::Linger(reason),
            AfterResponse::Close(reason) => Transition::Close(reason),
        }
    }
}
