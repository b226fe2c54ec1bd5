//! ReadBody: a request's content, kept until it is complete; only then is its script started. A
//! slow upload holds a connection and a spool, but no process.

use std::time::Instant;

use super::cgi_request::CgiRequest;
use super::progress::{MinimumRate, RateWatch};
use super::socket::Progress;
use super::wait::{On, Wait, Wake};
use super::{Connection, State, Step, TurnBudget, WorkerContext, exchange};
use crate::request::body::BodyReader;
use crate::request::spool::Spool;
use crate::request::{Rejection, Request};
use crate::response::head::CONTINUE;

/// Content on its way in.
#[derive(Debug)]
pub struct ReadBody {
    cgi_request: CgiRequest,
    reader: BodyReader,
    spool: Spool,
    /// Bytes of it that have come, framing included.
    received: i64,
    watch: RateWatch,
    /// What is still to be sent of the nod that the client waits for.
    unsent_continue: &'static [u8],
}

impl ReadBody {
    /// Content of `request`, for `errand`. `arrived`: some of it is here, so no nod is needed.
    pub fn new(request: &Request<'_>, cgi_request: CgiRequest, spool: Spool) -> ReadBody {
        let unsent_continue = if request.expects_continue { CONTINUE } else { b"" };
        ReadBody {
            cgi_request,
            reader: BodyReader::new(request.body),
            spool,
            received: 0,
            watch: RateWatch::default(),
            unsent_continue,
        }
    }

    /// Takes in what has arrived.
    pub fn advance(
        mut self: Box<Self>,
        conn: &mut Connection,
        wake: Wake,
        context: &mut WorkerContext,
        budget: &mut TurnBudget,
    ) -> Step {
        if wake == Wake::Expired {
            return self.too_slow(conn, context);
        }
        self.watch.resume(context.now.monotonic);
        if let Some(step) = self.send_continue(conn) {
            return match step {
                Progress::WouldBlock => {
                    let until = Instant::now() + context.site.config.timeouts.send;
                    Step::Wait(State::ReadBody(self), Wait { on: On::Writable, until })
                }
                _ => Step::Close,
            };
        }
        let mut buffer = std::mem::take(&mut context.receive_buffer);
        buffer.begin(&mut conn.pending);
        let came = loop {
            let spool = &mut self.spool;
            let keep = &mut |content: &[u8]| {
                if spool.goes_to_disk(content.len()) {
                    context.blocking.block_in_place();
                }
                spool.write(content)
            };
            match self.reader.read(buffer.bytes(), keep) {
                Ok((used, complete)) => {
                    buffer.consume(used);
                    budget.spend_bytes(used as u64);
                    self.received += i64::try_from(used).unwrap_or_default();
                    if complete {
                        break Came::Whole;
                    }
                }
                Err(rejection) => break Came::Refused(rejection),
            }
            if budget.is_spent() {
                break Came::Turn;
            }
            match buffer.fill(&mut conn.socket, None) {
                Progress::Moved(_) => {}
                Progress::WouldBlock => break Came::Part,
                Progress::Ended => {
                    break Came::Refused(Rejection::malformed(
                        "The request ended before its content was complete.",
                    ));
                }
                Progress::Broken(_) => break Came::Nothing,
            }
        };
        conn.pending = buffer.finish();
        context.receive_buffer = buffer;
        self.then(came, conn, context)
    }

    fn too_slow(mut self: Box<Self>, conn: &mut Connection, context: &mut WorkerContext) -> Step {
        crate::log::info!("{} connection timed out reading", conn.client_text);
        let rejection = Rejection::fatal(408, "The request's content did not arrive in time.");
        exchange::fail(conn, &mut self.cgi_request, &rejection, context)
    }

    fn then(mut self: Box<Self>, came: Came, conn: &mut Connection, context: &mut WorkerContext) -> Step {
        match came {
            Came::Whole => self.cgi_request.start(self.spool, conn, context),
            Came::Part => {
                let (limits, timeouts) = (&context.site.config.limits, &context.site.config.timeouts);
                let rate = MinimumRate { bytes_per_second: limits.body_rate, window: timeouts.rate_window };
                let now = Instant::now();
                match self.watch.wait(self.received, rate, now) {
                    Some(until) => {
                        let until = until.min(now + timeouts.body);
                        Step::Wait(State::ReadBody(self), Wait { on: On::Readable, until })
                    }
                    None => self.too_slow(conn, context),
                }
            }
            Came::Turn => Step::Yield(State::ReadBody(self)),
            Came::Refused(rejection) => exchange::fail(conn, &mut self.cgi_request, &rejection, context),
            Came::Nothing => Step::Close,
        }
    }

    /// Says `100 Continue` (RFC 9110 §10.1.1), unless content has come without it. None when done.
    fn send_continue(&mut self, conn: &Connection) -> Option<Progress> {
        if !conn.pending.is_empty() {
            // Of a nod half given the rest must follow; one not begun is not needed any more.
            self.unsent_continue =
                if self.unsent_continue.len() == CONTINUE.len() { b"" } else { self.unsent_continue };
        }
        while !self.unsent_continue.is_empty() {
            match conn.socket.write(self.unsent_continue, false) {
                Progress::Moved(n) => self.unsent_continue = &self.unsent_continue[n..],
                other => return Some(other),
            }
        }
        None
    }
}

/// What reading came to.
enum Came {
    /// All of it.
    Whole,
    /// Nothing more for now.
    Part,
    /// A worker's share of bytes.
    Turn,
    /// What cannot be taken.
    Refused(Rejection),
    /// The connection is broken.
    Nothing,
}
