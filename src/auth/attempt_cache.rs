//! Remembers which credentials were right and which were wrong, and keeps slow hashes from piling up.
//!
//! Each answer is kept under a [`AttemptKey`], a keyed digest of file version, user and password: no
//! password is stored, and a changed file asks anew because its marks differ. One answer is worked
//! out by one worker at a time; others that want the same wait for it, and all of them together hold
//! at most a set number of workers.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// Stands for one version of a file with one user and one password.
pub type AttemptKey = [u8; 16];

/// Answers known, being worked out, and the workers held by that.
pub struct AttemptCache {
    state: Mutex<AttemptTable>,
    /// Notified when an answer has been computed.
    done: Condvar,
    /// Most workers that may be in [`AttemptCache::ask`] beyond a look-up.
    most: usize,
}

struct AttemptTable {
    right: RecentAttempts,
    wrong: RecentAttempts,
    running: Vec<AttemptKey>,
    /// Workers that work out an answer or wait for one.
    inside: usize,
}

impl AttemptCache {
    /// Lets at most `most` workers, but at least one, work on answers at once.
    pub fn new(most: usize) -> AttemptCache {
        let state = AttemptTable {
            right: RecentAttempts::new(256),
            wrong: RecentAttempts::new(64),
            running: Vec::new(),
            inside: 0,
        };
        AttemptCache { state: Mutex::new(state), done: Condvar::new(), most: most.max(1) }
    }

    /// The answer, if it is known.
    pub fn recall(&self, mark: &AttemptKey) -> Option<bool> {
        self.lock().recall(mark)
    }

    /// The answer for `mark`: known, being worked out by another worker, or worked out here.
    /// None, at once, when as many workers as may be are busy with answers.
    /// `keep` tells whether the answer holds beyond this call.
    pub fn ask(&self, mark: &AttemptKey, keep: bool, work_out: impl FnOnce() -> bool) -> Option<bool> {
        let mut state = self.lock();
        if state.inside >= self.most {
            return state.recall(mark);
        }
        state.inside += 1;
        let mut stay = InFlightGuard { attempt_cache: self, running: None };
        while state.running.contains(mark) {
            state = self.done.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        // Now at the latest: the one that was waited for may have left the answer.
        if let Some(answer) = state.recall(mark) {
            drop(state);
            return Some(answer);
        }
        state.running.push(*mark);
        stay.running = Some(mark);
        drop(state);
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

/// A worker's stay in [`AttemptCache::ask`]: its end lets others in, even when it ends by a panic.
struct InFlightGuard<'v> {
    attempt_cache: &'v AttemptCache,
    running: Option<&'v AttemptKey>,
}

impl Drop for InFlightGuard<'_> {
    fn drop(&mut self) {
        let mut state = self.attempt_cache.lock();
        state.inside -= 1;
        if let Some(mark) = self.running {
            state.running.retain(|one| one != mark);
            self.attempt_cache.done.notify_all();
        }
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
