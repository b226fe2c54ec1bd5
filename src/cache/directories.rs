//! Directories as they were when they were looked at, remembered for all that lies in them.
//!
//! A look-up begins on a [`DirectoryCheck`]: its directory, before anything in it was looked at. What is found
//! from there on holds as long as that directory does, and is kept as a [`Snapshot`]. Nothing is
//! believed without asking: the kernel tells whether anything has changed ([`watcher`](super::watcher),
//! one cheap read for a batch of requests); if so, or where that cannot be told, `stat` is asked and
//! compared. The question is asked last, when all has been read: one answer then covers the whole look-up.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use nix::sys::stat::FileStat;

use super::watcher::{Freshness, WatchedPath, Watcher};
use crate::docroot::path::split;
use crate::docroot::{DirectoryRef, Links, View};

/// Directories remembered at most.
const MOST_DIRECTORIES: usize = 4096;

/// A change within one tick of the file system's clock leaves the times as they were: a directory
/// that changed more recently than this could change again unseen. (Kernel clocks tick in 1–10 ms;
/// files have a rule of their own, in `representation`.)
const SETTLED: Duration = Duration::from_millis(50);

/// Age at which a change shows where times carry no fraction of a second.
const SETTLED_COARSE: Duration = Duration::from_millis(2100);

/// Longest use of content that was read: a store through a mapping of the file is no event, and may leave
/// its times as they were.
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
    fn of(meta: &FileStat) -> Identity {
        Identity {
            device: meta.st_dev,
            inode: meta.st_ino,
            mode: meta.st_mode,
            size: meta.st_size,
            modified: (meta.st_mtime, meta.st_mtime_nsec),
            changed: (meta.st_ctime, meta.st_ctime_nsec),
        }
    }

    fn is_at(&self, view: &View<'_>, name: &[u8], links: Links) -> bool {
        view.stat_beneath(name, links).is_ok_and(|meta| Identity::of(&meta) == *self)
    }

    /// Old enough that any later change must show in its times.
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
    /// The directory was seen to hold no password file, nor a link that could become one.
    unprotected: AtomicBool,
}

impl DirectoryVersion {
    /// Looks at `dir`; none when it is missing, or changed so lately that its next change might not show.
    fn at(view: &View<'_>, watcher: &Watcher, dir: &[u8], links: Links) -> Option<DirectoryVersion> {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).ok()?;
        let watched = watcher.watch(view, dir);
        let identity = Identity::of(&view.stat_beneath(dir, links).ok()?);
        let unprotected = AtomicBool::new(false);
        identity.is_settled(now).then(|| DirectoryVersion {
            name: dir.into(),
            links,
            identity,
            watched,
            unprotected,
        })
    }

    /// Tells whether `dir` is open and this directory.
    fn is(&self, dir: &DirectoryRef<'_>) -> bool {
        dir.inode() == Ok(Some((self.identity.device, self.identity.inode)))
    }

    fn still_holds(&self, view: &View<'_>, watcher: &Watcher, freshness: &Freshness) -> bool {
        let is_on_disk = || self.identity.is_at(view, &self.name, self.links);
        watcher.holds(self.watched.as_ref(), freshness, is_on_disk)
    }
}

/// A directory as a look-up found it, before it looked at anything in it.
#[derive(Debug)]
pub struct DirectoryCheck {
    directory: Arc<DirectoryVersion>,
    watcher: Arc<Watcher>,
    /// Watched directories, as they were then.
    watched: Option<WatchedPath>,
}

impl DirectoryCheck {
    /// Copies the check, for a second outcome that depends on it.
    pub fn again(&self) -> DirectoryCheck {
        let watched = self.watched.as_ref().map(WatchedPath::again);
        let (directory, watcher) = (Arc::clone(&self.directory), Arc::clone(&self.watcher));
        DirectoryCheck { directory, watcher, watched }
    }

    /// Does the kernel tell of changes in the directory?
    pub fn is_watched(&self) -> bool {
        self.watched.is_some()
    }

    /// Tells whether nothing at all has happened in the directory since the check; false if it is not watched.
    pub fn still_holds(&self) -> bool {
        let is_untouched = |watched| self.watcher.is_untouched(watched, &Freshness::default());
        self.watched.as_ref().is_some_and(is_untouched)
    }

    /// True if `dir`, which may be another directory, is known to ask for no password.
    pub fn shows_unprotected(&self, dir: &[u8]) -> bool {
        *self.directory.name == *dir && self.directory.unprotected.load(Relaxed)
    }

    /// Remembers that no entry of the open directory `dir` has the name of a password file.
    pub fn note_unprotected(&self, dir: &DirectoryRef<'_>) {
        if *self.directory.name == *dir.name() && self.directory.is(dir) {
            self.directory.unprotected.store(true, Relaxed);
        }
    }

