//! Watchdog: aborts a hung server with a core dump, so that its supervisor restarts it.
//!
//! thttpd uses an alarm that checks its main loop.

use std::time::Duration;

use crate::log;

/// Observer of a counter that workers advance.
#[derive(Debug)]
pub struct Watchdog {
    limit: Duration,
    /// Interval between calls of [`Watchdog::look`].
    every: Duration,
    last: u64,
    still: Duration,
}

impl Watchdog {
    /// Watchdog with the time limit `limit`; `None` for a limit of zero.
    pub fn new(limit: Duration) -> Option<Watchdog> {
        let every = (limit / 4).min(Duration::from_secs(10));
        (!limit.is_zero()).then_some(Watchdog { limit, every, last: 0, still: Duration::ZERO })
    }

    /// Interval between checks.
    pub fn every(&self) -> Duration {
        self.every
    }

    /// Records the counter; true if it has not changed for too long.
    ///
    /// Time is counted in checks instead of by the clock: a process that was stopped for an hour has made
    /// one check.
    pub fn look(&mut self, count: u64) -> bool {
        if count == self.last {
            self.still += self.every;
        } else {
            self.last = count;
            self.still = Duration::ZERO;
        }
        self.still >= self.limit
    }

    /// Ends the process with SIGABRT, in a directory where a core file can be written.
    pub fn end(&self) -> ! {
        log::critical!("no progress in {} seconds - aborting", self.limit.as_secs());
        log::syslog::flush(Duration::from_secs(1));
        let _ = std::env::set_current_dir("/tmp");
        // By default, the kernel writes no core of a process that has changed its user.
        let _ = nix::sys::prctl::set_dumpable(true);
        std::process::abort()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_barks_when_nothing_moved_for_the_whole_limit() {
        let mut dog = Watchdog::new(Duration::from_secs(40)).unwrap();
        assert_eq!(dog.every(), Duration::from_secs(10));
        assert_eq!([1, 1, 1, 1, 2, 2, 2, 2, 2].map(|count| dog.look(count)), {
            let mut barks = [false; 9];
            barks[8] = true;
            barks
        });
    }

    #[test]
    fn a_limit_of_zero_is_no_watchdog() {
        assert!(Watchdog::new(Duration::ZERO).is_none());
    }
}
