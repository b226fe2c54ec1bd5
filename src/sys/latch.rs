//! Latch: an event that happens once, and that another thread can wait for.

use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

#[derive(Debug, Default)]
struct LatchState {
    is_set: Mutex<bool>,
    changed: Condvar,
}

/// Waiting side of a latch.
#[derive(Debug)]
pub struct Latch(Arc<LatchState>);

/// Setting side of a latch: dropping it ends the wait, also by a panic of its thread.
#[derive(Debug)]
pub struct LatchSetter(Arc<LatchState>);

/// Makes both sides of a new latch.
pub fn latch() -> (LatchSetter, Latch) {
    let state = Arc::<LatchState>::default();
    (LatchSetter(Arc::clone(&state)), Latch(state))
}

impl Latch {
    /// True once the setter is dropped.
    pub fn is_set(&self) -> bool {
        *self.0.is_set.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until the setter is dropped, or for `limit`.
    pub fn wait(&self, limit: Duration) {
        let is_set = self.0.is_set.lock().unwrap_or_else(PoisonError::into_inner);
        drop(self.0.changed.wait_timeout_while(is_set, limit, |is_set| !*is_set));
    }
}

impl Drop for LatchSetter {
    fn drop(&mut self) {
        *self.0.is_set.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.0.changed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dropping_the_setter_ends_the_wait() {
        let (setter, latch) = latch();
        let thread = std::thread::spawn(move || drop(setter));
        latch.wait(Duration::from_secs(60));
        thread.join().unwrap();
        latch.wait(Duration::from_secs(60));
    }

    #[test]
    fn the_wait_has_a_limit() {
        let (_setter, latch) = latch();
        latch.wait(Duration::from_millis(1));
    }
}
