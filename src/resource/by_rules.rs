//! Look-up with rules: applies routes, guards, fallbacks and response rules in their order.
//!
//! Guards are checked for every name on the way: the requested, the rewritten and the expanded one.
//!
//! ```text
//! guards of the requested name ─► routes ─► redirect, preflight ─► passwords ─► status, env
//!                                     └─► guards of rewritten names ─► look-up ─► try ─► fallback ─► response rules
//! ```

use std::borrow::Cow;
use std::cell::RefCell;
use std::sync::Arc;

use nix::sys::stat::SFlag;

use super::denial::not_found;
use super::lookup_context::{LookupContext, kind, shown};
use super::rule_context::RuleContext;
use super::siblings::Forms;
use super::{
    AccessDenied, Explain, Resolution, ResolveRequest, Resolved, Resolver, Resource, ThrottleName, index,
};
use crate::docroot::View;
use crate::request::{Fields, Method, Request};
use crate::rules::{Answer, AppliedRules, Covering, Listing, Routed, SiteKey, reference};

impl Resolver {
    /// Looks the request up and applies the rules.
    pub(super) fn look_up_by_rules(&self, query: &ResolveRequest<'_>, explain: Explain<'_>) -> Resolution {
        let mut rule_context = RuleContext {
            rules: &self.rules,
            site: self.site_key(query),
            query,
            internal: false,
            state: RefCell::default(),
        };
        let outcome = self.resolve_by_rules(&mut rule_context, explain);
        let user = match &outcome {
            Ok(found) => found.user.is_some(),
            Err(denied) => {
                // No file is served, so that the response rules of the requested name apply.
                rule_context.state.borrow_mut().chosen = None;
                denied.user.is_some()
            }
        };
        for line in rule_context.rules.response_lines(&rule_context.site.name(&rule_context.served_name())) {
            explain(format_args!("{line}"));
        }
        let is_restricted = user || rule_context.is_restricted();
        Resolution { applied_rules: rule_context.applied_rules(user), outcome, is_restricted }
    }

    /// Site of the request, in the form that patterns compare.
    pub fn site_key(&self, query: &ResolveRequest<'_>) -> SiteKey {
        let named = query.request.host.or(self.own_name()).or(query.vhost);
        SiteKey::new(query.client.scheme, named.unwrap_or_default(), query.vhost)
    }

    fn resolve_by_rules(
        &self,
        rule_context: &mut RuleContext<'_>,
        explain: Explain<'_>,
    ) -> Result<Resolved, AccessDenied> {
        let query = rule_context.query;
        let request = query.request;
        let asked = query.name();
        // Before the look-up the name may be a file or a directory, so both forms are compared.
        let with_slash = [&asked[..], b"/"].concat();
        let mut covering =
            rule_context.rules.cover(&[rule_context.site.name(&asked), rule_context.site.name(&with_slash)]);
        if let Some(plain) = self.plain_name(&asked) {
            covering.add(rule_context.rules.cover(&[rule_context.site.name(plain)]));
        }
        let new = rule_context.state.borrow_mut().covering.add(covering);
        self.admit(rule_context, &new, explain)?;
        let prefix = query.vhost.map(|host| [host.as_bytes(), b"/"].concat()).unwrap_or_default();
        let routed = rule_context.rules.route(&rule_context.site, &request.path, &prefix, request.query);
        for line in &routed.lines {
            explain(format_args!("{line}"));
        }
        if let Some(preflight) = self.preflight(rule_context) {
            return Ok(rule_context.found(preflight));
        }
        if let Some(Answer::Redirect(status, location)) = routed.answer {
            return Ok(rule_context.found(Resource::Redirect { status, location }));
        }
        self.authenticate(rule_context, &new)?;
        match routed.answer {
            Some(Answer::Status(status)) => return Ok(rule_context.found(Resource::Status(status))),
            Some(Answer::Env(environment)) => {
                let (media_type, content) = (environment.media_type, environment.content.to_vec());
                return Ok(rule_context.found(Resource::Text { media_type, content }));
            }
            Some(Answer::Nothing) => return Err(not_found()),
            _ => {}
        }
        self.look_up_routed(rule_context, &routed, &prefix, explain)
    }

