//! Being told by the kernel: directories watched by inotify, so that a remembered outcome needs no
//! `stat` while nothing in its directories has changed.
//!
//! The kernel queues an event before the call that made a change returns. So whoever asks after that
//! call, and finds the queue empty and nobody else in the middle of emptying it, knows that nothing
//! happened: one cheap read in place of looking names up again. What inotify cannot see — other
//! machines' changes on network file systems, writes through a second hard link, a link on the
//! way — is not watched but looked up as before ([`Watcher::watch`] says no).

use std::cell::Cell;
use std::collections::HashMap;
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify, WatchDescriptor};
use nix::sys::stat::stat;
use nix::sys::statfs::{
    BTRFS_SUPER_MAGIC, EXT4_SUPER_MAGIC, F2FS_SUPER_MAGIC, FsType, OVERLAYFS_SUPER_MAGIC, TMPFS_MAGIC, statfs,
};
use nix::unistd::read;

use super::beneath::{Links, Root};

/// Directories watched at once; what lies elsewhere is looked up each time.
const MOST_WATCHES: usize = 4096;

/// Watched or not, the disk is asked again after this long: for what no event tells of, such as a
/// file system mounted over a directory.
const TRUSTED_FOR: Duration = Duration::from_secs(1);

/// `XFS_SUPER_MAGIC`, which nix does not have for musl.
const XFS_SUPER_MAGIC: FsType = FsType(0x5846_5342);

/// File systems whose every change passes through this kernel's own directory entries.
const LOCAL: [FsType; 6] = [
    EXT4_SUPER_MAGIC,
    XFS_SUPER_MAGIC,
    BTRFS_SUPER_MAGIC,
    F2FS_SUPER_MAGIC,
    TMPFS_MAGIC,
    OVERLAYFS_SUPER_MAGIC,
];

/// One watched directory: how often something in it has changed.
#[derive(Debug)]
struct Directory {
    changes: AtomicU64,
}

#[derive(Debug, Default)]
struct Known {
    by_descriptor: HashMap<WatchDescriptor, Arc<Directory>>,
    by_name: HashMap<Box<[u8]>, Arc<Directory>>,
}

impl Known {
    /// Is there room for one more watch? Those that no name and no outcome has a use for make some.
    fn has_room(&mut self, inotify: &Inotify) -> bool {
        if self.by_descriptor.len() >= MOST_WATCHES && self.by_name.len() < self.by_descriptor.len() {
            self.by_descriptor.retain(|&descriptor, directory| {
                let is_used = Arc::strong_count(directory) > 1;
                is_used || inotify.rm_watch(descriptor).is_err()
            });
        }
        self.by_descriptor.len() < MOST_WATCHES
    }
}

/// All watches of one tree.
#[derive(Debug)]
pub struct Watcher {
    /// None where the system gives us no inotify.
    inotify: Option<Inotify>,
    known: Mutex<Known>,
    /// How often a directory went from its place, and with it, names were no longer what they had been.
    upheavals: AtomicU64,
    /// Threads that take events out of the queue and have not told of all of them yet.
    telling: AtomicUsize,
    /// The last question to which the answer was: nothing has changed.
    quiet: AtomicU64,
    born: Instant,
}

/// A directory and all above it, as one remembered outcome depends on them.
#[derive(Debug)]
pub struct Watched {
    chain: Arc<[Arc<Directory>]>,
    /// Upheavals by then: after another one these may be other directories than the names say.
    upheavals: u64,
    /// Sum of changes under which the outcome was last found to hold.
    seen: AtomicU64,
    /// When that was, in milliseconds of the watcher's life.
    checked: AtomicU64,
}

/// Questions put to the kernel so far, by all threads and for all trees.
static QUESTIONS: AtomicU64 = AtomicU64::new(0);

/// A moment, as the questions put to the kernel count it. What arrived before it is answered rightly
/// with the answer to any later question, whoever asked.
#[derive(Debug, Clone, Copy)]
pub struct Asked(u64);

impl Asked {
    /// This moment.
    pub fn so_far() -> Asked {
        Asked(QUESTIONS.load(SeqCst))
    }
}

/// Whether the kernel has been asked since the requests at hand arrived: one question serves all that
/// came before it.
#[derive(Debug)]
pub struct Inquiry {
    /// The requests were here by then.
    since: Cell<Asked>,
    /// The answer was: nothing has changed.
    quiet: Cell<bool>,
    /// The watcher's age when it was asked for.
    age: Cell<Option<u64>>,
}

impl Default for Inquiry {
    /// About requests that are at hand now.
    fn default() -> Inquiry {
        Inquiry { since: Cell::new(Asked::so_far()), quiet: Cell::default(), age: Cell::default() }
    }
}

impl Inquiry {
    /// Other requests are at hand.
    pub fn expire(&self) {
        self.expire_as_of(Asked::so_far());
    }

