//! Lingering: the response is sent, the client may still be sending. Closing now would reset the
//! connection and could destroy the response on its way (RFC 9112 §9.6).

use std::time::{Duration, Instant};

use super::socket::Progress;
use super::wait::{On, Wait, Wake};
use super::{Connection, Desk, Phase, Share, Step};

/// thttpd's LINGER_TIME.
const LINGER: Duration = Duration::from_millis(500);

/// Reading and discarding until the client ends or the time is up.
#[derive(Debug)]
pub struct Lingering {
    until: Instant,
}

impl Lingering {
    /// Ends our side of the connection.
    pub fn enter(conn: &Connection) -> Step {
        conn.socket.finish_sending();
        Step::Enter(Phase::Lingering(Lingering { until: Instant::now() + LINGER }))
    }

    /// Discards what has arrived.
    pub fn go_on(self, conn: &mut Connection, wake: Wake, desk: &mut Desk, share: &mut Share) -> Step {
        if wake == Wake::Expired || Instant::now() >= self.until {
            return Step::Close;
        }
        conn.pending = Vec::new();
        loop {
            desk.input.begin(&mut conn.pending);
            match desk.input.fill(&mut conn.socket, None) {
                Progress::Moved(n) => share.spend_bytes(n as u64),
                Progress::WouldBlock => {
                    let wait = Wait { on: On::Readable, until: self.until };
                    return Step::Wait(Phase::Lingering(self), wait);
                }
                Progress::Ended | Progress::Broken(_) => return Step::Close,
            }
            if share.is_spent() {
                return Step::Yield(Phase::Lingering(self));
            }
        }
    }
}
