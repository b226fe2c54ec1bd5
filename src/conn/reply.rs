//! Responses on their way out: head, first send, and the one place that logs an exchange.

use std::sync::Arc;
use std::time::Duration;

use super::context::{Turn, WorkerContext};
use super::io::send_queue::SendQueue;
use super::io::socket::Progress;
use super::log_record::{LogRecord, entry_of_refused};
use super::outgoing::{AfterResponse, Outgoing};
use super::response_cache::ResponseSource;
use super::session::Session;
use super::transition::{Transition, Upload};
use crate::log::access::AccessEntry;
use crate::request::outline::outline;
use crate::request::{Method, Version, head};
use crate::response::head::{Frame, write as write_head};
use crate::response::{Body, Response};
use crate::sys::memory::{MemoryReservation, RESPONSE_MEMORY};
use crate::throttle::Pacer;

/// Content up to this size is copied behind its head and leaves in the same plain `send`.
const INLINE: usize = 16 * 1024;

/// [`INLINE`] while clients leave many responses unread: a copy of cached content is memory for each of them.
const INLINE_WHEN_TIGHT: usize = 1024;

/// Circumstances of a response.
pub struct Reply<'a> {
    /// Line for the access log.
    pub entry: AccessEntry<'a>,
    /// Step after the response.
    pub after: AfterResponse,
    /// Pace, where throttles cover it.
    pub pacer: Option<Box<Pacer>>,
    /// Source of the response, if the worker may send it again to the same request.
    pub source: Option<ResponseSource<'a>>,
}

/// Version and method of the request, on which the form of its response depends.
#[derive(Debug, Clone, Copy)]
pub struct RequestForm {
    /// The request's version.
    pub version: Version,
    /// The request's method.
    pub method: Method,
}

/// Response of which the beginning is in the worker's output.
pub struct Unsent {
    /// Length of its head, at the start of the output.
    pub head: usize,
    /// Content behind the output.
    pub body: Body,
    /// Memory reservation of a large page, released when the page is sent.
    pub held: Option<Arc<MemoryReservation>>,
}

/// Writes the head, sends what can be sent at once, and logs the exchange if that was all.
pub fn send(turn: &mut Turn<'_>, response: Response, form: RequestForm, mut reply: Reply<'_>) -> Transition {
    let worker = &mut *turn.worker;
    let frame = Frame {
        version: form.version,
        keep_alive: reply.after.keeps_alive(),
        chunked: false,
        clock: &worker.clock,
        policy: &worker.site.head_policy,
    };
    reply.entry.status = response.status.0;
    worker.output.clear();
    write_head(&mut worker.output, &response, &frame);
    let head = worker.output.len();
    let body = if form.method == Method::Head { Body::None } else { response.body };
    let body = inline(&mut worker.output, body);
    transmit(turn, Unsent { head, body, held: response.held }, reply)
}

/// Sends what can be sent at once of the worker's output and the content behind it, and logs the exchange if
/// that was all.
pub fn transmit(turn: &mut Turn<'_>, unsent: Unsent, reply: Reply<'_>) -> Transition {
    let Unsent { head, body, held } = unsent;
    let worker = &mut *turn.worker;
    let mut sent = 0;
    if reply.pacer.is_none() && matches!(body, Body::None) {
        match turn.session.socket().write(&worker.output, false) {
            Progress::Moved(n) => sent = n,
            Progress::WouldBlock => {}
            broken @ (Progress::Ended | Progress::Broken(_)) => {
                log_exchange(turn.session, worker, &AccessEntry { bytes: 0, ..reply.entry });
                return Transition::Close(broken.close_reason());
            }
        }
        if sent == worker.output.len() {
            let bytes = (sent - head) as u64;
            let entry = AccessEntry { bytes, ..reply.entry };
            log_exchange(turn.session, worker, &entry);
            if let Some(source) = reply.source {
                let second = worker.clock.second();
                worker.response_cache.keep(source, second, &entry, &worker.output);
            }
            return reply.after.into();
        }
    }
    let mut send_queue = SendQueue::new(worker.output[sent..].to_vec());
    send_queue.push_body(body);
    send_queue.held = held;
    send_queue.count_memory();
    let record = LogRecord::from_entry(&reply.entry);
    let outgoing = Outgoing::new(send_queue, record, reply.pacer, reply.after);
    let (head_left, content) = (head.saturating_sub(sent) as u64, sent.saturating_sub(head) as u64);
    Transition::Respond(Box::new(outgoing.part_sent(head_left, content)))
}

/// Moves small content behind the head in `output`; gives back what is too large for that.
fn inline(output: &mut Vec<u8>, body: Body) -> Body {
    let most = if RESPONSE_MEMORY.is_tight() { INLINE_WHEN_TIGHT } else { INLINE };
    match &body {
        Body::Bytes(bytes, range) if range.len() <= most => output.extend_from_slice(&bytes[range.clone()]),
        Body::Page(page) if page.len() <= INLINE => output.extend_from_slice(page),
        _ => return body,
    }
    Body::None
}

/// Logs and counts an exchange that is over.
pub fn log_exchange(session: &Session, worker: &WorkerContext, entry: &AccessEntry<'_>) {
    let took = if worker.site.is_timed { session.began().elapsed() } else { Duration::ZERO };
    worker.site.stats.answered(entry.status, entry.bytes, took);
    let details = session.details().map(|details| details.view(took)).unwrap_or_default();
    worker.site.log.record(entry, &details, worker.now.wall);
}

/// Logs the request of a script that is cut off before its response, with status 0 as thttpd does.
pub fn log_unanswered(session: &Session, worker: &WorkerContext, upload: &Upload) {
    log_exchange(session, worker, &upload.cgi_request.record.entry(session.client_text().as_bytes(), 0));
}

/// Logs a request that is cut off before its decision: a whole one, or the beginning of its head.
pub fn log_undecided(session: &mut Session, worker: &WorkerContext) {
    let pending = session.take_pending();
    if head::is_blank(&pending) {
        return;
    }
    let site = &worker.site;
    let host = site.resolver.own_name().filter(|_| site.config.vhost);
    let cut = outline(&pending);
    log_exchange(session, worker, &entry_of_refused(&cut, host, session.client_text().as_bytes(), 0));
}
