//! Precompressed files beside one file, and the forms in which that file can be sent.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};

use crate::cache::{CacheEntry, Snapshot};
use crate::representation::coding::{Coding, Variant};
use crate::representation::{Content, FileFacts, Representation};
use crate::sys::stat::FileStat;

/// Maximum number of reported files in memory; a full set is emptied.
const MOST_REPORTED: usize = 4096;

/// Ignored files that were reported in the log, by version.
#[derive(Debug, Default)]
pub(super) struct Reported(Mutex<HashSet<FileFacts>>);

impl Reported {
    /// Adds a version; `true` if it was not reported before.
    pub(super) fn insert(&self, version: FileFacts) -> bool {
        let mut reported = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if reported.len() >= MOST_REPORTED {
            reported.clear();
        }
        reported.insert(version)
    }
}

/// Precompressed files beside one file.
#[derive(Debug, Default)]
pub(super) struct Siblings {
    /// Files that may be sent in place of the plain one.
    pub variants: Vec<Variant>,
    /// Snapshots that must still hold, one for each existing file.
    pub snapshots: Vec<Snapshot>,
    /// Set if changes cannot be detected cheaply, so that the result must not be cached.
    pub volatile: bool,
}

/// Plain file with its precompressed forms.
pub(super) struct Forms<'f> {
    pub(super) representation: &'f Arc<Representation>,
    pub(super) content: &'f Content,
    /// Precompressed forms.
    pub(super) variants: &'f [Variant],
}

impl<'f> Forms<'f> {
    /// Forms of a cached file.
    pub(super) fn from_entry(entry: &'f CacheEntry) -> Forms<'f> {
        Forms { representation: &entry.representation, content: &entry.content, variants: &entry.variants }
    }
}

/// Candidate for a precompressed form.
pub(super) struct Sibling<'r> {
    pub(super) coding: Coding,
    /// Name with links not expanded.
    pub(super) name: &'r [u8],
    /// Name with links expanded.
    pub(super) file: &'r [u8],
    /// Result of `stat` for the name.
    pub(super) seen: &'r FileStat,
    /// Facts of the plain file.
    pub(super) plain: &'r FileFacts,
}
