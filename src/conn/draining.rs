//! Draining: a request's content that nobody wanted is read past, to reach the next request.

use std::time::Instant;

use super::lingering::Lingering;
use super::reading::Reading;
use super::socket::Progress;
use super::wait::{On, Wait, Wake};
use super::{Connection, Desk, Phase, Share, Step};
use crate::request::BodyLength;
use crate::request::body::BodyReader;

/// Content being read and thrown away.
#[derive(Debug)]
pub struct Draining {
    reader: BodyReader,
    /// Bytes on the wire that we are still willing to read.
    left: u64,
    /// How long we are willing to; a trickle of bytes does not move it.
    until: Option<Instant>,
}

impl Draining {
    /// Content framed as `length`, read up to `most` bytes on the wire.
    pub fn new(length: BodyLength, most: u64) -> Draining {
        Draining { reader: BodyReader::new(length), left: most, until: None }
    }

    /// Reads past what has arrived.
    pub fn go_on(
        mut self: Box<Self>,
        conn: &mut Connection,
        wake: Wake,
        desk: &mut Desk,
        share: &mut Share,
    ) -> Step {
        if matches!(wake, Wake::Expired) || desk.draining {
            return Step::Close;
        }
        let mut input = std::mem::take(&mut desk.input);
        input.begin(&mut conn.pending);
        let step = loop {
            match self.reader.read(input.bytes(), &mut |_| Ok(())) {
                Ok((used, complete)) => {
                    input.consume(used);
                    self.left = self.left.saturating_sub(used as u64);
                    share.spend_bytes(used as u64);
                    if complete {
                        break Step::Enter(Phase::Reading(Reading::first()));
                    }
                }
                // The response is sent already; what follows cannot be trusted.
                Err(_) => break Lingering::enter(conn),
            }
            if self.left == 0 {
                break Lingering::enter(conn);
            }
            if share.is_spent() {
                break Step::Yield(Phase::Draining(self));
            }
            match input.fill(&mut conn.socket, None) {
                Progress::Moved(_) => {}
                Progress::WouldBlock => {
                    let limit = desk.site.config.timeouts.body;
                    let until = *self.until.get_or_insert_with(|| Instant::now() + limit);
                    break Step::Wait(Phase::Draining(self), Wait { on: On::Readable, until });
                }
                Progress::Ended | Progress::Broken(_) => break Step::Close,
            }
        };
        conn.pending = input.finish();
        desk.input = input;
        step
    }
}
