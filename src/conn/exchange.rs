//! Decision on one request: (request, site) → response, script, or a later try.
//!
//! The stages are those of the pipeline: resolve, admit under the throttles, respond. Nothing is sent,
//! logged or changed here; [`answer`](super::answer) carries the decision out.

use std::time::SystemTime;

use super::apply_rules::{apply_rules, refused};
use super::cgi_request::memory_for;
use super::session::Session;
use crate::cache::Freshness;
use crate::docroot::View;
use crate::docroot::blocking::Blocking;
use crate::log::Level;
use crate::request::{Method, Rejection, Request};
use crate::resource::{DenialNote, Resolution, ResolveRequest, Resource, Retry, Script, ThrottleName};
use crate::response::{Policy, Response, refuse as refusal_page, respond};
use crate::rules::AppliedRules;
use crate::site::Site;
use crate::sys::memory::MemoryReservation;
use crate::throttle::{Overloaded, Pacer};

/// Facts of a request beyond its bytes and the site.
pub struct RequestContext<'a> {
    /// The client's side of the connection.
    pub session: &'a Session,
    /// Directory of the virtual host, where there are virtual hosts.
    pub vhost: Option<&'a str>,
    /// Time at which it came.
    pub now: SystemTime,
    /// Freshness of the cache for the request.
    pub freshness: &'a Freshness,
    /// Worker, which is told before a call that may block.
    pub blocking: &'a dyn Blocking,
    /// Tells whether the request may be put off until then.
    pub may_wait: &'a dyn Fn(Retry) -> bool,
}

/// Result of a decision.
pub enum Decision {
    /// Response to send.
    Respond(Decided),
    /// Script that responds.
    Run(Run),
    /// Time at which the request is to be decided again.
    Later(Retry),
}

/// A decided response, and its circumstances.
pub struct Decided {
    /// The response.
    pub response: Response,
    /// Authenticated user.
    pub user: Option<Box<[u8]>>,
    /// Pace, where throttles cover it.
    pub pacer: Option<Box<Pacer>>,
    /// Name of the file, for the log; none where no file answers.
    pub name: Option<ThrottleName>,
    /// Message for the operator.
    pub note: Option<(Level, DenialNote)>,
}

/// A script to run, and its circumstances.
pub struct Run {
    /// The script.
    pub script: Box<Script>,
    /// Name of the file, for the log.
    pub name: ThrottleName,
    /// Reservation in the memory for all requests.
    pub memory: MemoryReservation,
    /// Authenticated user.
    pub user: Option<Box<[u8]>>,
    /// Pace, where throttles cover it.
    pub pacer: Option<Box<Pacer>>,
    /// Rules for its response.
    pub applied_rules: Option<AppliedRules>,
}

impl Decision {
    /// Names the file for the log.
    fn about(self, name: ThrottleName) -> Decision {
        match self {
            Decision::Respond(decided) => Decision::Respond(Decided { name: Some(name), ..decided }),
            other => other,
        }
    }
}

impl Decided {
    fn new(response: Response) -> Decided {
        Decided { response, user: None, pacer: None, name: None, note: None }
    }
}

/// Decides `request`.
pub fn decide(request: &Request<'_>, site: &Site, context: &RequestContext<'_>) -> Decision {
    let policy = site.policy(context.vhost, context.now, context.blocking);
    let query = ResolveRequest {
        request,
        client: context.session.client(),
        vhost: context.vhost,
        freshness: context.freshness,
        view: &View::local(site.resolver.root()),
        blocking: context.blocking,
        charged: context.session.charged(),
        may_wait: (context.may_wait)(Retry::Soon),
        may_list: true,
    };
    if let Some(refusal) = context.session.refusal() {
        return refuse(refusal, request, &policy, site.resolver.rules_for_request(&query));
    }
    if request.method == Method::Unknown {
        let applied_rules = site.resolver.rules_for_request(&query);
        let response =
            apply_rules(applied_rules, &policy, |policy| respond(request, Resource::Server, policy));
        return Decision::Respond(Decided::new(response));
    }
    let Resolution { outcome, applied_rules, .. } = site.resolver.resolve(&query);
    let found = match outcome {
        Ok(found) => found,
        Err(denied) => {
            if let Some(retry) = denied.retry.filter(|retry| (context.may_wait)(*retry)) {
                return Decision::Later(retry);
            }
            let response = apply_rules(applied_rules, &policy, |policy| refused(&denied, request, policy));
            // A rule that refuses one more response does not keep it from being told that there is nothing.
            let pacer = admit(&query.throttle_name(), &query, site, context).unwrap_or_default();
            let (note, user) = (denied.note.clone(), denied.into_user());
            return Decision::Respond(Decided { user, pacer, note, ..Decided::new(response) });
        }
    };
    let pacer = match admit(&found.name, &query, site, context) {
        Ok(pacer) => pacer,
        Err(overloaded) => {
            return refuse(&overloaded.into(), request, &policy, applied_rules).about(found.name);
        }
    };
    match found.resource {
        Resource::Script(script) if site.cgi.is_some() => match memory_for(request) {
            Some(memory) => {
                let (name, user) = (found.name, found.user);
                Decision::Run(Run { script, name, memory, user, pacer, applied_rules })
            }
            None => refuse(&Rejection::new(503, ""), request, &policy, applied_rules).about(found.name),
        },
        resource => {
            let response = apply_rules(applied_rules, &policy, |policy| respond(request, resource, policy));
            if response.may_pass && query.may_wait {
                return Decision::Later(Retry::Soon);
            }
            let (user, name) = (found.user, Some(found.name));
            Decision::Respond(Decided { user, pacer, name, ..Decided::new(response) })
        }
    }
}

fn refuse(
    rejection: &Rejection,
    request: &Request<'_>,
    policy: &Policy<'_>,
    applied_rules: Option<AppliedRules>,
) -> Decision {
    let response = apply_rules(applied_rules, policy, |policy| refusal_page(rejection, request, policy));
    Decision::Respond(Decided::new(response))
}

/// Starts a response for the file called `name`, at the pace that its rates leave.
fn admit(
    name: &[u8],
    query: &ResolveRequest<'_>,
    site: &Site,
    context: &RequestContext<'_>,
) -> Result<Option<Box<Pacer>>, Overloaded> {
    match site.throttles.is_empty() {
        true => Ok(None),
        false => {
            let key = site.resolver.site_key(query);
            site.throttles.admit(&key.name(name), context.session.sender_key())
        }
    }
}
