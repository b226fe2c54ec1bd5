//! The ordered checks between a name and a resource (thttpd's `really_start_request`).
//!
//! expand links → exists → world bits → directory: slash, index, listing → file: credentials,
//! password files, referrer, script pattern, executable bit, PATH_INFO → open. The order is
//! thttpd's, with the index file's own links checked like any other's.

use std::borrow::Cow;
use std::fs::File;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::time::SystemTime;

use nix::sys::stat::{Mode, SFlag};

use super::denial::{io_denied, not_a_file, not_found, not_readable};
use super::guards::FoundName;
use super::lookup_context::{Candidate, GlobalDirectory, LookupContext, kind, shown, world};
use super::realm::is_in_realm_of;
use super::rule_context::RuleContext;
use super::siblings::Forms;
use super::{AccessDenied, Directory, Explain, Resolution, Resolved, Resolver, Resource, Retry, Script};
use super::{ResolveRequest, index};
use crate::cache::{CacheEntry, ListQuery, Snapshot};
use crate::config::printable::printable;
use crate::docroot::path::{Expanded, Unexpandable, expand, expand_plain, join, split};
use crate::docroot::{DirectoryRef, Links, PATH, READ, View};
use crate::log::Level;
use crate::representation::coding::Variant;
use crate::representation::{Content, FileFacts};
use crate::request::target::is_never_served;
use crate::request::{Rejection, Request};
use crate::sys::fd::OpenFile;
use crate::sys::stat::{FileStat, fstat};

impl Resolver {
    /// Resolves a request from the disk, without the cache, and adds plain files to the cache.
    pub fn look_up(&self, query: &ResolveRequest<'_>, explain: Explain<'_>) -> Resolution {
        match self.rules.is_empty() {
            true => Resolution::without_rules(self.find(query, None, explain)),
            // Rules count requests. A request for remote storage is looked up again later, and must count
            // once.
            false if query.view.is_local() && leaves_local_view(query) => Resolution::none(),
            false => self.look_up_by_rules(query, explain),
        }
    }

    /// Looks one name up; `rule_context` holds the rules to check for every name on the way.
    pub(super) fn find(
        &self,
        query: &ResolveRequest<'_>,
        rule_context: Option<&RuleContext<'_>>,
        explain: Explain<'_>,
    ) -> Result<Resolved, AccessDenied> {
        let name = query.name();
        let (expanded, meta, global) = match expand_plain(query.view, &name) {
            Ok((expanded, meta)) => (expanded, meta, self.unexpanded_global(query).map(Cow::from)),
            Err(_) => self.with_links(query, &name)?,
        };
        explain(format_args!("name {} is {}", shown(&name), shown(&expanded.name)));
        if !expanded.path_info.is_empty() {
            explain(format_args!("beyond it: {} (PATH_INFO)", shown(&expanded.path_info)));
        }
        let is_dir = kind(&meta) == SFlag::S_IFDIR;
        let found = FoundName { name: &name, expanded: &expanded, is_dir };
        self.guard_expanded(rule_context, &found, explain)?;
        let bits = meta.st_mode & 0o7777;
        explain(format_args!("permission bits {bits:04o}: the last digit counts, what others may do"));
        if !world(&meta, Mode::S_IROTH | Mode::S_IXOTH) {
            return Err(not_readable("resolves to a non world-readable file"));
        }
        let throttle_name: Arc<[u8]> =
            if expanded.name.is_empty() { Arc::from(&b"."[..]) } else { Arc::from(&expanded.name[..]) };
        if !is_dir && query.vhost.is_some() && is_beyond(query.request, &expanded) {
            explain(format_args!("the host's name is that of a file, not of its directory"));
            return Err(not_found());
        }
        // The directory is checked before anything in it: a later change then keeps the result out of the
        // cache.
        let dir = if is_dir { &expanded.name } else { split(&expanded.name).0 };
        let directory_check = self.cache.check_directory(query.view, dir);
        let lookup =
            LookupContext { query, name: &name, throttle_name, directory_check, global, rule_context };
        if !is_dir {
            let candidate = Candidate {
                chosen: &name,
                expanded: &expanded,
                seen: &meta,
                is_index: false,
                dir: DirectoryRef::named(query.view, dir),
                protected: false,
            };
            return self.file(&lookup, candidate, explain);
        }
        if !expanded.path_info.is_empty() {
            explain(format_args!("a directory, and no such name in it"));
            return Err(not_found());
        }
        if !(name.is_empty() || name.ends_with(b"/")) {
            explain(format_args!("a directory named without its slash: redirect"));
            let resource = Resource::Moved(with_slash(query.request));
            return Ok(Resolved { resource, user: None, name: lookup.throttle_name() });
        }
        self.directory(&lookup, &expanded.name, &meta, explain)
    }

