//! Resolver of one configuration, and the way of a request whose file is in the cache.

use std::net::IpAddr;
use std::sync::Arc;

use super::denial::{AccessDenied, DenialNote, Retry};
use super::found::{Resolution, Resolved, Resource, ThrottleName};
use super::list_limiter::ListLimiter;
use super::referrer;
use super::resolve_request::ResolveRequest;
use super::siblings::{Forms, Reported};
use super::vhost::{self, DefaultHost};
use crate::auth::Authenticator;
use crate::cache::{Cache, CacheEntry, Freshness};
use crate::config::Config;
use crate::docroot::{DocRoot, Links, View};
use crate::log::Level;
use crate::representation::etag::Tagger;
use crate::representation::mime::Types;
use crate::request::{Method, Rejection, Request};
use crate::rules::{AppliedRules, Covering, FileRules, Rules};
use crate::sys::thread;

/// Resolver of requests below one root, under one configuration.
#[derive(Debug)]
pub struct Resolver {
    pub(super) root: Arc<DocRoot>,
    pub(super) config: Arc<Config>,
    pub(super) rules: Arc<Rules>,
    pub(super) auth: Authenticator,
    pub(super) cache: Cache,
    pub(super) list_limiter: ListLimiter,
    pub(super) types: Types,
    pub(super) tagger: Tagger,
    pub(super) reported: Reported,
    /// Server name for requests without a virtual host.
    own_name: Option<String>,
    default_host: Option<DefaultHost>,
}

impl Resolver {
    /// Resolver with an empty cache; `types` maps file names to media types.
    pub fn new(root: Arc<DocRoot>, config: Arc<Config>, rules: Arc<Rules>, types: Types) -> Resolver {
        let cache = Cache::new(config.cache, Links::in_expanded(config.symlink_check));
        let hashing_at_once = (thread::processors() / 2).max(1);
        let own_name = config.server_name();
        let tagger = Tagger::new(config.etag, hashing_at_once);
        let default_host = config.vhost_default.as_deref().map(DefaultHost::new);
        Resolver {
            root,
            config,
            rules,
            auth: Authenticator::new(hashing_at_once),
            cache,
            list_limiter: ListLimiter::new(hashing_at_once),
            types,
            tagger,
            reported: Default::default(),
            own_name,
            default_host,
        }
    }

    /// Root of the served tree.
    pub fn root(&self) -> &DocRoot {
        &self.root
    }

    /// Server name for requests without a virtual host: `host`, else the machine's name.
    pub fn own_name(&self) -> Option<&str> {
        self.own_name.as_deref()
    }

    /// Directory of the virtual host for `request`, which arrived on `local`; may call `block_in_place`.
    pub fn host_directory(&self, request: &Request<'_>, local: IpAddr, block_in_place: &dyn Fn()) -> String {
        let host = vhost::directory(request, local);
        let Some(default) = &self.default_host else { return host };
        let links = if self.config.symlink_check { Links::Within } else { Links::Follow };
        default.or_default(host, &|host| {
            block_in_place();
            vhost::has_directory(&View::local(&self.root), links, host)
        })
    }

    /// Bytes of file content in the cache.
    pub fn cached_bytes(&self) -> usize {
        self.cache.bytes()
    }

    /// Tells whether the disk still agrees with `entry`, as far as local storage tells.
    pub fn holds(&self, entry: &CacheEntry, freshness: &Freshness) -> bool {
        self.cache.holds(entry, &View::local(&self.root), freshness)
    }

    /// Closes cached files that were deleted. A worker calls this periodically, as the disk is asked.
    pub fn tidy(&self) {
        self.cache.tidy();
    }

