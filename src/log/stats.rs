//! Statistics: what was served since the last report, in thttpd's words.
//!
//! `net/` and `conn/` count; `control/` logs the block hourly, on USR2 and at the end. Counters are
//! relaxed: a report that is one request off is no worse for it.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

/// Counters of the whole server.
#[derive(Debug)]
pub struct Stats {
    started: Instant,
    /// When the period that is being counted began.
    since: Mutex<Instant>,
    connections: AtomicU64,
    open: AtomicU64,
    most_open: AtomicU64,
    requests: AtomicU64,
    bytes: AtomicU64,
    /// Responses by the first digit of their status, 1xx first; anything else counts as none.
    classes: [AtomicU64; 5],
}

impl Default for Stats {
    fn default() -> Stats {
        let now = Instant::now();
        Stats {
            started: now,
            since: Mutex::new(now),
            connections: AtomicU64::new(0),
            open: AtomicU64::new(0),
            most_open: AtomicU64::new(0),
            requests: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
            classes: Default::default(),
        }
    }
}

impl Stats {
    /// A connection was accepted.
    pub fn connected(&self) {
        self.connections.fetch_add(1, Relaxed);
        let open = self.open.fetch_add(1, Relaxed) + 1;
        if open > self.most_open.load(Relaxed) {
            self.most_open.fetch_max(open, Relaxed);
        }
    }

    /// A connection that [`Stats::connected`] counted is gone.
    pub fn disconnected(&self) {
        self.open.fetch_sub(1, Relaxed);
    }

    /// A response with `status` is over, `bytes` of content having been sent.
    pub fn answered(&self, status: u16, bytes: u64) {
        self.requests.fetch_add(1, Relaxed);
        self.bytes.fetch_add(bytes, Relaxed);
        if let Some(class) =
            usize::from(status / 100).checked_sub(1).and_then(|class| self.classes.get(class))
        {
            class.fetch_add(1, Relaxed);
        }
    }

    /// Connections open now.
    pub fn open(&self) -> u64 {
        self.open.load(Relaxed)
    }

    /// Logs the block at NOTICE and begins a new period. `lost` is the access log's count.
    pub fn log(&self, lost: u64) {
        for line in self.take(lost) {
            super::notice!("{line}");
        }
    }

    /// The block's lines; the counters start again. The first two lines are thttpd's own, its
    /// "httpd_conns allocated" being the connections open now; the others describe what it had not.
    fn take(&self, lost: u64) -> [String; 3] {
        let now = Instant::now();
        let since = std::mem::replace(&mut *self.since.lock().unwrap_or_else(PoisonError::into_inner), now);
        let up = now.duration_since(self.started).as_secs();
        let period = now.duration_since(since).as_secs().max(1);
        let rate = |count| rate(count, period);
        let open = self.open();
        let (connections, most) = (self.connections.swap(0, Relaxed), self.most_open.swap(open, Relaxed));
        let (requests, bytes) = (self.requests.swap(0, Relaxed), self.bytes.swap(0, Relaxed));
        let [_, ok, moved, refused, failed] = self.classes.each_ref().map(|class| class.swap(0, Relaxed));
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

/// `count` in `seconds`, for each second, as C's `%g` prints it: six significant digits, no trailing
/// zeros, scientific where shorter.
///
/// In whole numbers, because these three are the only fractions that the server prints: the code that
/// prints floating point would be one part in a hundred of the static binary.
fn rate(count: u64, seconds: u64) -> String {
    let (count, seconds) = (u128::from(count), u128::from(seconds.max(1)));
    // The six digits where the number is `digits`·10^(`exponent` - 5), rounded; fewer than six where
    // the exponent is too large. Searching down, 9.999999 is first met as 10.0000.
    let digits = |exponent: i32| {
        let scale = 10_u128.pow((5 - exponent).unsigned_abs());
        let (over, under) = if exponent <= 5 { (count * scale, seconds) } else { (count, seconds * scale) };
        let (whole, rest) = (over / under, over % under);
        whole + u128::from(rest * 2 + whole % 2 > under)
    };
    let found = (-15..20).rev().find(|&exponent| digits(exponent) >= 100_000);
    found.map_or("0".to_owned(), |exponent| general(&digits(exponent).to_string(), exponent))
}

/// `d.ddddd`·10^`exponent`, its six digits given without the point, in the form that `%g` picks.
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

/// The digits with a point after the first `whole` of them, unless only zeros follow.
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
        stats.answered(200, 100);
        stats.answered(404, 0);
        stats.answered(999, 0);
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
}
