//! One request → one response, in the pipeline's order: resolve, respond, send, record.
//!
//! Where a script is to respond, an [`Errand`] leaves instead, on its way to be run.

use std::borrow::Cow;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use super::draining::Draining;
use super::errand::{Errand, memory_for};
use super::lingering::Lingering;
use super::outgoing::Outgoing;
use super::reading::Reading;
use super::receiving::Receiving;
use super::record::{self, Record};
use super::sending::{After, Sending};
use super::socket::Progress;
use super::{Connection, Desk, Phase, Step};
use crate::cgi::env::Call;
use crate::log::access::AccessEntry;
use crate::request::head::{self, Refused};
use crate::request::spool::Spool;
use crate::request::{BodyLength, Method, Parsed, Rejection, Request, Version};
use crate::resource::{Denied, Note, Question, Resource, Script, Severity, vhost};
use crate::response::head::{Frame, write as write_head};
use crate::response::{Body, Response, error, refuse as refusal_page, respond};
use crate::sys::memory::Held;
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

/// Who responds.
enum Decision {
    /// We do.
    Respond(Decided),
    /// A script does.
    Run(Run),
    /// Nobody yet: ask again in a moment.
    Later,
}

/// A decided response, and what goes with it.
struct Decided {
    response: Response,
    user: Option<Box<[u8]>>,
    pacer: Option<Pacer>,
}

/// A script to run, and what goes with it.
struct Run {
    script: Script,
    memory: Held,
    user: Option<Box<[u8]>>,
    pacer: Option<Pacer>,
}

/// A request of ours, on behalf of a client's whose script redirected it.
struct Origin {
    /// The client's request.
    record: Record,
    /// Redirects so far.
    redirects: u8,
}

impl From<Response> for Decision {
    fn from(response: Response) -> Decision {
        Decision::Respond(Decided { response, user: None, pacer: None })
    }
}

/// Answers one complete request.
/// `may_wait`: it may be put off for what is short just now.
pub fn answer(conn: &mut Connection, request: &Request<'_>, may_wait: bool, desk: &mut Desk) -> Outcome {
    serve(conn, request, may_wait, None, desk)
}

/// Answers `errand` as if its client had asked with `head`: its script wants that.
pub fn redirect(conn: &mut Connection, head: &[u8], errand: (Errand, u8), desk: &mut Desk) -> Step {
    let (errand, redirects) = errand;
    // The script may have changed what it points to.
    desk.inquiry.expire();
    let site = Arc::clone(&desk.site);
    let Ok(Parsed::Complete(request, _)) = head::parse(head, &site.config.limits) else {
        let rejection = Rejection::new(502, "The program of {url} gave no valid response.");
        return fail(conn, &errand, &rejection, desk);
    };
    let origin = Origin { record: errand.record, redirects };
    // A script's redirect has no request to come back with.
    serve(conn, &request, false, Some(origin), desk).into_step(conn)
}

fn serve(
    conn: &mut Connection,
    request: &Request<'_>,
    may_wait: bool,
    origin: Option<Origin>,
    desk: &mut Desk,
) -> Outcome {
    let local = desk.site.config.vhost.then(|| local_address(conn));
    let vhost = local.map(|local| vhost::directory(request, local.ip()));
    let decided = match decide(conn, request, vhost.as_deref(), may_wait, desk) {
        Decision::Respond(decided) => decided,
        Decision::Later => return Outcome::Later,
        Decision::Run(run) => return dispatch(conn, (request, vhost.as_deref()), (run, origin), desk),
    };
    let peer = Arc::clone(&conn.peer_text);
    let mut entry = match &origin {
        Some(origin) => origin.record.entry(&peer, 0),
        None => record::entry(request, &peer, vhost.as_deref()),
    };
    entry.user = decided.user.as_deref().or(entry.user);
    let after = after(conn, request, &decided.response, desk);
    let manner = Manner { version: request.version, method: request.method, after, pacer: decided.pacer };
    reply(conn, decided.response, entry, manner, desk)
}

