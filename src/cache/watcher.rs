//! inotify watches: a cached result needs no `stat` while its directories have no events.
//!
//! The kernel queues an event before the call that made a change returns. So a thread that reads the queue
//! after that call, and finds it empty while no other thread is draining it, knows that nothing has changed.
//! One cheap read then replaces a look-up of the name. inotify does not report changes by other machines on
//! network file systems, writes through a second hard link, and changes of a link on the way.
//! [`Watcher::watch`] returns `None` for such names, and they are looked up each time.

use std::cell::Cell;
use std::collections::{HashMap, HashSet};
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::libc::IN_MASK_ADD;
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify, WatchDescriptor};
use nix::unistd::read;

use crate::docroot::{Links, View};
use crate::sys::atomic::AtomicU64;
use crate::sys::filesystem;
use crate::sys::stat::{fstat, stat};

/// Maximum number of watches; names in other directories are looked up each time.
const MOST_WATCHES: usize = 4096;

/// Number of watches up to which files are watched, too; the rest is for directories.
///
/// The watch of a directory saves look-ups of all its files. That of a file reports only rare changes of one.
const MOST_BESIDE_FILES: usize = MOST_WATCHES / 2;

/// Maximum depth of watched directories. Each level costs a watch, and a comparison at each check.
const DEEPEST: usize = 64;

/// Maximum time between two `stat` calls for a watched name.
///
/// Some changes cause no event, such as a file system mounted over a directory.
const TRUSTED_FOR: Duration = Duration::from_secs(1);

/// Minimum time between two searches of a full table for watches that nothing uses.
const SEARCH_INTERVAL: Duration = Duration::from_secs(1);

/// Events watched in a directory.
const CHANGES: AddWatchFlags = AddWatchFlags::IN_CREATE
    .union(AddWatchFlags::IN_DELETE)
    .union(AddWatchFlags::IN_MODIFY)
    .union(AddWatchFlags::IN_ATTRIB)
    .union(AddWatchFlags::IN_MOVE)
    .union(AddWatchFlags::IN_DELETE_SELF)
    .union(AddWatchFlags::IN_MOVE_SELF)
    .union(AddWatchFlags::IN_ONLYDIR);

/// Events watched for a file itself.
///
/// A directory may have taken the file's name meanwhile. `IN_MASK_ADD`, which nix lacks, then keeps the events of
/// the directory's own watch.
const FILE_CHANGES: AddWatchFlags = AddWatchFlags::IN_ATTRIB
    .union(AddWatchFlags::IN_MODIFY)
    .union(AddWatchFlags::IN_DONT_FOLLOW)
    .union(AddWatchFlags::from_bits_retain(IN_MASK_ADD));

/// Watched directory or file, with the number of its events.
#[derive(Debug)]
struct WatchedInode {
    /// Set for a file, which is watched for changes by another name of it.
    is_file: bool,
    changes: AtomicU64,
}

/// A directory and all directories above it, the top first; a file may follow.
type Chain = Arc<[Arc<WatchedInode>]>;

#[derive(Debug, Default)]
struct WatchTable {
    by_descriptor: HashMap<WatchDescriptor, Arc<WatchedInode>>,
    /// Chain of each watched directory.
    by_name: HashMap<Box<[u8]>, Chain>,
    /// Files whose watch was removed; the kernel's `IN_IGNORED` is still to come.
    retired: HashSet<WatchDescriptor>,
    /// Time before which a full table is not searched for unused watches again.
    next_search: Option<Instant>,
}

impl WatchTable {
    /// Tells whether there are fewer than `most` watches. A full table is searched for unused ones first.
    fn has_room(&mut self, inotify: &Inotify, most: usize) -> bool {
        let is_full = self.by_descriptor.len() >= most;
        if is_full && self.by_name.len() < self.by_descriptor.len() && self.may_search() {
            let retired = &mut self.retired;
            self.by_descriptor.retain(|&descriptor, directory| {
                let stays = Arc::strong_count(directory) > 1 || inotify.rm_watch(descriptor).is_err();
                if !stays && directory.is_file {
                    retired.insert(descriptor);
                }
                stays
            });
        }
        self.by_descriptor.len() < most
    }