    /// Expands a name that may have links: the name, its facts, and the directory of the global password file.
    fn with_links<'r>(
        &self,
        query: &ResolveRequest<'r>,
        name: &[u8],
    ) -> Result<(Expanded, FileStat, GlobalDirectory<'r>), AccessDenied> {
        let global = self.global_directory(query)?;
        let host = global.as_deref().filter(|_| query.vhost.is_some());
        let from = host.map(|host| [host, b"/", &query.request.path].concat());
        let expanded = self.expanded(query.view, from.as_deref().unwrap_or(name))?;
        let meta = self.stat(query.view, &expanded.name)?;
        Ok((expanded, meta, global))
    }

    fn directory(
        &self,
        lookup: &LookupContext<'_>,
        dir: &[u8],
        meta: &FileStat,
        explain: Explain<'_>,
    ) -> Result<Resolved, AccessDenied> {
        if let Some(index) = index::find(lookup.query.view, dir, &self.config.index).map_err(io_denied)? {
            let (expanded, seen) = match index.plain {
                Some((expanded, meta)) => (expanded, Some(meta)),
                None => (self.expanded(lookup.query.view, &index.name)?, None),
            };
            explain(format_args!("index file {} is {}", shown(&index.name), shown(&expanded.name)));
            self.guard_index(lookup, &index.name, &expanded.name, explain)?;
            if !expanded.path_info.is_empty() {
                // The index file was deleted after the check for its existence.
                return Err(not_found());
            }
            let meta = seen.map_or_else(|| self.stat(lookup.query.view, &expanded.name), Ok)?;
            if !world(&meta, Mode::S_IROTH | Mode::S_IXOTH) {
                return Err(not_readable("resolves to a non-world-readable index file"));
            }
            let candidate = Candidate {
                chosen: &index.name,
                expanded: &expanded,
                seen: &meta,
                is_index: true,
                dir: DirectoryRef::named(lookup.query.view, dir),
                protected: false,
            };
            return self.file(lookup, candidate, explain);
        }
        explain(format_args!("no index file"));
        if !world(meta, Mode::S_IROTH) || !self.lists(lookup) {
            return Err(AccessDenied::noted(
                Rejection::new(403, "{url} is a directory whose contents are not listed."),
                Level::Info,
                "tried to index a directory with indexing disabled",
            ));
        }
        let realm = self.open_realm(lookup.query.view, dir, lookup.global.as_deref())?;
        let user = self.authorize(lookup.query, &realm);
        let user = user.inspect_err(|denied| self.explain_passwords(lookup, dir, denied, explain))?;
        let user = user.or_else(|| lookup.user());
        self.check_referrer(lookup.query, lookup.name)?;
        let resource = Resource::Directory(Box::new(self.list(lookup, &realm.dir)?));
        Ok(Resolved { resource, user, name: lookup.throttle_name() })
    }

    /// Opens the directory `dir` for reading, with its cached list or a permit to make the list.
    fn list(&self, lookup: &LookupContext<'_>, dir: &DirectoryRef<'_>) -> Result<Directory, AccessDenied> {
        let query = lookup.query;
        let opened = dir.open_read(b"", self.links()).map_err(io_denied)?;
        let meta = fstat(opened.as_fd()).map_err(io_denied)?;
        self.check_opened(lookup, &meta)?;
        // Workers in remote storage are bounded by another limit already.
        let is_bounded = query.view.is_local();
        let permit = if is_bounded { self.list_limiter.try_take() } else { None };
        let is_busy = is_bounded && permit.is_none();
        // A README.txt is looked up only for a list that is made now, or that may be cached.
        if is_busy && !self.cache.may_have_list(dir.name()) {
            return Err(busy_with_lists());
        }
        let readme = self.readme(lookup);
        let key = self.list_key(lookup, dir.name(), readme.clone());
        let ResolveRequest { view, freshness, .. } = *query;
        let kept = self.cache.list(&ListQuery { key: &key, opened: &meta, view, freshness });
        if is_busy && kept.is_none() {
            return Err(busy_with_lists());
        }
        let permit = permit.filter(|_| kept.is_none());
        let check = lookup.directory_check.as_ref().filter(|_| kept.is_none());
        let keep = check.and_then(|check| self.cache.keep_list(key, check));
        let url_path = query.request.path.to_vec();
        Ok(Directory { readme, permit, kept, keep, ..Directory::new(opened, url_path) })
    }

    fn file(
        &self,
        lookup: &LookupContext<'_>,
        candidate: Candidate<'_>,
        explain: Explain<'_>,
    ) -> Result<Resolved, AccessDenied> {
        let (dir, _) = split(&candidate.expanded.name);
        let authorized = self.authorize_in(lookup, dir);
        let (place, user) =
            authorized.inspect_err(|denied| self.explain_passwords(lookup, dir, denied, explain))?;
        if let Some(user) = &user {
            explain(format_args!("password file in {}: user {}", shown(dir), shown(user)));
        }
        let candidate = Candidate { dir: place, protected: user.is_some(), ..candidate };
        let user = user.or_else(|| lookup.user());
        let found = self.file_for_user(lookup, &candidate, explain);
        if !self.was_in_realm(lookup, &candidate) {
            let candidate = Candidate { dir: DirectoryRef::named(lookup.query.view, dir), ..candidate };
            return self.file(&lookup.without_check(), candidate, explain);
        }
        match found {
            Ok(resource) => Ok(Resolved { resource, user, name: lookup.throttle_name() }),
            Err(denied) => Err(denied.with_user(user)),
        }
    }

    /// Resource for a file, after its credentials were checked.
    fn file_for_user(
        &self,
        lookup: &LookupContext<'_>,
        file: &Candidate<'_>,
        explain: Explain<'_>,
    ) -> Result<Resource, AccessDenied> {
        let name = &file.expanded.name;
        refuse_password_file(split(name).1)?;
        // `/a.txt/` is `/a.txt` in thttpd, also for the referrer filter.
        let bare = lookup.name.strip_suffix(b"/").filter(|_| !file.is_index);
        self.check_referrer(lookup.query, bare.unwrap_or(lookup.name))?;
        let snapshot = self.snapshot(lookup, file);
        let (opened, meta) = self.open_candidate(lookup, file)?;
        let executable = world(&meta, Mode::S_IXOTH) || world(file.seen, Mode::S_IXOTH);
        if executable && self.config.cgi_pattern.as_ref().is_some_and(|p| p.matches(name)) {
            explain(format_args!("matches the CGI pattern and is executable: a script"));
            return script(lookup.query.request, file, self.links()).map_err(io_denied);
        }
        if !executable && self.names_a_script(name, file.is_index) {
            explain(format_args!(
                "matches the CGI pattern, but others may not execute it (chmod o+x): refused"
            ));
            return Err(not_executable());
        }
        refuse_misplaced(executable, &file.expanded.path_info)?;
        let facts = FileFacts::from(&meta);
        let (mut representation, content) = self.represent(lookup, name, opened, &facts)?;
        let (len, media_type) = (representation.len, printable(&representation.media_type));
        explain(format_args!("a file of {len} bytes, {media_type}"));
        let siblings = self.siblings(lookup, file, &facts)?;
        representation.vary = !siblings.variants.is_empty();
        let representation = Arc::new(representation);
        let satisfied = lookup.rule_context.map(RuleContext::satisfied_guards).unwrap_or_default();
        let forms =
            Forms { representation: &representation, content: &content, variants: &siblings.variants };
        let sent = self.negotiate(lookup.query, &satisfied, &forms);
        // A fallback that was chosen because a better name was out of view must not be cached.
        if !lookup.query.view.has_crossed()
            && may_be_kept(&content, &siblings.variants)
            && bare.is_none()
            && !siblings.volatile
            && let Some(snapshot) = snapshot
            && snapshot.is_of(&meta)
        {
            let entry = CacheEntry {
                key: lookup.key().into(),
                file_rules: lookup.rule_context.map(|rule_context| rule_context.file_rules(lookup.name)),
                snapshot,
                auth_dir: split(name).0.into(),
                protected: file.protected,
                throttle_name: Arc::clone(&lookup.throttle_name),
                representation,
                content,
                variants: siblings.variants.into(),
                siblings: siblings.snapshots.into(),
            };
            self.cache.insert(entry);
        }
        Ok(Resource::File(sent.0, sent.1))
    }

    /// Tells whether the CGI pattern covers `name`, whatever its permissions.
    ///
    /// In a directory of scripts (`/cgi-bin/*`), an index page is still a page.
    pub(super) fn names_a_script(&self, name: &[u8], is_index: bool) -> bool {
        let Some(pattern) = &self.config.cgi_pattern else { return false };
        let is_page = is_index && index::is_page(name) && !pattern.matches_by_file_name(name);
        !is_page && pattern.matches_by_name(name)
    }

    /// Facts that must still hold when the cached result is used; `None` if they cannot be checked cheaply, or
    /// the file is none that is cached: one that others may execute, or one that changed just now.
    ///
    /// The file is not open yet, so that no change of it goes unseen.
    fn snapshot(&self, lookup: &LookupContext<'_>, file: &Candidate<'_>) -> Option<Snapshot> {
        let is_page = kind(file.seen) == SFlag::S_IFREG && !world(file.seen, Mode::S_IXOTH);
        if !is_page || !FileFacts::from(file.seen).are_settled(SystemTime::now()) {
            return None;
        }
        let (dir, base) = split(&file.expanded.name);
        let probe: Cow<'_, [u8]> = if file.is_index { join(dir, base).into() } else { lookup.name.into() };
        let directory_check = lookup.directory_check.as_ref()?;
        // The snapshot does not cover a link that may become a password file.
        let is_whole = file.protected || self.config.global_passwd || directory_check.shows_unprotected(dir);
        if !is_whole {
            return None;
        }
        // An index file in another directory would need both directories watched.
        let snapshot = directory_check.snapshot(lookup.query.view, &file.expanded.name, &probe, file.seen)?;
        let is_exact = snapshot.was_in(&file.dir) && is_in_realm_of(lookup.global.as_deref(), dir);
        (!file.protected || is_exact).then_some(snapshot)
    }

    /// Opens the file that was found, if the guards were compared with its name.
    fn open_candidate(
        &self,
        lookup: &LookupContext<'_>,
        file: &Candidate<'_>,
    ) -> Result<(File, FileStat), AccessDenied> {
        let (opened, meta) = self.open_regular(&file.dir, split(&file.expanded.name).1, file.seen)?;
        self.check_opened(lookup, &meta)?;
        Ok((opened, meta))
    }

    /// Opens the regular file in `dir` that was `seen` under this name.
    pub(super) fn open_regular(
        &self,
        dir: &DirectoryRef<'_>,
        name: &[u8],
        seen: &FileStat,
    ) -> Result<(File, FileStat), AccessDenied> {
        // The type is checked before opening, as opening a device can have side effects.
        if kind(seen) != SFlag::S_IFREG {
            return Err(not_a_file());
        }
        // A program is run or refused, and never read: mode 711 suffices. So what was seen to be one stays one.
        let flags = if world(seen, Mode::S_IXOTH) { PATH } else { READ };
        let file = dir.open_as(name, flags, self.links()).map_err(io_denied)?;
        let meta = fstat(file.as_fd()).map_err(io_denied)?;
        if kind(&meta) != SFlag::S_IFREG {
            return Err(not_a_file());
        }
        if !world(&meta, Mode::S_IROTH | Mode::S_IXOTH) {
            return Err(not_readable("resolves to a non world-readable file"));
        }
        Ok((file, meta))
    }

    pub(super) fn expanded(&self, view: &View<'_>, name: &[u8]) -> Result<Expanded, AccessDenied> {
        expand(view, name, self.config.symlink_check).map_err(|why| match why {
            Unexpandable::Outside => AccessDenied::noted(
                Rejection::new(403, "{url} leads outside the tree that this server serves."),
                Level::Notice,
                "goes outside the web tree",
            ),
            Unexpandable::TooManyLinks => AccessDenied::noted(
                Rejection::new(500, "{url} leads through too many symbolic links."),
                Level::Error,
                "leads through too many symlinks",
            ),
            Unexpandable::Io(errno) => io_denied(errno),
        })
    }

    pub(super) fn stat(&self, view: &View<'_>, name: &[u8]) -> Result<FileStat, AccessDenied> {
        view.stat(name, self.links()).map_err(io_denied)
    }

    pub(super) fn links(&self) -> Links {
        Links::in_expanded(self.config.symlink_check)
    }
}

