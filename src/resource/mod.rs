//! Request + file system → [`Resource`]: reads the disk, never the client.
//!
//! [`Resolver::resolve`] answers what a request names, or why it may not have it. One resolution
//! gives one open descriptor (or one copy in memory); what is served is what was checked. The
//! ordered checks are in [`lookup`]; [`cache`] remembers their outcome for plain files and is asked
//! first, its memory checked against the disk each time.

use std::borrow::Cow;
use std::fs::File;
use std::net::IpAddr;
use std::ops::Deref;
use std::sync::Arc;

use crate::config::Config;
use crate::log::Level;
use crate::request::{Client, Method, Rejection, Request};
use crate::rules::{AppliedRules, Charged, Covering, Rules, Ruling};

pub mod by_rules;
mod denial;
mod guards;
pub mod index;
pub mod list_limiter;
pub mod lookup;
mod lookup_context;
mod precompressed;
mod readme;
pub mod referrer;
mod represent;
mod rule_context;
pub mod vhost;

use vhost::DefaultHost;

use crate::auth::{Attempt, AuthOutcome, Authenticator, Realm};
use crate::cache::{Cache, CacheEntry};
use crate::cache::{Freshness, KeepList, ListPage};
use crate::docroot::blocking::Blocking;
use crate::docroot::{DocRoot, Links, View};
use crate::representation::etag::Tagger;
use crate::representation::mime::Types;
use crate::representation::{Content, Representation};
use crate::sys::{is_shortage, thread};
use list_limiter::{ListLimiter, ListPermit};
use precompressed::Forms;

/// A directory to list: open, permissions checked, no index file in it.
#[derive(Debug)]
pub struct Directory {
    /// Open directory.
    pub dir: File,
    /// Its decoded path in URL terms: no leading slash, trailing slash, empty for the top. Without the vhost directory.
    pub url_path: Vec<u8>,
    /// Text of its README.txt, where lists show that and the client may have it.
    pub readme: Option<Arc<[u8]>>,
    /// Held while the list is made; none where something else bounds that.
    pub permit: Option<ListPermit>,
    /// The list itself, where it was made before and still holds.
    pub kept: Option<ListPage>,
    /// Keeps the list that is made.
    pub keep: Option<KeepList>,
}

impl Directory {
    /// The open directory `dir`, called `url_path` by clients.
    pub fn new(dir: File, url_path: Vec<u8>) -> Directory {
        Directory { dir, url_path, readme: None, permit: None, kept: None, keep: None }
    }
}

/// A program to run (CGI/1.1, RFC 3875).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Script {
    /// Symlink-expanded name relative to the process's working directory, vhost directory included.
    pub name: Vec<u8>,
    /// SCRIPT_NAME: the URL path without PATH_INFO, decoded, with its leading slash.
    pub url_path: Vec<u8>,
    /// PATH_INFO: what follows the script in the path, decoded, from its slash on; empty = none.
    pub path_info: Vec<u8>,
    /// The query where a rule has made another one than the request's.
    pub query: Option<Option<Vec<u8>>>,
}

/// Target of a request, permissions and credentials checked.
#[derive(Debug)]
pub enum Resource {
    /// A file to send.
    File(Arc<Representation>, Content),
    /// A directory to list.
    Directory(Directory),
    /// A script to run.
    Script(Script),
    /// The name of a directory without its slash: redirect here (path and query, raw encoding kept).
    Moved(Vec<u8>),
    /// `OPTIONS *`.
    Server,
    /// A rule sends the client elsewhere.
    Redirect {
        /// 301, 302, 303, 307 or 308.
        status: u16,
        /// A whole URL, or a path.
        location: Vec<u8>,
    },
    /// A rule's status: 200, 204 or an error.
    Status(u16),
    /// Content that a rule has made.
    Text {
        /// Its media type.
        media_type: &'static str,
        /// Its bytes.
        content: Vec<u8>,
    },
    /// A page of another origin asks what it may send.
    Preflight {
        /// What it asks for is a script.
        is_script: bool,
        /// The fields that it wants to send.
        headers: Option<Vec<u8>>,
    },
}

