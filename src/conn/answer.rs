//! Answers: from a decision, or a failure, to the transition that carries it out.

use std::rc::Rc;
use std::sync::Arc;

use super::apply_rules::apply_rules;
use super::cgi_request::{CgiRequest, RedirectOrigin};
use super::close_reason::CloseReason;
use super::context::{Turn, WorkerContext};
use super::exchange::{Decided, Decision, RequestContext, Run, decide};
use super::log_record::{self, LogRecord};
use super::outgoing::{AfterResponse, MOST_DISCARDED};
use super::reply::{Reply, RequestForm, Unsent, send, transmit};
use super::response_cache::{CachedResponse, sole_source};
use super::session::Session;
use super::transition::{Transition, Upload};
use crate::cache::CacheEntry;
use crate::cgi::env::CgiContext;
use crate::log;
use crate::log::Level;
use crate::log::access::AccessEntry;
use crate::request::outline::outline;
use crate::request::spool::Spool;
use crate::request::{BodyLength, Parsed, Rejection, Request, head};
use crate::resource::{DenialNote, Retry};
use crate::response::{Body, Policy, Response, error};
use crate::sys::memory::RESPONSE_MEMORY;

/// Answers one complete request.
///
/// # Errors
/// Nothing is decided: the request is to be answered again then. `may_wait` tells whether it may be put off
/// for what is short just now.
pub fn answer(
    turn: &mut Turn<'_>,
    request: &Request<'_>,
    may_wait: &dyn Fn(Retry) -> bool,
) -> Result<Transition, Retry> {
    let proxies = &turn.worker.site.config.proxies;
    if proxies.trusts_any() {
        turn.session.set_client(proxies.client(turn.session.sender(), &request.fields));
    } else if turn.session.client() != turn.session.sender() {
        // A configuration before this one trusted a proxy, which named another client.
        turn.session.set_client_to_sender();
    }
    let is_trusted = proxies.trusts(turn.session.sender());
    if let Some(details) = turn.session.begin_details(turn.worker.site.log.has_details()) {
        details.set_request(request, is_trusted);
    }
    serve(turn, request, may_wait, None)
}

/// Response that the worker has sent to the same `head` in this second, if it would be sent again.
pub fn cached(turn: &Turn<'_>, head: &[u8]) -> Option<Rc<CachedResponse>> {
    let worker = &*turn.worker;
    let cached = worker.response_cache.get(head, worker.clock.second())?;
    let is_another = !turn.session.has_plain_client()
        || turn.session.refusal().is_some()
        || worker.end_of_keepalive(turn.session).is_some()
        || RESPONSE_MEMORY.is_tight();
    let is_valid = |entry: Arc<CacheEntry>| worker.site.resolver.holds(&entry, &worker.freshness);
    (!is_another && cached.entry.upgrade().is_some_and(is_valid)).then_some(cached)
}

/// Sends a `cached` response again.
pub fn repeat(turn: &mut Turn<'_>, cached: &CachedResponse) -> Transition {
    turn.worker.output.clear();
    turn.worker.output.extend_from_slice(&cached.bytes);
    let client = *turn.session.client_text();
    let entry = cached.record.entry(client.as_bytes(), 0);
    let reply = Reply { entry, after: AfterResponse::NextRequest, pacer: None, source: None };
    transmit(turn, Unsent { head: cached.bytes.len() - cached.content, body: Body::None, held: None }, reply)
}

/// Answers `cgi_request` as if its client had sent `head`: its script wants that.
pub fn redirect(turn: &mut Turn<'_>, mut cgi_request: Box<CgiRequest>, head: &[u8]) -> Transition {
    let site = Arc::clone(&turn.worker.site);
    let Ok(Parsed::Complete(request, _)) = head::parse(head, &site.config.limits) else {
        let rejection = Rejection::new(502, "The program of {url} gave no valid response.");
        return fail(turn, &mut cgi_request, &rejection, CloseReason::ScriptFailed);
    };
    // A script's redirect has no request to come back with.
    serve(turn, &request, &|_| false, Some(cgi_request.into_origin()))
        .unwrap_or(Transition::Close(CloseReason::Rejected))
}

