//! State and questions that the checks of a look-up share.

use std::borrow::Cow;
use std::sync::Arc;

use nix::sys::stat::{Mode, SFlag};

use super::rule_context::RuleContext;
use super::{ResolveRequest, ThrottleName};
use crate::cache::DirectoryCheck;
use crate::docroot::DirectoryRef;
use crate::docroot::path::Expanded;
use crate::sys::stat::FileStat;

/// Directory of the password file for everything, with its links expanded; `None` without `-g`.
pub(super) type GlobalDirectory<'r> = Option<Cow<'r, [u8]>>;

/// State that a look-up carries from check to check.
pub(super) struct LookupContext<'r> {
    pub(super) query: &'r ResolveRequest<'r>,
    /// Mapped name, with links not expanded.
    pub(super) name: &'r [u8],
    pub(super) throttle_name: Arc<[u8]>,
    /// Check of the directory that the result depends on, made before anything in the directory was read.
    pub(super) directory_check: Option<DirectoryCheck>,
    pub(super) global: GlobalDirectory<'r>,
    /// The request's way through the rules, if there are any.
    pub(super) rule_context: Option<&'r RuleContext<'r>>,
}

impl<'r> LookupContext<'r> {
    /// Copy without what was known of the directory: the result of the look-up is not cached.
    pub(super) fn without_check(&self) -> LookupContext<'r> {
        let (throttle_name, global) = (Arc::clone(&self.throttle_name), self.global.clone());
        LookupContext { throttle_name, directory_check: None, global, ..*self }
    }
}

impl LookupContext<'_> {
    pub(super) fn throttle_name(&self) -> ThrottleName {
        ThrottleName::Found(Arc::clone(&self.throttle_name))
    }

    /// User accepted by the password file of a rule.
    pub(super) fn user(&self) -> Option<Box<[u8]>> {
        self.rule_context.and_then(RuleContext::user)
    }

    /// Key of the result in the cache.
    pub(super) fn key(&self) -> Vec<u8> {
        self.rule_context.map_or_else(|| self.name.to_vec(), |rule_context| rule_context.key(self.name))
    }
}

/// File that is to be served, if it may be.
pub(super) struct Candidate<'r> {
    /// Name before links were expanded: the requested name, or the directory's index file.
    pub(super) chosen: &'r [u8],
    pub(super) expanded: &'r Expanded,
    /// Result of `stat` for the name.
    pub(super) seen: &'r FileStat,
    /// Set if the file is the index file of the requested directory.
    pub(super) is_index: bool,
    /// Directory of the file, open unless it is known to have no password file.
    pub(super) dir: DirectoryRef<'r>,
    /// Set if credentials were demanded.
    pub(super) protected: bool,
}

/// Kind of a file.
pub(super) fn kind(meta: &FileStat) -> SFlag {
    SFlag::from_bits_truncate(meta.st_mode & SFlag::S_IFMT.bits())
}

/// Tells whether any of these permission bits is set.
///
/// Like thttpd, the server reads the bits for others instead of calling `access`.
pub(super) fn world(meta: &FileStat, bits: Mode) -> bool {
    Mode::from_bits_truncate(meta.st_mode).intersects(bits)
}

/// `name` as `--explain` shows it.
pub(super) fn shown(name: &[u8]) -> String {
    if name.is_empty() { "(the top)".to_owned() } else { String::from_utf8_lossy(name).into_owned() }
}