/// A resource that the request may have.
#[derive(Debug)]
pub struct Resolved {
    /// Kind of the resource.
    pub resource: Resource,
    /// Authenticated user, where credentials were needed.
    pub user: Option<Box<[u8]>>,
    /// Name for throttle patterns: the expanded name before an index file is
    /// chosen, vhost directory included; `.` for the top (thttpd).
    pub name: Arc<[u8]>,
}

/// Outcome of a request.
#[derive(Debug)]
pub struct Resolution {
    /// The resource that it names, or why it may not have that.
    pub outcome: Result<Resolved, AccessDenied>,
    /// What rules say of the response, either way.
    pub applied_rules: Option<AppliedRules>,
}

impl Resolution {
    /// Nothing came of it: a name leads out of the view.
    fn none() -> Resolution {
        Resolution { outcome: Err(Rejection::new(503, "").into()), applied_rules: None }
    }
}

/// When a request may be tried again that cannot be decided just now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Retry {
    /// In a moment: descriptors are short, or all who may compute password hashes are at it.
    Soon,
    /// In a moment, but not for long: as many lists are being made as may be.
    AfterLists,
    /// As soon as a worker has come back from a file system that may not answer.
    WhenRemoteIsFree,
}

/// Text of a refusal for the log, after the client's address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DenialNote {
    /// Said as `URL "URL" <text>`.
    OfUrl(&'static str),
    /// Said as it stands.
    Whole(String),
}

/// A request that may not have what it names. Boxed, since a result that a look-up passes on is moved at each
/// step, and all but few are good ones.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccessDenied(Box<Denial>);

/// Contents of [`AccessDenied`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Denial {
    /// Response to send.
    pub rejection: Rejection,
    /// Message for the operator.
    pub note: Option<(Level, DenialNote)>,
    /// Value of WWW-Authenticate, on 401.
    pub challenge: Option<String>,
    /// Authenticated user of a request that was refused for another reason.
    pub user: Option<Box<[u8]>>,
    /// Not refused for good: when to ask again.
    pub retry: Option<Retry>,
    /// Seconds after which it helps to ask again.
    pub retry_after: Option<u32>,
}

impl AccessDenied {
    /// A refusal that the operator is told of.
    fn noted(rejection: Rejection, level: Level, note: &'static str) -> AccessDenied {
        AccessDenied::from(rejection).with_note(level, DenialNote::OfUrl(note))
    }

    fn with_note(mut self, level: Level, note: DenialNote) -> AccessDenied {
        self.0.note = Some((level, note));
        self
    }

    fn with_challenge(mut self, challenge: String) -> AccessDenied {
        self.0.challenge = Some(challenge);
        self
    }

    /// May be asked again, at the time that `retry` tells.
    fn until(mut self, retry: Retry) -> AccessDenied {
        self.0.retry = Some(retry);
        self
    }

    /// The user of the request; none where it needed no password.
    pub fn into_user(self) -> Option<Box<[u8]>> {
        self.0.user
    }
}

impl Deref for AccessDenied {
    type Target = Denial;

    fn deref(&self) -> &Denial {
        &self.0
    }
}

impl From<Rejection> for AccessDenied {
    fn from(rejection: Rejection) -> AccessDenied {
        let (note, challenge, user, retry, retry_after) = (None, None, None, None, None);
        AccessDenied(Box::new(Denial { rejection, note, challenge, user, retry, retry_after }))
    }
}

/// Told each decision of a resolution, for `--explain`; serving passes one that does nothing.
pub type Explain<'e> = &'e mut dyn FnMut(std::fmt::Arguments<'_>);

/// Input of a [`Resolver`].
#[derive(Clone, Copy)]
pub struct ResolveRequest<'a> {
    /// The request.
    pub request: &'a Request<'a>,
    /// The client.
    pub client: &'a Client,
    /// Directory of its virtual host, where there are virtual hosts.
    pub vhost: Option<&'a str>,
    /// Renewed for each batch of requests.
    pub freshness: &'a Freshness,
    /// The tree, first as far as it answers at once.
    pub view: &'a View<'a>,
    /// The worker that looks.
    pub blocking: &'a dyn Blocking,
    /// Rules that have counted this request, in an earlier try too.
    pub charged: &'a Charged,
    /// The request can be asked again in a moment, where something is short just now.
    pub may_wait: bool,
}

