//! Guards during a look-up: every name that the request leads to is compared with the guards.

use std::ffi::OsStr;
use std::os::unix::ffi::{OsStrExt, OsStringExt};

use nix::errno::Errno;

use super::denial::{changing, errno_of, io_denied, judged};
use super::lookup_context::LookupContext;
use super::rule_context::RuleContext;
use super::siblings::Sibling;
use super::{AccessDenied, DenialNote, Explain, ResolveRequest, Resolver};
use crate::auth::{AuthOutcome, NamedFile};
use crate::docroot::Links;
use crate::docroot::path::{Expanded, split};
use crate::log::Level;
use crate::representation::coding::Coding;
use crate::request::Rejection;
use crate::rules::{Covering, FileRules, Refused, Rules};
use crate::sys::stat::FileStat;

/// Name that a look-up has found in the tree.
pub(super) struct FoundName<'r> {
    /// Name with links not expanded.
    pub(super) name: &'r [u8],
    pub(super) expanded: &'r Expanded,
    pub(super) is_dir: bool,
}

impl Resolver {
    /// Checks the guards that cover any of `names`, which the look-up has reached.
    pub(super) fn guard(
        &self,
        rule_context: Option<&RuleContext<'_>>,
        names: &[&[u8]],
        explain: Explain<'_>,
    ) -> Result<(), AccessDenied> {
        let Some(rule_context) = rule_context else { return Ok(()) };
        let plain = names.iter().filter_map(|name| self.plain_name(name));
        for name in names.iter().copied().chain(plain) {
            let covering = rule_context.rules.cover(&[rule_context.site.name(name)]);
            let new = {
                let state = &mut *rule_context.state.borrow_mut();
                state.lookup_covering.add(covering.clone());
                state.covering.add(covering)
            };
            self.admit(rule_context, &new, explain)?;
            self.authenticate(rule_context, &new)?;
        }
        Ok(())
    }

