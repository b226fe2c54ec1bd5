//! Linger: the response is sent, the client may still be sending. Closing now would reset the
//! connection and could destroy the response on its way (RFC 9112 §9.6).

use std::time::{Duration, Instant};

use super::socket::Progress;
use super::wait::{On, Wait, Wake};
use super::{Connection, State, Step, TurnBudget, WorkerContext};

/// thttpd's LINGER_TIME.
const LINGER: Duration = Duration::from_millis(500);

/// ReadRequest and discarding until the client ends or the time is up.
#[derive(Debug)]
pub struct Linger {
    until: Instant,
}

impl Linger {
    /// Ends our side of the connection.
    pub fn enter(conn: &Connection) -> Step {
        conn.socket.finish_sending();
        Step::Enter(State::Linger(Linger { until: Instant::now() + LINGER }))
    }

    /// Discards what has arrived.
    pub fn advance(
        self,
        conn: &mut Connection,
        wake: Wake,
        context: &mut WorkerContext,
        budget: &mut TurnBudget,
    ) -> Step {
        if wake == Wake::Expired || Instant::now() >= self.until {
            return Step::Close;
        }
        conn.pending = Vec::new();
        loop {
            context.receive_buffer.begin(&mut conn.pending);
            match context.receive_buffer.fill(&mut conn.socket, None) {
                Progress::Moved(n) => budget.spend_bytes(n as u64),
                Progress::WouldBlock => {
                    let wait = Wait { on: On::Readable, until: self.until };
                    return Step::Wait(State::Linger(self), wait);
                }
                Progress::Ended | Progress::Broken(_) => return Step::Close,
            }
            if budget.is_spent() {
                return Step::Yield(State::Linger(self));
            }
        }
    }
}
