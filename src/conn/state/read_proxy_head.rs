//! ReadProxyHead: the PROXY protocol head that comes before the first request.
//!
//! `net` has made sure that the peer is a trusted proxy. A head that does not come in time, or is none,
//! ends the connection without a response: the peer would take one for its backend's.

use crate::conn::close_reason::CloseReason;
use crate::conn::context::Turn;
use crate::conn::io::receive_buffer::ReceiveBuffer;
use crate::conn::io::socket::Progress;
use crate::conn::session::Session;
use crate::conn::timeouts;
use crate::conn::transition::{Advance, Pause, Transition};
use crate::conn::wait::Wake;
use crate::request::Parsed;
use crate::request::proxy_protocol;

/// A connection before its client is known.
#[derive(Debug)]
pub struct ReadProxyHead;

impl ReadProxyHead {
    /// Reads until the head is whole.
    pub fn advance(self, turn: &mut Turn<'_>) -> Advance<ReadProxyHead> {
        if turn.wake == Wake::Expired {
            return Advance::Go(timeouts::end_of_proxy_head(turn.session));
        }
        if turn.worker.stopping && turn.session.pending().is_empty() {
            return Advance::close(CloseReason::Shutdown);
        }
        turn.with_buffer(|turn, buffer| self.read(turn, buffer))
    }

    fn read(self, turn: &mut Turn<'_>, buffer: &mut ReceiveBuffer) -> Advance<ReadProxyHead> {
        let limit = turn.worker.site.config.limits.head;
        loop {
            match proxy_protocol::parse(buffer.bytes(), limit) {
                Ok(Parsed::Complete(head, length)) => {
                    buffer.consume(length);
                    turn.session.set_sender(&head);
                    return Advance::Go(Transition::NextRequest);
                }
                Ok(Parsed::Partial) => {}
                Err(error) => return refuse(turn.session, &error.to_string()),
            }
            match buffer.fill(turn.session.socket_mut(), None) {
                Progress::Moved(_) => {}
                Progress::WouldBlock => {
                    let wait = timeouts::head_since(turn, turn.session.accepted());
                    return Advance::Stay(self, Pause::Wait(wait));
                }
                ended => return Advance::close(ended.close_reason()),
            }
        }
    }
}

fn refuse(session: &Session, reason: &str) -> Advance<ReadProxyHead> {
    crate::log::info!("{} connection closed: {reason}", session.client_text());
    Advance::close(CloseReason::ProxyRefused)
}
