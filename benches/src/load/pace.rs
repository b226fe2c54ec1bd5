//! When requests are due that come at random, at a rate, whatever the server does (an open loop).

use std::time::{Duration, Instant};

/// Moments of a Poisson process.
pub struct Pace {
    mean: f64,
    next: Instant,
    random: u64,
}

impl Pace {
    /// `rate` moments a second on average, from now on; `seed` must not be zero.
    pub fn new(rate: f64, seed: u64) -> Self {
        let mut pace = Self { mean: 1.0 / rate, next: Instant::now(), random: seed };
        pace.go_on();
        pace
    }

    /// The next moment, if it has come by `now`; asked again, the one after it.
    pub fn due(&mut self, now: Instant) -> Option<Instant> {
        let due = self.next;
        (due <= now).then(|| {
            self.go_on();
            due
        })
    }

    /// The next moment.
    pub fn next(&self) -> Instant {
        self.next
    }

    fn go_on(&mut self) {
        self.random = super::xorshift(self.random);
        // Evenly between 0 and 1, neither of them.
        let even = ((self.random >> 12) as f64 + 0.5) / (1_u64 << 52) as f64;
        self.next += Duration::from_secs_f64(-even.ln() * self.mean);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_come_at_the_rate_and_at_random() {
        let begin = Instant::now();
        let mut pace = Pace::new(1000.0, 7);
        let later = begin + Duration::from_secs(10);
        let moments: Vec<_> = std::iter::from_fn(|| pace.due(later)).collect();
        assert!((9_500..10_500).contains(&moments.len()), "{}", moments.len());
        // Of gaps like these, 1 − 1/e are shorter than the mean.
        let gaps = moments.windows(2).map(|pair| pair[1] - pair[0]);
        let short = gaps.filter(|gap| *gap < Duration::from_millis(1)).count();
        assert!((6_000..6_700).contains(&short), "{short}");
    }

    #[test]
    fn nothing_is_due_before_its_time() {
        let mut pace = Pace::new(0.001, 7);
        assert_eq!(pace.due(Instant::now()), None);
    }
}