/// Refusal of a list with 503 before the work begins.
fn busy_with_lists() -> AccessDenied {
    let page = "This server is busy making lists of directories; please try again.";
    AccessDenied::from(Rejection::new(503, page)).until(Retry::AfterLists)
}

/// Tells whether the name leads out of a local view, to storage that may not answer.
fn leaves_local_view(query: &ResolveRequest<'_>) -> bool {
    let _ = expand_plain(query.view, &query.name());
    query.view.has_crossed()
}

/// Tells whether the content may be cached: descriptors of remote files are not, as `fstat` or `close` may
/// hang.
fn may_be_kept(content: &Content, variants: &[Variant]) -> bool {
    let mut contents = variants.iter().map(|variant| &variant.content).chain([content]);
    !contents.any(|content| matches!(content, Content::File(open) if open.is_remote()))
}

/// Tells whether the whole path is PATH_INFO: the file found is then among the directories of hosts.
fn is_beyond(request: &Request<'_>, expanded: &Expanded) -> bool {
    let path = &request.path[..];
    path.strip_suffix(b"/").unwrap_or(path) == expanded.path_info
}

fn not_executable() -> AccessDenied {
    AccessDenied::noted(
        Rejection::new(403, "{url} is a program that may not be executed; its source is not shown."),
        Level::Notice,
        "is a CGI script by its name but not executable",
    )
}

