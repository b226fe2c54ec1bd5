//! Directories watched by inotify: a remembered outcome needs no `stat` while nothing in them has changed.
//!
//! The kernel queues an event before the call that made a change returns. So a thread that reads the queue
//! after that call, and finds it empty while no other thread is emptying it, knows that nothing happened:
//! one cheap read in place of looking names up again. Changes that inotify does not see — those of other
//! machines on network file systems, writes through a second hard link, a link on the way — are looked up
//! as before ([`Watcher::watch`] is none for them).

use std::cell::Cell;
use std::collections::{HashMap, HashSet};
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::libc::IN_MASK_ADD;
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify, WatchDescriptor};
use nix::sys::stat::{fstat, stat};
use nix::unistd::read;

use crate::docroot::{Links, View};
use crate::sys::filesystem;

/// Directories and files watched at once; what lies in other directories is looked up each time.
const MOST_WATCHES: usize = 4096;

/// Watches below which a file may be watched too. The rest is for directories: one watch of those saves looks at
/// all their files, and one of a file shows rare changes of that alone.
const MOST_BESIDE_FILES: usize = MOST_WATCHES / 2;

/// Directories below one another that are watched: each costs a watch, and a look at each question.
const DEEPEST: usize = 64;

/// Watched or not, the disk is asked again after this long: for what no event tells of, such as a
/// file system mounted over a directory.
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
/// A directory may have got the file's name. `IN_MASK_ADD`, which nix lacks, keeps the events of that one's
/// own watch.
const FILE_CHANGES: AddWatchFlags = AddWatchFlags::IN_ATTRIB
    .union(AddWatchFlags::IN_MODIFY)
    .union(AddWatchFlags::IN_DONT_FOLLOW)
    .union(AddWatchFlags::from_bits_retain(IN_MASK_ADD));

/// One watched directory: how often something in it has changed.
#[derive(Debug)]
struct WatchedDirectory {
    /// A file that is watched itself, for what reaches it by another name.
    is_file: bool,
    changes: AtomicU64,
}

/// A directory and all above it, the top first.
type Chain = Arc<[Arc<WatchedDirectory>]>;

#[derive(Debug, Default)]
struct WatchTable {
    by_descriptor: HashMap<WatchDescriptor, Arc<WatchedDirectory>>,
    /// Each directory behind those above it.
    by_name: HashMap<Box<[u8]>, Chain>,
    /// Files that are watched no more, until the kernel has said so too.
    retired: HashSet<WatchDescriptor>,
    /// Time before which a full table is not searched for unused watches again.
    next_search: Option<Instant>,
}

impl WatchTable {
    /// Is there room for one more watch among `most`? Those that no name and no outcome has a use for make some.
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

    /// Allows one search of the table in a while: each look-up of a file asks for room.
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
    /// None where the system gives us no inotify.
    inotify: Option<Inotify>,
    table: Mutex<WatchTable>,
    /// How often a directory went from its place, and with it, names were no longer what they had been.
    rename_epoch: AtomicU64,
    /// Threads that take events out of the queue and have not told of all of them yet.
    drainers: AtomicUsize,
    /// The last question to which the answer was: nothing has changed.
    last_clean_ticket: AtomicU64,
    born: Instant,
}

/// A directory and all above it, as one remembered outcome depends on them.
#[derive(Debug)]
pub struct WatchedPath {
    chain: Chain,
    /// Upheavals by then: after another one these may be other directories than the names say.
    rename_epoch: u64,
    /// Sum of changes under which the outcome was last found to hold.
    seen: AtomicU64,
    /// When that was, in milliseconds of the watcher's life.
    checked: AtomicU64,
}

/// Questions put to the kernel so far, by all threads and for all trees.
static NEXT_TICKET: AtomicU64 = AtomicU64::new(0);

/// Moment, counted in reads of the queue. A request that arrived before it is served rightly by the result of
/// any later read, by any thread.
#[derive(Debug, Clone, Copy)]
pub struct Ticket(u64);

impl Ticket {
    /// The present moment.
    pub fn latest() -> Ticket {
        Ticket(NEXT_TICKET.load(SeqCst))
    }
}

/// Knowledge of the disk since the requests at hand arrived: one check serves all that came before it.
#[derive(Debug)]
pub struct Freshness {
    /// The requests were here by then.
    since: Cell<Ticket>,
    /// The answer was: nothing has changed.
    quiet: Cell<bool>,
    /// The watcher's age when it was asked for.
    age: Cell<Option<u64>>,
}

