//! Statistics: totals since the last report in thttpd's words, and since the start for metrics.
//!
//! `net/` and `conn/` count; `control/` logs the statistics hourly, on USR2 and at the end. The counters
//! use relaxed ordering: a report may be off by one request.

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use crate::sys::atomic::AtomicU64;

/// Number of response classes: the first digit of the status, and 0 for anything else.
pub const CLASSES: usize = 6;

/// Upper bounds of the duration classes in microseconds, inclusive.
pub const BOUNDS_MICROS: [u64; 10] =
    [1_000, 5_000, 25_000, 100_000, 250_000, 1_000_000, 2_500_000, 10_000_000, 60_000_000, 600_000_000];

/// Number of duration classes: one more than the bounds.
const DURATIONS: usize = BOUNDS_MICROS.len() + 1;

/// Counters of the whole server. All but the number of open connections only grow.
#[derive(Debug)]
pub struct Stats {
    started: Instant,
    started_at: SystemTime,
    /// Totals at the start of the current period.
    period: Mutex<Period>,
    connections: AtomicU64,
    open: AtomicU64,
    most_open: AtomicU64,
    bytes: AtomicU64,
    /// Sum of all measured response times in microseconds.
    micros: AtomicU64,
    /// Responses by class and duration, in one counter each so that the sums always agree.
    responses: [[AtomicU64; DURATIONS]; CLASSES],
    reload_failed: AtomicBool,
}

/// Totals at the beginning of a period.
#[derive(Debug)]
struct Period {
    since: Instant,
    connections: u64,
    bytes: u64,
    classes: [u64; CLASSES],
}

/// Totals since the start, read at one time.
#[derive(Debug, Clone)]
pub struct Totals {
    /// Start time of the server.
    pub started_at: SystemTime,
    /// Connections accepted.
    pub connections: u64,
    /// Bytes of content sent.
    pub bytes: u64,
    /// Responses by the first digit of their status.
    pub classes: [u64; CLASSES],
    /// Responses by duration: up to each of [`BOUNDS_MICROS`] and above the one before, and the rest.
    pub durations: [u64; DURATIONS],
    /// Sum of all response times in microseconds.
    pub micros: u64,
    /// Set if the last reading of the configuration was successful.
    pub is_reloaded: bool,
}

impl Default for Stats {
    fn default() -> Stats {
        let now = Instant::now();
        Stats {
            started: now,
            started_at: SystemTime::now(),
            period: Mutex::new(Period { since: now, connections: 0, bytes: 0, classes: [0; CLASSES] }),
            connections: AtomicU64::new(0),
            open: AtomicU64::new(0),
            most_open: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
            micros: AtomicU64::new(0),
            responses: Default::default(),
            reload_failed: AtomicBool::new(false),
        }
    }
}

impl Stats {
    /// Counts an accepted connection.
    pub fn connected(&self) {
        self.connections.fetch_add(1, Relaxed);
        let open = self.open.fetch_add(1, Relaxed) + 1;
        if open > self.most_open.load(Relaxed) {
            self.most_open.fetch_max(open, Relaxed);
        }
    }

    /// Counts the end of a connection that [`Stats::connected`] has counted.
    pub fn disconnected(&self) {
        self.open.fetch_sub(1, Relaxed);
    }

    /// Counts a response with `status` and `bytes` of content.
    ///
    /// `took` is the time since the request began; zero if not measured.
    pub fn answered(&self, status: u16, bytes: u64, took: Duration) {
        self.bytes.fetch_add(bytes, Relaxed);
        let class = Some(usize::from(status / 100)).filter(|class| *class < CLASSES).unwrap_or(0);
        let mut duration = 0;
        if !took.is_zero() {
            let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
            self.micros.fetch_add(micros, Relaxed);
            duration = BOUNDS_MICROS.partition_point(|bound| *bound < micros);
        }
        self.responses[class][duration].fetch_add(1, Relaxed);
    }

    /// Records whether reading the configuration again was successful.
    pub fn reloaded(&self, is_ok: bool) {
        self.reload_failed.store(!is_ok, Relaxed);
    }

    /// Number of open connections.
    pub fn open(&self) -> u64 {
        self.open.load(Relaxed)
    }

    /// Totals since the start.
    pub fn totals(&self) -> Totals {
        let counted = self.responses.each_ref().map(|row| row.each_ref().map(|count| count.load(Relaxed)));
        let mut durations = [0; DURATIONS];
        for row in &counted {
            durations.iter_mut().zip(row).for_each(|(sum, count)| *sum += count);
        }
        Totals {
            started_at: self.started_at,
            connections: self.connections.load(Relaxed),
            bytes: self.bytes.load(Relaxed),
            classes: counted.map(|row| row.iter().sum()),
            durations,
            micros: self.micros.load(Relaxed),
            is_reloaded: !self.reload_failed.load(Relaxed),
        }
    }

    /// Logs the statistics at NOTICE and begins a new period. `lost` is the access log's count.
    pub fn log(&self, lost: u64) {
        for line in self.take(lost) {
            super::notice!("{line}");
        }
    }

