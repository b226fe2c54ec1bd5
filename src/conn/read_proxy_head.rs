//! Waiting for the PROXY protocol head that comes before the first request.
//!
//! `net` has made sure that the peer is a trusted proxy. A head that does not come in time, or is none,
//! ends the connection without an answer: the peer would take one for its backend's.

use std::mem::take;

use super::read_request::ReadRequest;
use super::socket::Progress;
use super::wait::Wake;
use super::{Connection, State, Step, WorkerContext, readable_within};
use crate::request::Parsed;
use crate::request::client::{Client, ClientAddress, Scheme};
use crate::request::proxy_protocol::{self, ProxyHead};

/// The state of a connection that has said nothing of its client yet.
#[derive(Debug)]
pub struct ReadProxyHead;

impl ReadProxyHead {
    /// Reads until the head is whole.
    pub fn advance(self, conn: &mut Connection, wake: Wake, context: &mut WorkerContext) -> Step {
        if wake == Wake::Expired {
            return refuse(conn, "no PROXY protocol head came in time");
        }
        if context.stopping && conn.pending.is_empty() {
            return Step::Close;
        }
        let mut receive_buffer = take(&mut context.receive_buffer);
        receive_buffer.begin(&mut conn.pending);
        let limits = &context.site.config.limits;
        let step = loop {
            match proxy_protocol::parse(receive_buffer.bytes(), limits.head) {
                Ok(Parsed::Complete(head, length)) => {
                    receive_buffer.consume(length);
                    conn.set_sender(&head);
                    break Step::Enter(State::ReadRequest(ReadRequest::first()));
                }
                Ok(Parsed::Partial) => {}
                Err(error) => break refuse(conn, &error.to_string()),
            }
            match receive_buffer.fill(&mut conn.socket, None) {
                Progress::Moved(_) => {}
                Progress::WouldBlock => {
                    let left =
                        context.site.config.timeouts.head.saturating_sub(context.now.since(conn.accepted));
                    break Step::Wait(State::ReadProxyHead(self), readable_within(left, context));
                }
                Progress::Ended | Progress::Broken(_) => break Step::Close,
            }
        };
        conn.pending = receive_buffer.finish();
        context.receive_buffer = receive_buffer;
        step
    }
}

fn refuse(conn: &Connection, why: &str) -> Step {
    crate::log::info!("{} connection closed: {why}", conn.client_text);
    Step::Close
}

impl Connection {
    /// Goes by what the proxy said; a head without an address leaves the peer its place.
    fn set_sender(&mut self, head: &ProxyHead) {
        if let Some(source) = head.source {
            self.sender.address = ClientAddress::Ip(source.ip().to_canonical());
        }
        if head.is_tls {
            self.sender.scheme = Scheme::Https;
        }
        let sender: Client = self.sender;
        self.set_client(sender);
    }
}
