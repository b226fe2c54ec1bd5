//! Spinning before a wait, where that is cheaper than to sleep.

use std::time::{Duration, Instant};

/// Longest spin. A thread that sleeps and is woken is some 50 µs late on a virtual machine, and costs more
/// processor time than one that polls meanwhile (`benches/SCHEDULING.md`).
const SPIN_LIMIT: Duration = Duration::from_micros(50);

/// Longest poll that no other thread interrupted. After a longer one the processor is wanted elsewhere: stop
/// spinning and block.
const UNDISTURBED_POLL: Duration = Duration::from_micros(4);

/// Longest block, with falling asleep and waking up, after which the next wait may begin with a spin.
const SHORT_BLOCK: Duration = Duration::from_micros(100);

/// Waits in a row without a block after which the thread yields its processor to others.
const YIELD_AFTER: u32 = 2;

/// Waits of one kind in a row, each of which may begin with a spin.
#[derive(Debug, Default)]
pub struct SpinWait {
    began: Option<Instant>,
    /// Number of waits in a row that ended without a block.
    hits: u32,
    /// Set if the last block was a short one.
    was_short: bool,
    predictor: SpinPredictor,
}

impl SpinWait {
    /// Result of `look`, where looking should pay; none: go to [`SpinWait::block`], which finds what is there
    /// for one call less.
    ///
    /// The thread yields before it looks, but not at the begin of a spin: the thread that brings the result may
    /// need this very processor.
    pub fn poll<T>(&mut self, mut look: impl FnMut() -> Option<T>) -> Option<T> {
        let began = *self.began.insert(Instant::now());
        let is_busy = self.hits >= YIELD_AFTER;
        let mut found = None;
        if is_busy {
            std::thread::yield_now();
            found = look();
        }
        if found.is_none() && self.was_short && self.predictor.should_spin() {
            if !is_busy {
                found = look();
            }
            let (mut then, mut is_alone) = (began.elapsed(), true);
            while found.is_none() && is_alone && then < SPIN_LIMIT {
                std::thread::yield_now();
                found = look();
                let now = began.elapsed();
                is_alone = now - then < UNDISTURBED_POLL;
                then = now;
            }
            self.predictor.record(found.is_some());
        }
        self.hits = self.hits.saturating_add(u32::from(found.is_some()));
        found
    }

    /// Ends the wait in `sleep`, which blocks. Tells also whether the thread slept in it.
    pub fn block<T>(&mut self, sleep: impl FnOnce() -> T) -> (T, bool) {
        let blocked = Instant::now();
        let found = sleep();
        let slept = blocked.elapsed() >= UNDISTURBED_POLL;
        if slept {
            self.was_short = self.began.take().is_some_and(|began| began.elapsed() < SHORT_BLOCK);
            self.hits = 0;
        } else {
            self.hits = self.hits.saturating_add(1);
        }
        (found, slept)
    }
}

/// Policy by which a worker waits in a connection's own read.
#[derive(Debug)]
pub struct BlockingReadPolicy {
    /// Maximum wait for the first byte.
    pub most: Duration,
    /// Waits of this worker in reads so far.
    pub spin: SpinWait,
}

impl BlockingReadPolicy {
    /// Policy that waits for the first byte for at most `most`.
    pub fn new(most: Duration) -> BlockingReadPolicy {
        BlockingReadPolicy { most, spin: SpinWait::default() }
    }
}

/// Predictor of whether a spin pays.
///
/// A spin pays for clients that send their next request when they have their response. Requests at random
/// times would cost half as much again and more.
#[derive(Debug, Default)]
struct SpinPredictor {
    /// Waits to go until the next one that may begin with a spin.
    remaining: u32,
    /// Value that `remaining` starts from.
    skip: u32,
}

/// Maximum number of waits between two spins: spins cost little then, and a change is still noticed soon.
const MAX_SKIP: u32 = 127;

impl SpinPredictor {
    /// Tells whether to spin; to be called once in each wait.
    fn should_spin(&mut self) -> bool {
        let remaining = self.remaining.checked_sub(1);
        self.remaining = remaining.unwrap_or(0);
        remaining.is_none()
    }

    /// Records whether a spin paid; one failure weighs as much as two successes.
    fn record(&mut self, paid: bool) {
        self.skip = if paid { self.skip / 2 } else { MAX_SKIP.min(4 * self.skip + 3) };
        self.remaining = self.skip;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Looks in one wait in which nothing comes.
    fn looks(spin: &mut SpinWait) -> usize {
        let mut count = 0;
        let found = spin.poll(|| {
            count += 1;
            None::<()>
        });
        assert_eq!(found, None);
        count
    }

    /// After a sleep that was short: on a busy machine not every one is.
    fn after_short_block() -> SpinWait {
        let after_a_sleep = || {
            let mut spin = SpinWait::default();
            looks(&mut spin);
            spin.block(|| std::thread::sleep(UNDISTURBED_POLL));
            spin
        };
        std::iter::repeat_with(after_a_sleep).find(|spin| spin.was_short).unwrap()
    }

    #[test]
    fn what_is_there_ends_the_wait() {
        assert_eq!(after_short_block().poll(|| Some(7)), Some(7));
        let mut spin = SpinWait::default();
        // A busy machine may take the processor away in one of them.
        while spin.hits < YIELD_AFTER {
            assert_eq!(spin.block(|| 7).0, 7);
        }
        assert_eq!(spin.poll(|| Some(7)), Some(7), "after results that were there at once");
    }

    #[test]
    fn a_newcomer_goes_to_sleep() {
        assert_eq!(looks(&mut SpinWait::default()), 0);
    }

    #[test]
    fn a_sleep_is_told_from_a_result_that_was_there() {
        let slept = || SpinWait::default().block(|| std::thread::sleep(UNDISTURBED_POLL)).1;
        assert!(slept());
        // A busy machine may take the processor away, but not each time.
        assert!((0..100).any(|_| !SpinWait::default().block(|| ()).1));
    }

    #[test]
    fn after_a_short_sleep_it_looks_again_until_it_finds() {
        let most = (0..100).map(|_| looks(&mut after_short_block())).max();
        assert!(most > Some(1), "{most:?}");
        let second_look = || {
            let mut looks = 0;
            after_short_block().poll(|| {
                looks += 1;
                (looks == 2).then_some(looks)
            })
        };
        // A busy machine may take the processor away for a whole spin, but not each time.
        assert!((0..100).any(|_| second_look() == Some(2)));
    }

    #[test]
    fn in_vain_it_is_not_tried_again_at_once() {
        let mut spin = after_short_block();
        looks(&mut spin);
        spin.was_short = true;
        assert_eq!(looks(&mut spin), 0);
    }

    #[test]
    fn after_a_long_sleep_it_goes_to_sleep() {
        let mut spin = after_short_block();
        looks(&mut spin);
        spin.block(|| std::thread::sleep(2 * SHORT_BLOCK));
        spin.predictor = SpinPredictor::default();
        assert_eq!(looks(&mut spin), 0);
    }

    /// Spins in a thousand waits, of which every `nth` finds nothing.
    fn awake(nth: usize) -> usize {
        let mut predictor = SpinPredictor::default();
        let mut tried = 0;
        for _ in 0..1000 {
            if predictor.should_spin() {
                tried += 1;
                predictor.record(tried % nth != 0);
            }
        }
        tried
    }

    #[test]
    fn it_stays_awake_where_that_nearly_always_pays() {
        assert!(awake(100) > 900, "{}", awake(100));
        assert!(awake(2) < 100, "{}", awake(2));
        assert!((7..20).contains(&awake(1)), "{}", awake(1));
    }
}
