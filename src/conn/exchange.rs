//! One request → one response, in the pipeline's order: resolve, respond, send, record.
//!
//! Where a script is to respond, an [`CgiRequest`] leaves instead, on its way to be run.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use super::cgi_request::{CgiRequest, memory_for};
use super::discard_body::DiscardBody;
use super::dress::{dress, refused};
use super::linger::Linger;
use super::log_record::{self, LogRecord};
use super::read_body::ReadBody;
use super::read_request::ReadRequest;
use super::reply::{ReplyContext, reply};
use super::send_response::After;
use super::{Connection, State, Step, WorkerContext};
use crate::cgi::Cgi;
use crate::cgi::env::CgiContext;
use crate::docroot::View;
use crate::log;
use crate::log::access::AccessEntry;
use crate::request::client::Scheme;
use crate::request::head;
use crate::request::outline::outline;
use crate::request::spool::Spool;
use crate::request::{BodyLength, Method, Parsed, Rejection, Request};
use crate::resource::{AccessDenied, DenialNote, Resolution, ResolveRequest, Resource, Retry, Script};
use crate::response::{Policy, Response, error, refuse as refusal_page, respond};
use crate::rules::Dressed;
use crate::site::Site;
use crate::sys::memory::MemoryReservation;
use crate::throttle::{Pacer, Refused as Overloaded};

/// Content of a request nobody wants is read up to this size, to keep the connection; beyond it the
/// connection is closed.
const MOST_DRAINED: u64 = 256 * 1024;

/// What answering came to.
pub enum Outcome {
    /// The response is sent whole; the connection takes the next request.
    NextRequest,
    /// Nothing is decided: the same request is to be answered again then.
    Later(Retry),
    /// Something is left to do first, or it is over.
    Go(Step),
}

/// Who responds.
enum Decision {
    /// We do.
    Respond(Decided),
    /// A script does.
    Run(Run),
    /// Nobody yet: when to ask again.
    Later(Retry),
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
    memory: MemoryReservation,
    user: Option<Box<[u8]>>,
    pacer: Option<Pacer>,
    dressed: Option<Dressed>,
}

/// A request of ours, on behalf of a client's whose script redirected it.
struct Origin {
    /// The client's request.
    record: LogRecord,
    /// Redirects so far.
    redirects: u8,
}

impl Decision {
    /// The same, but a response that may turn out better in a moment is put off, if it `may_wait`.
    fn or_later(self, may_wait: bool) -> Decision {
        match self {
            Decision::Respond(decided) if decided.response.may_pass && may_wait => {
                Decision::Later(Retry::Soon)
            }
            decided => decided,
        }
    }
}

impl From<Response> for Decision {
    fn from(response: Response) -> Decision {
        Decision::Respond(Decided { response, user: None, pacer: None })
    }
}

/// Tells whether a request may be put off until then.
type MayWait<'w> = &'w dyn Fn(Retry) -> bool;

/// Answers one complete request.
/// `may_wait`: may it be put off for what is short just now?
pub fn answer(
    conn: &mut Connection,
    request: &Request<'_>,
    may_wait: MayWait<'_>,
    context: &mut WorkerContext,
) -> Outcome {
    let proxies = &context.site.config.proxies;
    if proxies.trusts_any() {
        conn.set_client(proxies.client(&conn.sender, &request.fields));
    }
    let is_trusted = context.site.config.proxies.trusts(&conn.sender);
    if let Some(details) = conn.begin_details(context) {
        details.set_request(request, is_trusted);
    }
    serve(conn, request, may_wait, None, context)
}

/// Answers `errand` as if its client had asked with `head`: its script wants that.
pub fn redirect(
    conn: &mut Connection,
    head: &[u8],
    cgi_request: (CgiRequest, u8),
    context: &mut WorkerContext,
) -> Step {
    let (mut cgi_request, redirects) = cgi_request;
    // The script may have changed what it points to.
    context.freshness.expire();
    let site = Arc::clone(&context.site);
    let Ok(Parsed::Complete(request, _)) = head::parse(head, &site.config.limits) else {
        let rejection = Rejection::new(502, "The program of {url} gave no valid response.");
        return fail(conn, &mut cgi_request, &rejection, context);
    };
    let origin = Origin { record: cgi_request.record, redirects };
    // A script's redirect has no request to come back with.
    serve(conn, &request, &|_| false, Some(origin), context).into_step(conn)
}

fn serve(
    conn: &mut Connection,
    request: &Request<'_>,
    may_wait: MayWait<'_>,
    origin: Option<Origin>,
    context: &mut WorkerContext,
) -> Outcome {
    let local = context.site.config.vhost.then(|| local_address(conn));
    let block_in_place = &|| context.blocking.block_in_place();
    let vhost = local.map(|local| context.site.resolver.host_directory(request, local.ip(), block_in_place));
    #[cfg(debug_assertions)]
    super::failpoint::panic_if_requested(request.target);
    let decided = match decide(conn, request, vhost.as_deref(), may_wait, context) {
        Decision::Respond(decided) => decided,
        Decision::Later(retry) => return Outcome::Later(retry),
        Decision::Run(run) => return dispatch(conn, (request, vhost.as_deref()), (run, origin), context),
    };
    let peer = Arc::clone(&conn.client_text);
    let mut entry = match &origin {
        Some(origin) => origin.record.entry(&peer, 0),
        None => log_record::entry(request, &peer, vhost.as_deref()),
    };
    entry.user = decided.user.as_deref().or(entry.user);
    let after = after(conn, request, &decided.response, context);
    let reply_context =
        ReplyContext { version: request.version, method: request.method, after, pacer: decided.pacer };
    reply(conn, decided.response, entry, reply_context, context)
}