    /// Tells whether [`SEARCH_INTERVAL`] has passed since the last search, as each look-up of a file asks for
    /// room.
    fn may_search(&mut self) -> bool {
        let now = Instant::now();
        let may = self.next_search.is_none_or(|at| now >= at);
        if may {
            self.next_search = Some(now + SEARCH_INTERVAL);
        }
        may
    }
}

/// All watches of one tree.
#[derive(Debug)]
pub struct Watcher {
    /// `None` if the system refuses an inotify instance.
    inotify: Option<Inotify>,
    table: Mutex<WatchTable>,
    /// Number of times that a watched directory was moved or removed. Names below may lead elsewhere after each.
    rename_epoch: AtomicU64,
    /// Number of threads that have taken events out of the queue and are still applying them.
    drainers: AtomicUsize,
    /// Ticket of the last read that found the queue empty.
    last_clean_ticket: AtomicU64,
    started: Instant,
}

/// Watched directories that one cached result depends on, with the state under which it is valid.
#[derive(Debug)]
pub struct WatchedPath {
    chain: Chain,
    /// [`Watcher::rename_epoch`] of that moment; at a later one the names may lead to other directories.
    rename_epoch: u64,
    /// Sum of events at the last check that found the result valid.
    seen: AtomicU64,
    /// Time of the last `stat`, in milliseconds since the watcher was made.
    checked: AtomicU64,
}

/// Number of reads of event queues so far, by all threads and for all trees.
static NEXT_TICKET: AtomicU64 = AtomicU64::new(0);

/// Point in time, counted in reads of event queues.
///
/// A later read by any thread is fresh enough for every request that had arrived at that point.
#[derive(Debug, Clone, Copy)]
pub struct Ticket(u64);

impl Ticket {
    /// Ticket of now.
    pub fn latest() -> Ticket {
        Ticket(NEXT_TICKET.load(SeqCst))
    }
}

/// Result of the last event queue read, for a batch of requests: one read serves all that had arrived before.
#[derive(Debug)]
pub struct Freshness {
    /// Ticket at which the requests had arrived.
    since: Cell<Ticket>,
    /// Set once a read since then has found the queue empty.
    quiet: Cell<bool>,
    /// Time of the requests, once the clock was read for them.
    read_at: Cell<Option<Instant>>,
}

impl Default for Freshness {
    /// Freshness for requests that have arrived by now.
    fn default() -> Freshness {
        Freshness { since: Cell::new(Ticket::latest()), quiet: Cell::default(), read_at: Cell::default() }
    }
}

impl Freshness {
    /// Begins a batch of requests that have arrived by now.
    pub fn expire(&self) {
        self.expire_as_of(Ticket::latest());
    }

    /// Begins a batch of requests that had arrived at `since`.
    pub fn expire_as_of(&self, since: Ticket) {
        self.since.set(since);
        self.quiet.set(false);
        self.read_at.set(None);
    }

    /// Takes `now` for the time of the requests at hand, so that the clock need not be read once more.
    pub fn set_time(&self, now: Instant) {
        self.read_at.set(Some(now));
    }

    /// Time of the requests at hand.
    fn time(&self) -> Instant {
        let time = self.read_at.get().unwrap_or_else(Instant::now);
        self.read_at.set(Some(time));
        time
    }
}

impl WatchedPath {
    /// Copies the path, for a second result that is valid as of the same moment.
    pub fn duplicate(&self) -> WatchedPath {
        self.as_of(self.seen.load(SeqCst), self.checked.load(SeqCst))
    }

