//! Waiting awake, where that is cheaper than to sleep.

use std::time::{Duration, Instant};

/// How long to stay awake. To be put to sleep and woken again makes a thread some 50 µs late where the
/// machine is virtual, and costs more processor time than to look meanwhile (`benches/SCHEDULING.md`).
const SPIN_LIMIT: Duration = Duration::from_micros(50);

/// Who is longer about a look has let somebody else run meanwhile: the processor is wanted, and sleep
/// costs nothing.
const UNDISTURBED_POLL: Duration = Duration::from_micros(4);

/// Whoever slept longer, falling asleep and waking up included, does not try to stay awake the next time.
const SHORT_BLOCK: Duration = Duration::from_micros(100);

/// Whoever has found something so many times in a row without sleeping keeps its processor from others.
const YIELD_AFTER: u32 = 2;

/// One wait after the other of the same kind, each of which may begin awake.
#[derive(Debug, Default)]
pub struct SpinWait {
    began: Option<Instant>,
    /// Waits in a row that ended before there was any sleep.
    hits: u32,
    /// Was the last sleep a short one?
    was_short: bool,
    predictor: SpinPredictor,
}

impl SpinWait {
    /// What `look` finds at once, or in the moment that is spent awake if it should pay. Other threads may
    /// have the processor before each look but the first, and before that one while there is much to do:
    /// whoever is about to bring what we wait for may need this very one. When nothing is found, go to
    /// [`SpinWait::block`].
    pub fn poll<T>(&mut self, mut look: impl FnMut() -> Option<T>) -> Option<T> {
        let began = *self.began.insert(Instant::now());
        if self.hits >= YIELD_AFTER {
            std::thread::yield_now();
        }
        let mut found = look();
        if found.is_none() && self.was_short && self.predictor.should_spin() {
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
        self.hits = if found.is_some() { self.hits.saturating_add(1) } else { 0 };
        found
    }

    /// Ends the wait in `sleep`.
    pub fn block<T>(&mut self, sleep: impl FnOnce() -> T) -> T {
        let found = sleep();
        self.was_short = self.began.take().is_some_and(|began| began.elapsed() < SHORT_BLOCK);
        found
    }
}

/// A worker's readiness to wait in a connection's own read.
#[derive(Debug)]
pub struct BlockingReadPolicy {
    /// How long at most, for the first byte.
    pub most: Duration,
    /// Waits of this worker in reads so far.
    pub spin: SpinWait,
}

impl BlockingReadPolicy {
    /// To wait for `most` at most.
    pub fn new(most: Duration) -> BlockingReadPolicy {
        BlockingReadPolicy { most, spin: SpinWait::default() }
    }
}

/// Whether to stay awake: where nearly always what was waited for has come in time, as from clients that
/// send their next request when they have their answer. Requests that come when they like would cost
/// half as much again and more.
#[derive(Debug, Default)]
struct SpinPredictor {
    /// Waits to go until the next one that may be spent awake.
    remaining: u32,
    /// What `left` begins with.
    skip: u32,
}

/// The longest rest. Rare enough to cost little, not so rare that it takes long to find out.
const MAX_SKIP: u32 = 127;

impl SpinPredictor {
    /// To be asked once a wait.
    fn should_spin(&mut self) -> bool {
        let remaining = self.remaining.checked_sub(1);
        self.remaining = remaining.unwrap_or(0);
        remaining.is_none()
    }

    /// One failure weighs as much as two successes.
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
            spin.block(|| ());
            spin
        };
        std::iter::repeat_with(after_a_sleep).find(|spin| spin.was_short).unwrap()
    }

    #[test]
    fn what_is_there_ends_the_wait() {
        assert_eq!(SpinWait::default().poll(|| Some(7)), Some(7));
        assert_eq!(after_short_block().poll(|| Some(7)), Some(7));
    }

    #[test]
    fn a_newcomer_looks_once_and_goes_to_sleep() {
        assert_eq!(looks(&mut SpinWait::default()), 1);
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
        // A busy machine may take the processor away for all of the time awake, but not each time.
        assert!((0..100).any(|_| second_look() == Some(2)));
    }

    #[test]
    fn in_vain_it_is_not_tried_again_at_once() {
        let mut spin = after_short_block();
        looks(&mut spin);
        spin.was_short = true;
        assert_eq!(looks(&mut spin), 1);
    }

    #[test]
    fn after_a_long_sleep_it_goes_to_sleep() {
        let mut spin = after_short_block();
        looks(&mut spin);
        spin.block(|| std::thread::sleep(2 * SHORT_BLOCK));
        spin.predictor = SpinPredictor::default();
        assert_eq!(looks(&mut spin), 1);
    }

    /// Of a thousand waits, those spent awake, where every `nth` of these is in vain.
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
