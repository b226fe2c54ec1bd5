//! Exclusive tests: tests run concurrently, unless one needs the machine alone.
//!
//! Every [`Tree`](super::Tree) holds a shared lock. A test that measures, or holds thousands of
//! connections, takes the exclusive lock with [`alone`]: running tests end first, others begin afterwards.

use std::collections::HashMap;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{ThreadId, current};

#[derive(Default)]
struct Machine {
    /// Shares that each thread's test holds.
    shares: HashMap<ThreadId, usize>,
    alone: Option<ThreadId>,
    /// Threads that wait to be alone. No test begins meanwhile, or a crowd would keep them out.
    waiting: usize,
}

static MACHINE: Mutex<Option<Machine>> = Mutex::new(None);
static CHANGED: Condvar = Condvar::new();

fn machine() -> MutexGuard<'static, Option<Machine>> {
    let mut guard = MACHINE.lock().unwrap_or_else(PoisonError::into_inner);
    guard.get_or_insert_default();
    guard
}

fn wait_while(busy: impl Fn(&Machine) -> bool) -> MutexGuard<'static, Option<Machine>> {
    let guard = CHANGED.wait_while(machine(), |machine| machine.as_ref().is_some_and(&busy));
    guard.unwrap_or_else(PoisonError::into_inner)
}

/// A part of the machine, held as long as a test has files.
pub struct Share(ThreadId);

impl Share {
    /// Waits while another test is alone. A thread that has a share gets another one at once.
    pub fn take() -> Share {
        let me = current().id();
        let mut guard = wait_while(|machine| match machine.alone {
            Some(alone) => alone != me,
            None => machine.waiting > 0 && !machine.shares.contains_key(&me),
        });
        *guard.get_or_insert_default().shares.entry(me).or_default() += 1;
        Share(me)
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        let mut guard = machine();
        let shares = &mut guard.get_or_insert_default().shares;
        if let Some(count) = shares.get_mut(&self.0) {
            *count -= 1;
            if *count == 0 {
                shares.remove(&self.0);
            }
        }
        CHANGED.notify_all();
    }
}

/// The whole machine, given back on drop.
pub struct Alone(());

/// Waits until no other test has files, and keeps others from beginning. Taken before the test's tree.
pub fn alone() -> Alone {
    let me = current().id();
    let mut guard = machine();
    let state = guard.get_or_insert_default();
    assert!(!state.shares.contains_key(&me), "call alone() before the test's tree is made");
    state.waiting += 1;
    drop(guard);
    let mut guard = wait_while(|machine| machine.alone.is_some() || !machine.shares.is_empty());
    let state = guard.get_or_insert_default();
    state.waiting -= 1;
    state.alone = Some(me);
    Alone(())
}

impl Drop for Alone {
    fn drop(&mut self) {
        machine().get_or_insert_default().alone = None;
        CHANGED.notify_all();
    }
}