impl Default for Freshness {
    /// About requests that are at hand now.
    fn default() -> Freshness {
        Freshness { since: Cell::new(Ticket::latest()), quiet: Cell::default(), age: Cell::default() }
    }
}

impl Freshness {
    /// Other requests are at hand.
    pub fn expire(&self) {
        self.expire_as_of(Ticket::latest());
    }

    /// Other requests are at hand, and were by `since`.
    pub fn expire_as_of(&self, since: Ticket) {
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

impl WatchedPath {
    /// Copies the path, for an outcome that holds as of the same moment.
    pub fn again(&self) -> WatchedPath {
        self.as_of(self.seen.load(SeqCst), self.checked.load(SeqCst))
    }

    fn as_of(&self, seen: u64, checked: u64) -> WatchedPath {
        let (chain, rename_epoch) = (Arc::clone(&self.chain), self.rename_epoch);
        WatchedPath { chain, rename_epoch, seen: seen.into(), checked: checked.into() }
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
            table: Mutex::default(),
            rename_epoch: AtomicU64::new(0),
            drainers: AtomicUsize::new(0),
            last_clean_ticket: AtomicU64::new(0),
            born: Instant::now(),
        }
    }
}

impl Watcher {
    /// Watches `dir` and every directory between it and the root. None when that cannot be relied on.
    /// Call it before looking at what the outcome is made from.
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

    /// Watches one directory. The disk is asked with nothing locked, so that a slow or remote one holds up no
    /// other thread.
    fn watch_one(&self, view: &View<'_>, name: &[u8], above: &[Arc<WatchedDirectory>]) -> Option<Chain> {
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
        // A local view shows nothing else.
        if !view.is_local() && !filesystem::is_local(directory.as_fd()) {
            return None;
        }
        let path = view.root().path_of(name);
        let descriptor = inotify.add_watch(&path, CHANGES).ok()?;
        // The path may lead elsewhere by now.
        let there = stat(&path).ok()?;
        let mut table = self.table();
        // A directory that was moved or removed meanwhile may have been told of before it was known here.
        let is_same = (there.st_dev, there.st_ino) == (found.st_dev, found.st_ino);
        if !is_same || self.rename_epoch.load(SeqCst) != rename_epoch {
            if !table.by_descriptor.contains_key(&descriptor) {
                let _ = inotify.rm_watch(descriptor);
            }
            return None;
        }
        let fresh = || Arc::new(WatchedDirectory { is_file: false, changes: AtomicU64::new(0) });
        let known = table.by_descriptor.entry(descriptor).or_insert_with(fresh);
        if known.is_file {
            // The directory got the name of a file that was about to be watched.
            *known = fresh();
        }
        let directory = Arc::clone(known);
        let chain: Chain = above.iter().chain([&directory]).map(Arc::clone).collect();
        table.by_name.insert(name.into(), Arc::clone(&chain));
        Some(chain)
    }

    /// Watches the file `name` too, for what reaches it through another name of it: a second hard link that
    /// is made later. Where that fails, only the next look shows such a change.
    ///
    /// Call it before the file is opened: what is read from it then holds as long as the path does.
    pub fn watch_file(&self, view: &View<'_>, name: &[u8], watched: &WatchedPath) -> WatchedPath {
        self.try_watch_file(view, name, watched).unwrap_or_else(|| watched.again())
    }

    fn try_watch_file(&self, view: &View<'_>, name: &[u8], watched: &WatchedPath) -> Option<WatchedPath> {
        let inotify = self.inotify.as_ref()?;
        if !self.table().has_room(inotify, MOST_BESIDE_FILES) {
            return None;
        }
        let descriptor = inotify.add_watch(&view.root().path_of(name), FILE_CHANGES).ok()?;
        let fresh = || Arc::new(WatchedDirectory { is_file: true, changes: AtomicU64::new(0) });
        let file = Arc::clone(self.table().by_descriptor.entry(descriptor).or_insert_with(fresh));
        let seen = watched.seen.load(SeqCst) + file.changes.load(SeqCst);
        let chain = watched.chain.iter().chain([&file]).map(Arc::clone).collect();
        Some(WatchedPath { chain, seen: seen.into(), ..watched.again() })
    }

    /// Has nothing changed since the outcome was last found to hold?
    fn is_unchanged(&self, watched: &WatchedPath, freshness: &Freshness) -> bool {
        let age = freshness.age_or(|| self.age());
        is_trusted(watched, age) && self.is_quiet(freshness) && self.is_as_seen(watched)
    }

    /// Has no event come since? Where others have just been told of, the kernel is asked once more.
    pub fn is_untouched(&self, watched: &WatchedPath, freshness: &Freshness) -> bool {
        (self.is_quiet(freshness) || self.is_quiet(freshness)) && self.is_as_seen(watched)
    }

