//! Load of one worker: whether fewer or more workers should share the work.

use std::time::{Duration, Instant};

/// Rounds after which a worker's load is judged.
const WINDOW: u32 = 32;

/// Longest time for so many rounds of a worker that another may replace. Below this rate a wake-up more for
/// each request matters less than the ticks of the worker on standby.
const WINDOW_TIME: Duration = Duration::from_millis(32);

/// Connections served in a round by a worker that may be falling behind: half of those that one poll finds.
const BACKLOG: usize = 16;

/// Rounds in a row, each with a backlog and without a sleep, that show a worker falling behind. Fewer are a
/// burst, which is over before another worker has woken up.
const ROUNDS_BEHIND: u32 = 4;

/// Most connections served in a round, on average, by a worker that the others can replace.
const FEW_SERVED: u32 = 4;

/// Most rounds for each sleep of such a worker.
const ROUNDS_PER_SLEEP: u32 = 4;

/// Number of workers, as it should become.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Need {
    /// One worker less.
    Fewer,
    /// The present number.
    Same,
    /// One worker more.
    More,
}

/// Rounds of one worker in the current window.
#[derive(Debug)]
pub struct WorkerLoad {
    begun: Instant,
    rounds: u32,
    sleeps: u32,
    served: usize,
    /// Rounds in a row with a backlog and without a sleep.
    behind: u32,
}

impl WorkerLoad {
    /// An empty window.
    pub fn new() -> WorkerLoad {
        WorkerLoad { begun: Instant::now(), rounds: 0, sleeps: 0, served: 0, behind: 0 }
    }

    /// Begins the window anew: after a turn that may have blocked, the rounds before say little.
    pub fn restart(&mut self) {
        *self = WorkerLoad::new();
    }

    /// Records a round that served so many connections, and whether the worker had to sleep for them.
    pub fn record(&mut self, served: usize, slept: bool) -> Need {
        self.behind = if served >= BACKLOG && !slept { self.behind + 1 } else { 0 };
        if self.behind >= ROUNDS_BEHIND {
            self.behind = 0;
            return Need::More;
        }
        self.rounds += 1;
        self.sleeps += u32::from(slept);
        self.served += served;
        if self.rounds < WINDOW {
            return Need::Same;
        }
        let rests = self.rounds <= ROUNDS_PER_SLEEP * self.sleeps
            && self.served <= (FEW_SERVED * self.rounds) as usize;
        let is_frequent = self.begun.elapsed() <= WINDOW_TIME;
        self.restart();
        if rests && is_frequent { Need::Fewer } else { Need::Same }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Needs told in a window of rounds, each of which serves `served`; every `nth` begins with a sleep.
    fn needs(served: usize, nth: u32) -> Vec<Need> {
        let mut load = WorkerLoad::new();
        (0..WINDOW).map(|round| load.record(served, round % nth == 0)).collect()
    }

    #[test]
    fn a_worker_that_often_sleeps_and_finds_little_can_be_spared() {
        let told = needs(1, 2);
        assert_eq!(told.iter().filter(|need| **need == Need::Fewer).count(), 1, "{told:?}");
        assert_eq!(told.last(), Some(&Need::Fewer));
    }

    #[test]
    fn a_worker_that_seldom_sleeps_or_finds_much_goes_on() {
        for (served, nth) in [(1, 5), (5, 2), (BACKLOG - 1, WINDOW)] {
            assert!(needs(served, nth).iter().all(|need| *need == Need::Same), "{served} {nth}");
        }
    }

    #[test]
    fn rare_rounds_do_not_pay_for_a_change() {
        let mut load = WorkerLoad::new();
        load.begun = Instant::now().checked_sub(2 * WINDOW_TIME).unwrap();
        assert!((0..WINDOW).all(|_| load.record(1, true) == Need::Same));
    }

    #[test]
    fn a_backlog_in_several_rounds_without_a_sleep_asks_for_help() {
        let mut load = WorkerLoad::new();
        let told: Vec<_> = (0..ROUNDS_BEHIND).map(|_| load.record(BACKLOG, false)).collect();
        assert_eq!(told.iter().position(|need| *need == Need::More), Some(told.len() - 1), "{told:?}");
    }

    #[test]
    fn a_burst_that_is_over_asks_for_none() {
        assert!(needs(BACKLOG, ROUNDS_BEHIND).iter().all(|need| *need == Need::Same));
    }

    #[test]
    fn rounds_before_a_turn_that_blocks_do_not_count() {
        let mut load = WorkerLoad::new();
        for _ in 0..4 * WINDOW {
            assert_eq!(load.record(1, true), Need::Same);
            load.restart();
        }
    }
}
