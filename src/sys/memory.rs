//! Memory: settings of the C library's allocator, and budgets for clients.

use std::sync::atomic::{AtomicUsize, Ordering::Relaxed, Ordering::SeqCst};

const MIB: usize = 1024 * 1024;

/// Budget of all large generated pages that clients have not read yet.
pub static LISTING_MEMORY: MemoryBudget = MemoryBudget::new(64 * MIB);

/// Budget of response bytes in memory that clients have not taken yet, pages of [`LISTING_MEMORY`] apart.
///
/// Nothing is refused when the budget is exhausted. Beyond half of the budget, responses are made in ways
/// that need less memory.
pub static RESPONSE_MEMORY: MemoryBudget = MemoryBudget::new(RESPONSE_MEMORY_DEFAULT);

/// Budget of heap memory for heads and bodies of all unfinished requests.
pub static REQUEST_MEMORY: MemoryBudget = MemoryBudget::new(usize::MAX);

/// Budget of disk and memfd space for bodies of all unfinished requests.
pub static SPOOL_SPACE: MemoryBudget = MemoryBudget::new(usize::MAX);

/// Budget of memfd space alone, for systems without a disk to use.
pub static SPOOL_MEMORY: MemoryBudget = MemoryBudget::new(usize::MAX);

/// Default of [`REQUEST_MEMORY`] without a memory limit, in bytes.
const REQUEST_MEMORY_DEFAULT: usize = 48 * MIB;

/// Default of [`RESPONSE_MEMORY`] without a memory limit, in bytes.
const RESPONSE_MEMORY_DEFAULT: usize = 32 * MIB;

/// Default of [`SPOOL_SPACE`] in bytes.
const SPOOL_SPACE_DEFAULT: usize = 1024 * MIB;

/// Minimum decrease of use, in bytes, that makes trimming the heap worthwhile.
const WORTH_A_TRIM: usize = 4 * MIB;

/// Sets the budgets from options; 0 selects a default that depends on `limit`, the process's memory limit.
pub fn set_budgets(request_memory: usize, spool_space: usize, limit: Option<usize>) {
    let part = |divisor| limit.map_or(usize::MAX, |limit| limit / divisor);
    let chosen = |option: usize, default: usize| if option == 0 { default } else { option };
    REQUEST_MEMORY.set_most(chosen(request_memory, REQUEST_MEMORY_DEFAULT.min(part(4))));
    SPOOL_SPACE.set_most(chosen(spool_space, SPOOL_SPACE_DEFAULT));
    SPOOL_MEMORY.set_most(part(4));
    LISTING_MEMORY.set_most((64 * MIB).min(part(8)));
    RESPONSE_MEMORY.set_most(RESPONSE_MEMORY_DEFAULT.min(part(8)));
}

/// Budget of bytes for one purpose.
#[derive(Debug)]
pub struct MemoryBudget {
    most: AtomicUsize,
    held: AtomicUsize,
    /// Maximum use since the last reset by [`fall`](MemoryBudget::fall).
    peak: AtomicUsize,
}

/// Reserved part of a budget, returned on drop.
#[derive(Debug)]
pub struct MemoryReservation {
    budget: &'static MemoryBudget,
    bytes: usize,
}

impl MemoryBudget {
    const fn new(most: usize) -> MemoryBudget {
        MemoryBudget { most: AtomicUsize::new(most), held: AtomicUsize::new(0), peak: AtomicUsize::new(0) }
    }

    /// Changes the maximum; existing reservations stay.
    fn set_most(&self, most: usize) {
        self.most.store(most, SeqCst);
    }

    /// Reserves `bytes`; `None` if the budget is exhausted. The first reservation always succeeds.
    pub fn reserve(&'static self, bytes: usize) -> Option<MemoryReservation> {
        self.take(bytes, 0).then(|| MemoryReservation { budget: self, bytes })
    }

    /// Reserves `bytes` even beyond the maximum, for memory that is in use already.
    pub fn reserve_used(&'static self, bytes: usize) -> MemoryReservation {
        let before = self.held.fetch_add(bytes, SeqCst);
        self.peak.fetch_max(before + bytes, Relaxed);
        MemoryReservation { budget: self, bytes }
    }

    /// Maximum number of reserved bytes.
    pub fn most(&self) -> usize {
        self.most.load(Relaxed)
    }

    /// Tells whether more than half is in use, so that data should go elsewhere.
    pub fn is_tight(&self) -> bool {
        self.held.load(Relaxed) > self.most.load(Relaxed) / 2
    }

    /// Takes `bytes` for a reservation that already has `own` bytes.
    fn take(&self, bytes: usize, own: usize) -> bool {
        let most = self.most.load(Relaxed);
        // In a program of 32 bits, the sum may be beyond the type.
        let more = |held: usize| held.checked_add(bytes).filter(|sum| held == own || *sum <= most);
        let taken = self.held.fetch_update(SeqCst, SeqCst, more);
        if let Ok(before) = taken {
            self.peak.fetch_max(before + bytes, Relaxed);
        }
        taken.is_ok()
    }

    /// Decrease of use since its peak; resets the peak if the decrease is `enough`.
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
    /// Resizes the reservation to `bytes`; false if the budget is exhausted, with the old size kept.
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

/// Returns free heap pages to the system after use has decreased much, or always if `is_due`.
///
/// glibc keeps free pages between used blocks. musl returns a group of blocks by itself once all are free.
pub fn release_free_pages(is_due: bool) {
    let budgets = [&REQUEST_MEMORY, &LISTING_MEMORY, &RESPONSE_MEMORY];
    let has_fallen = budgets.map(|budget| budget.fall(WORTH_A_TRIM)).contains(&true);
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

/// Makes all threads use one malloc arena. Call this before starting threads.
///
/// glibc's additional arenas grow by a system call per page, which took some 7 % of the time of a worker
/// that fills the cache. The main arena grows in larger steps, and each thread has a cache for small blocks
/// anyway. Other C libraries have no arenas.
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
    fn refused_reservations_take_nothing_and_dropped_ones_are_returned() {
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
    fn a_sum_beyond_the_type_is_refused_and_what_is_held_stays_right() {
        static BUDGET: MemoryBudget = MemoryBudget::new(usize::MAX);
        let first = BUDGET.reserve(usize::MAX - 1);
        assert!(BUDGET.reserve(2).is_none() && BUDGET.reserve(1).is_some());
        assert_eq!(BUDGET.held.load(SeqCst), usize::MAX - 1);
        drop(first);
        assert_eq!(BUDGET.held.load(SeqCst), 0);
    }

    #[test]
    fn memory_in_use_counts_even_beyond_the_maximum() {
        static BUDGET: MemoryBudget = MemoryBudget::new(10);
        let held = [BUDGET.reserve_used(5), BUDGET.reserve_used(15)];
        assert!(BUDGET.is_tight() && BUDGET.reserve(1).is_none());
        drop(held);
        assert!(!BUDGET.is_tight() && BUDGET.fall(20));
    }

    #[test]
    fn reservations_grow_within_the_budget_and_shrink() {
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
