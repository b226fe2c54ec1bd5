//! Waiting awake, where that is cheaper than to sleep.

use std::time::{Duration, Instant};

/// How long to stay awake. To be put to sleep and woken again makes a thread some 50 µs late where the
/// machine is virtual, and costs more processor time than to look meanwhile (`benches/SCHEDULING.md`).
const AWAKE: Duration = Duration::from_micros(50);

/// Who is longer about a look has let somebody else run meanwhile: the processor is wanted, and sleep
/// costs nothing.
const ALONE: Duration = Duration::from_micros(4);

/// Whoever slept longer, falling asleep and waking up included, does not try to stay awake the next time.
const BRISK: Duration = Duration::from_micros(100);

/// Whoever has found something so many times in a row without sleeping keeps its processor from others.
const BUSY: u32 = 2;

/// One wait after the other of the same kind, each of which may begin awake.
#[derive(Debug, Default)]
pub struct Vigil {
    began: Option<Instant>,
    /// Waits in a row that ended before there was any sleep.
    finds: u32,
    /// Was the last sleep a short one?
    is_brisk: bool,
    trust: Trust,
}

impl Vigil {
    /// What `look` finds at once, or in the moment that is spent awake if it should pay. Other threads may
    /// have the processor before each look but the first, and before that one while there is much to do:
    /// whoever is about to bring what we wait for may need this very one. When nothing is found, go to
    /// [`Vigil::sleep`].
    pub fn keep<T>(&mut self, mut look: impl FnMut() -> Option<T>) -> Option<T> {
        let began = *self.began.insert(Instant::now());
        if self.finds >= BUSY {
            std::thread::yield_now();
        }
        let mut found = look();
        if found.is_none() && self.is_brisk && self.trust.is_due() {
            let (mut then, mut is_alone) = (began.elapsed(), true);
            while found.is_none() && is_alone && then < AWAKE {
                std::thread::yield_now();
                found = look();
                let now = began.elapsed();
                is_alone = now - then < ALONE;
                then = now;
            }
            self.trust.learn(found.is_some());
        }
        self.finds = if found.is_some() { self.finds.saturating_add(1) } else { 0 };
        found
    }

    /// Ends the wait in `sleep`.
    pub fn sleep<T>(&mut self, sleep: impl FnOnce() -> T) -> T {
        let found = sleep();
        self.is_brisk = self.began.take().is_some_and(|began| began.elapsed() < BRISK);
        found
    }
}

/// A worker's readiness to wait in a connection's own read.
#[derive(Debug)]
pub struct Patience {
    /// How long at most, for the first byte.
    pub most: Duration,
    pub(super) vigil: Vigil,
}

impl Patience {
    /// To wait for `most` at most.
    pub fn of(most: Duration) -> Patience {
        Patience { most, vigil: Vigil::default() }
    }
}

/// Whether to stay awake: where nearly always what was waited for has come in time, as from clients that
/// send their next request when they have their answer. Requests that come when they like would cost
/// half as much again and more.
#[derive(Debug, Default)]
struct Trust {
    /// Waits to go until the next one that may be spent awake.
    left: u32,
    /// What `left` begins with.
    rest: u32,
}

/// The longest rest. Rare enough to cost little, not so rare that it takes long to find out.
const LONGEST_REST: u32 = 127;

impl Trust {
    /// To be asked once a wait.
    fn is_due(&mut self) -> bool {
        let left = self.left.checked_sub(1);
        self.left = left.unwrap_or(0);
        left.is_none()
    }

    /// One failure weighs as much as two successes.
    fn learn(&mut self, paid: bool) {
        self.rest = if paid { self.rest / 2 } else { LONGEST_REST.min(4 * self.rest + 3) };
        self.left = self.rest;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Looks in one wait in which nothing comes.
    fn looks(vigil: &mut Vigil) -> usize {
        let mut count = 0;
        let found = vigil.keep(|| {
            count += 1;
            None::<()>
        });
        assert_eq!(found, None);
        count
    }

    /// After a sleep that was short: on a busy machine not every one is.
    fn brisk() -> Vigil {
        let after_a_sleep = || {
            let mut vigil = Vigil::default();
            looks(&mut vigil);
            vigil.sleep(|| ());
            vigil
        };
        std::iter::repeat_with(after_a_sleep).find(|vigil| vigil.is_brisk).unwrap()
    }

    #[test]
    fn what_is_there_ends_the_wait() {
        assert_eq!(Vigil::default().keep(|| Some(7)), Some(7));
        assert_eq!(brisk().keep(|| Some(7)), Some(7));
    }

    #[test]
    fn a_newcomer_looks_once_and_goes_to_sleep() {
        assert_eq!(looks(&mut Vigil::default()), 1);
    }

    #[test]
    fn after_a_short_sleep_it_looks_again_until_it_finds() {
        let most = (0..100).map(|_| looks(&mut brisk())).max();
        assert!(most > Some(1), "{most:?}");
        let second_look = || {
            let mut looks = 0;
            brisk().keep(|| {
                looks += 1;
                (looks == 2).then_some(looks)
            })
        };
        // A busy machine may take the processor away for all of the time awake, but not each time.
        assert!((0..100).any(|_| second_look() == Some(2)));
    }

    #[test]
    fn in_vain_it_is_not_tried_again_at_once() {
        let mut vigil = brisk();
        looks(&mut vigil);
        vigil.is_brisk = true;
        assert_eq!(looks(&mut vigil), 1);
    }

    #[test]
    fn after_a_long_sleep_it_goes_to_sleep() {
        let mut vigil = brisk();
        looks(&mut vigil);
        vigil.sleep(|| std::thread::sleep(2 * BRISK));
        vigil.trust = Trust::default();
        assert_eq!(looks(&mut vigil), 1);
    }

    /// Of a thousand waits, those spent awake, where every `nth` of these is in vain.
    fn awake(nth: usize) -> usize {
        let mut trust = Trust::default();
        let mut tried = 0;
        for _ in 0..1000 {
            if trust.is_due() {
                tried += 1;
                trust.learn(tried % nth != 0);
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
