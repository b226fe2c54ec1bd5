//! Versions of directories and files under which results of look-ups are valid.
//!
//! A look-up first takes a [`DirectoryCheck`] of its directory, before it reads anything there. Its result is
//! valid as long as the directory and the file are unchanged, and is cached with a [`Snapshot`] of both. A
//! snapshot is checked before each use. inotify tells whether anything has changed
//! ([`watcher`](super::watcher), one cheap read for a batch of requests). After a change, and where inotify
//! cannot tell, `stat` is called and compared. A new look-up is checked at its end, so that one check covers
//! all that it has read.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use super::watcher::{Freshness, WatchedPath, Watcher};
use crate::docroot::path::split;
use crate::docroot::{DirectoryRef, Links, View};
use crate::sys::stat::{FileStat, StatFields};

/// Maximum number of directories in the cache.
const MOST_DIRECTORIES: usize = 4096;

/// Minimum age of a directory's last change after which a further change must alter its times.
///
/// Two changes within one tick of the file system's clock, 1–10 ms, have the same time. Files have a rule of
/// their own, in `representation`.
const SETTLED: Duration = Duration::from_millis(50);

/// [`SETTLED`] for times without a fraction of a second.
const SETTLED_COARSE: Duration = Duration::from_millis(2100);

/// Maximum age of cached content. A store through a mapping of the file (mmap(2)) causes no event, and may
/// leave the file's times unchanged.
const READ_AGAIN_AFTER: Duration = Duration::from_secs(10);

/// Identity of one version of a file or directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Identity {
    device: u64,
    inode: u64,
    mode: u32,
    size: i64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Identity {
    fn from_stat(meta: &FileStat) -> Identity {
        Identity {
            device: meta.st_dev,
            inode: meta.inode(),
            mode: meta.st_mode,
            size: meta.bytes(),
            modified: meta.modified(),
            changed: meta.changed(),
        }
    }

    fn is_at(&self, view: &View<'_>, name: &[u8], links: Links) -> bool {
        view.stat_beneath(name, links).is_ok_and(|meta| Identity::from_stat(&meta) == *self)
    }

    /// Tells whether the last change is so old that a further change must alter the times.
    fn is_settled(&self, now: Duration) -> bool {
        let (seconds, nanos) = self.changed;
        let at = Duration::new(u64::try_from(seconds).unwrap_or(0), u32::try_from(nanos).unwrap_or(0));
        let quiet = if nanos == 0 { SETTLED_COARSE } else { SETTLED };
        now.checked_sub(at).is_some_and(|age| age > quiet)
    }
}

/// One version of a directory.
#[derive(Debug)]
struct DirectoryVersion {
    name: Box<[u8]>,
    /// Links allowed on the way to the directory and to its files.
    links: Links,
    identity: Identity,
    watched: Option<WatchedPath>,
    /// Set once the directory was seen without a password file, and without a link that could become one.
    unprotected: AtomicBool,
}

impl DirectoryVersion {
    /// Version of `dir`; `None` if it is missing, or has changed so recently that a further change could leave
    /// its times unchanged.
    fn at(view: &View<'_>, watcher: &Watcher, dir: &[u8], links: Links) -> Option<DirectoryVersion> {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).ok()?;
        let watched = watcher.watch(view, dir);
        let identity = Identity::from_stat(&view.stat_beneath(dir, links).ok()?);
        let unprotected = AtomicBool::new(false);
        identity.is_settled(now).then(|| DirectoryVersion {
            name: dir.into(),
            links,
            identity,
            watched,
            unprotected,
        })
    }

    /// Tells whether `dir` is open, and is this directory.
    fn is(&self, dir: &DirectoryRef<'_>) -> bool {
        dir.inode() == Ok(Some((self.identity.device, self.identity.inode)))
    }

    fn still_holds(&self, view: &View<'_>, watcher: &Watcher, freshness: &Freshness) -> bool {
        let is_on_disk = || self.identity.is_at(view, &self.name, self.links);
        watcher.holds(self.watched.as_ref(), freshness, is_on_disk)
    }
}

/// Version of a directory, taken before a look-up reads anything in it.
#[derive(Debug)]
pub struct DirectoryCheck {
    directory: Arc<DirectoryVersion>,
    watcher: Arc<Watcher>,
    /// Watches on the directory and those above it, as of that moment.
    watched: Option<WatchedPath>,
}

