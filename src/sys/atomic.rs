//! Counters of 64 bits that threads share, also where the processor has no such atomic operations (MIPS, ARMv5).

#[cfg(not(target_has_atomic = "64"))]
pub use locked::AtomicU64;
#[cfg(target_has_atomic = "64")]
pub use std::sync::atomic::AtomicU64;

#[cfg(any(not(target_has_atomic = "64"), test))]
mod locked {
    use std::sync::atomic::Ordering;
    use std::sync::{Mutex, MutexGuard, PoisonError};

    /// A number behind a lock, with the methods of the standard library's type that the server uses.
    #[derive(Debug, Default)]
    pub struct AtomicU64(Mutex<u64>);

    impl From<u64> for AtomicU64 {
        fn from(number: u64) -> AtomicU64 {
            AtomicU64::new(number)
        }
    }

    impl AtomicU64 {
        /// A counter that begins with `number`.
        pub const fn new(number: u64) -> AtomicU64 {
            AtomicU64(Mutex::new(number))
        }

        fn lock(&self) -> MutexGuard<'_, u64> {
            self.0.lock().unwrap_or_else(PoisonError::into_inner)
        }

        /// Current number.
        pub fn load(&self, _: Ordering) -> u64 {
            *self.lock()
        }

        /// Sets the number.
        pub fn store(&self, number: u64, _: Ordering) {
            *self.lock() = number;
        }

        /// Sets the number, and returns the one before.
        pub fn swap(&self, number: u64, _: Ordering) -> u64 {
            std::mem::replace(&mut *self.lock(), number)
        }

        /// Adds to the number, wrapping round, and returns the one before.
        pub fn fetch_add(&self, more: u64, _: Ordering) -> u64 {
            self.change(|number| number.wrapping_add(more))
        }

        /// Subtracts from the number, wrapping round, and returns the one before.
        pub fn fetch_sub(&self, less: u64, _: Ordering) -> u64 {
            self.change(|number| number.wrapping_sub(less))
        }

        /// Raises the number to `least` if it is smaller, and returns the one before.
        pub fn fetch_max(&self, least: u64, _: Ordering) -> u64 {
            self.change(|number| number.max(least))
        }

        fn change(&self, change: impl FnOnce(u64) -> u64) -> u64 {
            let mut number = self.lock();
            let before = *number;
            *number = change(before);
            before
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::Ordering::SeqCst;

    use super::locked;

    #[test]
    fn a_counter_with_a_lock_answers_as_the_processors_does() {
        let (ours, theirs) = (locked::AtomicU64::new(7), std::sync::atomic::AtomicU64::new(7));
        for n in [0, 1, u64::MAX, 1 << 40, 5] {
            assert_eq!(ours.fetch_add(n, SeqCst), theirs.fetch_add(n, SeqCst));
            assert_eq!(ours.fetch_sub(2 * (n / 2), SeqCst), theirs.fetch_sub(2 * (n / 2), SeqCst));
            assert_eq!(ours.fetch_max(n, SeqCst), theirs.fetch_max(n, SeqCst));
            assert_eq!(ours.swap(n / 3, SeqCst), theirs.swap(n / 3, SeqCst));
            assert_eq!(ours.load(SeqCst), theirs.load(SeqCst));
        }
        ours.store(9, SeqCst);
        assert_eq!((ours.load(SeqCst), locked::AtomicU64::default().load(SeqCst)), (9, 0));
        assert_eq!(locked::AtomicU64::from(3).load(SeqCst), 3);
    }
}
