//! Progress of a client: bytes in the time in which the server waits for the client alone.
//!
//! A client that sends or takes a byte now and then would otherwise hold its request, and the memory of
//! a long response, for ever. Time in which a throttle, a script or a disk is waited for does not count.

use std::time::{Duration, Instant};

use super::close_reason::CloseReason;
use crate::config::Config;

/// Minimum rate at which a client must send or take, averaged over each `window` of waiting.
#[derive(Debug, Clone, Copy)]
pub struct MinimumRate {
    /// Minimum rate; zero for none.
    pub bytes_per_second: u64,
    /// Waiting time in which a client may do nothing.
    pub window: Duration,
}

impl MinimumRate {
    /// Minimum number of bytes in each window.
    fn least(self) -> i64 {
        let bytes = u128::from(self.bytes_per_second) * self.window.as_millis() / 1000;
        i64::try_from(bytes).unwrap_or(i64::MAX).max(1)
    }
}

/// Watches one direction of one exchange.
#[derive(Debug, Default)]
pub struct RateWatch {
    /// Number of bytes moved when the window began; `None` before the first wait.
    base: Option<i64>,
    /// Time in this window in which the client was waited for.
    waited: Duration,
    /// Start of the current wait for the client.
    since: Option<Instant>,
}

impl RateWatch {
    /// Ends the wait for the client.
    pub fn resume(&mut self, now: Instant) {
        if let Some(since) = self.since.take() {
            self.waited += now.saturating_duration_since(since);
        }
    }

    /// Begins a wait for the client, after `moved` bytes; returns its deadline, or `None` if the client is too
    /// slow already.
    ///
    /// A client that moves nothing at all, as in a tunnel, is left to the timeouts.
    pub fn wait(&mut self, moved: i64, rate: MinimumRate, now: Instant) -> Option<Instant> {
        self.resume(now);
        let base = *self.base.get_or_insert(moved);
        if moved - base >= rate.least() {
            self.base = Some(moved);
            self.waited = Duration::ZERO;
        }
        self.since = Some(now);
        match rate.window.checked_sub(self.waited) {
            _ if rate.bytes_per_second == 0 => Some(now + FOR_EVER),
            Some(left) if !left.is_zero() => Some(now + left),
            _ if moved > base => None,
            _ => Some(now + rate.window),
        }
    }
}

/// A year: no deadline overflows with it.
const FOR_EVER: Duration = Duration::from_secs(366 * 86400);

/// Watches a response on its way. Progress is what the client's system has acknowledged: what the
/// kernel takes from us may stay in its buffer.
#[derive(Debug, Default)]
pub struct SendWatch {
    rate: RateWatch,
    /// Number of bytes given to the kernel.
    sent: i64,
    /// Number of bytes acknowledged at the client's last progress, and the time at which that was seen.
    progress: Option<(i64, Instant)>,
}

/// Limits under which a client must take a response.
#[derive(Debug, Clone, Copy)]
pub struct SendLimits {
    /// Maximum waiting time without any byte acknowledged (`send_timeout`).
    pub still: Duration,
    /// Minimum rate.
    pub rate: MinimumRate,
}

impl SendLimits {
    /// Limits of `config`. A response that `holds` memory which others need may not even be still for longer
    /// than the rate is averaged over.
    pub fn from_config(config: &Config, holds: bool) -> SendLimits {
        let (limits, timeouts) = (&config.limits, &config.timeouts);
        let rate = MinimumRate { bytes_per_second: limits.send_rate, window: timeouts.rate_window };
        let is_strict = holds && limits.send_rate > 0;
        let still = if is_strict { timeouts.send.min(timeouts.rate_window) } else { timeouts.send };
        SendLimits { still, rate }
    }
}

impl SendWatch {
    /// Records that the kernel took `n` bytes.
    pub fn sent(&mut self, n: u64) {
        self.sent = self.sent.saturating_add(i64::try_from(n).unwrap_or(i64::MAX));
    }

    /// Ends the wait: a worker has the connection again.
    pub fn resume(&mut self, now: Instant) {
        self.rate.resume(now);
    }

    /// Ends the wait for the client, as a throttle, a script or a disk is waited for.
    pub fn pause(&mut self) {
        self.progress = None;
    }

