//! Password files of a look-up, which must be those of the directory that the file comes from.
//!
//! A name may lead to another directory at each system call: a link is changed, or a directory renamed. So
//! the directory is opened once, for its password file and the file. Where it is known to have no password
//! file, the kernel is asked after the opening whether anything has changed; if so, the directory is opened
//! after all.

use std::borrow::Cow;
use std::io;

use super::denial::{changing, judged, unreadable};
use super::lookup_context::{Candidate, GlobalDirectory, LookupContext};
use super::{AccessDenied, Explain, ResolveRequest, Resolver};
use crate::auth::{FILE_NAME, Realm};
use crate::cache::{CacheEntry, DirectoryCheck};
use crate::docroot::path::{below, join};
use crate::docroot::{DirectoryRef, Links, View};

/// Name of the user whose credentials were right; `None` if there was no password file.
type UserName = Option<Box<[u8]>>;

impl Resolver {
    /// Directory of the password file for everything, with its links expanded; `None` without `-g`.
    ///
    /// The names of a virtual host are expanded from here, so that its files come from the directory whose
    /// password file is asked.
    pub(super) fn global_directory<'r>(
        &self,
        query: &ResolveRequest<'r>,
    ) -> Result<GlobalDirectory<'r>, AccessDenied> {
        let Some(host) = self.unexpanded_global(query) else { return Ok(None) };
        if !self.config.symlink_check || host.is_empty() {
            return Ok(Some(host.into()));
        }
        let expanded = self.expanded(query.view, host)?;
        Ok(Some(if expanded.path_info.is_empty() { expanded.name.into() } else { host.into() }))
    }

    /// Directory of the password file for everything; `None` without `-g`.
    pub(super) fn unexpanded_global<'r>(&self, query: &ResolveRequest<'r>) -> Option<&'r [u8]> {
        self.config.global_passwd.then(|| query.vhost.unwrap_or_default().as_bytes())
    }

    /// Realm of the files in `dir`, by names alone.
    fn realm<'r>(&self, view: &'r View<'r>, dir: &'r [u8], global: Option<&'r [u8]>) -> Realm<'r> {
        let named = |name: &'r [u8]| DirectoryRef::named(view, name);
        let links = if self.config.symlink_check { Links::Within } else { Links::Follow };
        Realm { dir: named(dir), global: global.map(named), links }
    }

    /// Realm of the files in `dir`, with its directories open.
    pub(super) fn open_realm<'r>(
        &self,
        view: &'r View<'r>,
        dir: &'r [u8],
        global: Option<&'r [u8]>,
    ) -> Result<Realm<'r>, AccessDenied> {
        let Realm { dir, global, links } = self.realm(view, dir, global);
        let denied = |name: &[u8], errno| unreadable(&join(name, FILE_NAME), &io::Error::from(errno));
        let open_global = |global: DirectoryRef<'r>| {
            let name = global.name();
            global.open(links).map_err(|errno| denied(name, errno))
        };
        let global = global.map(open_global).transpose()?;
        let name = dir.name();
        let opened = match &global {
            Some(global) => dir.open_below(global, self.links()),
            None => dir.open(self.links()),
        };
        Ok(Realm { dir: opened.map_err(|errno| denied(name, errno))?, global, links })
    }

    /// Checks Basic credentials against `.htpasswd` in the directory, or the global file (thttpd's
    /// `auth_check`).
    pub(super) fn authorize(
        &self,
        query: &ResolveRequest<'_>,
        realm: &Realm<'_>,
    ) -> Result<UserName, AccessDenied> {
        judged(self.auth.check(realm, &query.attempt()))
    }

    /// Directory of the file `dir/…`, open if it may have a password file, and the user it let in.
    pub(super) fn authorize_in<'r>(
        &self,
        lookup: &'r LookupContext<'r>,
        dir: &'r [u8],
    ) -> Result<(DirectoryRef<'r>, UserName), AccessDenied> {
        let check = lookup.directory_check.as_ref().filter(|_| !self.config.global_passwd);
        if check.is_some_and(|check| check.shows_unprotected(dir)) {
            return Ok((DirectoryRef::named(lookup.query.view, dir), None));
        }
        let realm = self.open_realm(lookup.query.view, dir, lookup.global.as_deref())?;
        let user = self.authorize(lookup.query, &realm)?;
        if let (Some(check), None) = (check, &user) {
            check.note_unprotected(&realm.dir);
        }
        Ok((realm.dir, user))
    }

    /// Tells whether the file that was found is under the password file that was asked.
    ///
    /// An open directory stays the same one. One that was known to have no password file may have got one
    /// since, or its name may lead to another directory.
    pub(super) fn was_in_realm(&self, lookup: &LookupContext<'_>, file: &Candidate<'_>) -> bool {
        file.dir.is_open() || lookup.directory_check.as_ref().is_some_and(DirectoryCheck::still_holds)
    }

    /// Checks the credentials for a cached file.
    pub(super) fn authorize_cached(
        &self,
        query: &ResolveRequest<'_>,
        entry: &CacheEntry,
    ) -> Result<UserName, AccessDenied> {
        let (view, dir) = (query.view, &*entry.auth_dir);
        let mut global = self.unexpanded_global(query).map(Cow::from);
        if !entry.protected {
            return match &global {
                Some(global) => self.authorize(query, &self.realm(view, dir, Some(global))),
                None => Ok(None),
            };
        }
        if !is_in_realm_of(global.as_deref(), dir) {
            global = self.global_directory(query)?;
            if !is_in_realm_of(global.as_deref(), dir) {
                return Err(changing());
            }
        }
        // On the way to a watched directory is no link.
        let realm = match entry.snapshot.is_watched() {
            true => self.realm(view, dir, global.as_deref()),
            false => self.open_realm(view, dir, global.as_deref())?,
        };
        if realm.dir.is_open() && !entry.snapshot.was_in(&realm.dir) {
            return Err(changing());
        }
        // The password file was there when the entry was made.
        self.authorize(query, &realm)?.map_or_else(|| Err(changing()), |user| Ok(Some(user)))
    }

    /// Explains which password file caused a refusal, and the fault in it.
    pub(super) fn explain_passwords(
        &self,
        lookup: &LookupContext<'_>,
        dir: &[u8],
        denied: &AccessDenied,
        explain: Explain<'_>,
    ) {
        if denied.challenge.is_some() {
            let realm = self.realm(lookup.query.view, dir, lookup.global.as_deref());
            explain(format_args!("{}", self.auth.described(&realm)));
        }
    }
}

/// Tells whether `dir` lies in the directory `global`, if there is one.
///
/// A link may lead out of it, to files that the password file there covers all the same.
pub(super) fn is_in_realm_of(global: Option<&[u8]>, dir: &[u8]) -> bool {
    global.is_none_or(|global| below(dir, global).is_some())
}
