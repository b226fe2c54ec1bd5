//! Precompressed files beside the requested file (`F.gz`, `F.br`, `F.zst`).

use std::sync::Arc;

use nix::sys::stat::{Mode, SFlag};

use super::lookup_context::{Candidate, LookupContext, kind, world};
use super::siblings::{Forms, Sibling, Siblings};
use super::{AccessDenied, ResolveRequest, Resolver};
use crate::docroot::path::{Expanded, split};
use crate::docroot::{Links, View};
use crate::representation::coding::{Coding, Variant, is_older, select};
use crate::representation::{Content, FileFacts, Representation};
use crate::request::target::is_never_served;
use crate::rules::Covering;
use crate::sys::stat::FileStat;

impl Resolver {
    /// Finds the precompressed forms of a plain file with the facts `plain`.
    pub(super) fn siblings(
        &self,
        lookup: &LookupContext<'_>,
        file: &Candidate<'_>,
        plain: &FileFacts,
    ) -> Result<Siblings, AccessDenied> {
        let mut siblings = Siblings::default();
        if !self.config.precompressed {
            return Ok(siblings);
        }
        let chosen = file.chosen.strip_suffix(b"/").unwrap_or(file.chosen);
        for coding in Coding::ALL {
            let name = [chosen, coding.suffix()].concat();
            let Some((expanded, seen)) = self.seen(lookup.query.view, &name) else { continue };
            if !expanded.path_info.is_empty() {
                continue;
            }
            let snapshot = lookup
                .directory_check
                .as_ref()
                .and_then(|check| check.snapshot(lookup.query.view, &expanded.name, &name, &seen));
            siblings.volatile |= snapshot.is_none();
            siblings.snapshots.extend(snapshot);
            if split(&expanded.name).0 != split(&file.expanded.name).0 {
                self.report(&name, &seen, "in another directory");
                continue;
            }
            let sibling = Sibling { coding, name: &name, file: &expanded.name, seen: &seen, plain };
            match self.variant(lookup, &sibling, file)? {
                Ok(variant) => {
                    siblings.volatile |= !variant.representation.settled;
                    if let Some(rule_context) = lookup.rule_context {
                        rule_context.state.borrow_mut().has_restricted_form |=
                            variant.covering.is_restricted();
                    }
                    siblings.variants.push(variant);
                }
                Err(reason) => self.report(&name, &seen, reason),
            }
        }
        Ok(siblings)
    }

    /// Expanded name and `stat` of a sibling; `None` for a missing file, and for a dangling link.
    ///
    /// A link to another file system is none either, without a look there: a sibling in another directory
    /// is not sent, and storage that does not answer must not hold the plain file up.
    fn seen(&self, view: &View<'_>, name: &[u8]) -> Option<(Expanded, FileStat)> {
        let had_crossed = view.has_crossed();
        let expanded = self.expanded(view, name).ok();
        let seen = expanded.and_then(|expanded| Some((self.stat(view, &expanded.name).ok()?, expanded)));
        if seen.is_none() && view.has_crossed() && !had_crossed && self.config.symlink_check {
            let is_link = |meta: FileStat| kind(&meta) == SFlag::S_IFLNK;
            if view.stat(name, Links::Refuse).is_ok_and(is_link) {
                view.forget_crossing();
            }
        }
        seen.map(|(seen, expanded)| (expanded, seen))
    }

    /// Checks a sibling: returns the variant, or the reason for ignoring the file.
    fn variant(
        &self,
        lookup: &LookupContext<'_>,
        sibling: &Sibling<'_>,
        file: &Candidate<'_>,
    ) -> Result<Result<Variant, &'static str>, AccessDenied> {
        if kind(sibling.seen) != SFlag::S_IFREG {
            return Ok(Err("no plain file"));
        }
        if !world(sibling.seen, Mode::S_IROTH) || world(sibling.seen, Mode::S_IXOTH) {
            return Ok(Err("not readable by everyone, or executable"));
        }
        let base = split(sibling.file).1;
        if is_never_served(base) || self.names_a_script(sibling.file, false) {
            return Ok(Err("by its name a password file or a script"));
        }
        let Ok((opened, meta)) = self.open_regular(&file.dir, base, sibling.seen) else {
            return Ok(Err("not readable"));
        };
        let Ok(covering) = self.cover_sibling(lookup, sibling, &meta) else {
            return Ok(Err("not readable"));
        };
        let facts = FileFacts::from(&meta);
        if facts.len >= sibling.plain.len {
            return Ok(Err("not smaller"));
        }
        if is_older(&facts, sibling.plain) {
            return Ok(Err("older than the file"));
        }
        match sibling.coding.misfit(&opened, facts.len, sibling.plain.len) {
            Ok(None) => {}
            Ok(Some(reason)) => return Ok(Err(reason)),
            Err(_) => return Ok(Err("not readable")),
        }
        let name = &file.expanded.name;
        let (mut representation, content) = self.represent(lookup, name, opened, &facts)?;
        representation.vary = true;
        let comma = if representation.encodings.is_empty() { "" } else { "," };
        representation.encodings =
            format!("{}{comma}{}", representation.encodings, sibling.coding.name()).into();
        let (coding, name) = (sibling.coding, sibling.name.into());
        let representation = Arc::new(representation);
        Ok(Ok(Variant { coding, name, representation, content, covering }))
    }

    /// Reports an ignored file in the log, once for each version.
    fn report(&self, name: &[u8], seen: &FileStat, reason: &str) {
        if self.reported.insert(FileFacts::from(seen)) {
            crate::log::notice!("{} is not sent in place of the plain file: {reason}", name.escape_ascii());
        }
    }

    /// Chooses the form of a file to send: the client's most preferred among the permitted ones.
    ///
    /// The guards in `satisfied` have been checked already.
    pub(super) fn negotiate(
        &self,
        query: &ResolveRequest<'_>,
        satisfied: &Covering,
        forms: &Forms<'_>,
    ) -> (Arc<Representation>, Content) {
        let may_have = |variant: &Variant| {
            self.check_referrer(query, &variant.name).is_ok()
                && self.permits(query, satisfied, &variant.covering)
        };
        let chosen = match forms.variants {
            [] => None,
            variants => select(variants, forms.representation, &query.request.fields, may_have),
        };
        match chosen {
            Some(variant) => (Arc::clone(&variant.representation), variant.content.clone()),
            None => (Arc::clone(forms.representation), forms.content.clone()),
        }
    }
}
