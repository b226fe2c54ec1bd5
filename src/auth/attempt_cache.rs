//! Remembers which credentials were right and which were wrong, and keeps slow hashes from piling up.
//!
//! Each answer is kept under an [`AttemptKey`], a keyed digest of file version, user and password: no
//! password is stored, and a changed file asks anew because its marks differ. One answer is worked
//! out by one worker at a time, and all answers together by at most a set number of workers. A request
//! that finds none free, or its own answer being worked out, is told so at once: it is parked and asks
//! again, in its client's turn.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use super::waiting_clients::WaitingClients;
use crate::request::client::ClientNetwork;

/// Stands for one version of a file with one user and one password.
pub type AttemptKey = [u8; 16];

/// Answers known, answers being worked out, and the clients that wait for a slot.
pub struct AttemptCache {
    state: Mutex<AttemptTable>,
    /// Slots: workers that may work out an answer at once.
    most: usize,
}

struct AttemptTable {
    right: RecentAttempts,
    wrong: RecentAttempts,
    running: Vec<AttemptKey>,
    waiting: WaitingClients,
}

impl AttemptCache {
    /// Lets at most `most` workers, but at least one, work on answers at once.
    pub fn new(most: usize) -> AttemptCache {
        let state = AttemptTable {
            right: RecentAttempts::new(256),
            wrong: RecentAttempts::new(64),
            running: Vec::new(),
            waiting: WaitingClients::default(),
        };
        AttemptCache { state: Mutex::new(state), most: most.max(1) }
    }

    /// The answer, if it is known.
    pub fn recall(&self, mark: &AttemptKey) -> Option<bool> {
        self.lock().recall(mark)
    }

    /// The answer for `mark`: known, or worked out here. None, at once, while another worker works it
    /// out, and while no slot is free for `client`. `keep` tells whether the answer holds beyond this call.
    pub fn ask(
        &self,
        client: ClientNetwork,
        mark: &AttemptKey,
        keep: bool,
        work_out: impl FnOnce() -> bool,
    ) -> Option<bool> {
        let mut state = self.lock();
        if let Some(answer) = state.recall(mark) {
            return Some(answer);
        }
        let free = self.most - state.running.len().min(self.most);
        if state.running.contains(mark) || !state.waiting.admit(client, free, Instant::now()) {
            return None;
        }
        state.running.push(*mark);
        drop(state);
        let _running = InFlightGuard { attempt_cache: self, mark };
        let answer = work_out();
        if keep {
            self.lock().remember(mark, answer);
        }
        Some(answer)
    }

    /// A panic while the lock was held cannot have left anything half done.
    fn lock(&self) -> MutexGuard<'_, AttemptTable> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl AttemptTable {
    fn recall(&self, mark: &AttemptKey) -> Option<bool> {
        if self.right.contains(mark) {
            return Some(true);
        }
        self.wrong.contains(mark).then_some(false)
    }

    fn remember(&mut self, mark: &AttemptKey, answer: bool) {
        let book = if answer { &mut self.right } else { &mut self.wrong };
        book.insert(mark);
    }
}

/// An answer being worked out: its end frees the slot, even when it ends by a panic.
struct InFlightGuard<'v> {
    attempt_cache: &'v AttemptCache,
    mark: &'v AttemptKey,
}

impl Drop for InFlightGuard<'_> {
    fn drop(&mut self) {
        self.attempt_cache.lock().running.retain(|one| one != self.mark);
    }
}

/// Keys seen last, in rows of four: a new key replaces the oldest of its row. The size is bounded
/// without bookkeeping, and no client can aim at a row, since keys are keyed hashes.
struct RecentAttempts {
    rows: Box<[[Option<AttemptKey>; 4]]>,
}

impl RecentAttempts {
    /// Room for four times `rows` marks.
    fn new(rows: usize) -> RecentAttempts {
        RecentAttempts { rows: vec![[None; 4]; rows].into_boxed_slice() }
    }

    fn row(&self, mark: &AttemptKey) -> usize {
        usize::from(u16::from_ne_bytes([mark[0], mark[1]])) % self.rows.len()
    }

    fn contains(&self, mark: &AttemptKey) -> bool {
        self.rows[self.row(mark)].contains(&Some(*mark))
    }

    fn insert(&mut self, mark: &AttemptKey) {
        let row = &mut self.rows[self.row(mark)];
        row.rotate_right(1);
        row[0] = Some(*mark);
    }
}

#[cfg(test)]
mod tests;