fn serve(
    turn: &mut Turn<'_>,
    request: &Request<'_>,
    may_wait: &dyn Fn(Retry) -> bool,
    origin: Option<RedirectOrigin>,
) -> Result<Transition, Retry> {
    let site = &turn.worker.site;
    let local = site.config.vhost.then(|| turn.session.local_address());
    let block_in_place = &|| turn.worker.blocking.block_in_place();
    let vhost = local.map(|local| site.resolver.host_directory(request, local.ip(), block_in_place));
    let context = RequestContext {
        session: turn.session,
        vhost: vhost.as_deref(),
        now: turn.worker.now.wall,
        freshness: &turn.worker.freshness,
        blocking: &*turn.worker.blocking,
        may_wait,
    };
    #[cfg(debug_assertions)]
    super::failpoint::panic_if_requested(request.target);
    let decided = match decide(request, site, &context) {
        Decision::Respond(decided) => decided,
        Decision::Later(retry) => return Err(retry),
        Decision::Run(run) => {
            return Ok(dispatch(turn, &HostedRequest { request, vhost: vhost.as_deref() }, run, origin));
        }
    };
    let Decided { response, user, pacer, name, note } = decided;
    if let Some((level, note)) = note {
        log_denial(turn.session, request, level, &note);
    }
    set_file(turn.session, name.as_deref());
    let client = *turn.session.client_text();
    let mut entry = match &origin {
        Some(origin) => origin.record.entry(client.as_bytes(), 0),
        None => log_record::entry(request, client.as_bytes(), vhost.as_deref()),
    };
    entry.user = user.as_deref().or(entry.user);
    let after = after(request, &response, turn);
    let form = RequestForm { version: request.version, method: request.method };
    let is_plain = origin.is_none() && after == AfterResponse::NextRequest && turn.session.has_plain_client();
    let source = name.as_ref().filter(|_| is_plain).and_then(|name| sole_source(request, &response, name));
    let reply = Reply { entry, after, pacer, source };
    Ok(send(turn, response, form, reply))
}

/// A request and the directory of its virtual host.
struct HostedRequest<'a> {
    request: &'a Request<'a>,
    vhost: Option<&'a str>,
}

/// Sends a request on its way to a script, by way of receiving its content.
fn dispatch(
    turn: &mut Turn<'_>,
    asked: &HostedRequest<'_>,
    run: Run,
    origin: Option<RedirectOrigin>,
) -> Transition {
    let (site, request) = (Arc::clone(&turn.worker.site), asked.request);
    let Some(cgi) = &site.cgi else { return Transition::Close(CloseReason::Rejected) };
    set_file(turn.session, Some(&run.name));
    let user = run.user.as_deref();
    let origin = origin.unwrap_or_else(|| {
        let entry = log_record::entry(request, turn.session.client_text().as_bytes(), asked.vhost);
        let record = LogRecord::from_entry(&AccessEntry { user, ..entry });
        RedirectOrigin { record, redirects: 0 }
    });
    let query = run.script.query.as_ref();
    let request = &Request { query: query.map_or(request.query, Option::as_deref), ..request.clone() };
    let context = CgiContext {
        request,
        script: &run.script,
        vhost: asked.vhost,
        user,
        client: *turn.session.client(),
        is_from_trusted_proxy: site.config.proxies.trusts(turn.session.sender()),
        local: turn.session.local_address(),
    };
    let cgi_request = CgiRequest::new(cgi, &context, origin, run.pacer);
    let mut cgi_request = Box::new(cgi_request.holding(run.memory).applied_rules(run.applied_rules));
    cgi_request.keep_alive &= turn.worker.end_of_keepalive(turn.session).is_none();
    // With its content the next request may come.
    turn.session.set_input_drained(false);
    let (length, expects_continue) = (request.body, request.expects_continue);
    match Spool::new(length, site.config.limits.body) {
        Err(rejection) => Transition::Fail(cgi_request, rejection, CloseReason::Rejected),
        Ok(spool) => {
            let upload = Box::new(Upload { cgi_request, length, expects_continue, spool, waits_since: None });
            if length == BodyLength::None {
                Transition::RunScript(upload)
            } else {
                Transition::ReadBody(upload)
            }
        }
    }
}

