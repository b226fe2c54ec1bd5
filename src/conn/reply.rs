//! Responses on their way out: head, first send, and the one place that logs an exchange.

use std::sync::Arc;
use std::time::Duration;

use super::exchange::Outcome;
use super::log_record::LogRecord;
use super::send_queue::SendQueue;
use super::send_response::{After, SendResponse};
use super::socket::Progress;
use super::{Connection, State, Step, WorkerContext};
use crate::log::access::AccessEntry;
use crate::request::{Method, Version};
use crate::response::head::{Frame, write as write_head};
use crate::response::{Body, Response};
use crate::sys::memory::MemoryReservation;
use crate::throttle::Pacer;

/// Content up to this size is copied behind its head and leaves in the same plain `send`.
const INLINE: usize = 16 * 1024;

/// How a response is sent.
pub struct ReplyContext {
    /// The request's version.
    pub version: Version,
    /// The request's method.
    pub method: Method,
    /// What follows the response.
    pub after: After,
    /// Its pace, where throttles cover it.
    pub pacer: Option<Pacer>,
}

/// Writes the head, and sends.
pub fn reply(
    conn: &mut Connection,
    response: Response,
    mut entry: AccessEntry<'_>,
    reply_context: ReplyContext,
    context: &mut WorkerContext,
) -> Outcome {
    let frame = Frame {
        version: reply_context.version,
        keep_alive: reply_context.after.keeps_alive(),
        chunked: false,
        clock: &context.clock,
        policy: &context.site.head_policy,
    };
    entry.status = response.status.0;
    context.output.clear();
    write_head(&mut context.output, &response, &frame);
    let body = if reply_context.method == Method::Head { Body::None } else { response.body };
    let (head, pacer, after) = (context.output.len(), reply_context.pacer, reply_context.after);
    let reply = Reply { head, body, held: response.held, pacer, after };
    reply.transmit(conn, &entry, reply_context.method, context)
}

/// A response whose head stands in `desk.output`.
struct Reply {
    /// Bytes of head.
    head: usize,
    body: Body,
    held: Option<Arc<MemoryReservation>>,
    pacer: Option<Pacer>,
    after: After,
}

impl Reply {
    /// Sends what can be sent at once; records the exchange if that was all.
    fn transmit(
        self,
        conn: &mut Connection,
        entry: &AccessEntry<'_>,
        method: Method,
        context: &mut WorkerContext,
    ) -> Outcome {
        let mut body = self.body;
        match &body {
            Body::Bytes(bytes, range) if range.len() <= INLINE => {
                context.output.extend_from_slice(&bytes[range.clone()]);
                body = Body::None;
            }
            Body::Page(page) if page.len() <= INLINE => {
                context.output.extend_from_slice(page);
                body = Body::None;
            }
            _ => {}
        }
        let mut sent = 0;
        if self.pacer.is_none() && matches!(body, Body::None) {
            match conn.socket.write(&context.output, false) {
                Progress::Moved(n) => sent = n,
                Progress::WouldBlock => {}
                Progress::Ended | Progress::Broken(_) => {
                    record_now(conn, context, &AccessEntry { bytes: 0, ..*entry });
                    return Outcome::Go(Step::Close);
                }
            }
            if sent == context.output.len() {
                record_now(conn, context, &AccessEntry { bytes: (sent - self.head) as u64, ..*entry });
                return self.after.outcome(conn);
            }
        }
        let mut send_queue = SendQueue::new(context.output[sent..].to_vec());
        send_queue.push_body(body);
        send_queue.held = self.held;
        let head_left = self.head.saturating_sub(sent) as u64;
        let content = sent.saturating_sub(self.head) as u64;
        let record = LogRecord::of(entry, method.as_str());
        let send_response =
            SendResponse::new(send_queue, record, self.pacer, self.after).part_sent(head_left, content);
        Outcome::Go(Step::Enter(State::SendResponse(Box::new(send_response))))
    }
}

/// One exchange is over.
pub fn record_now(conn: &Connection, context: &WorkerContext, entry: &AccessEntry<'_>) {
    let took = if context.site.is_timed { conn.began.elapsed() } else { Duration::ZERO };
    context.site.stats.answered(entry.status, entry.bytes, took);
    let details = conn.details.as_ref().map(|details| details.view(took)).unwrap_or_default();
    context.site.log.record(entry, &details, context.now.wall);
}
