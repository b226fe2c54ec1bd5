//! Linger: the response is sent, the client may still be sending.
//!
//! To close now would reset the connection and could destroy the response on its way (RFC 9112 §9.6).

use std::time::Instant;

use crate::conn::close_reason::CloseReason;
use crate::conn::context::Turn;
use crate::conn::io::socket::Progress;
use crate::conn::timeouts;
use crate::conn::transition::{Advance, Pause};
use crate::conn::wait::{On, Wait, Wake};

/// Reading and discarding until the client ends or the time is up.
#[derive(Debug)]
pub struct Linger {
    until: Instant,
    reason: CloseReason,
}

impl Linger {
    /// A connection that is closed for `reason`, and sends no more.
    pub fn new(reason: CloseReason) -> Linger {
        Linger { until: timeouts::linger(), reason }
    }

    /// Discards what has arrived.
    pub fn advance(self, turn: &mut Turn<'_>) -> Advance<Linger> {
        if turn.wake == Wake::Expired || Instant::now() >= self.until {
            return Advance::close(self.reason);
        }
        turn.session.drop_pending();
        loop {
            let buffer = &mut turn.worker.receive_buffer;
            turn.session.load_pending(buffer);
            match buffer.fill(turn.session.socket_mut(), None) {
                Progress::Moved(n) => turn.budget.spend_bytes(n as u64),
                Progress::WouldBlock => {
                    let wait = Wait { on: On::Readable, until: self.until };
                    return Advance::Stay(self, Pause::Wait(wait));
                }
                Progress::Ended | Progress::Broken(_) => return Advance::close(self.reason),
            }
            if turn.budget.is_spent() {
                return Advance::Stay(self, Pause::Yield);
            }
        }
    }
}