impl<'a> ResolveRequest<'a> {
    /// The credentials, as the check of passwords takes them.
    fn attempt(&self) -> Attempt<'a> {
        Attempt {
            authorization: self.request.fields.last("Authorization"),
            client: self.client.address.into(),
            blocking: self.blocking,
        }
    }

    /// The name for throttle patterns of a request that names nothing it may have.
    pub fn throttle_name(&self) -> Cow<'a, [u8]> {
        match self.name() {
            name if name.is_empty() => Cow::Borrowed(b"."),
            name => name,
        }
    }

    /// The name looked up: the request's path, below its virtual host's directory if there is one.
    fn name(&self) -> Cow<'a, [u8]> {
        let path = &self.request.path;
        match self.vhost {
            None => Cow::Borrowed(path),
            Some(host) => Cow::Owned([host.as_bytes(), b"/", path].concat()),
        }
    }
}

/// Finds what requests name below one root, under one configuration.
#[derive(Debug)]
pub struct Resolver {
    root: Arc<DocRoot>,
    config: Arc<Config>,
    rules: Arc<Rules>,
    auth: Authenticator,
    cache: Cache,
    list_limiter: ListLimiter,
    types: Types,
    tagger: Tagger,
    reported: precompressed::Reported,
    /// Name of the server where no virtual host decides.
    own_name: Option<String>,
    default_host: Option<DefaultHost>,
}

