//! Latencies in, percentiles out: a log-linear histogram of fixed size, so that recording costs a
//! few instructions and a run of any length costs the same memory.

use std::time::Duration;

/// Each power of two of nanoseconds is cut into this many steps: an error of at most 1/64.
const STEPS: u64 = 64;
const STEP_BITS: u32 = STEPS.trailing_zeros();
/// Enough powers of two for 2^42 ns, more than an hour.
const BUCKETS: usize = (STEPS * (42 - STEP_BITS as u64 + 1)) as usize;

/// Counts of latencies by size.
#[derive(Clone)]
pub struct Histogram {
    counts: Vec<u64>,
    total: u64,
    longest: Duration,
}

impl Default for Histogram {
    fn default() -> Self {
        Self { counts: vec![0; BUCKETS], total: 0, longest: Duration::ZERO }
    }
}

impl Histogram {
    /// Counts one latency.
    pub fn record(&mut self, latency: Duration) {
        self.record_many(latency, 1);
    }

    /// Counts a latency that came `times`.
    pub fn record_many(&mut self, latency: Duration, times: u64) {
        let nanoseconds = u64::try_from(latency.as_nanos()).unwrap_or(u64::MAX);
        self.counts[bucket(nanoseconds).min(BUCKETS - 1)] += times;
        self.total += times;
        self.longest = self.longest.max(latency);
    }

    /// Makes sure that the maximum is at least `wait`, for a request that never got its answer.
    pub fn raise_longest(&mut self, wait: Duration) {
        self.longest = self.longest.max(wait);
    }

    /// Adds what another thread counted.
    pub fn merge(&mut self, other: &Self) {
        for (mine, theirs) in self.counts.iter_mut().zip(&other.counts) {
            *mine += theirs;
        }
        self.total += other.total;
        self.longest = self.longest.max(other.longest);
    }

    /// The latency that `share` (0 to 1) of the requests did not exceed, to within 1/64.
    pub fn percentile(&self, share: f64) -> Duration {
        let wanted = (share * self.total as f64).ceil() as u64;
        let mut seen = 0;
        for (index, count) in self.counts.iter().enumerate() {
            seen += count;
            if seen >= wanted && seen > 0 {
                return Duration::from_nanos(upper_bound(index)).min(self.longest);
            }
        }
        self.longest
    }

    /// The longest latency, exactly.
    pub fn longest(&self) -> Duration {
        self.longest
    }
}

/// Small values have a bucket each; above that, the leading bits choose it.
fn bucket(nanoseconds: u64) -> usize {
    if nanoseconds < STEPS {
        return nanoseconds as usize;
    }
    let power = nanoseconds.ilog2() - STEP_BITS;
    let step = (nanoseconds >> power) - STEPS;
    (STEPS + u64::from(power) * STEPS + step) as usize
}

/// The largest value that falls into the bucket.
fn upper_bound(index: usize) -> u64 {
    let index = index as u64;
    if index < STEPS {
        return index;
    }
    let power = (index - STEPS) / STEPS;
    let step = (index - STEPS) % STEPS;
    ((STEPS + step + 1) << power) - 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_lies_within_a_sixty_fourth_below_the_bound_of_its_bucket() {
        for exponent in 0..41 {
            for value in [1_u64 << exponent, (1 << exponent) + 1, (1 << exponent) * 3 / 2] {
                let bound = upper_bound(bucket(value));
                assert!(bound >= value && bound - value <= value / STEPS, "{value} got {bound}");
            }
        }
    }

    #[test]
    fn percentiles_of_a_thousand_even_steps_are_their_ranks() {
        let mut histogram = Histogram::default();
        for microseconds in 1..=1000 {
            histogram.record(Duration::from_micros(microseconds));
        }
        let p99 = histogram.percentile(0.99).as_micros();
        assert!((990..=1000).contains(&p99), "{p99}");
        let p50 = histogram.percentile(0.5).as_micros();
        assert!((500..=508).contains(&p50), "{p50}");
        assert_eq!(histogram.longest(), Duration::from_micros(1000));
    }

    #[test]
    fn one_slow_request_in_five_hundred_shows_in_p999_and_not_in_p99() {
        let mut histogram = Histogram::default();
        histogram.record_many(Duration::from_micros(100), 998);
        histogram.record_many(Duration::from_millis(9), 2);
        assert!(histogram.percentile(0.99) < Duration::from_micros(102));
        assert_eq!(histogram.percentile(0.999), Duration::from_millis(9));
    }

    #[test]
    fn merging_adds_the_counts_of_both() {
        let (mut one, mut other) = (Histogram::default(), Histogram::default());
        one.record(Duration::from_micros(1));
        other.record(Duration::from_micros(9));
        one.merge(&other);
        assert_eq!(one.percentile(0.5).as_nanos(), u128::from(upper_bound(bucket(1000))));
        assert_eq!(one.longest(), Duration::from_micros(9));
    }
}
