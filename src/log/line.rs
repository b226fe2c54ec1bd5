//! Access-log lines in the Combined log format, as thttpd 2.29 writes it.
//!
//! Pure. [`access`](super::access) calls this for every exchange, so it does not allocate once its buffer
//! has grown, and formats the date once a second.

use chrono::{Datelike, Local, Offset, TimeZone, Timelike};

use super::decimal::push_decimal;

/// Maximum length of a user name and of the protocol, in bytes as received (thttpd's limits).
const SHORT: usize = 80;
/// Maximum length of the virtual host's name, in bytes as received.
const HOST: usize = 100;
/// Maximum length of target, referrer and agent, in bytes as received.
const LONG: usize = 200;

/// Fields of one access-log line, borrowed while writing.
#[derive(Debug, Clone, Copy)]
pub struct AccessEntry<'a> {
    /// Numeric address of the client, or what stands for it; written as it is.
    pub peer: &'a [u8],
    /// Authenticated user name.
    pub user: Option<&'a [u8]>,
    /// Method in canonical case, or `UNKNOWN`; written as it is.
    pub method: &'static str,
    /// Virtual host's directory; written as `/HOST` before the target.
    pub vhost: Option<&'a [u8]>,
    /// Request target as received; empty if none was received.
    pub target: &'a [u8],
    /// Protocol version as received, or `UNKNOWN`.
    pub version: &'a str,
    /// Status sent; 0 if the connection ended before a response.
    pub status: u16,
    /// Number of content bytes sent, without the head.
    pub bytes: u64,
    /// Value of Referer; empty = none.
    pub referer: &'a [u8],
    /// Value of User-Agent; empty = none.
    pub agent: &'a [u8],
}

impl AccessEntry<'_> {
    /// Appends the line, newline included.
    ///
    /// `date` is [`DateText::at`]'s text, or empty for syslog, which has its own date (as in thttpd).
    pub fn write(&self, date: &[u8], line: &mut Vec<u8>) {
        line.extend_from_slice(self.peer);
        line.extend_from_slice(b" - ");
        match self.user {
            Some(user) => push_escaped(line, user, SHORT),
            None => line.push(b'-'),
        }
        line.push(b' ');
        line.extend_from_slice(date);
        line.push(b'"');
        line.extend_from_slice(self.method.as_bytes());
        line.push(b' ');
        if let Some(host) = self.vhost {
            line.push(b'/');
            push_escaped(line, host, HOST);
        }
        push_escaped(line, self.target, LONG);
        line.push(b' ');
        push_escaped(line, self.version.as_bytes(), SHORT);
        line.extend_from_slice(b"\" ");
        push_decimal(line, u64::from(self.status));
        line.push(b' ');
        push_decimal(line, self.bytes);
        line.extend_from_slice(b" \"");
        push_escaped(line, self.referer, LONG);
        line.extend_from_slice(b"\" \"");
        push_escaped(line, self.agent, LONG);
        line.extend_from_slice(b"\"\n");
    }
}

#[cfg(test)]
impl AccessEntry<'static> {
    /// Entry of a plain request, for tests.
    pub const PLAIN: AccessEntry<'static> = AccessEntry {
        peer: b"127.0.0.1",
        user: None,
        method: "GET",
        vhost: None,
        target: b"/a.txt",
        version: "HTTP/1.1",
        status: 200,
        bytes: 6,
        referer: b"",
        agent: b"",
    };
}

/// Tells whether a byte must be escaped: quotes, backslashes, and all but printable ASCII.
fn needs_escape(byte: u8) -> bool {
    !(0x20..0x7f).contains(&byte) || byte == b'"' || byte == b'\\'
}

/// Appends at most `most` bytes of `text`, with unsafe bytes as `\xNN`.
///
/// thttpd escapes nothing, so that clients can forge lines; this difference is deliberate.
fn push_escaped(line: &mut Vec<u8>, text: &[u8], most: usize) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    let text = &text[..text.len().min(most)];
    // Without an early exit the compiler can check sixteen bytes at a time. Nearly all text is clean.
    if !text.iter().fold(false, |found, &byte| found | needs_escape(byte)) {
        line.extend_from_slice(text);
        return;
    }
    for &byte in text {
        if needs_escape(byte) {
            line.extend_from_slice(&[b'\\', b'x', HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]]);
        } else {
            line.push(byte);
        }
    }
}

/// Cached text `[DD/Mon/YYYY:HH:MM:SS +ZZZZ] ` of one second.
#[derive(Debug, Default)]
pub struct DateText {
    second: Option<i64>,
    text: Vec<u8>,
}

impl DateText {
    /// Empty cache.
    pub const fn new() -> DateText {
        DateText { second: None, text: Vec::new() }
    }