    /// Adds the file `file_name`, reached as `probe` (links followed: the name as asked), which was `seen`;
    /// none when it lives in another directory than this, or is another file by now.
    ///
    /// Call it before the file is opened: the file is watched from here on, and need not be looked at again
    /// once it was read. [`Snapshot::is_of`] tells whether the file that was seen is the one that was opened.
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
        let file = Identity::of(seen);
        // The name as asked may go by links; if it does not, this look has just shown where it leads.
        let is_direct = probe == file_name;
        let links = match self.directory.links {
            Links::Refuse if !is_direct => Links::Within,
            links => links,
        };
        if !is_direct && !file.is_at(view, probe, links) {
            return None;
        }
        // A link on the way, or another name of the same file, may change unseen by this directory. (Where
        // links are not looked for, the name itself may be one.)
        let is_no_link = || links != Links::Follow || file.is_at(view, file_name, Links::Refuse);
        let shows_changes = is_direct && seen.st_nlink == 1 && is_no_link();
        let watched = self.watched.as_ref().filter(|_| shows_changes);
        let watched = watched.map(|watched| self.watcher.watch_file(view, probe, watched));
        let directory = Arc::clone(&self.directory);
        Some(Snapshot { probe: probe.into(), links, file, directory, watched, taken: Instant::now() })
    }
}

/// The state of the disk under which an outcome holds.
#[derive(Debug)]
pub struct Snapshot {
    probe: Box<[u8]>,
    /// Links allowed on its way.
    links: Links,
    file: Identity,
    directory: Arc<DirectoryVersion>,
    watched: Option<WatchedPath>,
    taken: Instant,
}

impl Snapshot {
    /// Tells whether the kernel reports changes of the file, and of the way to it.
    pub fn is_watched(&self) -> bool {
        self.watched.is_some()
    }

    /// Tells whether the `opened` file is the one that was seen, and has not changed since.
    pub fn is_of(&self, opened: &FileStat) -> bool {
        self.file == Identity::of(opened)
    }

    /// Tells whether the file was in the open directory `dir`.
    pub fn was_in(&self, dir: &DirectoryRef<'_>) -> bool {
        self.directory.is(dir)
    }
}

/// The directories of one tree.
#[derive(Debug)]
pub struct DirectoryCache {
    /// [`Links::Refuse`] where names are expanded before they are looked up; [`Links::Follow`] with `-nos`.
    links: Links,
    watcher: Arc<Watcher>,
    /// Directories that are watched: the others have to be looked at each time.
    known: Mutex<HashMap<Box<[u8]>, Arc<DirectoryVersion>>>,
}

impl DirectoryCache {
    /// None yet; `links` as there.
    pub fn new(links: Links) -> DirectoryCache {
        DirectoryCache { links, watcher: Arc::default(), known: Mutex::default() }
    }

    /// Looks at the directory `dir` before anything in it is looked at; none when what is found there
    /// cannot be remembered.
    ///
    /// A directory that was looked at lately is taken to be as it was then. Whether it is must be asked
    /// afterwards: by [`DirectoryCheck::still_holds`], or by [`DirectoryCache::hold`] before each use.
    pub fn look(&self, view: &View<'_>, dir: &[u8]) -> Option<DirectoryCheck> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner).get(dir).map(Arc::clone);
        if let Some(directory) = known
            && let Some(watched) = self.watcher.last_known(directory.watched.as_ref()?)
        {
            let watcher = Arc::clone(&self.watcher);
            return Some(DirectoryCheck { directory, watcher, watched: Some(watched) });
        }
        let directory = Arc::new(DirectoryVersion::at(view, &self.watcher, dir, self.links)?);
        let watched = directory.watched.as_ref().map(WatchedPath::again);
        if watched.is_some() {
            let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
            if known.len() >= MOST_DIRECTORIES {
                known.clear();
            }
            known.insert(dir.into(), Arc::clone(&directory));
        }
        Some(DirectoryCheck { directory, watcher: Arc::clone(&self.watcher), watched })
    }

    /// Has nothing at all happened in the `opened` directory since `check`, as far as the kernel tells? Unlike
    /// [`DirectoryCache::hold`] this asks about every file in it.
    pub fn is_untouched(&self, check: &DirectoryCheck, opened: &FileStat, freshness: &Freshness) -> bool {
        let watched = check.watched.as_ref();
        check.directory.identity == Identity::of(opened)
            && watched.is_some_and(|watched| self.watcher.is_untouched(watched, freshness))
    }

    /// True if the disk is still as `snapshot` has it.
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
