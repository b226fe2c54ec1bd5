//! Cache of look-ups: the outcome for a name, and small files' content.
//!
//! An entry is used as long as the disk is as its [`Snapshot`] has it, which is checked each time
//! ([`directories`]). A file replaced, cut, deleted, chmod-ed or given a password file therefore answers
//! rightly on the very next request.
//!
//! How that is checked is known here alone. The surface is [`Cache::lookup`] and [`Cache::insert`] with a
//! [`Freshness`], which a worker expires when other requests are at hand.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use nix::sys::stat::fstat;

use crate::config::CacheLimits;
use crate::docroot::{Links, View};
use crate::representation::coding::Variant;
use crate::representation::{Content, Representation};
use crate::rules::{FileRules, OwnsResponseRules, ResponseRules};

mod directories;
mod lists;
mod watcher;

use crate::sys::memory_limit::memory_limit;
use directories::DirectoryCache;
pub use directories::{DirectoryCheck, Snapshot};
use lists::ListCache;
pub use lists::{KeepList, ListKey, ListPage, ListQuery, MOST_SUBDIRECTORIES, Subdirectory};
pub use watcher::{Freshness, Ticket};

/// Locks are per shard, so that workers seldom meet.
const SHARDS: usize = 16;

/// Descriptors of large files kept open at most: the rest are opened anew each time.
const MOST_OPEN_FILES: usize = 256;

/// How many of `descriptors`, all that the process may have, are for files kept open.
pub fn share_for_files(descriptors: usize) -> usize {
    MOST_OPEN_FILES.min(descriptors / 16)
}

/// One remembered outcome: a plain file.
#[derive(Debug)]
pub struct CacheEntry {
    /// The mapped name, as asked, and what of its site rules tell apart.
    pub key: Box<[u8]>,
    /// Result of the rules, if there are any.
    pub file_rules: Option<Box<FileRules>>,
    /// When this holds.
    pub snapshot: Snapshot,
    /// Directory of the `.htpasswd` that protects the file.
    pub auth_dir: Box<[u8]>,
    /// A password file was there: credentials are checked on every request.
    pub protected: bool,
    /// Name for throttle patterns, as in `resource::Resolved`.
    pub throttle_name: Arc<[u8]>,
    /// Metadata.
    pub representation: Arc<Representation>,
    /// Bytes, or where they are.
    pub content: Content,
    /// Other forms of the file, compressed beforehand.
    pub variants: Box<[Variant]>,
    /// When it holds that these are all of them.
    pub siblings: Box<[Snapshot]>,
}

impl CacheEntry {
    fn contents(&self) -> impl Iterator<Item = &Content> {
        std::iter::once(&self.content).chain(self.variants.iter().map(|variant| &variant.content))
    }

    fn bytes(&self) -> usize {
        let bytes = |content: &Content| match content {
            Content::Memory(bytes) => bytes.len(),
            Content::File(_) => 0,
        };
        self.contents().map(bytes).sum()
    }

    fn open_files(&self) -> usize {
        self.contents().filter(|content| matches!(content, Content::File(_))).count()
    }

    fn is_open_file(&self) -> bool {
        self.open_files() > 0
    }

    /// Open files, one of which has no name any more.
    fn is_deleted(&self) -> bool {
        self.contents().any(|content| match content {
            Content::File(file) => {
                file.file().is_some_and(|file| fstat(file).is_ok_and(|meta| meta.st_nlink == 0))
            }
            Content::Memory(_) => false,
        })
    }
}

impl OwnsResponseRules for CacheEntry {
    fn response_rules(&self) -> &ResponseRules {
        let rules = self.file_rules.as_ref().and_then(|file_rules| file_rules.response_rules.as_deref());
        rules.unwrap_or(ResponseRules::none())
    }
}

#[derive(Debug)]
struct CacheSlot {
    entry: Arc<CacheEntry>,
    /// Used since the clock's hand last passed.
    used: AtomicBool,
}

#[derive(Debug, Default)]
struct Shard {
    map: HashMap<Box<[u8]>, CacheSlot>,
    /// Keys in the order in which the clock's hand visits them.
    ring: VecDeque<Box<[u8]>>,
    bytes: usize,
}

/// A bounded map from names to outcomes, evicted by the clock algorithm.
#[derive(Debug)]
pub struct Cache {
    shards: Vec<Mutex<Shard>>,
    entries_per_shard: usize,
    bytes_per_shard: usize,
    open_files: AtomicUsize,
    most_open_files: usize,
    directories: DirectoryCache,
    lists: Arc<ListCache>,
}

impl Cache {
    /// An empty cache. Zero entries = nothing is ever remembered. `links`: those that a name may hold once
    /// it was expanded.
    pub fn new(limits: CacheLimits, links: Links) -> Cache {
        Cache {
            shards: (0..SHARDS).map(|_| Mutex::default()).collect(),
            entries_per_shard: limits.entries.div_ceil(SHARDS),
            bytes_per_shard: limits.bytes.min(memory_limit().map_or(usize::MAX, |limit| limit / 4)) / SHARDS,
            open_files: AtomicUsize::new(0),
            most_open_files: share_for_files(crate::sys::fd::limit()),
            directories: DirectoryCache::new(links),
            lists: Arc::default(),
        }
    }

    /// Looks at the directory `dir` before anything in it is looked at; none when what is found there
    /// cannot be remembered.
    pub fn check_directory(&self, view: &View<'_>, dir: &[u8]) -> Option<DirectoryCheck> {
        if self.entries_per_shard == 0 {
            return None;
        }
        self.directories.look(view, dir)
    }