/// Refuses `.ht*` files, whatever their permission bits.
fn refuse_password_file(base: &[u8]) -> Result<(), AccessDenied> {
    if is_never_served(base) {
        return Err(AccessDenied::noted(
            Rejection::new(403, "{url} is a password file; such files are not served."),
            Level::Notice,
            "tried to retrieve an auth file",
        ));
    }
    Ok(())
}

fn refuse_misplaced(executable: bool, path_info: &[u8]) -> Result<(), AccessDenied> {
    if executable {
        return Err(AccessDenied::noted(
            Rejection::new(403, "{url} is marked executable but is not a CGI script; it is not served."),
            Level::Notice,
            "is executable but isn't CGI",
        ));
    }
    if !path_info.is_empty() {
        return Err(AccessDenied::noted(
            Rejection::new(403, "{url} goes on beyond a plain file."),
            Level::Info,
            "has pathinfo but isn't CGI",
        ));
    }
    Ok(())
}

/// Script at the name of `file`, in its open directory.
///
/// A slash at the end of the path belongs to PATH_INFO, unless the script is the index file of a directory.
fn script(request: &Request<'_>, file: &Candidate<'_>, links: Links) -> nix::Result<Resource> {
    let expanded = file.expanded;
    let mut url_path = [b"/", &request.path[..]].concat();
    let mut path_info = Vec::new();
    if !expanded.path_info.is_empty() {
        path_info = [b"/", &expanded.path_info[..]].concat();
    }
    if !file.is_index && url_path.ends_with(b"/") {
        path_info.push(b'/');
    }
    if url_path.ends_with(&path_info) {
        url_path.truncate(url_path.len() - path_info.len());
    }
    let dir = Arc::new(OpenFile::from(file.dir.reopen(links)?));
    let name = expanded.name.clone();
    Ok(Resource::Script(Box::new(Script { dir, name, url_path, path_info, query: None })))
}

/// Location for a directory that was requested without its slash; path and query keep their encoding.
fn with_slash(request: &Request<'_>) -> Vec<u8> {
    let path = request.path_and_query().split(|&b| b == b'?').next().unwrap_or_default();
    let mut to = [path, b"/"].concat();
    if let Some(query) = request.query {
        to.push(b'?');
        to.extend_from_slice(query);
    }
    to
}

#[cfg(test)]
mod tests;
