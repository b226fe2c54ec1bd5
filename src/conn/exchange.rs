//! One request → one response, in the pipeline's order: resolve, respond, send, record.

use std::borrow::Cow;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::SystemTime;

use super::draining::Draining;
use super::lingering::Lingering;
use super::outgoing::Outgoing;
use super::reading::Reading;
use super::record::{self, Record};
use super::sending::{After, Sending};
use super::socket::Progress;
use super::{Connection, Desk, Phase, Step};
use crate::log::access::AccessEntry;
use crate::request::head::Refused;
use crate::request::{BodyLength, Method, Request, Version};
use crate::resource::{Denied, Resource, Severity, vhost};
use crate::response::head::{Frame, write as write_head};
use crate::response::{Body, Response, error, refuse as refusal_page, respond};
use crate::throttle::Pacer;

/// Content up to this size is copied behind its head and leaves in the same plain `send`.
const INLINE: usize = 16 * 1024;

/// Content of a request nobody wants is read up to this size, to keep the connection; beyond it the
/// connection is closed.
const MOST_DRAINED: u64 = 256 * 1024;

/// What answering came to.
pub enum Outcome {
    /// The response is sent whole; the connection takes the next request.
    NextRequest,
    /// Nothing is decided: the same request is to be answered again in a moment.
    Later,
    /// Something is left to do first, or it is over.
    Go(Step),
}

/// A decided response, and what goes with it.
struct Decision {
    response: Response,
    user: Option<Box<[u8]>>,
    pacer: Option<Pacer>,
}

impl From<Response> for Decision {
    fn from(response: Response) -> Decision {
        Decision { response, user: None, pacer: None }
    }
}

/// Answers one complete request.
pub fn answer(conn: &mut Connection, request: &Request<'_>, desk: &mut Desk) -> Outcome {
    let vhost = desk.site.config.vhost.then(|| {
        let local = conn.socket.local_address().unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED));
        vhost::directory(request, local)
    });
    let Some(decision) = decide(conn, request, vhost.as_deref(), desk) else { return Outcome::Later };
    let peer = Arc::clone(&conn.peer_text);
    let mut entry = record::entry(request, &peer, vhost.as_deref());
    entry.status = decision.response.status.0;
    entry.user = decision.user.as_deref();
    let after = after(conn, request, &decision.response, desk);
    let frame = Frame {
        version: request.version,
        keep_alive: after.keeps_alive(),
        chunked: false,
        clock: &desk.clock,
        policy: &desk.site.head_policy,
    };
    desk.output.clear();
    write_head(&mut desk.output, &decision.response, &frame);
    let body = if request.is_head() { Body::None } else { decision.response.body };
    let reply = Reply { head: desk.output.len(), body, pacer: decision.pacer, after };
    reply.transmit(conn, &entry, request.method, desk)
}

/// resolve → respond. Nothing of the client is touched.
/// None: nothing is decided yet, ask again in a moment.
fn decide(conn: &Connection, request: &Request<'_>, vhost: Option<&str>, desk: &Desk) -> Option<Decision> {
    let site = &*desk.site;
    let policy = site.policy(vhost, SystemTime::now());
    if let Some(refusal) = &conn.refusal {
        return Some(refusal_page(refusal, request, &policy).into());
    }
    if request.method == Method::Unknown {
        return Some(respond(request, Resource::Server, &policy).into());
    }
    let found = match site.resolver.resolve(request, vhost, &*desk.slow) {
        Ok(found) => found,
        Err(denied) if denied.later => return None,
        Err(denied) => {
            note(conn, request, &denied);
            let mut response = refusal_page(&denied.rejection, request, &policy);
            if let Some(challenge) = denied.challenge {
                response.fields.push(("WWW-Authenticate", Cow::Owned(challenge.into_bytes())));
            }
            return Some(Decision { response, user: denied.user, pacer: None });
        }
    };
    Some(match site.throttles.admit(&found.name, conn.peer) {
        Ok(pacer) => {
            Decision { response: respond(request, found.resource, &policy), user: found.user, pacer }
        }
        Err(refused) => refusal_page(&refused.into(), request, &policy).into(),
    })
}

/// Tells the operator of a refusal worth knowing, at thttpd's levels.
fn note(conn: &Connection, request: &Request<'_>, denied: &Denied) {
    let Some((severity, text)) = denied.note else { return };
    let (peer, url) = (&conn.peer_text, request.target.escape_ascii());
    match severity {
        Severity::Info => crate::log::info!("{peer} URL \"{url}\" {text}"),
        Severity::Notice => crate::log::notice!("{peer} URL \"{url}\" {text}"),
        Severity::Error => crate::log::error!("{peer} URL \"{url}\" {text}"),
    }
}