    fn look_up_routed(
        &self,
        rule_context: &mut RuleContext<'_>,
        routed: &Routed<'_>,
        prefix: &[u8],
        explain: Explain<'_>,
    ) -> Result<Resolved, AccessDenied> {
        let request = rule_context.query.request;
        for path in &routed.rewritten {
            let full = [prefix, path].concat();
            self.guard(Some(rule_context), &[&full, &[&full[..], b"/"].concat()], explain)?;
        }
        let rewritten = routed.rewritten.last().map(|path| Request {
            path: Cow::Borrowed(path),
            query: routed.query.as_ref().map_or(request.query, Option::as_deref),
            ..request.clone()
        });
        let request = rewritten.as_ref().unwrap_or(request);
        let query = ResolveRequest { request, ..*rule_context.query };
        let found = self.find(&query, Some(rule_context), explain);
        let is_absent = match &found {
            Err(denied) => denied.rejection.status == 404,
            Ok(Resolved { resource: Resource::Moved(_), .. }) => self.has_no_index(&query),
            Ok(_) => false,
        };
        let found = match is_absent {
            true => self.tried(rule_context, &query, routed.suffixes, explain).unwrap_or(found),
            false => found,
        };
        match found {
            Err(denied) if denied.rejection.status == 404 => {
                self.fall_back(rule_context, routed, denied, explain)
            }
            Ok(Resolved { resource: Resource::Script(mut script), user, name }) => {
                script.query = routed.query.clone();
                Ok(Resolved { resource: Resource::Script(script), user, name })
            }
            // The requested name has its slash already: another slash would be added without end.
            Ok(Resolved { resource: Resource::Moved(_), .. }) if ends_in_slash(rule_context.query) => {
                let path = Cow::Owned([&request.path[..], b"/"].concat());
                let request = Request { path, ..request.clone() };
                self.find(&ResolveRequest { request: &request, ..query }, Some(rule_context), explain)
            }
            Ok(Resolved { resource: Resource::Moved(_), user, name })
                if rewritten.is_some() && !keeps_slash(rule_context, prefix, &request.path) =>
            {
                let location = reference(&[&request.path[..], b"/"].concat(), request.query);
                let resource = Resource::Redirect { status: 302, location };
                Ok(Resolved { resource, user, name })
            }
            found => found,
        }
    }

    /// Tells whether the requested directory (without its slash) has no index file.
    fn has_no_index(&self, query: &ResolveRequest<'_>) -> bool {
        matches!(index::find(query.view, &query.name(), &self.config.index), Ok(None))
    }

    /// Result for the first suffix that makes the name of a file; `None` if there is no such file.
    fn tried(
        &self,
        rule_context: &mut RuleContext<'_>,
        query: &ResolveRequest<'_>,
        suffixes: &[String],
        explain: Explain<'_>,
    ) -> Option<Result<Resolved, AccessDenied>> {
        let path = &query.request.path;
        if path.is_empty() || path.ends_with(b"/") {
            return None;
        }
        for suffix in suffixes {
            let path = [&path[..], suffix.as_bytes()].concat();
            let request = Request { path: Cow::Owned(path), ..query.request.clone() };
            let candidate = ResolveRequest { request: &request, ..*query };
            if !self.is_file(candidate.view, &candidate.name()) {
                continue;
            }
            explain(format_args!("tried: {}", shown(&candidate.name())));
            match self.find_internal(rule_context, &candidate, explain) {
                Ok(Resolved { resource: Resource::File(file, content), user, name }) => {
                    return Some(Ok(Resolved { resource: Resource::File(file, content), user, name }));
                }
                Err(denied) if denied.rejection.status != 404 => return Some(Err(denied)),
                _ => rule_context.state.borrow_mut().chosen = None,
            }
        }
        None
    }

    fn is_file(&self, view: &View<'_>, name: &[u8]) -> bool {
        let Ok(expanded) = self.expanded(view, name) else { return false };
        let meta = self.stat(view, &expanded.name);
        expanded.path_info.is_empty() && meta.is_ok_and(|meta| kind(&meta) == SFlag::S_IFREG)
    }

    /// Result for the file of a fallback rule, if the rule applies to the requested name; else `absent`.
    fn fall_back(
        &self,
        rule_context: &mut RuleContext<'_>,
        routed: &Routed<'_>,
        absent: AccessDenied,
        explain: Explain<'_>,
    ) -> Result<Resolved, AccessDenied> {
        let request = rule_context.query.request;
        let Some((file, any)) = routed.fallback else { return Err(absent) };
        let looks_like_a_page = any || !self.types.names_other_than_html(&request.path);
        if !looks_like_a_page {
            explain(format_args!("no fallback for this type of file, as the rule does not say any"));
        }
        if !matches!(request.method, Method::Get | Method::Head) || !looks_like_a_page {
            return Err(absent);
        }
        explain(format_args!("fallback: {file}"));
        let request = Request { path: Cow::Borrowed(file.as_bytes()), ..request.clone() };
        let query = ResolveRequest { request: &request, ..*rule_context.query };
        match self.find_internal(rule_context, &query, explain) {
            Ok(Resolved { resource: Resource::File(file, content), user, name }) => {
                Ok(Resolved { resource: Resource::File(file, content), user, name })
            }
            Err(denied) if !matches!(denied.rejection.status, 403 | 404) => Err(denied),
            _ => Err(absent),
        }
    }

