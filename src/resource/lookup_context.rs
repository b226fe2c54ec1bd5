//! State and questions that the checks of a look-up share.

use std::sync::Arc;

use nix::sys::stat::{FileStat, Mode, SFlag};

use super::ResolveRequest;
use super::rule_context::RuleContext;
use crate::cache::DirectoryCheck;
use crate::docroot::path::Expanded;

/// State that a look-up carries from check to check.
pub(super) struct LookupContext<'r> {
    pub(super) query: &'r ResolveRequest<'r>,
    /// The mapped name, links not yet expanded.
    pub(super) name: &'r [u8],
    pub(super) throttle_name: Arc<[u8]>,
    /// The directory that has a say, as it was before anything in it was looked at.
    pub(super) directory_check: Option<DirectoryCheck>,
    /// The request's way through the rules, if there are any.
    pub(super) rule_context: Option<&'r RuleContext<'r>>,
}

impl LookupContext<'_> {
    /// The user that a rule's password file knows.
    pub(super) fn user(&self) -> Option<Box<[u8]>> {
        self.rule_context.and_then(RuleContext::user)
    }

    /// The key under which the outcome is remembered.
    pub(super) fn key(&self) -> Vec<u8> {
        self.rule_context.map_or_else(|| self.name.to_vec(), |rule_context| rule_context.key(self.name))
    }
}

/// File that is to be served, if it may be.
pub(super) struct Candidate<'r> {
    /// Its name before links were expanded: as asked, or the directory's index file.
    pub(super) chosen: &'r [u8],
    pub(super) expanded: &'r Expanded,
    /// Result of `stat` for the name.
    pub(super) seen: &'r FileStat,
    /// Candidate for its directory.
    pub(super) is_index: bool,
    /// Credentials were needed.
    pub(super) protected: bool,
}

/// Is this the name of a file that is never served?
pub(super) fn is_password_file(base: &[u8]) -> bool {
    base.get(..3).is_some_and(|start| start.eq_ignore_ascii_case(b".ht"))
}

/// Kind of a file.
pub(super) fn kind(meta: &FileStat) -> SFlag {
    SFlag::from_bits_truncate(meta.st_mode & SFlag::S_IFMT.bits())
}

/// Any of these permission bits set (thttpd looks at the world's bits, not at `access`).
pub(super) fn world(meta: &FileStat, bits: Mode) -> bool {
    Mode::from_bits_truncate(meta.st_mode).intersects(bits)
}

/// `name` as `--explain` shows it.
pub(super) fn shown(name: &[u8]) -> String {
    if name.is_empty() { "(the top)".to_owned() } else { String::from_utf8_lossy(name).into_owned() }
}
