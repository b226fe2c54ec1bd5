//! Watchdog: a server that makes no progress ends itself with a core dump, so that its supervisor
//! restarts it (thttpd: an alarm that checks its main loop).

use std::time::Duration;

use crate::log;

/// Looks at a count that moves while workers do.
#[derive(Debug)]
pub struct Watchdog {
    limit: Duration,
    /// How often [`Watchdog::look`] is called.
    every: Duration,
    last: u64,
    still: Duration,
}

impl Watchdog {
    /// Ends the process after `limit` without movement. None: the limit is zero, never.
    pub fn new(limit: Duration) -> Option<Watchdog> {
        let every = (limit / 4).min(Duration::from_secs(10));
        (!limit.is_zero()).then_some(Watchdog { limit, every, last: 0, still: Duration::ZERO })
    }

    /// How often to look.
    pub fn every(&self) -> Duration {
        self.every
    }

    /// Notes the count. `true`: it has not moved for too long. Time is counted in looks, not by the
    /// clock: a process that was stopped for an hour has looked once.
    pub fn look(&mut self, count: u64) -> bool {
        if count == self.last {
            self.still += self.every;
        } else {
            self.last = count;
            self.still = Duration::ZERO;
        }
        self.still >= self.limit
    }

    /// Ends the process with SIGABRT, in a directory where a core can be written.
    pub fn end(&self) -> ! {
        log::critical!("no progress in {} seconds - aborting", self.limit.as_secs());
        log::syslog::flush(Duration::from_secs(1));
        let _ = std::env::set_current_dir("/tmp");
        // The kernel writes no core of a process that has changed its user, unless it is asked to.
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