    /// Text for `unix` seconds since the epoch in local time, with a space behind it.
    pub fn at(&mut self, unix: i64) -> &[u8] {
        if self.second != Some(unix) {
            self.second = Some(unix);
            self.text.clear();
            push_date(&mut self.text, unix);
        }
        &self.text
    }
}

/// Month names of log dates and listings, independent of the locale.
pub const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

fn push_date(text: &mut Vec<u8>, unix: i64) {
    let Some(time) = Local.timestamp_opt(unix, 0).single() else {
        text.extend_from_slice(b"[-] ");
        return;
    };
    let zone = time.offset().fix().local_minus_utc() / 60;
    text.push(b'[');
    push_two(text, time.day());
    text.push(b'/');
    text.extend_from_slice(MONTHS[time.month0() as usize].as_bytes());
    text.push(b'/');
    push_decimal(text, u64::from(time.year().unsigned_abs()));
    for part in [time.hour(), time.minute(), time.second()] {
        text.push(b':');
        push_two(text, part);
    }
    text.extend_from_slice(if zone < 0 { b" -" } else { b" +" });
    push_two(text, zone.unsigned_abs() / 60);
    push_two(text, zone.unsigned_abs() % 60);
    text.extend_from_slice(b"] ");
}

fn push_two(text: &mut Vec<u8>, number: u32) {
    text.extend_from_slice(&[b'0' + (number / 10 % 10) as u8, b'0' + (number % 10) as u8]);
}

#[cfg(test)]
mod tests {
    use super::*;

    const ENTRY: AccessEntry<'static> = AccessEntry::PLAIN;

    fn text(entry: AccessEntry<'_>) -> String {
        let mut line = Vec::new();
        entry.write(b"[D] ", &mut line);
        String::from_utf8(line).unwrap()
    }

    #[test]
    fn a_plain_exchange_is_thttpds_combined_line() {
        assert_eq!(text(ENTRY), "127.0.0.1 - - [D] \"GET /a.txt HTTP/1.1\" 200 6 \"\" \"\"\n");
    }

    #[test]
    fn user_host_referer_and_agent_stand_in_their_places() {
        let entry = AccessEntry {
            user: Some(b"joe"),
            vhost: Some(b"hosta"),
            target: b"/x?q",
            referer: b"http://r/",
            agent: b"curl/8",
            ..ENTRY
        };
        assert_eq!(
            text(entry),
            "127.0.0.1 - joe [D] \"GET /hosta/x?q HTTP/1.1\" 200 6 \"http://r/\" \"curl/8\"\n"
        );
    }

    #[test]
    fn garbage_leaves_an_empty_target_between_two_spaces() {
        let entry = AccessEntry {
            method: "UNKNOWN",
            target: b"",
            version: "UNKNOWN",
            status: 400,
            bytes: 0,
            ..ENTRY
        };
        assert_eq!(text(entry), "127.0.0.1 - - [D] \"UNKNOWN  UNKNOWN\" 400 0 \"\" \"\"\n");
    }

    #[test]
    fn bytes_that_could_forge_a_line_are_escaped() {
        let entry = AccessEntry { target: b"/\"\\\r\n\x00\x7f\xc3\xa9", version: "HTTP/1.1\0", ..ENTRY };
        assert!(text(entry).contains("\"GET /\\x22\\x5c\\x0d\\x0a\\x00\\x7f\\xc3\\xa9 HTTP/1.1\\x00\""));
    }

    #[test]
    fn each_field_is_cut_where_thttpd_cuts_it() {
        let long = [b'a'; 300];
        let version = "b".repeat(300);
        let entry = AccessEntry {
            user: Some(&long),
            vhost: Some(&long),
            target: &long,
            version: &version,
            referer: &long,
            agent: &long,
            ..ENTRY
        };
        let (a, b) = (|n| "a".repeat(n), "b".repeat(80));
        let want = format!(
            "127.0.0.1 - {} [D] \"GET /{}{} {b}\" 200 6 \"{}\" \"{}\"\n",
            a(80),
            a(100),
            a(200),
            a(200),
            a(200)
        );
        assert_eq!(text(entry), want);
    }

    #[test]
    fn numbers_are_written_whole() {
        for number in [0, 9, 10, 20_000_000_000, u64::MAX] {
            let mut line = Vec::new();
            push_decimal(&mut line, number);
            assert_eq!(String::from_utf8(line).unwrap(), number.to_string());
        }
    }

    #[test]
    fn the_date_is_local_time_with_its_zone() {
        let mut date = DateText::new();
        let unix = 1_764_000_000;
        let want = Local.timestamp_opt(unix, 0).unwrap().format("[%d/%b/%Y:%H:%M:%S %z] ").to_string();
        assert_eq!(date.at(unix), want.as_bytes());
        assert_eq!(date.at(unix), want.as_bytes(), "the cached text is the same");
        assert_ne!(date.at(unix + 1), want.as_bytes());
    }
}