impl DirectoryCheck {
    /// Copies the check, for a second result that depends on it.
    pub fn duplicate(&self) -> DirectoryCheck {
        let watched = self.watched.as_ref().map(WatchedPath::duplicate);
        let (directory, watcher) = (Arc::clone(&self.directory), Arc::clone(&self.watcher));
        DirectoryCheck { directory, watcher, watched }
    }

    /// Tells whether inotify reports changes in the directory.
    pub fn is_watched(&self) -> bool {
        self.watched.is_some()
    }

    /// Tells whether there was no event in the directory since the check; false if it is not watched.
    pub fn still_holds(&self) -> bool {
        let is_untouched = |watched| self.watcher.is_untouched(watched, &Freshness::default());
        self.watched.as_ref().is_some_and(is_untouched)
    }

    /// Tells whether `dir` is the checked directory, and is known to have no password file.
    pub fn shows_unprotected(&self, dir: &[u8]) -> bool {
        *self.directory.name == *dir && self.directory.unprotected.load(Relaxed)
    }

    /// Records that no entry of the open directory `dir` has the name of a password file.
    pub fn note_unprotected(&self, dir: &DirectoryRef<'_>) {
        if *self.directory.name == *dir.name() && self.directory.is(dir) {
            self.directory.unprotected.store(true, Relaxed);
        }
    }

    /// Snapshot of the file `file_name` and its directory. `seen` is the file's `stat`, and `probe` the requested
    /// name, which may lead there by links.
    ///
    /// `None` if the file lies in another directory, or if `probe` leads to another file by now. Call this
    /// before opening the file: the file is watched from here on, so that no change while it is read is missed.
    /// [`Snapshot::is_of`] tells whether the opened file is the one in the snapshot.
    pub fn snapshot(
        &self,
        view: &View<'_>,
        file_name: &[u8],
        probe: &[u8],
        seen: &FileStat,
    ) -> Option<Snapshot> {
        if split(file_name).0 != &*self.directory.name {
            return None;
        }
        let file = Identity::from_stat(seen);
        // A requested name that differs from the file's own may lead there by links.
        let is_direct = probe == file_name;
        let links = match self.directory.links {
            Links::Refuse if !is_direct => Links::Within,
            links => links,
        };
        if !is_direct && !file.is_at(view, probe, links) {
            return None;
        }
        // Events of this directory do not report changes of a link on the way, or by another name of the same
        // file. Where links are not expanded, the name itself may be a link.
        let is_no_link = || links != Links::Follow || file.is_at(view, file_name, Links::Refuse);
        let shows_changes = is_direct && seen.st_nlink == 1 && is_no_link();
        let watched = self.watched.as_ref().filter(|_| shows_changes);
        let watched = watched.map(|watched| self.watcher.watch_file(view, probe, watched));
        let directory = Arc::clone(&self.directory);
        Some(Snapshot { probe: probe.into(), links, file, directory, watched, taken: Instant::now() })
    }
}

/// Version of a file and its directory under which a cached result is valid.
#[derive(Debug)]
pub struct Snapshot {
    probe: Box<[u8]>,
    /// Links allowed on the way to the file.
    links: Links,
    file: Identity,
    directory: Arc<DirectoryVersion>,
    watched: Option<WatchedPath>,
    taken: Instant,
}

impl Snapshot {
    /// Tells whether inotify reports changes of the file, and of the way to it.
    pub fn is_watched(&self) -> bool {
        self.watched.is_some()
    }

    /// Tells whether the `opened` file is that of the snapshot, and unchanged.
    pub fn is_of(&self, opened: &FileStat) -> bool {
        self.file == Identity::from_stat(opened)
    }

    /// Tells whether the file was in the open directory `dir`.
    pub fn was_in(&self, dir: &DirectoryRef<'_>) -> bool {
        self.directory.is(dir)
    }
}

/// Versions of the directories of one tree.
#[derive(Debug)]
pub struct DirectoryCache {
    /// [`Links::Refuse`] where names are expanded before they are looked up; [`Links::Follow`] with `-nos`.
    links: Links,
    watcher: Arc<Watcher>,
    /// Watched directories by name; others are looked up each time.
    known: Mutex<HashMap<Box<[u8]>, Arc<DirectoryVersion>>>,
}

