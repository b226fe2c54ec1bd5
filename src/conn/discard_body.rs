//! DiscardBody: a request's content that nobody wanted is read past, to reach the next request.

use std::time::Instant;

use super::linger::Linger;
use super::read_request::ReadRequest;
use super::socket::Progress;
use super::wait::{On, Wait, Wake};
use super::{Connection, State, Step, TurnBudget, WorkerContext};
use crate::request::BodyLength;
use crate::request::body::BodyReader;

/// Content being read and thrown away.
#[derive(Debug)]
pub struct DiscardBody {
    reader: BodyReader,
    /// Bytes on the wire that we are still willing to read.
    left: u64,
    /// How long we are willing to; a trickle of bytes does not move it.
    until: Option<Instant>,
}

impl DiscardBody {
    /// Content framed as `length`, read up to `most` bytes on the wire.
    pub fn new(length: BodyLength, most: u64) -> DiscardBody {
        DiscardBody { reader: BodyReader::new(length), left: most, until: None }
    }

    /// Reads past what has arrived.
    pub fn advance(
        mut self: Box<Self>,
        conn: &mut Connection,
        wake: Wake,
        context: &mut WorkerContext,
        budget: &mut TurnBudget,
    ) -> Step {
        if matches!(wake, Wake::Expired) || context.stopping {
            return Step::Close;
        }
        let mut buffer = std::mem::take(&mut context.receive_buffer);
        buffer.begin(&mut conn.pending);
        let step = loop {
            match self.reader.read(buffer.bytes(), &mut |_| Ok(())) {
                Ok((used, complete)) => {
                    buffer.consume(used);
                    self.left = self.left.saturating_sub(used as u64);
                    budget.spend_bytes(used as u64);
                    if complete {
                        break Step::Enter(State::ReadRequest(ReadRequest::first()));
                    }
                }
                // The response is sent already; what follows cannot be trusted.
                Err(_) => break Linger::enter(conn),
            }
            if self.left == 0 {
                break Linger::enter(conn);
            }
            if budget.is_spent() {
                break Step::Yield(State::DiscardBody(self));
            }
            match buffer.fill(&mut conn.socket, None) {
                Progress::Moved(_) => {}
                Progress::WouldBlock => {
                    let limit = context.site.config.timeouts.body;
                    let until = *self.until.get_or_insert_with(|| Instant::now() + limit);
                    break Step::Wait(State::DiscardBody(self), Wait { on: On::Readable, until });
                }
                Progress::Ended | Progress::Broken(_) => break Step::Close,
            }
        };
        conn.pending = buffer.finish();
        context.receive_buffer = buffer;
        step
    }
}