    /// Other requests are at hand, and were by `since`.
    pub fn expire_as_of(&self, since: Asked) {
        self.since.set(since);
        self.quiet.set(false);
        self.age.set(None);
    }

    fn age_or(&self, ask: impl FnOnce() -> u64) -> u64 {
        let age = self.age.get().unwrap_or_else(ask);
        self.age.set(Some(age));
        age
    }
}

impl Watched {
    /// The same directories, for an outcome that holds as of the same moment.
    pub fn again(&self) -> Watched {
        self.as_of(self.seen.load(SeqCst), self.checked.load(SeqCst))
    }

    fn as_of(&self, seen: u64, checked: u64) -> Watched {
        let (chain, upheavals) = (Arc::clone(&self.chain), self.upheavals);
        Watched { chain, upheavals, seen: seen.into(), checked: checked.into() }
    }

    /// Changes so far in all these directories: it only grows.
    fn changes(&self) -> u64 {
        self.chain.iter().map(|directory| directory.changes.load(SeqCst)).sum()
    }
}

impl Default for Watcher {
    /// Nothing is watched yet.
    fn default() -> Watcher {
        Watcher {
            inotify: Inotify::init(InitFlags::IN_CLOEXEC | InitFlags::IN_NONBLOCK).ok(),
            known: Mutex::default(),
            upheavals: AtomicU64::new(0),
            telling: AtomicUsize::new(0),
            quiet: AtomicU64::new(0),
            born: Instant::now(),
        }
    }
}

impl Watcher {
    /// Watches `dir` and every directory between it and the root. None when that cannot be relied on.
    /// Call it before looking at what the outcome is made from.
    pub fn watch(&self, root: &Root, dir: &[u8]) -> Option<Watched> {
        let ends = dir.iter().enumerate().filter(|&(_, &b)| b == b'/').map(|(at, _)| at);
        let mut names: Vec<&[u8]> = ends.map(|end| &dir[..end]).collect();
        names.push(dir);
        if !dir.is_empty() {
            names.push(b"");
        }
        let upheavals = self.upheavals.load(SeqCst);
        let chain: Option<Arc<[_]>> = names.into_iter().map(|name| self.watch_one(root, name)).collect();
        let watched = Watched { chain: chain?, upheavals, seen: 0.into(), checked: self.age().into() };
        watched.seen.store(watched.changes(), SeqCst);
        Some(watched)
    }

    /// The disk is asked with nothing locked: one that is slow, or far away, holds up nobody else.
    fn watch_one(&self, root: &Root, name: &[u8]) -> Option<Arc<Directory>> {
        let inotify = self.inotify.as_ref()?;
        let upheavals = {
            let mut known = self.known();
            if let Some(directory) = known.by_name.get(name) {
                return Some(Arc::clone(directory));
            }
            if !known.has_room(inotify) {
                return None;
            }
            self.upheavals.load(SeqCst)
        };
        let found = root.stat(name, Links::Refuse).ok()?;
        let path = [root.path(), name].concat();
        if !LOCAL.contains(&statfs(&path[..]).ok()?.filesystem_type()) {
            return None;
        }
        let changes = AddWatchFlags::IN_CREATE
            | AddWatchFlags::IN_DELETE
            | AddWatchFlags::IN_MODIFY
            | AddWatchFlags::IN_ATTRIB
            | AddWatchFlags::IN_MOVE
            | AddWatchFlags::IN_DELETE_SELF
            | AddWatchFlags::IN_MOVE_SELF
            | AddWatchFlags::IN_ONLYDIR;
        let descriptor = inotify.add_watch(&path[..], changes).ok()?;
        // The path is looked up from the top of the file system, which may have been moved about.
        let there = stat(&path[..]).ok()?;
        let mut known = self.known();
        // A directory that was moved or removed meanwhile may have been told of before it was known here.
        let is_same = (there.st_dev, there.st_ino) == (found.st_dev, found.st_ino);
        if !is_same || self.upheavals.load(SeqCst) != upheavals {
            if !known.by_descriptor.contains_key(&descriptor) {
                let _ = inotify.rm_watch(descriptor);
            }
            return None;
        }
        let fresh = || Arc::new(Directory { changes: AtomicU64::new(0) });
        let directory = Arc::clone(known.by_descriptor.entry(descriptor).or_insert_with(fresh));
        known.by_name.insert(name.into(), Arc::clone(&directory));
        Some(directory)
    }

    /// Is `dir` known to be a directory that no symbolic link leads to?
    pub fn knows(&self, dir: &[u8], inquiry: &Inquiry) -> bool {
        self.is_quiet(inquiry) && self.known().by_name.contains_key(dir)
    }

    /// Has nothing changed since the outcome was last found to hold?
    fn is_unchanged(&self, watched: &Watched, inquiry: &Inquiry) -> bool {
        let age = inquiry.age_or(|| self.age());
        let trusted = age.saturating_sub(watched.checked.load(SeqCst)) < TRUSTED_FOR.as_millis() as u64;
        trusted
            && self.is_quiet(inquiry)
            && self.is_current(watched)
            && watched.changes() == watched.seen.load(SeqCst)
    }

