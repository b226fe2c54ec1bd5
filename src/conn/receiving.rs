//! Receiving: a request's content, kept until it is complete; only then is its script started. A
//! slow upload holds a connection and a spool, but no process.

use std::time::Instant;

use super::errand::Errand;
use super::socket::Progress;
use super::wait::{On, Wait, Wake};
use super::{Connection, Desk, Phase, Share, Step, exchange, readable_within};
use crate::request::body::BodyReader;
use crate::request::spool::Spool;
use crate::request::{Rejection, Request};
use crate::response::head::CONTINUE;

/// Content on its way in.
#[derive(Debug)]
pub struct Receiving {
    errand: Errand,
    reader: BodyReader,
    spool: Spool,
    /// What is still to be sent of the nod that the client waits for.
    nod: &'static [u8],
}

impl Receiving {
    /// Content of `request`, for `errand`. `arrived`: some of it is here, so no nod is needed.
    pub fn new(request: &Request<'_>, errand: Errand, spool: Spool) -> Receiving {
        let nod = if request.expects_continue { CONTINUE } else { b"" };
        Receiving { errand, reader: BodyReader::new(request.body), spool, nod }
    }

    /// Takes in what has arrived.
    pub fn go_on(
        mut self: Box<Self>,
        conn: &mut Connection,
        wake: Wake,
        desk: &mut Desk,
        share: &mut Share,
    ) -> Step {
        if wake == Wake::Expired {
            crate::log::info!("{} connection timed out reading", conn.peer_text);
            let rejection = Rejection::fatal(408, "The request's content did not arrive in time.");
            return exchange::fail(conn, &self.errand, &rejection, desk);
        }
        if let Some(step) = self.give_nod(conn) {
            return match step {
                Progress::WouldBlock => {
                    let until = Instant::now() + desk.site.config.timeouts.send;
                    Step::Wait(Phase::Receiving(self), Wait { on: On::Writable, until })
                }
                _ => Step::Close,
            };
        }
        let mut input = std::mem::take(&mut desk.input);
        input.begin(&mut conn.pending);
        let came = loop {
            let spool = &mut self.spool;
            let keep = &mut |content: &[u8]| {
                if spool.goes_to_disk(content.len()) {
                    (desk.slow)();
                }
                spool.write(content)
            };
            match self.reader.read(input.bytes(), keep) {
                Ok((used, complete)) => {
                    input.consume(used);
                    share.spend_bytes(used as u64);
                    if complete {
                        break Came::Whole;
                    }
                }
                Err(rejection) => break Came::Refused(rejection),
            }
            if share.is_spent() {
                break Came::Turn;
            }
            match input.fill(&mut conn.socket, None) {
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
        conn.pending = input.finish();
        desk.input = input;
        self.then(came, conn, desk)
    }

    fn then(self: Box<Self>, came: Came, conn: &mut Connection, desk: &mut Desk) -> Step {
        match came {
            Came::Whole => self.errand.start(self.spool, conn, desk),
            Came::Part => {
                let wait = readable_within(desk.site.config.timeouts.body, desk);
                Step::Wait(Phase::Receiving(self), wait)
            }
            Came::Turn => Step::Yield(Phase::Receiving(self)),
            Came::Refused(rejection) => exchange::fail(conn, &self.errand, &rejection, desk),
            Came::Nothing => Step::Close,
        }
    }

    /// Says `100 Continue` (RFC 9110 §10.1.1), unless content has come without it. None when done.
    fn give_nod(&mut self, conn: &Connection) -> Option<Progress> {
        if !conn.pending.is_empty() {
            // Of a nod half given the rest must follow; one not begun is not needed any more.
            self.nod = if self.nod.len() == CONTINUE.len() { b"" } else { self.nod };
        }
        while !self.nod.is_empty() {
            match conn.socket.write(self.nod, false) {
                Progress::Moved(n) => self.nod = &self.nod[n..],
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
