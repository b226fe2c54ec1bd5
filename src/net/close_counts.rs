//! Counters of closed connections by reason.

use std::sync::atomic::Ordering::Relaxed;

use crate::conn::CloseReason;
use crate::sys::atomic::AtomicU64;

/// Connections closed since the start, by [`CloseReason`].
#[derive(Debug, Default)]
pub struct CloseCounts([AtomicU64; CloseReason::COUNT]);

impl CloseCounts {
    /// Counts a connection that was closed for `reason`.
    pub fn count(&self, reason: CloseReason) {
        self.0[reason as usize].fetch_add(1, Relaxed);
    }

    /// Reasons with their counts.
    pub fn iter(&self) -> impl Iterator<Item = (CloseReason, u64)> {
        CloseReason::ALL.into_iter().map(|reason| (reason, self.0[reason as usize].load(Relaxed)))
    }
}
