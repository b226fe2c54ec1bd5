//! What was found for a name, remembered: the outcome of a look-up, and small files' content.
//!
//! Nothing is believed without asking. An entry holds what two `stat` calls said when it was made, of
//! the file (by the name as asked, so that a link turned elsewhere shows) and of the directory whose
//! `.htpasswd` and index files had a say. A request that is answered from the cache asks the kernel
//! whether anything in those directories has changed ([`watch`](super::watch): one cheap read); if so,
//! or where that cannot be told, it makes the same two calls and compares. A file replaced, cut,
//! deleted, chmod-ed or given a password file therefore answers rightly on the very next request.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use nix::sys::stat::FileStat;

use super::beneath::{Links, Root};
use super::path::split;
use super::watch::{Inquiry, Watched, Watcher};
use super::{Content, Representation};
use crate::config::CacheLimits;

/// Locks are per shard, so that workers seldom meet.
const SHARDS: usize = 16;

/// Descriptors of large files kept open at most: the rest are opened anew each time.
const MOST_OPEN_FILES: usize = 256;

/// How many of `descriptors`, all that the process may have, are for files kept open.
pub fn share_for_files(descriptors: usize) -> usize {
    MOST_OPEN_FILES.min(descriptors / 16)
}

/// A change within one tick of the file system's clock leaves the times as they were: a directory
/// that changed more recently than this could change again unseen. (Kernel clocks tick in 1–10 ms;
/// files have their own rule, [`Representation::is_settled`].)
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

    /// Old enough that any later change must show in its times.
    fn is_settled(&self, now: Duration) -> bool {
        let (seconds, nanos) = self.changed;
        let at = Duration::new(u64::try_from(seconds).unwrap_or(0), u32::try_from(nanos).unwrap_or(0));
        let quiet = if nanos == 0 { SETTLED_COARSE } else { SETTLED };
        now.checked_sub(at).is_some_and(|age| age > quiet)
    }
}

/// The state of the disk under which an outcome holds.
#[derive(Debug)]
pub struct Snapshot {
    probe: Box<[u8]>,
    file: Identity,
    dir_name: Box<[u8]>,
    dir: Identity,
    watched: Option<Watched>,
}

/// A directory as it was before anything in it was looked at.
#[derive(Debug)]
pub struct Place {
    name: Box<[u8]>,
    identity: Identity,
    watched: Option<Watched>,
}

impl Place {
    /// Looks at `dir`; none when it is missing, or changed so lately that its next change might not show.
    fn look(root: &Root, watcher: &Watcher, dir: &[u8]) -> Option<Place> {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).ok()?;
        let watched = watcher.watch(root, dir);
        let identity = Identity::of(&root.stat(dir, Links::Follow).ok()?);
        identity.is_settled(now).then(|| Place { name: dir.into(), identity, watched })
    }

    /// Adds the file `file_name`, reached as `probe` (links followed: the name as asked) and `opened`;
    /// none when it lives in another directory than this.
    pub fn snapshot(
        self,
        root: &Root,
        file_name: &[u8],
        probe: &[u8],
        opened: &FileStat,
    ) -> Option<Snapshot> {
        if split(file_name).0 != &*self.name {
            return None;
        }
        // The name as asked may go by links; if it does not, opening it has just shown where it leads.
        let is_direct = probe == file_name;
        let looked_up;
        let meta = if is_direct {
            opened
        } else {
            looked_up = root.stat(probe, Links::Follow).ok()?;
            &looked_up
        };
        // A link on the way, or another name of the same file, may change unseen by this directory.
        let is_seen = is_direct && meta.st_nlink == 1;
        Some(Snapshot {
            probe: probe.into(),
            file: Identity::of(meta),
            dir_name: self.name,
            dir: self.identity,
            watched: self.watched.filter(|_| is_seen),
        })
    }
}

impl Snapshot {
    /// Is the file that was opened the one that was looked at?
    pub fn is_of(&self, opened: &FileStat) -> bool {
        self.file == Identity::of(opened)
    }

    fn still_holds(&self, root: &Root, watcher: &Watcher, inquiry: &Inquiry) -> bool {
        match &self.watched {
            None => self.is_on_disk(root),
            Some(watched) => {
                watcher.is_unchanged(watched, inquiry) || watcher.confirm(watched, || self.is_on_disk(root))
            }
        }
    }

    fn is_on_disk(&self, root: &Root) -> bool {
        root.stat(&self.probe, Links::Follow).is_ok_and(|meta| Identity::of(&meta) == self.file)
            && root.stat(&self.dir_name, Links::Follow).is_ok_and(|meta| Identity::of(&meta) == self.dir)
    }
}

/// One remembered outcome: a plain file.
#[derive(Debug)]
pub struct Entry {
    /// The mapped name, as asked.
    pub key: Box<[u8]>,
    /// When this holds.
    pub snapshot: Snapshot,
    /// Directory whose `.htpasswd` protects the file.
    pub auth_dir: Box<[u8]>,
    /// A password file was there: credentials are checked on every request.
    pub protected: bool,
    /// See [`Found::name`](super::Found::name).
    pub throttle_name: Arc<[u8]>,
    /// Metadata.
    pub representation: Arc<Representation>,
    /// Bytes, or where they are.
    pub content: Content,
}