    /// Begins a wait for room in the kernel's full buffer, with `unacknowledged` bytes; answers its deadline.
    ///
    /// # Errors
    /// The client is too slow already.
    pub fn wait(
        &mut self,
        unacknowledged: usize,
        limits: SendLimits,
        now: Instant,
    ) -> Result<Instant, CloseReason> {
        let acknowledged = self.sent - i64::try_from(unacknowledged).unwrap_or_default();
        let since = match self.progress {
            Some((before, since)) if acknowledged <= before => since,
            _ => {
                self.progress = Some((acknowledged, now));
                now
            }
        };
        let still_until = since + limits.still;
        if now >= still_until {
            return Err(CloseReason::SendTimeout);
        }
        let until = self.rate.wait(acknowledged, limits.rate, now).ok_or(CloseReason::MinimumRate)?;
        Ok(until.min(still_until))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);
    const RATE: MinimumRate = MinimumRate { bytes_per_second: 100, window: Duration::from_secs(10) };
    const LIMITS: SendLimits = SendLimits { still: Duration::from_secs(5), rate: RATE };

    #[test]
    fn a_steady_client_goes_on_and_a_trickle_ends_with_the_window() {
        let begin = Instant::now();
        for (bytes_a_second, lives) in [(100, true), (1000, true), (99, false), (1, false), (0, true)] {
            let mut watch = RateWatch::default();
            let ended = (0..100_i64).find(|second| {
                let now = begin + SECOND * u32::try_from(*second).unwrap();
                watch.wait(second * bytes_a_second, RATE, now).is_none()
            });
            assert_eq!(ended, (!lives).then_some(10), "{bytes_a_second}");
        }
    }

    #[test]
    fn only_the_time_of_waits_counts() {
        let (mut watch, mut now) = (RateWatch::default(), Instant::now());
        for n in 0..9 {
            assert!(watch.wait(n, RATE, now).is_some());
            watch.resume(now + SECOND);
            // A script, a throttle or a disk takes an hour.
            now += 3600 * SECOND;
        }
        assert_eq!(watch.wait(9, RATE, now), Some(now + SECOND));
        assert_eq!(watch.wait(9, RATE, now + SECOND), None);
    }

    #[test]
    fn a_burst_is_no_credit_for_a_trickle_after_it() {
        let (mut watch, begin) = (RateWatch::default(), Instant::now());
        assert!(watch.wait(0, RATE, begin).is_some());
        assert!(watch.wait(1_000_000, RATE, begin + SECOND).is_some());
        assert_eq!(watch.wait(1_000_900, RATE, begin + 11 * SECOND), None);
    }

    #[test]
    fn progress_is_what_is_acknowledged_and_not_what_is_sent() {
        let (mut watch, begin) = (SendWatch::default(), Instant::now());
        watch.sent(5000);
        assert_eq!(watch.wait(5000, LIMITS, begin), Ok(begin + 5 * SECOND));
        watch.sent(100);
        let ended = watch.wait(5100, LIMITS, begin + 5 * SECOND);
        assert_eq!(ended, Err(CloseReason::SendTimeout), "nothing was acknowledged");
        let (mut watch, at) = (SendWatch::default(), |n: u32| begin + n * SECOND);
        watch.sent(10_000);
        assert!((0..60_u32).all(|n| watch.wait(10_000 - 150 * n as usize, LIMITS, at(n)).is_ok()));
    }

    #[test]
    fn a_throttles_pause_is_not_the_clients() {
        let (mut watch, begin) = (SendWatch::default(), Instant::now());
        assert!(watch.wait(10, LIMITS, begin).is_ok());
        watch.resume(begin + SECOND);
        watch.pause();
        assert!(watch.wait(10, LIMITS, begin + 100 * SECOND).is_ok());
    }

    #[test]
    fn without_a_rate_only_stillness_ends_a_response() {
        let rate = MinimumRate { bytes_per_second: 0, ..RATE };
        let (mut watch, begin) = (RateWatch::default(), Instant::now());
        assert!((0..100).all(|n| watch.wait(0, rate, begin + SECOND * n).is_some()));
    }
}