    /// Looks up a file named by a rule, first in the cache.
    fn find_internal(
        &self,
        rule_context: &mut RuleContext<'_>,
        query: &ResolveRequest<'_>,
        explain: Explain<'_>,
    ) -> Result<Resolved, AccessDenied> {
        rule_context.internal = true;
        rule_context.state.borrow_mut().lookup_covering = Covering::default();
        let name = query.name();
        let Some(entry) = self.cache.lookup(&rule_context.key(&name), query.view, query.freshness) else {
            return self.find(query, Some(rule_context), explain);
        };
        rule_context.choose(&name);
        if let Some(file_rules) = &entry.file_rules {
            let new = {
                let state = &mut *rule_context.state.borrow_mut();
                state.has_restricted_form |= file_rules.has_restricted_form;
                state.covering.add(file_rules.covering.clone())
            };
            self.admit(rule_context, &new, explain)?;
            self.authenticate(rule_context, &new)?;
        }
        let user = self.authorize_cached(query, &entry)?;
        self.check_referrer(query, &name)?;
        let (representation, content) =
            self.negotiate(query, &rule_context.satisfied_guards(), &Forms::from_entry(&entry));
        let resource = Resource::File(representation, content);
        let user = user.or_else(|| rule_context.state.borrow().user.clone());
        // The entry is that of another name than the client asked for: it does not tell the guards of that one.
        Ok(Resolved { resource, user, name: ThrottleName::Found(Arc::clone(&entry.throttle_name)) })
    }

    /// Tells whether a directory without an index file is listed.
    pub(super) fn lists(&self, asked: &LookupContext<'_>) -> bool {
        let response_rules = asked.rule_context.and_then(RuleContext::response_rules);
        if !asked.query.may_list {
            return false;
        }
        match response_rules.and_then(|response_rules| response_rules.listing) {
            Some(Listing::Off) => false,
            Some(Listing::Style(_)) => true,
            None => self.config.listing,
        }
    }

    /// Response rules for a request that is answered without a look-up: those of the requested name.
    pub fn rules_for_request(&self, query: &ResolveRequest<'_>) -> Option<AppliedRules> {
        if self.rules.is_empty() {
            return None;
        }
        let response_rules = self.rules.response_rules(&self.site_key(query).name(&query.name()))?;
        Some(AppliedRules::new(response_rules, &query.request.fields, true))
    }

    /// Response rules for a request with a malformed target.
    pub fn rules_for_malformed(&self) -> Option<AppliedRules> {
        self.rules
            .universal_response_rules()
            .map(|response_rules| AppliedRules::new(response_rules, &Fields::with_capacity(0), true))
    }

    /// Answer to a CORS preflight request, if rules set origins for the requested name (Fetch §4.8).
    fn preflight(&self, rule_context: &RuleContext<'_>) -> Option<Resource> {
        let (request, asked) = (rule_context.query.request, rule_context.query.name());
        let fields = &request.fields;
        let is_preflight = request.method == Method::Options
            && fields.last("Origin").is_some()
            && fields.last("Access-Control-Request-Method").is_some();
        let response_rules =
            rule_context.rules.response_rules(&rule_context.site.name(&asked)).filter(|_| is_preflight)?;
        if !response_rules.has_origins() {
            return None;
        }
        let pattern = self.config.cgi_pattern.as_ref();
        let is_script = pattern.is_some_and(|pattern| pattern.matches(&asked));
        let headers = fields.last("Access-Control-Request-Headers").map(<[u8]>::to_vec);
        Some(Resource::Preflight { is_script, headers })
    }
}

/// Tells whether the requested name with a slash is rewritten to the directory `path`, too.
///
/// If so, a redirect to the requested name with its slash leads to the directory, and the client keeps the
/// name that it knows.
fn keeps_slash(rule_context: &RuleContext<'_>, prefix: &[u8], path: &[u8]) -> bool {
    let request = rule_context.query.request;
    let with_slash = [&request.path[..], b"/"].concat();
    let routed = rule_context.rules.route(&rule_context.site, &with_slash, prefix, request.query);
    let leads_there = |name: &Vec<u8>| name.strip_suffix(b"/").unwrap_or(name) == path;
    routed.answer.is_none() && routed.rewritten.last().is_some_and(leads_there)
}

/// Tells whether the client asked for a directory by its full name.
fn ends_in_slash(query: &ResolveRequest<'_>) -> bool {
    matches!(query.request.path.last(), None | Some(b'/'))
}
