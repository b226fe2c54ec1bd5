//! Limit on the number of directory lists that are made at once.
//!
//! A list of a hundred thousand names keeps a processor busy for a second. If all workers made lists,
//! requests for small files would wait.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

/// Counter of the lists that are being made, with a maximum.
#[derive(Debug)]
pub struct ListLimiter {
    most: usize,
    making: Arc<AtomicUsize>,
}

/// Permit to make one list, returned on drop.
#[derive(Debug)]
pub struct ListPermit(Arc<AtomicUsize>);

impl ListLimiter {
    /// Limiter that lets `most` lists be made at once.
    pub fn new(most: usize) -> ListLimiter {
        ListLimiter { most, making: Arc::default() }
    }

    /// Takes a permit; `None` if the maximum is reached.
    pub fn try_take(&self) -> Option<ListPermit> {
        let more = |making| (making < self.most).then_some(making + 1);
        self.making.fetch_update(SeqCst, SeqCst, more).ok().map(|_| ListPermit(Arc::clone(&self.making)))
    }
}

impl Drop for ListPermit {
    fn drop(&mut self) {
        self.0.fetch_sub(1, SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_permit_that_is_dropped_lets_another_list_be_made() {
        let limiter = ListLimiter::new(1);
        let permit = limiter.try_take();
        assert!(permit.is_some() && limiter.try_take().is_none());
        drop(permit);
        assert!(limiter.try_take().is_some());
    }
}