    /// Name of the file whose precompressed form `name` may be; the guards of that file apply to the form.
    pub(super) fn plain_name<'n>(&self, name: &'n [u8]) -> Option<&'n [u8]> {
        let mut suffixes = Coding::ALL.iter().map(|coding| coding.suffix());
        suffixes.find_map(|suffix| name.strip_suffix(suffix)).filter(|_| self.config.precompressed)
    }

    /// Checks the guards of a name that was looked up.
    ///
    /// Three names are compared: the chosen name, the name with its links expanded, and the latter with
    /// PATH_INFO.
    pub(super) fn guard_expanded(
        &self,
        rule_context: Option<&RuleContext<'_>>,
        found: &FoundName<'_>,
        explain: Explain<'_>,
    ) -> Result<(), AccessDenied> {
        let Some(rule_context) = rule_context else { return Ok(()) };
        let FoundName { name, expanded, is_dir } = *found;
        let mut chosen = name.strip_suffix(b"/").unwrap_or(name).to_vec();
        if !expanded.path_info.is_empty() && chosen.ends_with(&expanded.path_info) {
            chosen.truncate(chosen.len() - expanded.path_info.len());
            chosen.pop();
        }
        let mut real = self.real_name(rule_context, &expanded.name)?;
        if is_dir {
            append_slash(&mut chosen);
            append_slash(&mut real);
        }
        rule_context.choose(&chosen);
        let mut beyond = real.clone();
        if !expanded.path_info.is_empty() {
            append_slash(&mut beyond);
            beyond.extend_from_slice(&expanded.path_info);
        }
        self.guard(Some(rule_context), &[&chosen, &real, &beyond], explain)
    }

    /// Checks the guards of the index file `index` of the requested directory; `expanded` has no links.
    pub(super) fn guard_index(
        &self,
        asked: &LookupContext<'_>,
        index: &[u8],
        expanded: &[u8],
        explain: Explain<'_>,
    ) -> Result<(), AccessDenied> {
        let Some(rule_context) = asked.rule_context else { return Ok(()) };
        let mut chosen = asked.name.to_vec();
        append_slash(&mut chosen);
        chosen.extend_from_slice(split(index).1);
        rule_context.choose(&chosen);
        let real = self.real_name(rule_context, expanded)?;
        self.guard(Some(rule_context), &[&chosen, index, &real], explain)
    }

    /// Name of the found file or directory without links, which [`Resolver::check_opened`] compares again.
    fn real_name(&self, rule_context: &RuleContext<'_>, name: &[u8]) -> Result<Vec<u8>, AccessDenied> {
        let real = self.without_any_link(rule_context, name)?;
        rule_context.state.borrow_mut().real.clone_from(&real);
        Ok(real.unwrap_or_else(|| name.to_vec()))
    }

    /// Checks that the guards were compared with the name of the file that has been `opened`.
    ///
    /// The kernel follows links anew when it opens a file, and a link may have been changed meanwhile.
    pub(super) fn check_opened(
        &self,
        lookup: &LookupContext<'_>,
        opened: &FileStat,
    ) -> Result<(), AccessDenied> {
        let real = lookup.rule_context.and_then(|rule_context| rule_context.state.borrow().real.clone());
        match real {
            Some(real) if !is_named(lookup, &real, opened) => Err(changing()),
            _ => Ok(()),
        }
    }

    /// Guards that cover any name of a precompressed sibling, which has been `opened`.
    pub(super) fn cover_sibling(
        &self,
        lookup: &LookupContext<'_>,
        sibling: &Sibling<'_>,
        opened: &FileStat,
    ) -> Result<Covering, AccessDenied> {
        let Some(rule_context) = lookup.rule_context else { return Ok(Covering::default()) };
        let chosen = [&rule_context.served_name()[..], sibling.coding.suffix()].concat();
        let with_slash = [&chosen[..], b"/"].concat();
        let real = self.without_any_link(rule_context, sibling.file)?;
        if real.as_ref().is_some_and(|real| !is_named(lookup, real, opened)) {
            return Err(io_denied(Errno::ENOENT));
        }
        let real = real.as_deref().unwrap_or(sibling.file);
        let mut covering =
            rule_context.rules.cover(&[rule_context.site.name(&chosen), rule_context.site.name(&with_slash)]);
        for name in [sibling.name, real] {
            covering.add(rule_context.rules.cover(&[rule_context.site.name(name)]));
        }
        Ok(covering)
    }

    /// Tells whether the client passes the guards in `covering` that are not among those in `satisfied`.
    pub(super) fn permits(
        &self,
        query: &ResolveRequest<'_>,
        satisfied: &Covering,
        covering: &Covering,
    ) -> bool {
        let new = satisfied.beyond(covering);
        new.is_empty()
            || self.rules.admit(&new, query.client, query.charged).is_ok()
                && self.check_rule_files(&self.rules, &new, query).is_ok()
    }

    /// Expands the links in `name` also when the look-up leaves that to the kernel.
    ///
    /// A guard must be compared with the name of the file that is sent. `None` if that is `name` itself, and
    /// for a file outside the served tree, which has no name that rules could cover.
    fn without_any_link(
        &self,
        rule_context: &RuleContext<'_>,
        name: &[u8],
    ) -> Result<Option<Vec<u8>>, AccessDenied> {
        if self.config.symlink_check || !rule_context.rules.has_guards() {
            return Ok(None);
        }
        let top = self.root.path();
        let path = [top, name].concat();
        let real = std::fs::canonicalize(OsStr::from_bytes(&path));
        let real = real.map_err(|error| io_denied(errno_of(&error)))?.into_os_string().into_vec();
        let within = real.strip_prefix(top).or((*real == top[..top.len() - 1]).then_some(&b""[..]));
        Ok(within.map(<[u8]>::to_vec))
    }

    /// Checks the address lists and request rates of `covering`.
    pub(super) fn admit(
        &self,
        rule_context: &RuleContext<'_>,
        covering: &Covering,
        explain: Explain<'_>,
    ) -> Result<(), AccessDenied> {
        for line in rule_context.rules.covering_lines(covering) {
            explain(format_args!("{line}"));
        }
        let Err(refused) =
            rule_context.rules.admit(covering, rule_context.query.client, rule_context.query.charged)
        else {
            return Ok(());
        };
        Err(refusal(rule_context.query, &refused))
    }

    /// Checks the password files of `covering`.
    pub(super) fn authenticate(
        &self,
        rule_context: &RuleContext<'_>,
        covering: &Covering,
    ) -> Result<(), AccessDenied> {
        let user = self.check_rule_files(rule_context.rules, covering, rule_context.query)?;
        let state = &mut *rule_context.state.borrow_mut();
        state.user = user.or(state.user.take());
        Ok(())
    }

    /// Checks the request's credentials against every password file that `covering` demands.
    fn check_rule_files(
        &self,
        rules: &Rules,
        covering: &Covering,
        query: &ResolveRequest<'_>,
    ) -> Result<Option<Box<[u8]>>, AccessDenied> {
        let mut user = None;
        for (line, file) in rules.auth_files(covering) {
            query.blocking.block_in_place();
            let named = NamedFile {
                dir: file.dir.as_deref().map_err(|errno| *errno),
                base: file.base(),
                realm: &file.realm,
            };
            let verdict = self.auth.check_named(query.view, &named, &query.attempt());
            user = judged(match verdict {
                AuthOutcome::Unreadable { reason, .. } => {
                    let path = format!("{} ({})", file.path.display(), line.place).into_bytes();
                    AuthOutcome::Unreadable { path, reason }
                }
                verdict => verdict,
            })?;
        }
        Ok(user)
    }

    /// Checks the guards of a cached file, which are stored in its `file_rules`.
    pub(super) fn enforce(
        &self,
        file_rules: &FileRules,
        query: &ResolveRequest<'_>,
    ) -> Result<Option<Box<[u8]>>, AccessDenied> {
        if let Err(refused) = self.rules.admit(&file_rules.covering, query.client, query.charged) {
            return Err(refusal(query, &refused));
        }
        if !file_rules.covering.asks_for_password() {
            return Ok(None);
        }
        self.check_rule_files(&self.rules, &file_rules.covering, query)
    }
}

/// Tells whether the `opened` file has the name `real`, in which no component is a link.
fn is_named(lookup: &LookupContext<'_>, real: &[u8], opened: &FileStat) -> bool {
    let seen = lookup.query.view.stat_beneath(real, Links::Refuse);
    seen.is_ok_and(|seen| (seen.st_dev, seen.st_ino) == (opened.st_dev, opened.st_ino))
}

/// Appends a slash to the name of a directory, except to the empty name of the top directory.
fn append_slash(name: &mut Vec<u8>) {
    if !name.is_empty() && !name.ends_with(b"/") {
        name.push(b'/');
    }
}

/// Refusal of a request by a guard: 429 with Retry-After, or 403.
fn refusal(query: &ResolveRequest<'_>, refused: &Refused<'_>) -> AccessDenied {
    if let Some(seconds) = refused.retry_after {
        let seconds = u32::try_from(seconds).unwrap_or(u32::MAX);
        return AccessDenied::from(Rejection::new(429, "")).with_retry_after(seconds);
    }
    let url = query.request.target.escape_ascii();
    let said = format!("URL \"{url}\" is refused by {}", refused.line);
    AccessDenied::from(Rejection::new(403, "")).with_note(Level::Info, DenialNote::Whole(said))
}
