//! Cache of look-ups: the result for a name, with the content of small files.
//!
//! An entry is valid as long as the disk agrees with its [`Snapshot`], which is checked before each use
//! ([`directories`]). The next request therefore sees every file that was replaced, truncated, deleted,
//! chmod-ed or given a password file.
//!
//! No other module knows how that is checked. Callers use [`Cache::lookup`] and [`Cache::insert`] with a
//! [`Freshness`], which a worker renews for each batch of requests.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::config::CacheLimits;
use crate::docroot::{Links, View};
use crate::representation::coding::Variant;
use crate::representation::{Content, Representation};
use crate::rules::{FileRules, OwnsResponseRules, ResponseRules};
use crate::sys::stat::fstat;

mod directories;
mod lists;
mod watcher;

use crate::sys::memory_limit::memory_limit;
use directories::DirectoryCache;
pub use directories::{DirectoryCheck, Snapshot};
use lists::ListCache;
pub use lists::{KeepList, ListKey, ListPage, ListQuery, MOST_SUBDIRECTORIES, Subdirectory};
pub use watcher::{Freshness, Ticket};

/// Number of shards, each with a lock of its own, so that workers seldom wait for one.
const SHARDS: usize = 16;

/// Maximum number of large files kept open; others are opened for each request.
const MOST_OPEN_FILES: usize = 256;

/// Maximum number of files kept open, if the process may have so many `descriptors`.
pub fn share_for_files(descriptors: usize) -> usize {
    MOST_OPEN_FILES.min(descriptors / 16)
}

/// Cached result of a look-up: a plain file.
#[derive(Debug)]
pub struct CacheEntry {
    /// Requested name with the virtual host's directory, and the scheme and host if rules depend on them.
    pub key: Box<[u8]>,
    /// Result of the rules, if there are any.
    pub file_rules: Option<Box<FileRules>>,
    /// Version of the file and its directory for which the entry is valid.
    pub snapshot: Snapshot,
    /// Directory of the `.htpasswd` that protects the file.
    pub auth_dir: Box<[u8]>,
    /// Set if there was a password file: credentials are checked for each request.
    pub protected: bool,
    /// Name for throttle patterns, as in `resource::Resolved`.
    pub throttle_name: Arc<[u8]>,
    /// Metadata of the file.
    pub representation: Arc<Representation>,
    /// Bytes of the file, or an open descriptor.
    pub content: Content,
    /// Precompressed forms of the file.
    pub variants: Box<[Variant]>,
    /// Versions of the files beside it for which `variants` is complete.
    pub siblings: Box<[Snapshot]>,
}

impl CacheEntry {
    /// Tells whether any client may have the file in each of its forms: no password file and no guard is asked.
    pub fn is_for_all(&self) -> bool {
        let has_guard = |rules: &FileRules| rules.has_restricted_form || !rules.covering.is_empty();
        let is_guarded = self.file_rules.as_deref().is_some_and(has_guard);
        !self.protected && !is_guarded && self.variants.iter().all(|variant| variant.covering.is_empty())
    }

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

    /// Tells whether an open file of the entry was deleted.
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
    /// Set by each use, cleared when the clock's hand passes.
    used: AtomicBool,
}

#[derive(Debug, Default)]
struct Shard {
    map: HashMap<Box<[u8]>, CacheSlot>,
    /// Keys in the order in which the clock's hand visits them.
    ring: VecDeque<Box<[u8]>>,
    bytes: usize,
}

/// Bounded map from names to results of look-ups, evicted by the clock algorithm.
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
    /// Empty cache; with a limit of zero entries, none is ever stored. `links` are those allowed in an expanded
    /// name.
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

    /// Check of the directory `dir`, to be taken before anything in it is read; `None` if results from there
    /// cannot be cached.
    pub fn check_directory(&self, view: &View<'_>, dir: &[u8]) -> Option<DirectoryCheck> {
        if self.entries_per_shard == 0 {
            return None;
        }
        self.directories.look(view, dir)
    }

    /// Cached result for `name`, if it is still valid.
    pub fn lookup(&self, name: &[u8], view: &View<'_>, freshness: &Freshness) -> Option<Arc<CacheEntry>> {
        let entry = {
            let shard = self.shard(name);
            let slot = shard.map.get(name)?;
            slot.used.store(true, Relaxed);
            Arc::clone(&slot.entry)
        };
        if self.holds(&entry, view, freshness) {
            return Some(entry);
        }
        if view.has_crossed() {
            // A name that leads out of the view does not tell whether the entry is valid.
            return None;
        }
        self.forget(&mut self.shard(name), name);
        None
    }

    /// Tells whether the disk still agrees with `entry`.
    pub fn holds(&self, entry: &CacheEntry, view: &View<'_>, freshness: &Freshness) -> bool {
        let mut snapshots = std::iter::once(&entry.snapshot).chain(&entry.siblings);
        snapshots.all(|snapshot| self.directories.hold(snapshot, view, freshness))
    }

    /// Cached list of a directory, if it is still valid.
    pub fn list(&self, query: &ListQuery<'_>) -> Option<ListPage> {
        self.lists.find(query, &self.directories)
    }

    /// Tells whether a list of `dir` is cached in any form, valid or not.
    pub fn may_have_list(&self, dir: &[u8]) -> bool {
        self.lists.has_any_of(dir)
    }

    /// Place in the cache for a list that is made after `check`; `None` if inotify would not report its changes.
    pub fn keep_list(&self, key: ListKey, check: &DirectoryCheck) -> Option<KeepList> {
        check.is_watched().then(|| KeepList { lists: Arc::clone(&self.lists), key, check: check.duplicate() })
    }

    /// Stores a result, and evicts others to stay within the limits.
    pub fn insert(&self, entry: CacheEntry) {
        if self.entries_per_shard == 0 || entry.bytes() > self.bytes_per_shard {
            return;
        }
        let mut shard = self.shard(&entry.key);
        self.forget(&mut shard, &entry.key);
        // Only open files of this shard are evicted; [`Cache::tidy`] closes deleted ones of all shards.
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

    /// Evicts one entry of the `wanted` kind that was not used since the clock's hand last passed; false if there
    /// is none of that kind.
    fn evict_one(&self, shard: &mut Shard, wanted: &dyn Fn(&CacheEntry) -> bool) -> bool {
        // The first round clears all marks of use, so that the second one finds an entry.
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

    /// Size of the content in memory, in bytes.
    pub fn bytes(&self) -> usize {
        self.shards.iter().map(|shard| locked(shard).bytes).sum()
    }

    /// Closes cached files that were deleted, since the disk keeps their bytes as long as they are open.
    ///
    /// Without this they would stay open until a request for their name.
    pub fn tidy(&self) {
        self.lists.tidy();
        for shard in &self.shards {
            // No lock is held during system calls on the disk.
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
        // Clients that choose names of one shard can only evict other entries of that shard.
        let sum = name.iter().fold(name.len(), |sum, &byte| sum.wrapping_mul(31).wrapping_add(byte.into()));
        let at = (sum ^ sum >> 7) % SHARDS;
        locked(&self.shards[at])
    }
}

/// Locks a shard. A panic under the lock leaves at worst a wrong byte count.
fn locked(shard: &Mutex<Shard>) -> MutexGuard<'_, Shard> {
    shard.lock().unwrap_or_else(PoisonError::into_inner)
}
