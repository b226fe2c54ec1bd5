//! DiscardBody: content that no response needs is read past, to reach the next request.

use std::time::Instant;

use crate::conn::close_reason::CloseReason;
use crate::conn::context::Turn;
use crate::conn::io::receive_buffer::ReceiveBuffer;
use crate::conn::io::socket::Progress;
use crate::conn::outgoing::MOST_DISCARDED;
use crate::conn::timeouts;
use crate::conn::transition::{Advance, Pause, Transition};
use crate::conn::wait::{On, Wait, Wake};
use crate::request::BodyLength;
use crate::request::body::BodyReader;

/// Content being read and thrown away.
#[derive(Debug)]
pub struct DiscardBody {
    reader: BodyReader,
    /// Bytes on the wire that may still be read.
    left: u64,
    /// Deadline of all of it; a trickle of bytes does not move it.
    until: Option<Instant>,
}

impl DiscardBody {
    /// Content framed as `length`.
    pub fn new(length: BodyLength) -> DiscardBody {
        DiscardBody { reader: BodyReader::new(length), left: MOST_DISCARDED, until: None }
    }

    /// Reads past what has arrived.
    pub fn advance(self: Box<Self>, turn: &mut Turn<'_>) -> Advance<Box<DiscardBody>> {
        if turn.wake == Wake::Expired {
            return Advance::Go(timeouts::end_of_unwanted_content());
        }
        if turn.worker.stopping {
            return Advance::close(CloseReason::Shutdown);
        }
        turn.session.set_input_drained(false);
        turn.with_buffer(|turn, buffer| self.read(turn, buffer))
    }

    fn read(
        mut self: Box<Self>,
        turn: &mut Turn<'_>,
        buffer: &mut ReceiveBuffer,
    ) -> Advance<Box<DiscardBody>> {
        loop {
            match self.reader.read(buffer.bytes(), &mut |_| Ok(())) {
                Ok((used, complete)) => {
                    buffer.consume(used);
                    self.left = self.left.saturating_sub(used as u64);
                    turn.budget.spend_bytes(used as u64);
                    if complete {
                        return Advance::Go(Transition::NextRequest);
                    }
                }
                // The response is sent already; what follows cannot be trusted.
                Err(_) => return Advance::Go(Transition::Linger(CloseReason::ProtocolError)),
            }
            if self.left == 0 {
                return Advance::Go(Transition::Linger(CloseReason::UnreadBody));
            }
            if turn.budget.is_spent() {
                return Advance::Stay(self, Pause::Yield);
            }
            match buffer.fill(turn.session.socket_mut(), None) {
                Progress::Moved(_) => {}
                Progress::WouldBlock => {
                    let until = *self.until.get_or_insert_with(|| timeouts::unwanted_content(turn));
                    return Advance::Stay(self, Pause::Wait(Wait { on: On::Readable, until }));
                }
                ended => return Advance::close(ended.close_reason()),
            }
        }
    }
}
