//! Cache of password checks, and a limit on concurrent slow hashes.
//!
//! Each result is stored under an [`AttemptKey`], a keyed digest of file version, user and password. No
//! password is stored, and a changed file gets new keys. One worker computes a result at a time, and a
//! limited number of workers compute results at once. A request that must wait for either is told so at
//! once; it is parked, and asks again in its client's turn.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use super::waiting_clients::WaitingClients;
use crate::request::client::ClientNetwork;

/// Key of one file version, user and password.
pub type AttemptKey = [u8; 16];

/// Known results, results being computed, and clients that wait for a slot.
pub struct AttemptCache {
    state: Mutex<AttemptTable>,
    /// Maximum number of workers that compute results at once.
    most: usize,
}

struct AttemptTable {
    right: RecentAttempts,
    wrong: RecentAttempts,
    running: Vec<AttemptKey>,
    waiting: WaitingClients,
}

impl AttemptCache {
    /// Cache that lets at most `most` workers, but at least one, compute results at once.
    pub fn new(most: usize) -> AttemptCache {
        let state = AttemptTable {
            right: RecentAttempts::new(256),
            wrong: RecentAttempts::new(64),
            running: Vec::new(),
            waiting: WaitingClients::default(),
        };
        AttemptCache { state: Mutex::new(state), most: most.max(1) }
    }

    /// Known result for a key.
    pub fn recall(&self, key: &AttemptKey) -> Option<bool> {
        self.lock().recall(key)
    }

    /// Result for `key`, known or computed here.
    ///
    /// `None`, at once, while another worker computes the result or no slot is free for `client`. `keep`
    /// tells whether to store the result.
    pub fn verify(
        &self,
        client: ClientNetwork,
        key: &AttemptKey,
        keep: bool,
        work_out: impl FnOnce() -> bool,
    ) -> Option<bool> {
        let mut state = self.lock();
        if let Some(answer) = state.recall(key) {
            return Some(answer);
        }
        let free = self.most - state.running.len().min(self.most);
        if state.running.contains(key) || !state.waiting.admit(client, free, Instant::now()) {
            return None;
        }
        state.running.push(*key);
        drop(state);
        let _running = InFlightGuard { attempt_cache: self, key };
        let answer = work_out();
        if keep {
            self.lock().remember(key, answer);
        }
        Some(answer)
    }

    /// Locks the table. A panic under the lock cannot have left a partial change.
    fn lock(&self) -> MutexGuard<'_, AttemptTable> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl AttemptTable {
    fn recall(&self, key: &AttemptKey) -> Option<bool> {
        if self.right.contains(key) {
            return Some(true);
        }
        self.wrong.contains(key).then_some(false)
    }

    fn remember(&mut self, key: &AttemptKey, answer: bool) {
        let recent = if answer { &mut self.right } else { &mut self.wrong };
        recent.insert(key);
    }
}

/// Guard of a result being computed; frees the slot on drop, also after a panic.
struct InFlightGuard<'v> {
    attempt_cache: &'v AttemptCache,
    key: &'v AttemptKey,
}

impl Drop for InFlightGuard<'_> {
    fn drop(&mut self) {
        self.attempt_cache.lock().running.retain(|one| one != self.key);
    }
}

/// Most recent results, in rows of four: a new key replaces the oldest of its row.
///
/// The size is bounded without bookkeeping. Keys are keyed hashes, so clients cannot choose a row.
struct RecentAttempts {
    rows: Box<[[Option<AttemptKey>; 4]]>,
}

impl RecentAttempts {
    /// Table for four times `rows` keys.
    fn new(rows: usize) -> RecentAttempts {
        RecentAttempts { rows: vec![[None; 4]; rows].into_boxed_slice() }
    }

    fn row(&self, key: &AttemptKey) -> usize {
        usize::from(u16::from_ne_bytes([key[0], key[1]])) % self.rows.len()
    }

    fn contains(&self, key: &AttemptKey) -> bool {
        self.rows[self.row(key)].contains(&Some(*key))
    }

    fn insert(&mut self, key: &AttemptKey) {
        let row = &mut self.rows[self.row(key)];
        row.rotate_right(1);
        row[0] = Some(*key);
    }
}

#[cfg(test)]
mod tests;