    fn as_of(&self, seen: u64, checked: u64) -> WatchedPath {
        let (chain, rename_epoch) = (Arc::clone(&self.chain), self.rename_epoch);
        WatchedPath { chain, rename_epoch, seen: seen.into(), checked: checked.into() }
    }

    /// Number of events so far in all directories of the chain; the number only grows.
    fn changes(&self) -> u64 {
        self.chain.iter().map(|directory| directory.changes.load(SeqCst)).sum()
    }
}

impl Default for Watcher {
    /// Watcher without watches.
    fn default() -> Watcher {
        Watcher {
            inotify: Inotify::init(InitFlags::IN_CLOEXEC | InitFlags::IN_NONBLOCK).ok(),
            table: Mutex::default(),
            rename_epoch: AtomicU64::new(0),
            drainers: AtomicUsize::new(0),
            last_clean_ticket: AtomicU64::new(0),
            started: Instant::now(),
        }
    }
}

impl Watcher {
    /// Watches `dir` and every directory between it and the root; `None` if events would not report every change.
    ///
    /// Call this before reading anything that the result depends on.
    pub fn watch(&self, view: &View<'_>, dir: &[u8]) -> Option<WatchedPath> {
        let rename_epoch = self.rename_epoch.load(SeqCst);
        let chain = self.chain(view, dir)?;
        let watched = WatchedPath { chain, rename_epoch, seen: 0.into(), checked: self.age().into() };
        watched.seen.store(watched.changes(), SeqCst);
        Some(watched)
    }

    fn chain(&self, view: &View<'_>, dir: &[u8]) -> Option<Chain> {
        if let Some(chain) = self.table().by_name.get(dir) {
            return Some(Arc::clone(chain));
        }
        let ends = dir.iter().enumerate().filter(|&(_, &b)| b == b'/').map(|(at, _)| at);
        let mut names: Vec<&[u8]> = ends.map(|end| &dir[..end]).collect();
        if names.len() >= DEEPEST {
            return None;
        }
        names.push(dir);
        let mut chain = self.watch_one(view, b"", &[])?;
        for name in names.into_iter().filter(|name| !name.is_empty()) {
            let table = self.table().by_name.get(name).map(Arc::clone);
            chain = table.or_else(|| self.watch_one(view, name, &chain))?;
        }
        Some(chain)
    }

    /// Watches one directory. No lock is held during system calls on the disk, so that slow or remote storage
    /// delays no other thread.
    fn watch_one(&self, view: &View<'_>, name: &[u8], above: &[Arc<WatchedInode>]) -> Option<Chain> {
        let inotify = self.inotify.as_ref()?;
        let rename_epoch = {
            let mut table = self.table();
            if let Some(chain) = table.by_name.get(name) {
                return Some(Arc::clone(chain));
            }
            if !table.has_room(inotify, MOST_WATCHES) {
                return None;
            }
            self.rename_epoch.load(SeqCst)
        };
        let directory = view.open_path(name, Links::Refuse).ok()?;
        let found = fstat(&directory).ok()?;
        // A local view contains local file systems only.
        if !view.is_local() && !filesystem::is_local(directory.as_fd()) {
            return None;
        }
        let path = view.root().path_of(name);
        let descriptor = inotify.add_watch(&path, CHANGES).ok()?;
        // The path may lead to another directory by now.
        let there = stat(&path).ok()?;
        let mut table = self.table();
        // The event of a directory that was moved or removed meanwhile may have been applied before the watch
        // was in the table.
        let is_same = (there.st_dev, there.st_ino) == (found.st_dev, found.st_ino);
        if !is_same || self.rename_epoch.load(SeqCst) != rename_epoch {
            if !table.by_descriptor.contains_key(&descriptor) {
                let _ = inotify.rm_watch(descriptor);
            }
            return None;
        }
        let fresh = || Arc::new(WatchedInode { is_file: false, changes: AtomicU64::new(0) });
        let known = table.by_descriptor.entry(descriptor).or_insert_with(fresh);
        if known.is_file {
            // The directory took the name of a file while that was being watched.
            *known = fresh();
        }
        let directory = Arc::clone(known);
        let chain: Chain = above.iter().chain([&directory]).map(Arc::clone).collect();
        table.by_name.insert(name.into(), Arc::clone(&chain));
        Some(chain)
    }

