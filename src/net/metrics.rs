//! `/metrics`: counters and states as Prometheus reads them (text format 0.0.4).
//!
//! Everything here is in memory: a scrape waits for no disk and no client.

use std::fmt::{Display, Write};
use std::time::{Duration, UNIX_EPOCH};

use super::shared::Shared;
use crate::cgi::Cgi;
use crate::conn::wait::On;
use crate::log::stats::{BOUNDS_MICROS, CLASSES, Totals};
use crate::site::Site;

/// The media type of the text.
pub const MEDIA_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// The `class` label of each class of [`Totals::classes`].
const CLASS_NAMES: [&str; CLASSES] = ["other", "1xx", "2xx", "3xx", "4xx", "5xx"];

/// Text under construction.
struct MetricsPage(String);

impl MetricsPage {
    /// Begins a metric: what it is, and whether it only grows.
    fn begin(&mut self, name: &str, kind: &str, help: &str) {
        let _ = write!(self.0, "# HELP thttpd_{name} {help}\n# TYPE thttpd_{name} {kind}\n");
    }

    /// One value; `labels` is empty or stands in braces.
    fn value(&mut self, name: &str, labels: &str, value: &dyn Display) {
        let _ = writeln!(self.0, "thttpd_{name}{labels} {value}");
    }

    /// A metric with one value.
    fn single(&mut self, name: &str, kind: &str, help: &str, value: &dyn Display) {
        self.begin(name, kind, help);
        self.value(name, "", value);
    }
}

/// All metrics of a server, now.
pub fn page(shared: &Shared) -> String {
    let site = shared.site();
    let totals = site.stats.totals();
    let mut page = MetricsPage(String::with_capacity(4096));
    page.begin("build_info", "gauge", "The version that runs, in a label.");
    page.value("build_info", concat!("{version=\"", env!("CARGO_PKG_VERSION"), "\"}"), &1);
    let started = totals.started_at.duration_since(UNIX_EPOCH).unwrap_or_default();
    let help = "When the server started, in seconds since 1970.";
    page.single("process_start_time_seconds", "gauge", help, &seconds(started));
    connections(&mut page, shared, &totals);
    requests(&mut page, &totals);
    throttles(&mut page, &site);
    let running = site.cgi.as_ref().map_or(0, |cgi| Cgi::children(cgi).count());
    page.single("cgi_running", "gauge", "Scripts that run.", &running);
    let help = "Lines that the access log could not take.";
    page.single("log_lines_lost_total", "counter", help, &site.log.lost());
    let help = "Content of small files that is admitted in memory.";
    page.single("cache_bytes", "gauge", help, &site.resolver.cached_bytes());
    let help = "Whether the configuration was read without a mistake the last time.";
    page.single("reload_success", "gauge", help, &u8::from(totals.is_reloaded));
    page.0
}

fn connections(page: &mut MetricsPage, shared: &Shared, totals: &Totals) {
    let (mut reading, mut writing, mut script, mut storage, mut paused) = (0, 0, 0, 0, 0);
    shared.poller.each_wait(&mut |on| match on {
        On::Readable => reading += 1,
        On::Writable => writing += 1,
        On::Pipe(_) => script += 1,
        On::RemoteStorage => storage += 1,
        On::Time => paused += 1,
    });
    let active = shared.limiter.open().saturating_sub(reading + writing + script + storage + paused);
    page.begin("connections", "gauge", "Open connections, by what they wait for.");
    let states = [
        ("active", active),
        ("reading", reading),
        ("writing", writing),
        ("script", script),
        ("storage", storage),
        ("paused", paused),
    ];
    for (state, count) in states {
        page.value("connections", &format!("{{state=\"{state}\"}}"), &count);
    }
    page.single("connections_total", "counter", "Connections accepted.", &totals.connections);
    page.begin("connections_closed_total", "counter", "Connections closed, by the reason.");
    for (reason, count) in shared.closes.iter() {
        page.value("connections_closed_total", &format!("{{reason=\"{}\"}}", reason.label()), &count);
    }
}

fn requests(page: &mut MetricsPage, totals: &Totals) {
    page.begin("requests_total", "counter", "Responses that are over, by the class of their status.");
    for (class, count) in CLASS_NAMES.iter().zip(totals.classes) {
        page.value("requests_total", &format!("{{class=\"{class}\"}}"), &count);
    }
    page.single("response_bytes_total", "counter", "Content sent.", &totals.bytes);
    let help = "Time from a request's first byte to the last byte of its response.";
    page.begin("request_seconds", "histogram", help);
    let mut sum = 0;
    for (at, count) in totals.durations.iter().enumerate() {
        sum += count;
        let bound =
            BOUNDS_MICROS.get(at).map_or("+Inf".to_owned(), |&bound| seconds(Duration::from_micros(bound)));
        page.value("request_seconds_bucket", &format!("{{le=\"{bound}\"}}"), &sum);
    }
    page.value("request_seconds_sum", "", &seconds(Duration::from_micros(totals.micros)));
    page.value("request_seconds_count", "", &sum);
}

fn throttles(page: &mut MetricsPage, site: &Site) {
    let rates = site.throttles.usage();
    if rates.is_empty() {
        return;
    }
    let labels =
        |number: usize, pattern: &[u8]| format!("{{number=\"{number}\",rule=\"{}\"}}", label(pattern));
    page.begin("throttle_rate_bytes", "gauge", "Bytes a second sent under a rule, averaged.");
    for (number, rate) in rates.iter().enumerate() {
        page.value("throttle_rate_bytes", &labels(number, rate.pattern), &rate.now);
    }
    page.begin("throttle_limit_bytes", "gauge", "Bytes a second that a rule allows.");
    for (number, rate) in rates.iter().enumerate() {
        page.value("throttle_limit_bytes", &labels(number, rate.pattern), &rate.most);
    }
}

/// Seconds as a decimal number, without the code that prints floating point.
fn seconds(time: Duration) -> String {
    let text = format!("{}.{:06}", time.as_secs(), time.subsec_micros());
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// A label's value: backslash, quotation mark and line end are escaped, and a byte that is not UTF-8 stands
/// as `\xNN`.
fn label(text: &[u8]) -> String {
    let mut value = String::new();
    for chunk in text.utf8_chunks() {
        value += &chunk.valid().replace("\\", "\\\\").replace("\"", "\\\"").replace("\n", "\\n");
        for byte in chunk.invalid() {
            let _ = write!(value, "\\\\x{byte:02X}");
        }
    }
    value
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_are_written_as_short_as_they_are_exact() {
        for (micros, want) in
            [(0, "0"), (1, "0.000001"), (25_000, "0.025"), (60_000_000, "60"), (600_000_000, "600")]
        {
            assert_eq!(seconds(Duration::from_micros(micros)), want);
        }
    }

    #[test]
    fn a_label_ends_where_it_should() {
        assert_eq!(label(b"a\"b\\c\nd\xff"), "a\\\"b\\\\c\\nd\\\\xFF");
    }
}