impl DirectoryCache {
    /// Empty cache. `links` are those allowed in a name: [`Links::Refuse`], or [`Links::Follow`] with `-nos`.
    pub fn new(links: Links) -> DirectoryCache {
        DirectoryCache { links, watcher: Arc::default(), known: Mutex::default() }
    }

    /// Check of the directory `dir`, to be taken before anything in it is read; `None` if results from there
    /// cannot be cached.
    ///
    /// The version of a watched directory comes from this cache without a system call. So its validity must be
    /// checked afterwards: by [`DirectoryCheck::still_holds`], or by [`DirectoryCache::hold`] before each use.
    pub fn look(&self, view: &View<'_>, dir: &[u8]) -> Option<DirectoryCheck> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner).get(dir).map(Arc::clone);
        if let Some(directory) = known
            && let Some(watched) = self.watcher.last_known(directory.watched.as_ref()?)
        {
            let watcher = Arc::clone(&self.watcher);
            return Some(DirectoryCheck { directory, watcher, watched: Some(watched) });
        }
        let directory = Arc::new(DirectoryVersion::at(view, &self.watcher, dir, self.links)?);
        let watched = directory.watched.as_ref().map(WatchedPath::duplicate);
        if watched.is_some() {
            let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
            if known.len() >= MOST_DIRECTORIES {
                known.clear();
            }
            known.insert(dir.into(), Arc::clone(&directory));
        }
        Some(DirectoryCheck { directory, watcher: Arc::clone(&self.watcher), watched })
    }

    /// Tells whether there was no event in the `opened` directory since `check`.
    ///
    /// Unlike [`DirectoryCache::hold`], this covers all files of the directory.
    pub fn is_untouched(&self, check: &DirectoryCheck, opened: &FileStat, freshness: &Freshness) -> bool {
        let watched = check.watched.as_ref();
        check.directory.identity == Identity::from_stat(opened)
            && watched.is_some_and(|watched| self.watcher.is_untouched(watched, freshness))
    }

