//! The C library's allocator, told how this server uses it; and what memory clients may hold.

use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

/// What large pages may take, all together, that clients leave in our memory by not taking them.
pub static FOR_PAGES: Room = Room::of(64 * 1024 * 1024);

/// So many bytes for one purpose.
#[derive(Debug)]
pub struct Room {
    most: usize,
    held: AtomicUsize,
}

/// A part of a room, given back when dropped.
#[derive(Debug)]
pub struct Held {
    room: &'static Room,
    bytes: usize,
}

impl Room {
    const fn of(most: usize) -> Room {
        Room { most, held: AtomicUsize::new(0) }
    }

    /// Room for `bytes` more; none if it is full. Where nothing is held, there is always room for one.
    pub fn hold(&'static self, bytes: usize) -> Option<Held> {
        let fits = |held: usize| held == 0 || held.saturating_add(bytes) <= self.most;
        let more = |held| fits(held).then(|| held + bytes);
        self.held.fetch_update(SeqCst, SeqCst, more).is_ok().then(|| Held { room: self, bytes })
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.room.held.fetch_sub(self.bytes, SeqCst);
    }
}

/// Makes all threads draw on one arena. glibc's arenas for further threads grow by a system call for
/// every page, which a worker that fills the cache spent some 7 % of its time on; the first
/// one grows in larger steps, and what is small is each thread's own all the same. Call it before the
/// first thread. Other C libraries have no such arenas.
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
    fn what_is_refused_takes_no_room_and_what_is_dropped_gives_it_back() {
        static ROOM: Room = Room::of(10);
        let first = ROOM.hold(9);
        assert!(first.is_some());
        for _ in 0..3 {
            assert!(ROOM.hold(2).is_none());
        }
        let second = ROOM.hold(1);
        assert!(second.is_some() && ROOM.hold(1).is_none());
        drop((first, second));
        assert!(ROOM.hold(20).is_some(), "there is room for one");
        assert_eq!(ROOM.held.load(SeqCst), 0);
    }
}