    /// Lines of the report; begins a new period.
    ///
    /// The first two lines are thttpd's, with the open connections as its "httpd_conns allocated".
    fn take(&self, lost: u64) -> [String; 3] {
        let now = Instant::now();
        let totals = self.totals();
        let Totals { connections, bytes, classes, .. } = totals;
        let new = Period { since: now, connections, bytes, classes };
        let old = std::mem::replace(&mut *self.period.lock().unwrap_or_else(PoisonError::into_inner), new);
        let up = now.duration_since(self.started).as_secs();
        let period = now.duration_since(old.since).as_secs().max(1);
        let rate = |count| rate(count, period);
        let open = self.open();
        let most = self.most_open.swap(open, Relaxed);
        let (connections, bytes) = (connections - old.connections, bytes - old.bytes);
        let [_, _, ok, moved, refused, failed] =
            std::array::from_fn(|class| classes[class] - old.classes[class]);
        let requests: u64 = classes.iter().sum::<u64>() - old.classes.iter().sum::<u64>();
        [
            format!("up {up} seconds, stats for {period} seconds:"),
            format!(
                "  thttpd - {connections} connections ({}/sec), {most} max simultaneous, {bytes} bytes ({}/sec), {open} httpd_conns allocated",
                rate(connections),
                rate(bytes)
            ),
            format!(
                "  requests - {requests} ({}/sec), {ok} 2xx, {moved} 3xx, {refused} 4xx, {failed} 5xx; {lost} log lines lost",
                rate(requests)
            ),
        ]
    }
}

/// Rate of `count` in `seconds`, formatted as C's `%g`: six significant digits, no trailing zeros.
///
/// The calculation uses whole numbers: floating-point formatting would add one percent to the static
/// binary.
fn rate(count: u64, seconds: u64) -> String {
    let (count, seconds) = (u128::from(count), u128::from(seconds.max(1)));
    // Six digits of the number as `digits`·10^(`exponent` - 5), rounded; fewer if the exponent is too
    // large. The search goes down, so that 9.999999 is first found as 10.0000.
    let digits = |exponent: i32| {
        let scale = 10_u128.pow((5 - exponent).unsigned_abs());
        let (over, under) = if exponent <= 5 { (count * scale, seconds) } else { (count, seconds * scale) };
        let (whole, rest) = (over / under, over % under);
        whole + u128::from(rest * 2 + whole % 2 > under)
    };
    let found = (-15..20).rev().find(|&exponent| digits(exponent) >= 100_000);
    found.map_or("0".to_owned(), |exponent| general(&(digits(exponent) as u64).to_string(), exponent))
}

/// Formats `d.ddddd`·10^`exponent`, given six digits without the point, as `%g` does.
fn general(digits: &str, exponent: i32) -> String {
    let places = exponent.unsigned_abs() as usize;
    match exponent {
        0..6 => with_point(digits, places + 1),
        -4..0 => with_point(&("0".repeat(places) + digits), 1),
        _ => {
            let sign = if exponent < 0 { '-' } else { '+' };
            format!("{}e{sign}{places:02}", with_point(digits, 1))
        }
    }
}

/// Inserts a point after the first `whole` digits, unless only zeros follow.
fn with_point(digits: &str, whole: usize) -> String {
    let (before, after) = digits.split_at(whole);
    match after.trim_end_matches('0') {
        "" => before.to_owned(),
        after => format!("{before}.{after}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_printed_as_c_prints_percent_g() {
        let cases = [
            (0, 60, "0"),
            (60, 60, "1"),
            (30, 60, "0.5"),
            (1, 60, "0.0166667"),
            (2469, 2, "1234.5"),
            (1_234_567, 10, "123457"),
            (1_234_567, 1, "1.23457e+06"),
            (9_999_999, 10, "1e+06"),
            (9_999_999, 1_000_000, "10"),
            (1, 10_000, "0.0001"),
            (123, 10_000_000, "1.23e-05"),
            (100, 1, "100"),
            (200_001, 2, "100000"),
            (200_003, 2, "100002"),
            (u64::MAX, 1, "1.84467e+19"),
            (u64::MAX, u64::MAX, "1"),
            (5, 0, "5"),
        ];
        for (count, seconds, text) in cases {
            assert_eq!(rate(count, seconds), text, "{count}/{seconds}");
        }
    }

    #[test]
    fn the_block_counts_one_period_and_starts_again() {
        let stats = Stats::default();
        stats.connected();
        stats.connected();
        stats.disconnected();
        stats.answered(200, 100, Duration::ZERO);
        stats.answered(404, 0, Duration::ZERO);
        stats.answered(999, 0, Duration::ZERO);
        assert_eq!(
            stats.take(7),
            [
                "up 0 seconds, stats for 1 seconds:",
                "  thttpd - 2 connections (2/sec), 2 max simultaneous, 100 bytes (100/sec), 1 httpd_conns allocated",
                "  requests - 3 (3/sec), 1 2xx, 0 3xx, 1 4xx, 0 5xx; 7 log lines lost",
            ]
        );
        assert_eq!(
            stats.take(7)[1],
            "  thttpd - 0 connections (0/sec), 1 max simultaneous, 0 bytes (0/sec), 1 httpd_conns allocated",
            "what is still open counts as simultaneous"
        );
    }

    #[test]
    fn responses_are_counted_by_class_and_duration_and_the_sums_agree() {
        let stats = Stats::default();
        for (status, micros) in
            [(200, 0), (200, 1_000), (206, 1_001), (404, 600_000_000), (503, 600_000_001), (0, 7)]
        {
            stats.answered(status, 10, Duration::from_micros(micros));
        }
        stats.take(0);
        let totals = stats.totals();
        assert_eq!(totals.classes, [1, 0, 3, 0, 1, 1]);
        assert_eq!(totals.durations, [3, 1, 0, 0, 0, 0, 0, 0, 0, 1, 1], "a report takes nothing away");
        assert_eq!((totals.bytes, totals.micros), (60, 1_200_002_009));
    }
}
