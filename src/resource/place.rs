//! Directories as they were when they were looked at, remembered for all that lies in them.
//!
//! A look-up begins on a [`Footing`]: its directory, before anything in it was looked at. What is found
//! from there on holds as long as that directory does, and is kept as a [`Snapshot`]. Nothing is
//! believed without asking: the kernel tells whether anything has changed ([`watch`](super::watch),
//! one cheap read for a batch of requests); if so, or where that cannot be told, `stat` is asked and
//! compared.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use nix::sys::stat::FileStat;

use super::auth;
use super::beneath::{Links, Root};
use super::path::split;
use super::watch::{Inquiry, Watched, Watcher};

/// Directories remembered at most.
const MOST_PLACES: usize = 4096;

/// A change within one tick of the file system's clock leaves the times as they were: a directory
/// that changed more recently than this could change again unseen. (Kernel clocks tick in 1–10 ms;
/// files have their own rule, [`Representation::is_settled`](super::Representation::is_settled).)
const SETTLED: Duration = Duration::from_millis(50);

/// The same where times carry no fraction of a second.
const SETTLED_COARSE: Duration = Duration::from_millis(2100);

/// What identifies a version of a file or directory.
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

    fn is_at(&self, root: &Root, name: &[u8], links: Links) -> bool {
        root.stat_beneath(name, links).is_ok_and(|meta| Identity::of(&meta) == *self)
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
struct Place {
    name: Box<[u8]>,
    /// What links may be on the way to it and to what is in it.
    links: Links,
    identity: Identity,
    watched: Option<Watched>,
    /// It was seen to hold no password file, nor a link that could become one.
    unprotected: AtomicBool,
}

impl Place {
    /// Looks at `dir`; none when it is missing, or changed so lately that its next change might not show.
    fn at(root: &Root, watcher: &Watcher, dir: &[u8], links: Links) -> Option<Place> {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).ok()?;
        let watched = watcher.watch(root, dir);
        let identity = Identity::of(&root.stat_beneath(dir, links).ok()?);
        let unprotected = AtomicBool::new(false);
        identity.is_settled(now).then(|| Place { name: dir.into(), links, identity, watched, unprotected })
    }

    fn still_holds(&self, root: &Root, watcher: &Watcher, inquiry: &Inquiry) -> bool {
        let is_on_disk = || self.identity.is_at(root, &self.name, self.links);
        watcher.holds(self.watched.as_ref(), inquiry, is_on_disk)
    }
}

/// A directory as a look-up found it, before it looked at anything in it.
#[derive(Debug)]
pub struct Footing {
    place: Arc<Place>,
    /// What is watched, as it was then.
    watched: Option<Watched>,
}

impl Footing {
    /// Is `dir`, which may be another directory, known to ask nobody for a password?
    pub fn shows_unprotected(&self, dir: &[u8]) -> bool {
        *self.place.name == *dir && self.place.unprotected.load(Relaxed)
    }

    /// No password file could be opened in `dir`: remembers that, unless a link of that name is there.
    pub fn note_unprotected(&self, root: &Root, dir: &[u8]) {
        if *self.place.name == *dir && root.has_entry(dir, auth::FILE_NAME, self.place.links) == Ok(false) {
            self.place.unprotected.store(true, Relaxed);
        }
    }

    /// Adds the file `file_name`, reached as `probe` (links followed: the name as asked) and `opened`;
    /// none when it lives in another directory than this, or is another file by now.
    pub fn snapshot(
        &self,
        root: &Root,
        file_name: &[u8],
        probe: &[u8],
        opened: &FileStat,
    ) -> Option<Snapshot> {
        if split(file_name).0 != &*self.place.name {
            return None;
        }
        let file = Identity::of(opened);
        // The name as asked may go by links; if it does not, opening it has just shown where it leads.
        let is_direct = probe == file_name;
        let links = match self.place.links {
            Links::Refuse if !is_direct => Links::Within,
            links => links,
        };
        if !is_direct && !file.is_at(root, probe, links) {
            return None;
        }
        // A link on the way, or another name of the same file, may change unseen by this directory. (Where
        // links are not looked for, the name itself may be one.)
        let is_no_link = || links != Links::Follow || file.is_at(root, file_name, Links::Refuse);
        let is_seen = is_direct && opened.st_nlink == 1 && is_no_link();
        let watched = self.watched.as_ref().filter(|_| is_seen).map(Watched::again);
        Some(Snapshot { probe: probe.into(), links, file, place: Arc::clone(&self.place), watched })
    }
}

/// The state of the disk under which an outcome holds.
#[derive(Debug)]
pub struct Snapshot {
    probe: Box<[u8]>,
    /// What links may be on its way.
    links: Links,
    file: Identity,
    place: Arc<Place>,
    watched: Option<Watched>,
}

/// The directories of one tree.
#[derive(Debug)]
pub struct Places {
    /// [`Links::Refuse`] where names are expanded before they are looked up; [`Links::Follow`] with `-nos`.
    links: Links,
    watcher: Watcher,
    /// Those that are watched: the others have to be looked at each time.
    known: Mutex<HashMap<Box<[u8]>, Arc<Place>>>,
}