    /// Adds a watch on the file `name`, which reports changes through a second hard link made later.
    ///
    /// If that fails, the next `stat` finds such a change. Call this before opening the file: content that is
    /// read then is valid as long as the path.
    pub fn watch_file(&self, view: &View<'_>, name: &[u8], watched: &WatchedPath) -> WatchedPath {
        self.try_watch_file(view, name, watched).unwrap_or_else(|| watched.duplicate())
    }

    fn try_watch_file(&self, view: &View<'_>, name: &[u8], watched: &WatchedPath) -> Option<WatchedPath> {
        let inotify = self.inotify.as_ref()?;
        if !self.table().has_room(inotify, MOST_BESIDE_FILES) {
            return None;
        }
        let descriptor = inotify.add_watch(&view.root().path_of(name), FILE_CHANGES).ok()?;
        let fresh = || Arc::new(WatchedInode { is_file: true, changes: AtomicU64::new(0) });
        let file = Arc::clone(self.table().by_descriptor.entry(descriptor).or_insert_with(fresh));
        let seen = watched.seen.load(SeqCst) + file.changes.load(SeqCst);
        let chain = watched.chain.iter().chain([&file]).map(Arc::clone).collect();
        Some(WatchedPath { chain, seen: seen.into(), ..watched.duplicate() })
    }

    /// Tells whether there was no event since the last check, and that is recent enough.
    fn is_unchanged(&self, watched: &WatchedPath, freshness: &Freshness) -> bool {
        let age = self.age_at(freshness.time());
        is_trusted(watched, age) && self.is_quiet(freshness) && self.is_as_seen(watched)
    }

    /// Tells whether there was no event since the last check. A read that found events of others is repeated.
    pub fn is_untouched(&self, watched: &WatchedPath, freshness: &Freshness) -> bool {
        (self.is_quiet(freshness) || self.is_quiet(freshness)) && self.is_as_seen(watched)
    }

    /// Tells whether no event was applied since the last check.
    fn is_as_seen(&self, watched: &WatchedPath) -> bool {
        self.is_current(watched) && watched.changes() == watched.seen.load(SeqCst)
    }

    /// Tells whether no watched directory was moved or removed since, as far as events were applied.
    fn is_current(&self, watched: &WatchedPath) -> bool {
        watched.rename_epoch == self.rename_epoch.load(SeqCst)
    }

    /// Copies the path if no event was applied since its last check.
    ///
    /// The event queue is not read: a result made under this path must be checked later, by
    /// [`Watcher::is_untouched`] or [`Watcher::holds`].
    pub fn last_known(&self, watched: &WatchedPath) -> Option<WatchedPath> {
        // The copy excludes later confirmations by other threads.
        let known = watched.duplicate();
        (is_trusted(&known, self.age()) && self.is_as_seen(&known)).then_some(known)
    }

    /// Tells whether a result is still valid.
    ///
    /// `look` checks by `stat`, for a result that is not `watched` and after an event. After a directory on the
    /// way was moved or removed, the result is not valid.
    pub fn holds(
        &self,
        watched: Option<&WatchedPath>,
        freshness: &Freshness,
        look: impl FnOnce() -> bool,
    ) -> bool {
        let Some(watched) = watched else { return look() };
        self.is_unchanged(watched, freshness) || self.is_current(watched) && self.confirm(watched, look)
    }

