//! Pages that list a directory, kept for further requests while nothing in it has changed.
//!
//! A list shows what `stat` says of every name, so the directory's own times do not tell whether it still
//! holds. The kernel does ([`watcher`](super::watcher)): a list is kept only where each change to what it
//! shows is an event, and the few subdirectories, whose times change without one, are looked at each time.

use std::ffi::CString;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use nix::sys::stat::FileStat;

use super::directories::{DirectoryCache, DirectoryCheck};
use super::watcher::Freshness;
use crate::docroot::path::join;
use crate::docroot::{Links, View};
use crate::request::list_view::ListView;
use crate::sys::memory::{LISTING_MEMORY, MemoryReservation};

/// Pages below this many bytes are made anew: that costs little.
const LEAST_PAGE: usize = 64 * 1024;

/// A list is made anew after this long: a store through a mapping of a file is no event, nor is a second
/// hard link that is made elsewhere, or what is written through that.
const MADE_AGAIN_AFTER: Duration = Duration::from_secs(1);

/// Subdirectories of a list that is kept, at most: each costs a look.
pub const MOST_SUBDIRECTORIES: usize = 64;

/// Everything that a page depends on but the disk.
#[derive(Debug, PartialEq, Eq)]
pub struct ListKey {
    /// The directory, relative to the root, links expanded.
    pub dir: Box<[u8]>,
    /// Its path as the client gave it, which the page's title shows.
    pub url_path: Box<[u8]>,
    /// Style and order.
    pub view: ListView,
    /// Foot of the page, where a rule has one.
    pub signature: Option<Box<str>>,
    /// Text below the list.
    pub readme: Option<Arc<[u8]>>,
}

/// A list that a request asks for.
#[derive(Debug)]
pub struct ListQuery<'a> {
    /// Facts and settings that the page depends on.
    pub key: &'a ListKey,
    /// The directory, which is open.
    pub opened: &'a FileStat,
    /// The tree.
    pub view: &'a View<'a>,
    /// Whether the kernel was asked for changes.
    pub freshness: &'a Freshness,
}

/// The bytes of a page, and the memory that they are counted in, which their readers share.
#[derive(Debug, Clone)]
pub struct ListPage {
    /// The page.
    pub bytes: Arc<[u8]>,
    /// Its share of [`LISTING_MEMORY`].
    pub held: Arc<MemoryReservation>,
}

/// Bytes of all kept pages together, at most.
fn most_bytes() -> usize {
    LISTING_MEMORY.most() / 4
}

/// A subdirectory as a list shows it.
#[derive(Debug)]
pub struct Subdirectory {
    /// Its name.
    pub name: CString,
    /// The outcome of `stat`.
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

/// The lists of one tree.
#[derive(Debug, Default)]
pub struct ListCache(Mutex<Vec<Arc<KeptList>>>);

/// The right to keep a list that is about to be made.
#[derive(Debug)]
pub struct KeepList {
    pub(super) lists: Arc<ListCache>,
    pub(super) key: ListKey,
    pub(super) check: DirectoryCheck,
}

impl KeepList {
    /// Is a page of so many bytes kept? Small ones are not worth it.
    pub fn has_room_for(&self, bytes: usize) -> bool {
        (LEAST_PAGE..=most_bytes()).contains(&bytes)
    }

    /// Keeps `page`, for which there is room once the oldest lists are gone.
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
    /// The page for `query`, if one is kept and nothing that it shows has changed. The disk is asked with
    /// nothing locked.
    pub(super) fn find(&self, query: &ListQuery<'_>, directories: &DirectoryCache) -> Option<ListPage> {
        let ListQuery { key, opened, view, freshness } = *query;
        let kept = self.locked().iter().find(|kept| kept.key == *key).map(Arc::clone)?;
        let holds = kept.made.elapsed() < MADE_AGAIN_AFTER
            && directories.is_untouched(&kept.check, opened, freshness)
            && kept.subdirectories.iter().all(|subdirectory| subdirectory.is_as_seen(view, &key.dir));
        holds.then(|| kept.page.clone())
    }

    /// Tells whether a list of `dir` is kept, valid or not.
    pub(super) fn has_any_of(&self, dir: &[u8]) -> bool {
        self.locked().iter().any(|kept| *kept.key.dir == *dir)
    }

    /// Forgets lists that are too old to be used.
    pub(super) fn tidy(&self) {
        self.locked().retain(|kept| kept.made.elapsed() < MADE_AGAIN_AFTER);
    }

    fn locked(&self) -> MutexGuard<'_, Vec<Arc<KeptList>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