/// Sends a request on its way to a script, by way of receiving its content.
fn dispatch(
    conn: &mut Connection,
    (request, vhost): (&Request<'_>, Option<&str>),
    (run, origin): (Run, Option<Origin>),
    desk: &mut Desk,
) -> Outcome {
    let site = Arc::clone(&desk.site);
    let Some(cgi) = &site.cgi else { return Outcome::Go(Step::Close) };
    let user = run.user.as_deref();
    let (record, redirects) = match origin {
        Some(Origin { record, redirects }) => (record, redirects),
        None => {
            let entry = AccessEntry { user, ..record::entry(request, &conn.peer_text, vhost) };
            (Record::of(&entry, request.method.as_str()), 0)
        }
    };
    let (remote, local) = (conn.peer, local_address(conn));
    let call = Call { request, script: &run.script, vhost, user, remote, local };
    let mut errand = Errand::new(cgi, &call, record, run.pacer).redirected(redirects).holding(run.memory);
    errand.keep_alive &= conn.may_persist(desk);
    // With its content the next request may come.
    conn.is_heard = false;
    Outcome::Go(match Spool::new(request.body, site.config.limits.body) {
        Err(rejection) => fail(conn, &errand, &rejection, desk),
        Ok(spool) if request.body == BodyLength::None => errand.start(spool, conn, desk),
        Ok(spool) => Step::Enter(Phase::Receiving(Box::new(Receiving::new(request, errand, spool)))),
    })
}

/// Where the client connected to.
fn local_address(conn: &Connection) -> SocketAddr {
    conn.socket.local_address().unwrap_or_else(|| SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)))
}

/// resolve → respond. Nothing of the client is touched.
fn decide(
    conn: &Connection,
    request: &Request<'_>,
    vhost: Option<&str>,
    may_wait: bool,
    desk: &Desk,
) -> Decision {
    #[cfg(debug_assertions)]
    super::mishap::happen_at(request.target);
    let site = &*desk.site;
    let policy = site.policy(vhost, desk.now.wall);
    if let Some(refusal) = &conn.refusal {
        return refusal_page(refusal, request, &policy).into();
    }
    if request.method == Method::Unknown {
        return respond(request, Resource::Server, &policy).into();
    }
    let question = Question { request, vhost, inquiry: &desk.inquiry, slow: &*desk.slow };
    let found = match site.resolver.resolve(&question) {
        Ok(found) => found,
        Err(denied) if denied.later && may_wait => return Decision::Later,
        Err(denied) => {
            note(conn, request, &denied);
            let mut response = refusal_page(&denied.rejection, request, &policy);
            if let Some(challenge) = denied.challenge {
                response.fields.push(("WWW-Authenticate", Cow::Owned(challenge.into_bytes())));
            }
            return Decision::Respond(Decided { response, user: denied.user, pacer: None });
        }
    };
    let user = found.user;
    match (site.throttles.admit(&found.name, conn.peer), found.resource) {
        (Err(refused), _) => refusal_page(&refused.into(), request, &policy).into(),
        (Ok(pacer), Resource::Script(script)) if site.cgi.is_some() => match memory_for(request) {
            Some(memory) => Decision::Run(Run { script, memory, user, pacer }),
            None => refusal_page(&Rejection::new(503, ""), request, &policy).into(),
        },
        (Ok(pacer), resource) => {
            Decision::Respond(Decided { response: respond(request, resource, &policy), user, pacer })
        }
    }
}