    /// Runs `look`, and if the result is valid, records that as of the moment before.
    fn confirm(&self, watched: &WatchedPath, look: impl FnOnce() -> bool) -> bool {
        let (changes, age) = (watched.changes(), self.age());
        let holds = look();
        if holds {
            watched.seen.store(changes, SeqCst);
            watched.checked.store(age, SeqCst);
        }
        holds
    }

    /// Tells whether all events from before the batch's arrival were applied.
    fn is_quiet(&self, freshness: &Freshness) -> bool {
        if !freshness.quiet.get() {
            freshness
                .quiet
                .set(self.last_clean_ticket.load(SeqCst) > freshness.since.get().0 || self.poll_queue());
        }
        freshness.quiet.get()
    }

    /// Applies the events in the queue; true if there were none, and no other thread is applying any.
    fn poll_queue(&self) -> bool {
        let Some(inotify) = &self.inotify else { return false };
        let number = NEXT_TICKET.fetch_add(1, SeqCst) + 1;
        // A buffer too small for any event takes none out: EAGAIN = the queue is empty, EINVAL = it is not.
        if read(inotify.as_fd(), &mut [0]) == Err(Errno::EAGAIN) {
            // Events taken out earlier were applied, unless another thread is still applying them.
            let is_quiet = self.drainers.load(SeqCst) == 0;
            if is_quiet {
                self.last_clean_ticket.fetch_max(number, SeqCst);
            }
            return is_quiet;
        }
        // Another thread is draining the queue: report "changed" and let the caller stat.
        let table = match self.table.try_lock() {
            Ok(table) => table,
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            Err(TryLockError::WouldBlock) => return false,
        };
        self.drainers.fetch_add(1, SeqCst);
        self.apply_events(inotify, table);
        self.drainers.fetch_sub(1, SeqCst);
        false
    }

    /// Applies the events that one read takes out of the queue.
    ///
    /// If more events arrive meanwhile, callers use `stat` instead of waiting for the end of the queue.
    fn apply_events(&self, inotify: &Inotify, mut table: MutexGuard<'_, WatchTable>) {
        for event in inotify.read_events().unwrap_or_default() {
            let is_ignored = event.mask.contains(AddWatchFlags::IN_IGNORED);
            if table.retired.contains(&event.wd) {
                // Events from before the removal come first.
                if is_ignored {
                    table.retired.remove(&event.wd);
                }
                continue;
            }
            let is_lost = event.mask.contains(AddWatchFlags::IN_Q_OVERFLOW);
            let is_file = table.by_descriptor.get(&event.wd).is_some_and(|known| known.is_file);
            if is_lost {
                table.by_descriptor.values().for_each(|directory| changed(directory));
                // The events that end their wait may be among those that are lost.
                table.retired.clear();
            } else if let Some(directory) = table.by_descriptor.get(&event.wd) {
                changed(directory);
            }
            // All names below the directory may lead elsewhere now.
            let has_gone = is_ignored || event.mask.contains(AddWatchFlags::IN_MOVE_SELF);
            if is_lost || has_gone && !is_file {
                table.by_name.clear();
                self.rename_epoch.fetch_add(1, SeqCst);
            }
            if is_ignored {
                table.by_descriptor.remove(&event.wd);
            }
        }
    }

    /// Milliseconds since this watcher was made.
    fn age(&self) -> u64 {
        self.age_at(Instant::now())
    }

    fn age_at(&self, time: Instant) -> u64 {
        time.saturating_duration_since(self.started).as_millis() as u64
    }

    fn table(&self) -> MutexGuard<'_, WatchTable> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Tells whether the last `stat` is recent enough to rely on events alone.
fn is_trusted(watched: &WatchedPath, age: u64) -> bool {
    age.saturating_sub(watched.checked.load(SeqCst)) < TRUSTED_FOR.as_millis() as u64
}

fn changed(directory: &WatchedInode) {
    directory.changes.fetch_add(1, SeqCst);
}

#[cfg(test)]
mod tests;