/// Sends a request on its way to a script, by way of receiving its content.
fn dispatch(
    conn: &mut Connection,
    (request, vhost): (&Request<'_>, Option<&str>),
    (run, origin): (Run, Option<Origin>),
    context: &mut WorkerContext,
) -> Outcome {
    let site = Arc::clone(&context.site);
    let Some(cgi) = &site.cgi else { return Outcome::Go(Step::Close) };
    let user = run.user.as_deref();
    let (record, redirects) = match origin {
        Some(Origin { record, redirects }) => (record, redirects),
        None => {
            let entry = AccessEntry { user, ..log_record::entry(request, &conn.client_text, vhost) };
            (LogRecord::of(&entry, request.method.as_str()), 0)
        }
    };
    let local = local_address(conn);
    let is_spoken_for = site.config.proxies.trusts(&conn.sender);
    let query = run.script.query.as_ref();
    let request = &Request { query: query.map_or(request.query, Option::as_deref), ..request.clone() };
    let cgi_context =
        CgiContext { request, script: &run.script, vhost, user, client: conn.client, is_spoken_for, local };
    let cgi_request = CgiRequest::new(cgi, &cgi_context, record, run.pacer).redirected(redirects);
    let mut cgi_request = cgi_request.holding(run.memory).dressed(run.dressed);
    cgi_request.keep_alive &= conn.may_persist(context);
    // With its content the next request may come.
    conn.input_drained = false;
    Outcome::Go(match Spool::new(request.body, site.config.limits.body) {
        Err(rejection) => fail(conn, &mut cgi_request, &rejection, context),
        Ok(spool) if request.body == BodyLength::None => cgi_request.start(spool, conn, context),
        Ok(spool) => Step::Enter(State::ReadBody(Box::new(ReadBody::new(request, cgi_request, spool)))),
    })
}

/// Where the client connected to.
fn local_address(conn: &Connection) -> SocketAddr {
    // A Unix-domain socket has no port, but the URL that its proxy was asked for has one.
    let port = if conn.client.scheme == Scheme::Https { 443 } else { 80 };
    conn.socket.local_address().unwrap_or_else(|| SocketAddr::from((Ipv4Addr::UNSPECIFIED, port)))
}

/// resolve → respond. Nothing of the client is touched.
fn decide(
    conn: &mut Connection,
    request: &Request<'_>,
    vhost: Option<&str>,
    may_wait: MayWait<'_>,
    context: &WorkerContext,
) -> Decision {
    let site = &*context.site;
    let policy = site.policy(vhost, context.now.wall, &*context.blocking);
    let query = ResolveRequest {
        request,
        client: &conn.client,
        vhost,
        freshness: &context.freshness,
        view: &View::local(site.resolver.root()),
        blocking: &*context.blocking,
        charged: &conn.charged,
        may_wait: may_wait(Retry::Soon),
    };
    let refuse_with = |rejection: &Rejection, dressed| -> Decision {
        dress(dressed, &policy, |policy| refusal_page(rejection, request, policy)).into()
    };
    let respond_with =
        |resource, dressed| dress(dressed, &policy, |policy| respond(request, resource, policy));
    if let Some(refusal) = &conn.refusal {
        return refuse_with(refusal, site.resolver.dressed_as_asked(&query));
    }
    if request.method == Method::Unknown {
        return respond_with(Resource::Server, site.resolver.dressed_as_asked(&query)).into();
    }
    let Resolution { outcome, dressed } = site.resolver.resolve(&query);
    let found = match outcome {
        Ok(found) => found,
        Err(denied) => {
            if let Some(retry) = denied.retry.filter(|retry| may_wait(*retry)) {
                return Decision::Later(retry);
            }
            note(conn, request, &denied);
            let response = dress(dressed, &policy, |policy| refused(&denied, request, policy));
            // A rule that refuses one more response does not keep it from being told that there is nothing.
            let pacer = admit(conn, &query, &query.throttle_name(), context).unwrap_or_default();
            return Decision::Respond(Decided { response, user: denied.into_user(), pacer });
        }
    };
    if let Some(details) = &mut conn.details {
        details.set_file(&found.name);
    }
    match (admit(conn, &query, &found.name, context), found.resource) {
        (Err(refused), _) => refuse_with(&refused.into(), dressed),
        (Ok(_), Resource::Script(_)) if waits_for_fds(&query, site) => Decision::Later(Retry::Soon),
        (Ok(pacer), Resource::Script(script)) if site.cgi.is_some() => match memory_for(request) {
            Some(memory) => Decision::Run(Run { script, memory, user: found.user, pacer, dressed }),
            None => refuse_with(&no_memory(), dressed),
        },
        (Ok(pacer), resource) => {
            let response = respond_with(resource, dressed);
            Decision::Respond(Decided { response, user: found.user, pacer }).or_later(query.may_wait)
        }
    }
}

/// Refusal of a script for which the memory of all requests has no room.
fn no_memory() -> Rejection {
    Rejection::new(503, "")
}

/// Requests of scripts wait where there is no descriptor for a script's output now.
fn waits_for_fds(query: &ResolveRequest<'_>, site: &Site) -> bool {
    query.may_wait && site.cgi.as_ref().is_some_and(Cgi::lacks_descriptors)
}

/// Starts a response for the file called `name`, at the pace that its rates leave.
fn admit(
    conn: &Connection,
    query: &ResolveRequest<'_>,
    name: &[u8],
    context: &WorkerContext,
) -> Result<Option<Pacer>, Overloaded> {
    let (throttles, resolver) = (&context.site.throttles, &context.site.resolver);
    match throttles.is_empty() {
        true => Ok(None),
        false => throttles.admit(&resolver.site_key(query).name(name), conn.sender_key()),
    }
}

/// Tells the operator of a refusal worth knowing, at thttpd's levels.
fn note(conn: &Connection, request: &Request<'_>, denied: &AccessDenied) {
    let Some((level, note)) = &denied.note else { return };
    let peer = &conn.client_text;
    let said = match note {
        DenialNote::OfUrl(text) => format!("URL \"{}\" {text}", request.target.escape_ascii()),
        DenialNote::Whole(text) => text.clone(),
    };
    log::send(*level, format_args!("{peer} {said}"));
}

/// What follows the response: the next request, the rest of this one's content, or the end.
fn after(conn: &Connection, request: &Request<'_>, response: &Response, context: &WorkerContext) -> After {
    let keep = request.keep_alive && !response.close && conn.may_persist(context);
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

/// Answers `bytes` that are no request we serve, and ends the connection.
pub fn refuse(
    conn: &mut Connection,
    bytes: &[u8],
    rejection: &Rejection,
    context: &mut WorkerContext,
) -> Step {
    let site = Arc::clone(&context.site);
    let policy = site.policy(None, context.now.wall, &*context.blocking);
    let refused = outline(bytes);
    // A head that is not understood names no client.
    conn.set_client(conn.sender);
    conn.begin_details(context);
    let dressed = site.resolver.dressed_as_nothing();
    let response = dress(dressed, &policy, |policy| error::page(rejection, refused.target, policy));
    let peer = Arc::clone(&conn.client_text);
    let host = site.resolver.own_name().filter(|_| site.config.vhost);
    let entry = log_record::entry_of_refused(&refused, host, &peer, response.status.0);
    let (version, method) = (refused.version, refused.answered_method());
    let reply_context = ReplyContext { version, method, after: After::Linger, pacer: None };
    reply(conn, response, entry, reply_context, context).into_step(conn)
}

/// Answers a request that its script cannot answer, or not any more, under the throttles of the script.
pub fn fail(
    conn: &mut Connection,
    cgi_request: &mut CgiRequest,
    rejection: &Rejection,
    context: &mut WorkerContext,
) -> Step {
    let site = Arc::clone(&context.site);
    let policy = site.policy(None, context.now.wall, &*context.blocking);
    let peer = Arc::clone(&conn.client_text);
    let pacer = cgi_request.pacer.take();
    let entry = cgi_request.record.entry(&peer, 0);
    let policy = Policy { host_dir: entry.vhost, ..policy };
    let dressed = cgi_request.dressed.clone();
    let response = dress(dressed, &policy, |policy| error::page(rejection, entry.target, policy));
    let after = match () {
        () if response.close => After::Linger,
        () if cgi_request.keep_alive && !context.ends() => After::NextRequest,
        () if cgi_request.has_content => After::Linger,
        () => After::Close,
    };
    let reply_context =
        ReplyContext { version: cgi_request.response_plan.version, method: cgi_request.method, after, pacer };
    reply(conn, response, entry, reply_context, context).into_step(conn)
}

impl Outcome {
    /// The same, for a phase that is not [`ReadRequest`].
    fn into_step(self, conn: &Connection) -> Step {
        match self {
            Outcome::NextRequest => After::NextRequest.step(conn),
            Outcome::Go(step) => step,
            Outcome::Later(_) => Step::Close,
        }
    }
}

impl After {
    /// Result of an exchange that is answered whole.
    pub fn outcome(self, conn: &Connection) -> Outcome {
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
            After::NextRequest => Step::Enter(State::ReadRequest(ReadRequest::first())),
            After::Drain(length) => {
                Step::Enter(State::DiscardBody(Box::new(DiscardBody::new(length, MOST_DRAINED))))
            }
            After::Linger => Linger::enter(conn),
            After::Close if conn.socket.has_unread() => Linger::enter(conn),
            After::Close => Step::Close,
        }
    }
}