    /// Tells whether the file and the directory of `snapshot` are unchanged.
    pub fn hold(&self, snapshot: &Snapshot, view: &View<'_>, freshness: &Freshness) -> bool {
        let watcher = &*self.watcher;
        let is_on_disk = || {
            snapshot.taken.elapsed() < READ_AGAIN_AFTER
                && snapshot.file.is_at(view, &snapshot.probe, snapshot.links)
                && snapshot.directory.still_holds(view, watcher, freshness)
        };
        watcher.holds(snapshot.watched.as_ref(), freshness, is_on_disk)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::docroot::DocRoot;
    use crate::testing::TempTree;
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    /// A tree with a directory `d` that has not changed lately, and the check of a look-up in it.
    fn settled() -> (TempTree, DocRoot, DirectoryCache, DirectoryCheck) {
        let tree = TempTree::new();
        tree.file("d/a.txt", "a");
        let root = DocRoot::open(tree.path(), tree.path().as_os_str().as_encoded_bytes()).unwrap();
        let directories = DirectoryCache::new(Links::Refuse);
        let directory_check = loop {
            match directories.look(&View::anywhere(&root), b"d") {
                Some(directory_check) => break directory_check,
                None => std::thread::yield_now(),
            }
        };
        (tree, root, directories, directory_check)
    }

    fn opened(root: &DocRoot) -> FileStat {
        View::anywhere(root).stat(b"d/a.txt", Links::Refuse).unwrap()
    }

    #[test]
    fn a_directory_is_looked_at_once_until_it_changes() {
        let (tree, root, directories, directory_check) = settled();
        let again = directories.look(&View::anywhere(&root), b"d").unwrap();
        assert!(Arc::ptr_eq(&directory_check.directory, &again.directory));
        assert!(again.still_holds());
        fs::write(tree.path().join("d/b.txt"), "b").unwrap();
        assert!(!again.still_holds());
        let later = directories.look(&View::anywhere(&root), b"d");
        assert!(later.is_none_or(|later| !Arc::ptr_eq(&directory_check.directory, &later.directory)));
    }

    #[test]
    fn a_snapshot_holds_until_its_file_or_its_directory_changes() {
        let (tree, root, directories, directory_check) = settled();
        let snapshot = |directory_check: &DirectoryCheck| {
            directory_check.snapshot(&View::anywhere(&root), b"d/a.txt", b"d/a.txt", &opened(&root)).unwrap()
        };
        let of_file = snapshot(&directory_check);
        assert!(directories.hold(&of_file, &View::anywhere(&root), &Freshness::default()));
        fs::write(tree.path().join("d/a.txt"), "longer").unwrap();
        assert!(!directories.hold(&of_file, &View::anywhere(&root), &Freshness::default()));
        let of_directory = snapshot(&directory_check);
        fs::write(tree.path().join("d/.htpasswd"), "u:x").unwrap();
        assert!(!directories.hold(&of_directory, &View::anywhere(&root), &Freshness::default()));
    }

    /// Changes of the file `d/a.txt`, or of what has its name.
    fn changes() -> [fn(&std::path::Path); 5] {
        [
            |tree| fs::write(tree.join("d/a.txt"), "b").unwrap(),
            |tree| fs::set_permissions(tree.join("d/a.txt"), fs::Permissions::from_mode(0o600)).unwrap(),
            |tree| {
                fs::write(tree.join("other"), "b").unwrap();
                fs::rename(tree.join("other"), tree.join("d/a.txt")).unwrap();
            },
            |tree| {
                fs::hard_link(tree.join("d/a.txt"), tree.join("other")).unwrap();
                fs::write(tree.join("other"), "b").unwrap();
            },
            |tree| {
                fs::rename(tree.join("d"), tree.join("old")).unwrap();
                fs::create_dir(tree.join("d")).unwrap();
                fs::write(tree.join("d/a.txt"), "a").unwrap();
            },
        ]
    }

    #[test]
    fn a_change_before_the_file_is_opened_counts() {
        for change in changes() {
            let (tree, root, directories, directory_check) = settled();
            let view = View::anywhere(&root);
            let snapshot = directory_check.snapshot(&view, b"d/a.txt", b"d/a.txt", &opened(&root)).unwrap();
            change(tree.path());
            let is_same = snapshot.is_of(&opened(&root));
            assert!(!is_same || !directories.hold(&snapshot, &view, &Freshness::default()));
        }
    }

    #[test]
    fn a_change_after_the_file_was_opened_counts() {
        for change in changes() {
            let (tree, root, directories, directory_check) = settled();
            let view = View::anywhere(&root);
            let snapshot = directory_check.snapshot(&view, b"d/a.txt", b"d/a.txt", &opened(&root)).unwrap();
            assert!(snapshot.is_of(&opened(&root)));
            change(tree.path());
            assert!(!directories.hold(&snapshot, &view, &Freshness::default()));
        }
    }

    #[test]
    fn a_change_between_the_look_and_the_snapshot_counts() {
        let (tree, root, directories, directory_check) = settled();
        let before = opened(&root);
        fs::write(tree.path().join("d/a.txt"), "longer").unwrap();
        let snapshot =
            directory_check.snapshot(&View::anywhere(&root), b"d/a.txt", b"d/a.txt", &before).unwrap();
        assert!(!directories.hold(&snapshot, &View::anywhere(&root), &Freshness::default()));
    }

    #[test]
    fn a_directory_is_unprotected_once_that_was_seen_and_until_it_changes() {
        let (tree, root, directories, directory_check) = settled();
        fs::create_dir(tree.path().join("other")).unwrap();
        let view = View::anywhere(&root);
        let opened = |name| DirectoryRef::named(&view, name).open(Links::Refuse).unwrap();
        directory_check.note_unprotected(&opened(b"other"));
        directory_check.note_unprotected(&DirectoryRef::named(&view, b"d"));
        assert!(!directory_check.shows_unprotected(b"d"), "another one, and a mere name");
        directory_check.note_unprotected(&opened(b"d"));
        assert!(directory_check.shows_unprotected(b"d") && !directory_check.shows_unprotected(b"other"));
        fs::rename(tree.path().join("d"), tree.path().join("old")).unwrap();
        tree.file("d/a.txt", "a");
        assert!(!directory_check.still_holds());
        let later = loop {
            match directories.look(&view, b"d") {
                Some(directory_check) => break directory_check,
                None => std::thread::yield_now(),
            }
        };
        assert!(!later.shows_unprotected(b"d"));
        later.note_unprotected(&opened(b"old"));
        assert!(!later.shows_unprotected(b"d"), "another directory had that name");
    }
}