impl Resolver {
    /// A resolver with an empty cache; `types` are those of files.
    pub fn new(root: Arc<DocRoot>, config: Arc<Config>, rules: Arc<Rules>, types: Types) -> Resolver {
        let links = if config.symlink_check { Links::Refuse } else { Links::Follow };
        let cache = Cache::new(config.cache, links);
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

    /// The tree this resolver reads.
    pub fn root(&self) -> &DocRoot {
        &self.root
    }

    /// Name of the server where no virtual host decides: `host`, else the machine's name.
    pub fn own_name(&self) -> Option<&str> {
        self.own_name.as_deref()
    }

    /// The directory of the virtual host that `request` asks for; it came in on the address `local`.
    /// `block_in_place` is called before the disk is asked.
    pub fn host_directory(&self, request: &Request<'_>, local: IpAddr, block_in_place: &dyn Fn()) -> String {
        let host = vhost::directory(request, local);
        let Some(default) = &self.default_host else { return host };
        let links = if self.config.symlink_check { Links::Within } else { Links::Follow };
        default.or_default(host, &|host| {
            block_in_place();
            vhost::has_directory(&View::local(&self.root), links, host)
        })
    }

    /// Bytes of small files' content held in memory now.
    pub fn cached_bytes(&self) -> usize {
        self.cache.bytes()
    }

    /// Closes cached files that were deleted; to be called now and then.
    pub fn tidy(&self) {
        self.cache.tidy();
    }

    /// Finds the resource that the request names, if access is allowed, and what rules say of the response.
    pub fn resolve(&self, query: &ResolveRequest<'_>) -> Resolution {
        if query.request.asterisk {
            let found = Resolved { resource: Resource::Server, user: None, name: Arc::from(&b"*"[..]) };
            return Resolution { outcome: Ok(found), applied_rules: self.rules_for_malformed() };
        }
        // Local storage answers at once. What lies elsewhere is looked at by few workers at a time.
        let answer = self.resolve_in(query);
        if !query.view.has_crossed() {
            return answer;
        }
        if !query.blocking.enter_remote() {
            let page = "The storage behind {url} does not answer just now; please try again later.";
            let denied =
                AccessDenied::noted(Rejection::new(503, page), Level::Error, "waits for storage in vain");
            let outcome = Err(denied.until(Retry::WhenRemoteIsFree));
            return Resolution { outcome, applied_rules: self.rules_for_request(query) };
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
        match entry.ruling.as_deref() {
            None => Resolution { outcome: self.remembered(query, &name, &entry), applied_rules: None },
            // A preflight is answered before the file has a say.
            Some(_) if query.request.method == Method::Options => self.look_up(query, &mut |_| {}),
            Some(ruling) => {
                let outcome = self.remembered(query, &name, &entry);
                let applied_rules = match &outcome {
                    Ok(found) => {
                        ruling.applied_rules(query.request.fields.last("Origin"), found.user.is_some())
                    }
                    // As where it was refused before it was looked up.
                    Err(_) => self.rules_for_request(query),
                };
                Resolution { outcome, applied_rules }
            }
        }
    }

    /// What a remembered file comes to for this request.
    fn remembered(
        &self,
        query: &ResolveRequest<'_>,
        name: &[u8],
        entry: &CacheEntry,
    ) -> Result<Resolved, AccessDenied> {
        let ruling = entry.ruling.as_deref();
        let known = match ruling {
            Some(ruling) => self.enforce(ruling, query)?,
            None => None,
        };
        let name = ruling.and_then(|ruling: &Ruling| ruling.rewritten.as_deref()).unwrap_or(name);
        let user = if entry.protected || self.config.global_passwd {
            self.authorize(query, &entry.auth_dir)?
        } else {
            None
        };
        self.check_referrer(query, name)?;
        let none = Covering::default();
        let satisfied = ruling.map_or(&none, |ruling| &ruling.covering);
        let (representation, content) = self.negotiate(query, satisfied, &Forms::from_entry(entry));
        let resource = Resource::File(representation, content);
        Ok(Resolved { resource, user: user.or(known), name: Arc::clone(&entry.throttle_name) })
    }

    /// Which password files have a say about what lies in `dir`.
    fn realm<'a>(&self, query: &ResolveRequest<'a>, dir: &'a [u8]) -> Realm<'a> {
        Realm {
            view: query.view,
            dir,
            global: self.config.global_passwd.then(|| query.vhost.unwrap_or_default().as_bytes()),
            links: if self.config.symlink_check { Links::Within } else { Links::Follow },
        }
    }

    /// Basic authentication by the `.htpasswd` of `dir`, or the global one (thttpd's `auth_check`).
    fn authorize(&self, query: &ResolveRequest<'_>, dir: &[u8]) -> Result<Option<Box<[u8]>>, AccessDenied> {
        let attempt = query.attempt();
        judged(self.auth.check(&self.realm(query, dir), &attempt))
    }

    fn check_referrer(&self, query: &ResolveRequest<'_>, name: &[u8]) -> Result<(), AccessDenied> {
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

/// What an answer about credentials comes to: the user, if a password was needed.
fn judged(outcome: AuthOutcome) -> Result<Option<Box<[u8]>>, AccessDenied> {
    match outcome {
        AuthOutcome::Open => Ok(None),
        AuthOutcome::User(user) => Ok(Some(user)),
        AuthOutcome::Challenge(challenge) => {
            let why = Rejection::new(401, "You need a user name and a password to see {url}.");
            Err(AccessDenied::from(why).with_challenge(challenge))
        }
        AuthOutcome::Misunderstood { challenge, trouble } => {
            let why = Rejection::new(401, "You need a user name and a password to see {url}.");
            let denied = AccessDenied::from(why).with_challenge(challenge);
            Err(denied.with_note(Level::Error, DenialNote::Whole(trouble)))
        }
        AuthOutcome::Busy => {
            let why = Rejection::new(503, "This server is busy checking passwords; please try again.");
            Err(AccessDenied::from(why).until(Retry::Soon))
        }
        // Where descriptors are short, every directory would seem to have a password file.
        AuthOutcome::Unreadable { reason, .. } if is_shortage(denial::errno_of(&reason)) => {
            Err(denial::io_denied(denial::errno_of(&reason)))
        }
        AuthOutcome::Unreadable { path, reason } => {
            let why = crate::sys::reason(&reason);
            let said = format!("auth file {} could not be opened - {why}", path.escape_ascii());
            let page = "{url} is protected by a password file that cannot be read.";
            let denied = AccessDenied::from(Rejection::new(403, page));
            Err(denied.with_note(Level::Error, DenialNote::Whole(said)))
        }
    }
}