/// Answers `bytes` that are no request, or one that is not served, and ends the connection.
pub fn refuse(turn: &mut Turn<'_>, bytes: &[u8], rejection: &Rejection, reason: CloseReason) -> Transition {
    let site = Arc::clone(&turn.worker.site);
    let blocking = Rc::clone(&turn.worker.blocking);
    let policy = site.policy(None, turn.worker.now.wall, &*blocking);
    let refused = outline(bytes);
    // A head that is not understood names no client.
    turn.session.set_client_to_sender();
    turn.session.begin_details(site.log.has_details());
    let applied_rules = site.resolver.rules_for_malformed();
    let response =
        apply_rules(applied_rules, &policy, |policy| error::page(rejection, refused.target, policy));
    let client = *turn.session.client_text();
    let host = site.resolver.own_name().filter(|_| site.config.vhost);
    let entry = log_record::entry_of_refused(&refused, host, client.as_bytes(), response.status.0);
    let form = RequestForm { version: refused.version, method: refused.answered_method() };
    let reply = Reply { entry, after: AfterResponse::Linger(reason), pacer: None, source: None };
    send(turn, response, form, reply)
}

/// Answers a request that its script cannot answer, or not any more, under the throttles of the script.
pub fn fail(
    turn: &mut Turn<'_>,
    cgi_request: &mut CgiRequest,
    rejection: &Rejection,
    reason: CloseReason,
) -> Transition {
    let site = Arc::clone(&turn.worker.site);
    let blocking = Rc::clone(&turn.worker.blocking);
    let policy = site.policy(None, turn.worker.now.wall, &*blocking);
    let client = *turn.session.client_text();
    let pacer = cgi_request.pacer.take();
    let entry = cgi_request.record.entry(client.as_bytes(), 0);
    let policy = Policy { host_dir: entry.vhost, ..policy };
    let applied_rules = cgi_request.applied_rules.clone();
    let response = apply_rules(applied_rules, &policy, |policy| error::page(rejection, entry.target, policy));
    let after = match () {
        () if response.close => AfterResponse::Linger(reason),
        () if cgi_request.keep_alive && !turn.worker.ends() => AfterResponse::NextRequest,
        () if cgi_request.has_content => AfterResponse::Linger(reason),
        () => AfterResponse::Close(reason),
    };
    let form = RequestForm { version: cgi_request.response_plan.version, method: cgi_request.method };
    send(turn, response, form, Reply { entry, after, pacer, source: None })
}

/// Step after the response: the next request, the rest of this one's content, or the end.
fn after(request: &Request<'_>, response: &Response, turn: &Turn<'_>) -> AfterResponse {
    match (request.body, end_of_connection(request, response, turn)) {
        // A client that waits for `100 Continue` may never send its content: its end cannot be told.
        _ if request.expects_continue => AfterResponse::Linger(CloseReason::UnreadBody),
        (BodyLength::None, None) => AfterResponse::NextRequest,
        (BodyLength::None, Some(reason)) => AfterResponse::Close(reason),
        (BodyLength::Length(n), None) if n > MOST_DISCARDED => AfterResponse::Linger(CloseReason::UnreadBody),
        (length, None) => AfterResponse::DiscardBody(length),
        (_, Some(reason)) => AfterResponse::Linger(reason),
    }
}

/// Reason why the connection ends with `response`; none if it persists.
fn end_of_connection(request: &Request<'_>, response: &Response, turn: &Turn<'_>) -> Option<CloseReason> {
    let worker: &WorkerContext = turn.worker;
    match () {
        () if turn.session.refusal().is_some() => Some(CloseReason::ConnectionLimit),
        () if response.close => Some(CloseReason::Rejected),
        () if !request.keep_alive => Some(CloseReason::NotKeptAlive),
        () => worker.end_of_keepalive(turn.session),
    }
}

/// Names the file of the request for a log with more than the Combined line.
fn set_file(session: &mut Session, name: Option<&[u8]>) {
    if let (Some(details), Some(name)) = (session.details_mut(), name) {
        details.set_file(name);
    }
}

/// Logs a refusal worth knowing, at thttpd's levels.
fn log_denial(session: &Session, request: &Request<'_>, level: Level, note: &DenialNote) {
    let client = session.client_text();
    let text = match note {
        DenialNote::OfUrl(text) => format!("URL \"{}\" {text}", request.target.escape_ascii()),
        DenialNote::Whole(text) => text.clone(),
    };
    log::send(level, format_args!("{client} {text}"));
}