/// Tells the operator of a refusal worth knowing, at thttpd's levels.
fn note(conn: &Connection, request: &Request<'_>, denied: &Denied) {
    let Some((severity, note)) = &denied.note else { return };
    let peer = &conn.peer_text;
    let said = match note {
        Note::OfUrl(text) => format!("URL \"{}\" {text}", request.target.escape_ascii()),
        Note::Whole(text) => text.clone(),
    };
    match severity {
        Severity::Info => crate::log::info!("{peer} {said}"),
        Severity::Notice => crate::log::notice!("{peer} {said}"),
        Severity::Error => crate::log::error!("{peer} {said}"),
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
    let site = Arc::clone(&desk.site);
    let policy = site.policy(None, desk.now.wall);
    let url = refused.line.map_or(&b""[..], |line| line.target);
    let response = error::page(&refused.rejection, url, policy.pages, None);
    let peer = Arc::clone(&conn.peer_text);
    let host = site.resolver.own_name().filter(|_| site.config.vhost);
    let entry = record::entry_of_line(refused.line.as_ref(), host, &peer, response.status.0);
    let method = refused.line.map_or(Method::Unknown, |line| line.method);
    let version = refused.line.map_or(Version::Http11, |line| line.version);
    let manner = Manner { version, method, after: After::Linger, pacer: None };
    reply(conn, response, entry, manner, desk).into_step(conn)
}

/// Answers an errand that its script cannot answer, or not any more.
pub fn fail(conn: &mut Connection, errand: &Errand, rejection: &Rejection, desk: &mut Desk) -> Step {
    let site = Arc::clone(&desk.site);
    let policy = site.policy(None, desk.now.wall);
    let peer = Arc::clone(&conn.peer_text);
    let entry = errand.record.entry(&peer, 0);
    let response = error::page(rejection, entry.target, policy.pages, entry.vhost);
    let after = match () {
        () if response.close => After::Linger,
        () if errand.keep_alive && !desk.draining => After::NextRequest,
        () if errand.has_content => After::Linger,
        () => After::Close,
    };
    let manner = Manner { version: errand.plan.version, method: errand.method, after, pacer: None };
    reply(conn, response, entry, manner, desk).into_step(conn)
}

/// How a response is sent.
struct Manner {
    version: Version,
    method: Method,
    after: After,
    pacer: Option<Pacer>,
}

/// Writes the head, and sends.
fn reply(
    conn: &mut Connection,
    response: Response,
    mut entry: AccessEntry<'_>,
    manner: Manner,
    desk: &mut Desk,
) -> Outcome {
    let frame = Frame {
        version: manner.version,
        keep_alive: manner.after.keeps_alive(),
        chunked: false,
        clock: &desk.clock,
        policy: &desk.site.head_policy,
    };
    entry.status = response.status.0;
    desk.output.clear();
    write_head(&mut desk.output, &response, &frame);
    let body = if manner.method == Method::Head { Body::None } else { response.body };
    let (head, pacer, after) = (desk.output.len(), manner.pacer, manner.after);
    let reply = Reply { head, body, held: response.held, pacer, after };
    reply.transmit(conn, &entry, manner.method, desk)
}

/// A response whose head stands in `desk.output`.
struct Reply {
    /// Bytes of head.
    head: usize,
    body: Body,
    held: Option<Held>,
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
        outgoing.push_body(body);
        outgoing.held = self.held;
        let head_left = self.head.saturating_sub(sent) as u64;
        let content = sent.saturating_sub(self.head) as u64;
        let record = Record::of(entry, method.as_str());
        let sending = Sending::new(outgoing, record, self.pacer, self.after).part_sent(head_left, content);
        Outcome::Go(Step::Enter(Phase::Sending(Box::new(sending))))
    }
}

/// One exchange is over.
pub fn record_now(desk: &Desk, entry: &AccessEntry<'_>) {
    desk.site.stats.answered(entry.status, entry.bytes);
    desk.site.log.record(entry, desk.now.wall);
}

impl Outcome {
    /// The same, for a phase that is not [`Reading`].
    fn into_step(self, conn: &Connection) -> Step {
        match self {
            Outcome::NextRequest => After::NextRequest.step(conn),
            Outcome::Go(step) => step,
            Outcome::Later => Step::Close,
        }
    }
}

impl After {
    fn outcome(self, conn: &Connection) -> Outcome {
        match self {
            After::NextRequest => Outcome::NextRequest,
            // What has come behind the request is known without asking: see `reading`.
            After::Close => Outcome::Go(Step::Close),
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
            After::Linger => Lingering::enter(conn),
            After::Close if conn.socket.has_unread() => Lingering::enter(conn),
            After::Close => Step::Close,
        }
    }
}