impl Places {
    /// None yet; `links` as there.
    pub fn new(links: Links) -> Places {
        Places { links, watcher: Watcher::default(), known: Mutex::default() }
    }

    /// Is `dir` known to be reached by no symbolic link?
    pub fn knows(&self, dir: &[u8], inquiry: &Inquiry) -> bool {
        self.watcher.knows(dir, inquiry)
    }

    /// Looks at the directory `dir` before anything in it is looked at; none when what is found there
    /// cannot be remembered.
    pub fn look(&self, root: &Root, dir: &[u8], inquiry: &Inquiry) -> Option<Footing> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner).get(dir).map(Arc::clone);
        if let Some(place) = known
            && let Some(watched) = self.watcher.unchanged(place.watched.as_ref()?, inquiry)
        {
            return Some(Footing { place, watched: Some(watched) });
        }
        let place = Arc::new(Place::at(root, &self.watcher, dir, self.links)?);
        let watched = place.watched.as_ref().map(Watched::again);
        if watched.is_some() {
            let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
            if known.len() >= MOST_PLACES {
                known.clear();
            }
            known.insert(dir.into(), Arc::clone(&place));
        }
        Some(Footing { place, watched })
    }

    /// Is the disk still as `snapshot` has it?
    pub fn hold(&self, snapshot: &Snapshot, root: &Root, inquiry: &Inquiry) -> bool {
        let watcher = &self.watcher;
        let is_on_disk = || {
            snapshot.file.is_at(root, &snapshot.probe, snapshot.links)
                && snapshot.place.still_holds(root, watcher, inquiry)
        };
        watcher.holds(snapshot.watched.as_ref(), inquiry, is_on_disk)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::TempTree;
    use std::fs;
    use std::os::unix::fs::symlink;

    /// A tree whose directory `d` has rested, and the footing of a look-up in it.
    fn settled() -> (TempTree, Root, Places, Footing) {
        let tree = TempTree::new();
        tree.file("d/a.txt", "a");
        let root = Root::open(tree.path(), tree.path().as_os_str().as_encoded_bytes()).unwrap();
        let places = Places::new(Links::Refuse);
        let footing = loop {
            match places.look(&root, b"d", &Inquiry::default()) {
                Some(footing) => break footing,
                None => std::thread::yield_now(),
            }
        };
        (tree, root, places, footing)
    }

    fn opened(root: &Root) -> FileStat {
        root.stat(b"d/a.txt", Links::Refuse).unwrap()
    }

    #[test]
    fn a_directory_is_looked_at_once_until_it_changes() {
        let (tree, root, places, footing) = settled();
        let again = places.look(&root, b"d", &Inquiry::default()).unwrap();
        assert!(Arc::ptr_eq(&footing.place, &again.place));
        fs::write(tree.path().join("d/b.txt"), "b").unwrap();
        let later = places.look(&root, b"d", &Inquiry::default());
        assert!(later.is_none_or(|later| !Arc::ptr_eq(&footing.place, &later.place)));
    }

    #[test]
    fn a_snapshot_holds_until_its_file_or_its_directory_changes() {
        let (tree, root, places, footing) = settled();
        let snapshot =
            |footing: &Footing| footing.snapshot(&root, b"d/a.txt", b"d/a.txt", &opened(&root)).unwrap();
        let of_file = snapshot(&footing);
        assert!(places.hold(&of_file, &root, &Inquiry::default()));
        fs::write(tree.path().join("d/a.txt"), "longer").unwrap();
        assert!(!places.hold(&of_file, &root, &Inquiry::default()));
        let of_directory = snapshot(&footing);
        fs::write(tree.path().join("d/.htpasswd"), "u:x").unwrap();
        assert!(!places.hold(&of_directory, &root, &Inquiry::default()));
    }

    #[test]
    fn a_change_between_the_look_and_the_snapshot_counts() {
        let (tree, root, places, footing) = settled();
        let before = opened(&root);
        fs::write(tree.path().join("d/a.txt"), "longer").unwrap();
        let snapshot = footing.snapshot(&root, b"d/a.txt", b"d/a.txt", &before).unwrap();
        assert!(!places.hold(&snapshot, &root, &Inquiry::default()));
    }

    #[test]
    fn only_a_directory_without_even_a_link_to_a_password_file_is_unprotected() {
        let (tree, root, places, footing) = settled();
        footing.note_unprotected(&root, b"");
        assert!(!footing.shows_unprotected(b"d") && !footing.shows_unprotected(b""), "of another directory");
        footing.note_unprotected(&root, b"d");
        assert!(footing.shows_unprotected(b"d"));
        symlink("nowhere", tree.path().join("d/.htpasswd")).unwrap();
        let later = loop {
            match places.look(&root, b"d", &Inquiry::default()) {
                Some(footing) => break footing,
                None => std::thread::yield_now(),
            }
        };
        assert!(!later.shows_unprotected(b"d"));
        later.note_unprotected(&root, b"d");
        assert!(!later.shows_unprotected(b"d"), "the link may lead somewhere tomorrow");
    }
}