    /// Are these still the directories that the names mean, as far as has been told?
    fn is_current(&self, watched: &Watched) -> bool {
        watched.upheavals == self.upheavals.load(SeqCst)
    }

    /// The same directories as of now, if nothing has changed.
    pub fn unchanged(&self, watched: &Watched, inquiry: &Inquiry) -> Option<Watched> {
        // What others confirm from here on must not count for us.
        let now = watched.again();
        self.is_unchanged(&now, inquiry).then_some(now)
    }

    /// Does an outcome still hold? The disk is asked by `look` where it is not `watched`, or where something
    /// has changed; if directories are no longer what they were, it is for a new look-up to say.
    pub fn holds(&self, watched: Option<&Watched>, inquiry: &Inquiry, look: impl FnOnce() -> bool) -> bool {
        let Some(watched) = watched else { return look() };
        self.is_unchanged(watched, inquiry) || self.is_current(watched) && self.confirm(watched, look)
    }

    /// The outcome was looked up anew and held: what `look` says counts from before the look.
    fn confirm(&self, watched: &Watched, look: impl FnOnce() -> bool) -> bool {
        let (changes, age) = (watched.changes(), self.age());
        let holds = look();
        if holds {
            watched.seen.store(changes, SeqCst);
            watched.checked.store(age, SeqCst);
        }
        holds
    }

    /// Is everything told of that changed before the requests at hand arrived?
    fn is_quiet(&self, inquiry: &Inquiry) -> bool {
        if !inquiry.quiet.get() {
            inquiry.quiet.set(self.quiet.load(SeqCst) > inquiry.since.get().0 || self.ask());
        }
        inquiry.quiet.get()
    }

    /// Tells of every event in the queue. True when there was nothing to tell, and nobody else is about
    /// to tell of something.
    fn ask(&self) -> bool {
        let Some(inotify) = &self.inotify else { return false };
        let number = QUESTIONS.fetch_add(1, SeqCst) + 1;
        // A buffer too small for any event takes none out: EAGAIN = the queue is empty, EINVAL = it is not.
        if read(inotify.as_fd(), &mut [0]) == Err(Errno::EAGAIN) {
            // What was taken out before is told of, unless somebody is at it now.
            let is_quiet = self.telling.load(SeqCst) == 0;
            if is_quiet {
                self.quiet.fetch_max(number, SeqCst);
            }
            return is_quiet;
        }
        // Whoever is at it already tells for all, and whoever asks knows enough: it is not quiet.
        let known = match self.known.try_lock() {
            Ok(known) => known,
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            Err(TryLockError::WouldBlock) => return false,
        };
        self.telling.fetch_add(1, SeqCst);
        self.tell(inotify, known);
        self.telling.fetch_sub(1, SeqCst);
        false
    }

    /// Tells of the events that one read takes out of the queue. If they come faster than that, looking
    /// at the disk is what remains, and nobody waits for the end of them.
    fn tell(&self, inotify: &Inotify, mut known: MutexGuard<'_, Known>) {
        for event in inotify.read_events().unwrap_or_default() {
            let is_lost = event.mask.contains(AddWatchFlags::IN_Q_OVERFLOW);
            if is_lost {
                known.by_descriptor.values().for_each(|directory| changed(directory));
            } else if let Some(directory) = known.by_descriptor.get(&event.wd) {
                changed(directory);
            }
            // Names are no longer what they were: those below a directory that moved, too.
            if is_lost || event.mask.intersects(AddWatchFlags::IN_IGNORED | AddWatchFlags::IN_MOVE_SELF) {
                known.by_name.clear();
                self.upheavals.fetch_add(1, SeqCst);
            }
            if event.mask.contains(AddWatchFlags::IN_IGNORED) {
                known.by_descriptor.remove(&event.wd);
            }
        }
    }

    /// Milliseconds since this watcher was made.
    fn age(&self) -> u64 {
        self.born.elapsed().as_millis() as u64
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn changed(directory: &Directory) {
    directory.changes.fetch_add(1, SeqCst);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::TempTree;
    use std::fs;

    #[test]
    fn one_answer_serves_whoever_was_there_before_the_question() {
        let tree = TempTree::new();
        let root = Root::open(tree.path(), tree.path().as_os_str().as_encoded_bytes()).unwrap();
        let watcher = Watcher::default();
        let watched = watcher.watch(&root, b"").unwrap();
        let (asking, before) = (Inquiry::default(), Inquiry::default());
        assert!(watcher.is_unchanged(&watched, &asking));
        let after = Inquiry::default();
        fs::write(tree.path().join("new"), "").unwrap();
        assert!(watcher.is_unchanged(&watched, &before), "needs no question of its own");
        assert!(!watcher.is_unchanged(&watched, &after), "came after the question");
        asking.expire();
        assert!(!watcher.is_unchanged(&watched, &asking), "is about others now");
    }
}
