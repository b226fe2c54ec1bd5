//! The thread that looks after all scripts: their standard error, their time limit, their end.
//!
//! It waits in one place, for all of them, and holds the table's lock only while it works. Started by
//! [`Children`](super::children::Children), it ends when the server stops and no script is left.

use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::sys::epoll::{EpollEvent, EpollTimeout};

use super::children::{Shared, Table};
use super::note::Note;

/// How often scripts are looked at where the kernel cannot tell of their end (before Linux 5.3).
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// The event of the bell.
pub(super) const BELL: u64 = 0;

/// The event of a script's standard error. Script numbers begin at 1.
pub(super) fn stderr_of(id: u64) -> u64 {
    id << 1
}

/// The event of a script's end.
pub(super) fn end_of(id: u64) -> u64 {
    id << 1 | 1
}

/// The thread.
pub(super) fn run(shared: &Shared) {
    let mut events = [EpollEvent::empty(); 64];
    loop {
        let Some(wait) = next_wait(&shared.lock()) else { return };
        match shared.epoll.wait(&mut events, wait) {
            Ok(n) => attend(shared, &events[..n]),
            Err(Errno::EINTR) => {}
            // Nothing else can be wrong with arguments that were right before.
            Err(_) => return,
        }
    }
}

/// How long until something is due; none when the work is done.
fn next_wait(table: &Table) -> Option<EpollTimeout> {
    if table.stopping && table.scripts.is_empty() {
        return None;
    }
    let now = Instant::now();
    let due = table.scripts.values().filter_map(|entry| entry.script.due()).min();
    let mut wait = due.map(|due| due.saturating_duration_since(now));
    if table.scripts.values().any(|entry| entry.script.pidfd().is_none()) {
        wait = Some(wait.map_or(LOOK_EVERY, |wait| wait.min(LOOK_EVERY)));
    }
    // Rounded up: to wake a moment early would be to wake twice.
    let millis = wait.map(|wait| wait.as_millis().saturating_add(1).min(60_000));
    Some(millis.and_then(|ms| EpollTimeout::try_from(ms).ok()).unwrap_or(EpollTimeout::NONE))
}

fn attend(shared: &Shared, events: &[EpollEvent]) {
    let mut notes: Vec<Note> = Vec::new();
    let mut table = shared.lock();
    for event in events {
        match event.data() {
            BELL => _ = shared.bell.read(),
            end if end & 1 == 1 => shared.reap(&mut table, end >> 1, &mut notes),
            stderr => shared.listen(&mut table, stderr >> 1, &mut notes),
        }
    }
    let now = Instant::now();
    for entry in table.scripts.values_mut().filter(|entry| entry.script.due().is_some_and(|due| due <= now)) {
        entry.script.expire(&mut notes);
    }
    if table.scripts.values().any(|entry| entry.script.pidfd().is_none()) {
        shared.reap_all(&mut table, &mut notes);
    }
    drop(table);
    shared.tell(&notes);
}