    /// Finds the requested resource, checks access, and collects the response rules.
    pub fn resolve(&self, query: &ResolveRequest<'_>) -> Resolution {
        if query.request.asterisk {
            let found =
                Resolved { resource: Resource::Server, user: None, name: ThrottleName::from(&b"*"[..]) };
            let applied_rules = self.rules_for_malformed();
            return Resolution { outcome: Ok(found), applied_rules, is_restricted: false };
        }
        // A view of local storage never blocks. The second try may enter remote storage, with few workers
        // at once.
        let answer = self.resolve_in(query);
        if !query.view.has_crossed() {
            return answer;
        }
        if !query.blocking.enter_remote() {
            let page = "The storage behind {url} does not answer just now; please try again later.";
            let denied =
                AccessDenied::noted(Rejection::new(503, page), Level::Error, "waits for storage in vain");
            let outcome = Err(denied.until(Retry::WhenRemoteIsFree));
            let applied_rules = self.rules_for_request(query);
            return Resolution { outcome, applied_rules, is_restricted: true };
        }
        self.resolve_in(&ResolveRequest { view: &View::anywhere(&self.root), ..*query })
    }

    fn resolve_in(&self, query: &ResolveRequest<'_>) -> Resolution {
        let name = query.name();
        let key = self.rules.cache_key(&name, query.client.scheme, query.request.host);
        let Some(entry) = self.cache.lookup(&key, query.view, query.freshness) else {
            if query.view.has_crossed() {
                return Resolution::none();
            }
            query.blocking.block_in_place();
            return self.look_up(query, &mut |_| {});
        };
        match entry.file_rules.as_deref() {
            None => Resolution::without_rules(self.remembered(query, &name, entry)),
            // A preflight is answered before the file is looked at.
            Some(_) if query.request.method == Method::Options => self.look_up(query, &mut |_| {}),
            Some(file_rules) => {
                let outcome = self.remembered(query, &name, Arc::clone(&entry));
                let has_user = outcome.as_ref().is_ok_and(|found| found.user.is_some());
                let is_restricted = has_user || file_rules.is_restricted();
                let applied_rules = match &outcome {
                    Ok(_) if file_rules.response_rules.is_none() && !is_restricted => None,
                    Ok(_) => Some(AppliedRules::new(entry, &query.request.fields, is_restricted)),
                    // A refused file has the response rules of the requested name, as in a look-up.
                    Err(_) => self.rules_for_request(query),
                };
                Resolution { outcome, applied_rules, is_restricted }
            }
        }
    }

    /// Outcome for a cached file: the checks that depend on the request are repeated.
    pub(super) fn remembered(
        &self,
        query: &ResolveRequest<'_>,
        name: &[u8],
        entry: Arc<CacheEntry>,
    ) -> Result<Resolved, AccessDenied> {
        let file_rules = entry.file_rules.as_deref();
        let known = match file_rules {
            Some(file_rules) => self.enforce(file_rules, query)?,
            None => None,
        };
        let name =
            file_rules.and_then(|file_rules: &FileRules| file_rules.rewritten.as_deref()).unwrap_or(name);
        let user = self.authorize_cached(query, &entry)?;
        self.check_referrer(query, name)?;
        let none = Covering::default();
        let satisfied = file_rules.map_or(&none, |file_rules| &file_rules.covering);
        let (representation, content) = self.negotiate(query, satisfied, &Forms::from_entry(&entry));
        let resource = Resource::File(representation, content);
        Ok(Resolved { resource, user: user.or(known), name: ThrottleName::Cached(entry) })
    }

    pub(super) fn check_referrer(&self, query: &ResolveRequest<'_>, name: &[u8]) -> Result<(), AccessDenied> {
        if self.config.url_pattern.is_none() {
            return Ok(());
        }
        let fields = &query.request.fields;
        let field = fields.last("Referer").or_else(|| fields.last("Referrer"));
        let own = if self.config.vhost { query.vhost } else { self.own_name() };
        let name = if name.is_empty() { b"." } else { name };
        if referrer::allows(&self.config, name, field, own) {
            return Ok(());
        }
        let (url, referrer) = (query.request.target.escape_ascii(), field.unwrap_or_default().escape_ascii());
        let said = format!("non-local referrer \"{}{url}\" \"{referrer}\"", own.unwrap_or_default());
        let page = "{url} may only be reached from this site's own pages.";
        Err(AccessDenied::from(Rejection::new(403, page)).with_note(Level::Info, DenialNote::Whole(said)))
    }
}
