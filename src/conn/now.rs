//! Time of a turn: read once when bytes have come, for all that is done about them.

use std::time::{Duration, Instant, SystemTime};

use nix::time::{ClockId, clock_gettime};

/// A point in time, by both clocks.
#[derive(Debug, Clone, Copy)]
pub struct Now {
    /// Monotonic time, for durations and deadlines.
    pub monotonic: Instant,
    /// Wall-clock time as of the last clock tick, some milliseconds ago at most, as file systems date files.
    pub wall: SystemTime,
}

impl Now {
    /// Reads both clocks.
    pub fn read() -> Now {
        Now { monotonic: Instant::now(), wall: coarse().unwrap_or_else(SystemTime::now) }
    }

    /// Time that has passed from `earlier` to here.
    pub fn since(&self, earlier: Instant) -> Duration {
        self.monotonic.saturating_duration_since(earlier)
    }
}

/// The wall clock as of the last tick: several times as cheap as to ask what it is in between.
fn coarse() -> Option<SystemTime> {
    let time = Duration::from(clock_gettime(ClockId::CLOCK_REALTIME_COARSE).ok()?);
    SystemTime::UNIX_EPOCH.checked_add(time)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_at_most_a_few_ticks_behind() {
        let before = SystemTime::now();
        let behind = before.duration_since(Now::read().wall).unwrap_or_default();
        assert!(behind < Duration::from_millis(100), "{behind:?}");
    }

    #[test]
    fn time_passes_from_earlier_to_later_only() {
        let now = Now::read();
        assert_eq!(now.since(now.monotonic - Duration::from_secs(3)), Duration::from_secs(3));
        assert_eq!(now.since(now.monotonic + Duration::from_secs(3)), Duration::ZERO);
    }
}
