//! Cache of long directory lists, valid while nothing in the directory has changed.
//!
//! A list shows the `stat` of every entry, so that the directory's own times do not tell whether it is valid.
//! inotify does ([`watcher`](super::watcher)): a list is cached only if each change to its content causes an
//! event. The times of subdirectories change without an event, so these are compared each time.

use std::ffi::CString;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::directories::{DirectoryCache, DirectoryCheck};
use super::watcher::Freshness;
use crate::docroot::path::join;
use crate::docroot::{Links, View};
use crate::request::list_view::ListView;
use crate::sys::memory::{LISTING_MEMORY, MemoryReservation};
use crate::sys::stat::FileStat;

/// Minimum size of a cached page in bytes; a shorter one is cheap to make.
const LEAST_PAGE: usize = 64 * 1024;

/// Maximum age of a cached list.
///
/// A store through a mapping of a file (mmap(2)) causes no event, nor does a second hard link made elsewhere, or
/// a write through it.
const MADE_AGAIN_AFTER: Duration = Duration::from_secs(1);

/// Maximum number of subdirectories of a cached list, as each costs a `stat` per request.
pub const MOST_SUBDIRECTORIES: usize = 64;

/// Cache key of a list: everything that the page depends on, except the disk.
#[derive(Debug, PartialEq, Eq)]
pub struct ListKey {
    /// Name of the directory relative to the root, links expanded.
    pub dir: Box<[u8]>,
    /// Path of the directory in the URL, for the page's title.
    pub url_path: Box<[u8]>,
    /// Style and order.
    pub view: ListView,
    /// Foot of the page, if a rule sets one.
    pub signature: Option<Box<str>>,
    /// Text below the list.
    pub readme: Option<Arc<[u8]>>,
}

/// Look-up of a cached list.
#[derive(Debug)]
pub struct ListQuery<'a> {
    /// Key of the list.
    pub key: &'a ListKey,
    /// `fstat` of the open directory.
    pub opened: &'a FileStat,
    /// View of the tree.
    pub view: &'a View<'a>,
    /// Freshness for the request.
    pub freshness: &'a Freshness,
}

/// Page of a list, shared by its readers, with the reservation for its memory.
#[derive(Debug, Clone)]
pub struct ListPage {
    /// Bytes of the page.
    pub bytes: Arc<[u8]>,
    /// Reservation in [`LISTING_MEMORY`].
    pub held: Arc<MemoryReservation>,
}

/// Maximum size of all cached pages together, in bytes.
fn most_bytes() -> usize {
    LISTING_MEMORY.most() / 4
}

/// Subdirectory in a list.
#[derive(Debug)]
pub struct Subdirectory {
    /// Name in the listed directory.
    pub name: CString,
    /// Result of `stat` when the list was made.
    pub seen: FileStat,
}

impl Subdirectory {
    fn is_as_seen(&self, view: &View<'_>, dir: &[u8]) -> bool {
        let facts = |meta: &FileStat| {
            (meta.st_ino, meta.st_mode, meta.st_nlink, meta.st_size, meta.st_mtime, meta.st_mtime_nsec)
        };
        let now = view.stat_beneath(&join(dir, self.name.to_bytes()), Links::Refuse);
        now.is_ok_and(|now| facts(&now) == facts(&self.seen))
    }
}

#[derive(Debug)]
struct KeptList {
    key: ListKey,
    check: DirectoryCheck,
    subdirectories: Vec<Subdirectory>,
    page: ListPage,
    made: Instant,
}

/// Cached lists of one tree, the oldest first.
#[derive(Debug, Default)]
pub struct ListCache(Mutex<Vec<Arc<KeptList>>>);

/// Place in the cache for a list that is about to be made.
#[derive(Debug)]
pub struct KeepList {
    pub(super) lists: Arc<ListCache>,
    pub(super) key: ListKey,
    pub(super) check: DirectoryCheck,
}

impl KeepList {
    /// Tells whether a page of so many bytes is cached: neither too small to pay, nor too large.
    pub fn has_room_for(&self, bytes: usize) -> bool {
        (LEAST_PAGE..=most_bytes()).contains(&bytes)
    }

    /// Caches `page`, and drops the oldest lists to make room.
    pub fn keep(self, page: &ListPage, subdirectories: Vec<Subdirectory>) {
        let (len, most) = (page.bytes.len(), most_bytes());
        let KeepList { lists, key, check } = self;
        let mut lists = lists.locked();
        lists.retain(|kept| kept.key != key);
        while lists.iter().map(|kept| kept.page.bytes.len()).sum::<usize>() + len > most {
            lists.remove(0);
        }
        lists.push(Arc::new(KeptList {
            key,
            check,
            subdirectories,
            page: page.clone(),
            made: Instant::now(),
        }));
    }
}

impl ListCache {
    /// Cached page for `query`, if it is still valid. No lock is held while the disk is read.
    pub(super) fn find(&self, query: &ListQuery<'_>, directories: &DirectoryCache) -> Option<ListPage> {
        let ListQuery { key, opened, view, freshness } = *query;
        let kept = self.locked().iter().find(|kept| kept.key == *key).map(Arc::clone)?;
        let holds = kept.made.elapsed() < MADE_AGAIN_AFTER
            && directories.is_untouched(&kept.check, opened, freshness)
            && kept.subdirectories.iter().all(|subdirectory| subdirectory.is_as_seen(view, &key.dir));
        holds.then(|| kept.page.clone())
    }

    /// Tells whether a list of `dir` is cached, valid or not.
    pub(super) fn has_any_of(&self, dir: &[u8]) -> bool {
        self.locked().iter().any(|kept| *kept.key.dir == *dir)
    }

    /// Drops lists that are too old to be used.
    pub(super) fn tidy(&self) {
        self.locked().retain(|kept| kept.made.elapsed() < MADE_AGAIN_AFTER);
    }

    fn locked(&self) -> MutexGuard<'_, Vec<Arc<KeptList>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
