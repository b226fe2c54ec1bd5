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
        let rate = |count: u64| general(count as f64 / period as f64);
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

/// A number as C's `%g` prints it: six significant digits, no trailing zeros, scientific where shorter.
fn general(number: f64) -> String {
    let scientific = format!("{number:.5e}");
    let (mantissa, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    let trim = |text: &str| match text.contains('.') {
        true => text.trim_end_matches('0').trim_end_matches('.').to_owned(),
        false => text.to_owned(),
    };
    if !(-4..6).contains(&exponent) {
        let sign = if exponent < 0 { '-' } else { '+' };
        return format!("{}e{sign}{:02}", trim(mantissa), exponent.abs());
    }
    trim(&format!("{number:.*}", (5 - exponent).unsigned_abs() as usize))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_printed_as_c_prints_percent_g() {
        let cases = [
            (0.0, "0"),
            (1.0, "1"),
            (0.5, "0.5"),
            (1.0 / 60.0, "0.0166667"),
            (1234.5, "1234.5"),
            (123_456.7, "123457"),
            (1_234_567.0, "1.23457e+06"),
            (999_999.9, "1e+06"),
            (0.0001, "0.0001"),
            (0.000_012_3, "1.23e-05"),
            (100.0, "100"),
        ];
        for (number, text) in cases {
            assert_eq!(general(number), text);
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