    /// Has no change been told of since the outcome was last found to hold?
    fn is_as_seen(&self, watched: &WatchedPath) -> bool {
        self.is_current(watched) && watched.changes() == watched.seen.load(SeqCst)
    }

    /// Are these still the directories that the names mean, as far as has been told?
    fn is_current(&self, watched: &WatchedPath) -> bool {
        watched.rename_epoch == self.rename_epoch.load(SeqCst)
    }

    /// Copies the path as it was last found to hold, if no change has been told of since. The kernel is not
    /// asked: what is made from this must be asked about later, by [`Watcher::is_untouched`] or
    /// [`Watcher::holds`].
    pub fn last_known(&self, watched: &WatchedPath) -> Option<WatchedPath> {
        // Confirmations by other threads from here on must not count.
        let known = watched.again();
        (is_trusted(&known, self.age()) && self.is_as_seen(&known)).then_some(known)
    }

    /// Does an outcome still hold? The disk is asked by `look` where it is not `watched`, or where something
    /// has changed; if directories are no longer what they were, it is for a new look-up to say.
    pub fn holds(
        &self,
        watched: Option<&WatchedPath>,
        freshness: &Freshness,
        look: impl FnOnce() -> bool,
    ) -> bool {
        let Some(watched) = watched else { return look() };
        self.is_unchanged(watched, freshness) || self.is_current(watched) && self.confirm(watched, look)
    }

    /// The outcome was looked up anew and held: what `look` says counts from before the look.
    fn confirm(&self, watched: &WatchedPath, look: impl FnOnce() -> bool) -> bool {
        let (changes, age) = (watched.changes(), self.age());
        let holds = look();
        if holds {
            watched.seen.store(changes, SeqCst);
            watched.checked.store(age, SeqCst);
        }
        holds
    }

    /// True if nothing changed before the requests at hand arrived that is not applied yet.
    fn is_quiet(&self, freshness: &Freshness) -> bool {
        if !freshness.quiet.get() {
            freshness
                .quiet
                .set(self.last_clean_ticket.load(SeqCst) > freshness.since.get().0 || self.poll_queue());
        }
        freshness.quiet.get()
    }

    /// Applies the events in the queue. True when there were none, and no other thread is applying some.
    fn poll_queue(&self) -> bool {
        let Some(inotify) = &self.inotify else { return false };
        let number = NEXT_TICKET.fetch_add(1, SeqCst) + 1;
        // A buffer too small for any event takes none out: EAGAIN = the queue is empty, EINVAL = it is not.
        if read(inotify.as_fd(), &mut [0]) == Err(Errno::EAGAIN) {
            // Events taken out before are applied, unless another thread is at it now.
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

    /// Applies the events that one read takes out of the queue. If they come faster than that, callers look at
    /// the disk, and none waits for the end of them.
    fn apply_events(&self, inotify: &Inotify, mut table: MutexGuard<'_, WatchTable>) {
        for event in inotify.read_events().unwrap_or_default() {
            if table.retired.remove(&event.wd) {
                continue;
            }
            let is_lost = event.mask.contains(AddWatchFlags::IN_Q_OVERFLOW);
            let is_file = table.by_descriptor.get(&event.wd).is_some_and(|known| known.is_file);
            if is_lost {
                table.by_descriptor.values().for_each(|directory| changed(directory));
            } else if let Some(directory) = table.by_descriptor.get(&event.wd) {
                changed(directory);
            }
            // Names are no longer what they were: those below a directory that moved, too.
            let has_gone = event.mask.intersects(AddWatchFlags::IN_IGNORED | AddWatchFlags::IN_MOVE_SELF);
            if is_lost || has_gone && !is_file {
                table.by_name.clear();
                self.rename_epoch.fetch_add(1, SeqCst);
            }
            if event.mask.contains(AddWatchFlags::IN_IGNORED) {
                table.by_descriptor.remove(&event.wd);
            }
        }
    }

    /// Milliseconds since this watcher was made.
    fn age(&self) -> u64 {
        self.born.elapsed().as_millis() as u64
    }

    fn table(&self) -> MutexGuard<'_, WatchTable> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Was the disk asked so lately that an event would have told of all but rare changes?
fn is_trusted(watched: &WatchedPath, age: u64) -> bool {
    age.saturating_sub(watched.checked.load(SeqCst)) < TRUSTED_FOR.as_millis() as u64
}

fn changed(directory: &WatchedDirectory) {
    directory.changes.fetch_add(1, SeqCst);
}

#[cfg(test)]
mod tests;