/// What follows the response: the next request, the rest of this one's content, or the end.
fn after(conn: &Connection, request: &Request<'_>, response: &Response, desk: &Desk) -> After {
    let keep = request.keep_alive && !response.close && conn.may_persist(desk);
    match request.body {
        // A client that waits for a nod may never send its content: the end of it cannot be told.
        _ if request.expects_continue => After::Linger,
        BodyLength::None if keep => After::NextRequest,
        BodyLength::None => After::Close,
        BodyLength::Length(n) if keep && n <= MOST_DRAINED => After::Drain(request.body),
        BodyLength::Chunked if keep => After::Drain(request.body),
        _ => After::Linger,
    }
}

/// Answers bytes that are no request we serve, and ends the connection.
pub fn refuse(conn: &mut Connection, refused: &Refused<'_>, desk: &mut Desk) -> Step {
    let policy = desk.site.policy(None, SystemTime::now());
    let url = refused.line.map_or(&b""[..], |line| line.target);
    let response = error::page(&refused.rejection, url, policy.pages, None);
    let peer = Arc::clone(&conn.peer_text);
    let entry = record::entry_of_line(refused.line.as_ref(), &peer, response.status.0);
    let method = refused.line.map_or(Method::Unknown, |line| line.method);
    let frame = Frame {
        version: refused.line.map_or(Version::Http11, |line| line.version),
        keep_alive: false,
        chunked: false,
        clock: &desk.clock,
        policy: &desk.site.head_policy,
    };
    desk.output.clear();
    write_head(&mut desk.output, &response, &frame);
    let body = if method == Method::Head { Body::None } else { response.body };
    let reply = Reply { head: desk.output.len(), body, pacer: None, after: After::Linger };
    match reply.transmit(conn, &entry, method, desk) {
        Outcome::Go(step) => step,
        Outcome::NextRequest | Outcome::Later => Step::Close,
    }
}

/// A response whose head stands in `desk.output`.
struct Reply {
    /// Bytes of head.
    head: usize,
    body: Body,
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
        desk: &mut Desk,
    ) -> Outcome {
        let mut body = self.body;
        match &body {
            Body::Bytes(bytes, range) if range.len() <= INLINE => {
                desk.output.extend_from_slice(&bytes[range.clone()]);
                body = Body::None;
            }
            Body::Page(page) if page.len() <= INLINE => {
                desk.output.extend_from_slice(page);
                body = Body::None;
            }
            _ => {}
        }
        let mut sent = 0;
        if self.pacer.is_none() && matches!(body, Body::None) {
            match conn.socket.write(&desk.output, false) {
                Progress::Moved(n) => sent = n,
                Progress::WouldBlock => {}
                Progress::Ended | Progress::Broken(_) => {
                    record_now(desk, &AccessEntry { bytes: 0, ..*entry });
                    return Outcome::Go(Step::Close);
                }
            }
            if sent == desk.output.len() {
                record_now(desk, &AccessEntry { bytes: (sent - self.head) as u64, ..*entry });
                return self.after.outcome(conn);
            }
        }
        let mut outgoing = Outgoing::new(desk.output[sent..].to_vec());
        let body_len = body.len();
        outgoing.push_body(body);
        let mut pacer = self.pacer;
        if let Some(pacer) = &mut pacer {
            pacer.expect((desk.output.len() - sent) as u64 + body_len);
        }
        let head_left = self.head.saturating_sub(sent) as u64;
        let content = sent.saturating_sub(self.head) as u64;
        let record = Record::of(entry, method.as_str());
        let sending = Sending::new(outgoing, record, pacer, self.after).part_sent(head_left, content);
        Outcome::Go(Step::Enter(Phase::Sending(Box::new(sending))))
    }
}

fn record_now(desk: &Desk, entry: &AccessEntry<'_>) {
    desk.site.stats.answered(entry.status, entry.bytes);
    desk.site.log.record(entry);
}

impl After {
    fn outcome(self, conn: &Connection) -> Outcome {
        match self {
            After::NextRequest => Outcome::NextRequest,
            other => Outcome::Go(other.step(conn)),
        }
    }

    /// Where the connection goes once its response is sent.
    pub fn step(self, conn: &Connection) -> Step {
        match self {
            After::NextRequest => Step::Enter(Phase::Reading(Reading::first())),
            After::Drain(length) => {
                Step::Enter(Phase::Draining(Box::new(Draining::new(length, MOST_DRAINED))))
            }
            After::Linger => Step::Enter(Phase::Lingering(Lingering::begin(&conn.socket))),
            After::Close => Step::Close,
        }
    }
}