    /// Outcome for `name`, if one is remembered and the disk still agrees with it.
    pub fn lookup(&self, name: &[u8], view: &View<'_>, freshness: &Freshness) -> Option<Arc<CacheEntry>> {
        let entry = {
            let shard = self.shard(name);
            let slot = shard.map.get(name)?;
            slot.used.store(true, Relaxed);
            Arc::clone(&slot.entry)
        };
        let mut snapshots = std::iter::once(&entry.snapshot).chain(&entry.siblings);
        if snapshots.all(|snapshot| self.directories.hold(snapshot, view, freshness)) {
            return Some(entry);
        }
        if view.has_crossed() {
            // Nothing was learned of it.
            return None;
        }
        self.forget(&mut self.shard(name), name);
        None
    }

    /// The page that lists a directory, if one is kept and still holds.
    pub fn list(&self, query: &ListQuery<'_>) -> Option<ListPage> {
        self.lists.find(query, &self.directories)
    }

    /// Tells whether a list of `dir` is cached in any form, valid or not.
    pub fn may_have_list(&self, dir: &[u8]) -> bool {
        self.lists.has_any_of(dir)
    }

    /// The right to keep a page that is made from what is found after `check`; none where changes show in
    /// no event.
    pub fn keep_list(&self, key: ListKey, check: &DirectoryCheck) -> Option<KeepList> {
        check.is_watched().then(|| KeepList { lists: Arc::clone(&self.lists), key, check: check.again() })
    }

    /// Remembers an outcome, forgetting others as the bounds ask.
    pub fn insert(&self, entry: CacheEntry) {
        if self.entries_per_shard == 0 || entry.bytes() > self.bytes_per_shard {
            return;
        }
        let mut shard = self.shard(&entry.key);
        self.forget(&mut shard, &entry.key);
        // Another shard's open files are left for it to give up, and for [`Cache::tidy`].
        let is_full = || entry.is_open_file() && self.open_files.load(Relaxed) >= self.most_open_files;
        if is_full() && !self.evict_one(&mut shard, &CacheEntry::is_open_file) {
            return;
        }
        while shard.map.len() >= self.entries_per_shard || shard.bytes + entry.bytes() > self.bytes_per_shard
        {
            if !self.evict_one(&mut shard, &|_| true) {
                break;
            }
        }
        shard.bytes += entry.bytes();
        self.open_files.fetch_add(entry.open_files(), Relaxed);
        shard.ring.push_back(entry.key.clone());
        shard
            .map
            .insert(entry.key.clone(), CacheSlot { entry: Arc::new(entry), used: AtomicBool::new(false) });
    }

    /// Moves the clock's hand until something unused of the `wanted` kind falls out; false when there is
    /// nothing of that kind.
    fn evict_one(&self, shard: &mut Shard, wanted: &dyn Fn(&CacheEntry) -> bool) -> bool {
        // The second time round, nothing has been used since.
        for _ in 0..2 * shard.ring.len() {
            let Some(key) = shard.ring.pop_front() else { break };
            match shard.map.get(&key) {
                None => {}
                Some(slot) if !wanted(&slot.entry) || slot.used.swap(false, Relaxed) => {
                    shard.ring.push_back(key);
                }
                Some(_) => {
                    self.drop_entry(shard, &key);
                    return true;
                }
            }
        }
        false
    }

    /// Bytes of content held in memory now.
    pub fn bytes(&self) -> usize {
        self.shards.iter().map(|shard| locked(shard).bytes).sum()
    }

    /// Gives up files that have been deleted: no request may come for their names again, and the disk keeps
    /// their bytes as long as they are open.
    pub fn tidy(&self) {
        self.lists.tidy();
        for shard in &self.shards {
            // The disk is asked with nothing locked.
            let open = |slot: &CacheSlot| slot.entry.is_open_file().then(|| Arc::clone(&slot.entry));
            let open: Vec<Arc<CacheEntry>> = locked(shard).map.values().filter_map(open).collect();
            for entry in open.iter().filter(|entry| entry.is_deleted()) {
                let mut shard = locked(shard);
                if shard.map.get(&entry.key).is_some_and(|slot| Arc::ptr_eq(&slot.entry, entry)) {
                    self.forget(&mut shard, &entry.key);
                }
            }
        }
    }

    fn forget(&self, shard: &mut Shard, name: &[u8]) {
        if self.drop_entry(shard, name) {
            shard.ring.retain(|key| &**key != name);
        }
    }

    fn drop_entry(&self, shard: &mut Shard, name: &[u8]) -> bool {
        let Some(slot) = shard.map.remove(name) else { return false };
        shard.bytes -= slot.entry.bytes();
        self.open_files.fetch_sub(slot.entry.open_files(), Relaxed);
        true
    }

    fn shard(&self, name: &[u8]) -> MutexGuard<'_, Shard> {
        // A client that piles names up in one shard can do no more than push out its other entries.
        let sum = name.iter().fold(name.len(), |sum, &byte| sum.wrapping_mul(31).wrapping_add(byte.into()));
        let at = (sum ^ sum >> 7) % SHARDS;
        locked(&self.shards[at])
    }
}

/// A panic elsewhere while a shard was locked leaves at worst a wrong byte count.
fn locked(shard: &Mutex<Shard>) -> MutexGuard<'_, Shard> {
    shard.lock().unwrap_or_else(PoisonError::into_inner)
}