impl Entry {
    fn bytes(&self) -> usize {
        match &self.content {
            Content::Memory(bytes) => bytes.len(),
            Content::File(_) => 0,
        }
    }

    fn is_open_file(&self) -> bool {
        matches!(self.content, Content::File(_))
    }
}

#[derive(Debug)]
struct Kept {
    entry: Arc<Entry>,
    /// Used since the clock's hand last passed.
    used: AtomicBool,
}

#[derive(Debug, Default)]
struct Shard {
    map: HashMap<Box<[u8]>, Kept>,
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
    watcher: Watcher,
}

impl Cache {
    /// An empty cache. Zero entries = nothing is ever remembered.
    pub fn new(limits: CacheLimits) -> Cache {
        Cache {
            shards: (0..SHARDS).map(|_| Mutex::default()).collect(),
            entries_per_shard: limits.entries.div_ceil(SHARDS),
            bytes_per_shard: limits.bytes / SHARDS,
            open_files: AtomicUsize::new(0),
            most_open_files: share_for_files(crate::sys::fd::limit()),
            watcher: Watcher::default(),
        }
    }

    /// Is `dir` known to be reached by no symbolic link?
    pub fn knows(&self, dir: &[u8], inquiry: &Inquiry) -> bool {
        self.watcher.knows(dir, inquiry)
    }

    /// Looks at the directory `dir` before anything in it is looked at; none when what is found there
    /// cannot be remembered.
    pub fn place(&self, root: &Root, dir: &[u8]) -> Option<Place> {
        if self.entries_per_shard == 0 {
            return None;
        }
        Place::look(root, &self.watcher, dir)
    }

    /// The outcome for `name`, if one is remembered and the disk still agrees with it.
    pub fn valid(&self, name: &[u8], root: &Root, inquiry: &Inquiry) -> Option<Arc<Entry>> {
        let entry = {
            let shard = self.shard(name);
            let kept = shard.map.get(name)?;
            kept.used.store(true, Relaxed);
            Arc::clone(&kept.entry)
        };
        if entry.snapshot.still_holds(root, &self.watcher, inquiry) {
            return Some(entry);
        }
        self.forget(&mut self.shard(name), name);
        None
    }

    /// Remembers an outcome, forgetting others as the bounds ask.
    pub fn remember(&self, entry: Entry) {
        if self.entries_per_shard == 0 || entry.bytes() > self.bytes_per_shard {
            return;
        }
        if entry.is_open_file() && self.open_files.load(Relaxed) >= self.most_open_files {
            return;
        }
        let mut shard = self.shard(&entry.key);
        self.forget(&mut shard, &entry.key);
        while shard.map.len() >= self.entries_per_shard || shard.bytes + entry.bytes() > self.bytes_per_shard
        {
            if !self.evict_one(&mut shard) {
                break;
            }
        }
        shard.bytes += entry.bytes();
        self.open_files.fetch_add(usize::from(entry.is_open_file()), Relaxed);
        shard.ring.push_back(entry.key.clone());
        shard.map.insert(entry.key.clone(), Kept { entry: Arc::new(entry), used: AtomicBool::new(false) });
    }

    /// Moves the clock's hand until something unused falls out; false when the shard is empty.
    fn evict_one(&self, shard: &mut Shard) -> bool {
        while let Some(key) = shard.ring.pop_front() {
            match shard.map.get(&key) {
                None => {}
                Some(kept) if kept.used.swap(false, Relaxed) => shard.ring.push_back(key),
                Some(_) => {
                    self.drop_entry(shard, &key);
                    return true;
                }
            }
        }
        false
    }

    fn forget(&self, shard: &mut Shard, name: &[u8]) {
        if self.drop_entry(shard, name) {
            shard.ring.retain(|key| &**key != name);
        }
    }

    fn drop_entry(&self, shard: &mut Shard, name: &[u8]) -> bool {
        let Some(kept) = shard.map.remove(name) else { return false };
        shard.bytes -= kept.entry.bytes();
        self.open_files.fetch_sub(usize::from(kept.entry.is_open_file()), Relaxed);
        true
    }

    fn shard(&self, name: &[u8]) -> MutexGuard<'_, Shard> {
        // The end of a name tells it from its neighbours. Whoever could pile names up in one shard could
        // do no more than push out what else is in it.
        let end = &name[name.len().saturating_sub(8)..];
        let sum = end.iter().fold(name.len(), |sum, &byte| sum.wrapping_mul(31).wrapping_add(byte.into()));
        let at = (sum ^ sum >> 7) % SHARDS;
        // A panic elsewhere while a shard was locked leaves at worst a wrong byte count.
        self.shards[at].lock().unwrap_or_else(PoisonError::into_inner)
    }
}
