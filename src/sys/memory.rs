//! The C library's allocator, told how this server uses it; and what memory clients may hold.

use std::sync::atomic::{AtomicUsize, Ordering::Relaxed, Ordering::SeqCst};

const MIB: usize = 1024 * 1024;

/// Memory for large generated pages that clients have not yet read, all together.
pub static LISTING_MEMORY: MemoryBudget = MemoryBudget::new(64 * MIB);

/// Heap memory for heads and bodies of unfinished requests, all together.
pub static REQUEST_MEMORY: MemoryBudget = MemoryBudget::new(usize::MAX);

/// Disk and memfd space for bodies of unfinished requests, all together.
pub static SPOOL_SPACE: MemoryBudget = MemoryBudget::new(usize::MAX);

/// The part of that in files that are memory, where there is no disk to be had.
pub static SPOOL_MEMORY: MemoryBudget = MemoryBudget::new(usize::MAX);

/// Default bound of [`REQUEST_MEMORY`] where memory has no limit.
const REQUEST_MEMORY_DEFAULT: usize = 48 * MIB;

/// Default bound of [`SPOOL_SPACE`].
const SPOOL_SPACE_DEFAULT: usize = 1024 * MIB;

/// Bytes by which use must have fallen until it is worth looking for pages to give back.
const WORTH_A_TRIM: usize = 4 * MIB;

/// Sets the budgets from the options, each 0 for its default, which follows `limit`, the memory that the
/// process may have.
pub fn set_budgets(request_memory: usize, spool_space: usize, limit: Option<usize>) {
    let part = |divisor| limit.map_or(usize::MAX, |limit| limit / divisor);
    let chosen = |option: usize, default: usize| if option == 0 { default } else { option };
    REQUEST_MEMORY.set_most(chosen(request_memory, REQUEST_MEMORY_DEFAULT.min(part(4))));
    SPOOL_SPACE.set_most(chosen(spool_space, SPOOL_SPACE_DEFAULT));
    SPOOL_MEMORY.set_most(part(4));
    LISTING_MEMORY.set_most((64 * MIB).min(part(8)));
}

/// So many bytes for one purpose.
#[derive(Debug)]
pub struct MemoryBudget {
    most: AtomicUsize,
    held: AtomicUsize,
    /// The most that was held since the last [`give_back`].
    peak: AtomicUsize,
}

/// A part of a room, given back when dropped.
#[derive(Debug)]
pub struct MemoryReservation {
    budget: &'static MemoryBudget,
    bytes: usize,
}

impl MemoryBudget {
    const fn new(most: usize) -> MemoryBudget {
        MemoryBudget { most: AtomicUsize::new(most), held: AtomicUsize::new(0), peak: AtomicUsize::new(0) }
    }

    /// Changes the bound; what is held stays held.
    fn set_most(&self, most: usize) {
        self.most.store(most, SeqCst);
    }

    /// MemoryBudget for `bytes` more; none if it is full. Where nothing is held, there is always room for one.
    pub fn reserve(&'static self, bytes: usize) -> Option<MemoryReservation> {
        self.take(bytes, 0).then(|| MemoryReservation { budget: self, bytes })
    }

    /// Bytes that may be held at most.
    pub fn most(&self) -> usize {
        self.most.load(Relaxed)
    }

    /// More than half is held: what can go elsewhere should.
    pub fn is_tight(&self) -> bool {
        self.held.load(Relaxed) > self.most.load(Relaxed) / 2
    }

    /// Takes `bytes` for one who holds `own` already.
    fn take(&self, bytes: usize, own: usize) -> bool {
        let most = self.most.load(Relaxed);
        let fits = |held: usize| held == own || held.saturating_add(bytes) <= most;
        let more = |held| fits(held).then(|| held + bytes);
        let taken = self.held.fetch_update(SeqCst, SeqCst, more);
        if let Ok(before) = taken {
            self.peak.fetch_max(before + bytes, Relaxed);
        }
        taken.is_ok()
    }

    /// How far use has fallen below its peak; the peak is counted anew from here if that is enough.
    fn fall(&self, enough: usize) -> bool {
        let held = self.held.load(Relaxed);
        let has_fallen = self.peak.load(Relaxed).saturating_sub(held) >= enough;
        if has_fallen {
            self.peak.store(held, Relaxed);
        }
        has_fallen
    }
}

impl MemoryReservation {
    /// Holds `bytes` from now on. `false`: there is no room for more, and what was held stays.
    pub fn resize(&mut self, bytes: usize) -> bool {
        match bytes.checked_sub(self.bytes) {
            Some(more) if !self.budget.take(more, self.bytes) => return false,
            Some(_) => {}
            None => {
                self.budget.held.fetch_sub(self.bytes - bytes, SeqCst);
            }
        }
        self.bytes = bytes;
        true
    }
}

impl Drop for MemoryReservation {
    fn drop(&mut self) {
        self.budget.held.fetch_sub(self.bytes, SeqCst);
    }
}

/// Gives freed pages back to the system, if requests or pages held much more a moment ago; or in any case
/// if `is_due`. glibc keeps what lies between blocks in use; musl gives a group of blocks back by itself
/// once all of them are free.
pub fn give_back(is_due: bool) {
    let has_fallen = [&REQUEST_MEMORY, &LISTING_MEMORY].map(|room| room.fall(WORTH_A_TRIM)).contains(&true);
    if has_fallen || is_due {
        trim();
    }
}

fn trim() {
    #[cfg(target_env = "gnu")]
    // SAFETY: malloc_trim may be called at any time from any thread; it touches free memory alone.
    unsafe {
        nix::libc::malloc_trim(0);
    }
}

/// Makes all threads draw on one arena. glibc's arenas for further threads grow by a system call for
/// every page, which a worker that fills the cache spent some 7 % of its time on; the first
/// one grows in larger steps, and what is small is each thread's own all the same. Call it before the
/// first thread. Other C libraries have no such arenas.
pub fn share_one_arena() {
    #[cfg(target_env = "gnu")]
    {
        use nix::libc::{M_ARENA_MAX, mallopt};
        // SAFETY: no other thread runs yet, and the call only sets a number that later calls to malloc
        // read.
        unsafe {
            mallopt(M_ARENA_MAX, 1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_refused_takes_no_room_and_what_is_dropped_gives_it_back() {
        static BUDGET: MemoryBudget = MemoryBudget::new(10);
        let first = BUDGET.reserve(9);
        assert!(first.is_some());
        for _ in 0..3 {
            assert!(BUDGET.reserve(2).is_none());
        }
        let second = BUDGET.reserve(1);
        assert!(second.is_some() && BUDGET.reserve(1).is_none());
        drop((first, second));
        assert!(BUDGET.reserve(20).is_some(), "there is room for one");
        assert_eq!(BUDGET.held.load(SeqCst), 0);
        assert!(BUDGET.fall(20) && !BUDGET.fall(20), "once for each fall");
    }

    #[test]
    fn what_is_held_grows_as_far_as_there_is_room_and_shrinks() {
        static BUDGET: MemoryBudget = MemoryBudget::new(10);
        let mut first = BUDGET.reserve(4).unwrap();
        let second = BUDGET.reserve(2).unwrap();
        assert!(first.resize(8) && !first.resize(9) && BUDGET.is_tight());
        assert!(first.resize(1) && BUDGET.held.load(SeqCst) == 3 && !BUDGET.is_tight());
        drop(second);
        assert!(first.resize(100), "there is room for one");
        drop(first);
        assert_eq!(BUDGET.held.load(SeqCst), 0);
    }
}
