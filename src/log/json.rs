//! JSON access-log lines (`log_format=json`): one object with fixed members per exchange.
//!
//! Only `peer` is left out if it is the client. The line is a valid object for any bytes from a client. A
//! byte that is not UTF-8 becomes `\xNN` in the string's value, and a backslash `\x5C`, so that both can be
//! distinguished.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use chrono::{DateTime, Datelike, Timelike};

use super::decimal::push_decimal;
use super::line::AccessEntry;

/// Maximum length of a text, in bytes as received.
const LONGEST: usize = 2048;

/// Data of the JSON line beyond the Combined line.
#[derive(Debug, Clone, Copy, Default)]
pub struct Details<'a> {
    /// Peer of the socket, if it is not the client: an address, or `unix`.
    pub peer: Option<&'a str>,
    /// Requested host; empty = none.
    pub host: &'a [u8],
    /// File that was sent, below the web directory; empty = none.
    pub file: &'a [u8],
    /// X-Request-Id of a trusted proxy; empty = none.
    pub id: &'a [u8],
    /// Time from the request's first byte to the end of the exchange.
    pub took: Duration,
}

/// Time in RFC 3339, `2026-01-31T12:00:00.042Z`, with the text of the second cached.
#[derive(Debug, Default)]
pub struct TimeText {
    second: Option<i64>,
    text: Vec<u8>,
}

impl TimeText {
    /// Empty cache.
    pub const fn new() -> TimeText {
        TimeText { second: None, text: Vec::new() }
    }

    /// Text for `time`.
    pub fn at(&mut self, time: SystemTime) -> &[u8] {
        let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
        let second = since.as_secs().cast_signed();
        if self.second != Some(second) {
            self.second = Some(second);
            self.text.clear();
            push_second(&mut self.text, second);
            self.text.extend_from_slice(b".000Z");
        }
        let millis = since.subsec_millis();
        if let [.., hundreds, tens, ones, _] = &mut self.text[..] {
            (*hundreds, *tens, *ones) = (digit(millis / 100), digit(millis / 10), digit(millis));
        }
        &self.text
    }
}

fn push_second(text: &mut Vec<u8>, second: i64) {
    let time = DateTime::from_timestamp(second, 0).unwrap_or_default();
    push_decimal(text, u64::from(time.year().unsigned_abs()));
    let parts = [time.month(), time.day(), time.hour(), time.minute(), time.second()];
    for (separator, part) in b"--T::".iter().zip(parts) {
        text.extend_from_slice(&[*separator, digit(part / 10), digit(part)]);
    }
}

/// Appends the line, newline included; `time` is the end of the exchange.
pub fn write(entry: &AccessEntry<'_>, details: &Details<'_>, time: &[u8], line: &mut Vec<u8>) {
    line.extend_from_slice(b"{\"time\":\"");
    line.extend_from_slice(time);
    line.push(b'"');
    member(line, "client", entry.peer);
    if let Some(peer) = details.peer {
        member(line, "peer", peer.as_bytes());
    }
    member(line, "user", entry.user.unwrap_or_default());
    member(line, "method", entry.method.as_bytes());
    member(line, "host", details.host);
    member(line, "url", entry.target);
    member(line, "proto", entry.version.as_bytes());
    number(line, "status", entry.status.into());
    number(line, "bytes", entry.bytes);
    number(line, "us", u64::try_from(details.took.as_micros()).unwrap_or(u64::MAX));
    member(line, "referrer", entry.referer);
    member(line, "agent", entry.agent);
    member(line, "file", details.file);
    member(line, "id", details.id);
    line.extend_from_slice(b"}\n");
}

fn digit(number: u32) -> u8 {
    b'0' + (number % 10) as u8
}

fn name(line: &mut Vec<u8>, name: &str) {
    line.extend_from_slice(b",\"");
    line.extend_from_slice(name.as_bytes());
    line.extend_from_slice(b"\":");
}

fn number(line: &mut Vec<u8>, own_name: &str, value: u64) {
    name(line, own_name);
    push_decimal(line, value);
}

/// Appends a text member; null for an empty text.
fn member(line: &mut Vec<u8>, own_name: &str, text: &[u8]) {
    name(line, own_name);
    if text.is_empty() {
        return line.extend_from_slice(b"null");
    }
    line.push(b'"');
    for chunk in text[..text.len().min(LONGEST)].utf8_chunks() {
        chunk.valid().chars().for_each(|c| push_char(line, c));
        chunk.invalid().iter().for_each(|&byte| push_byte(line, byte));
    }
    line.push(b'"');
}

fn push_char(line: &mut Vec<u8>, c: char) {
    match c {
        '"' => line.extend_from_slice(b"\\\""),
        '\\' => push_byte(line, b'\\'),
        // Control characters, including C1, could control a terminal that shows the log.
        c if c.is_control() => {
            let code = c as u32;
            line.extend_from_slice(b"\\u00");
            line.extend_from_slice(&[hex(code >> 4), hex(code)]);
        }
        c => line.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes()),
    }
}

/// Appends `\xNN`, with the backslash doubled for JSON.
fn push_byte(line: &mut Vec<u8>, byte: u8) {
    line.extend_from_slice(&[b'\\', b'\\', b'x', hex(u32::from(byte) >> 4), hex(byte.into())]);
}

fn hex(value: u32) -> u8 {
    b"0123456789ABCDEF"[(value & 15) as usize]
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::Value;

    use super::*;

    const ENTRY: AccessEntry<'static> =
        AccessEntry { peer: b"203.0.113.9", target: b"/a?b", ..AccessEntry::PLAIN };

    fn line(entry: &AccessEntry<'_>, details: &Details<'_>) -> String {
        let mut line = Vec::new();
        let time = UNIX_EPOCH + Duration::from_millis(1_764_000_000_042);
        write(entry, details, TimeText::new().at(time), &mut line);
        String::from_utf8(line).unwrap()
    }

    #[test]
    fn an_exchange_is_one_object_with_its_members_in_order() {
        assert_eq!(
            line(&ENTRY, &Details::default()),
            "{\"time\":\"2025-11-24T16:00:00.042Z\",\"client\":\"203.0.113.9\",\"user\":null,\"method\":\"GET\",\
             \"host\":null,\"url\":\"/a?b\",\"proto\":\"HTTP/1.1\",\"status\":200,\"bytes\":6,\"us\":0,\
             \"referrer\":null,\"agent\":null,\"file\":null,\"id\":null}\n"
        );
        let details = Details {
            peer: Some("10.0.0.1"),
            host: b"example.org",
            file: b"a",
            id: b"7",
            took: Duration::from_micros(1234),
        };
        let entry = AccessEntry { user: Some(b"joe"), referer: b"http://r/", agent: b"curl", ..ENTRY };
        let value: Value = serde_json::from_str(&line(&entry, &details)).unwrap();
        for (name, want) in [
            ("peer", "10.0.0.1"),
            ("host", "example.org"),
            ("file", "a"),
            ("id", "7"),
            ("user", "joe"),
            ("agent", "curl"),
        ] {
            assert_eq!(value[name], want);
        }
        assert_eq!(value["us"], 1234);
    }

    #[test]
    fn a_byte_that_is_no_text_and_a_backslash_can_be_told_apart() {
        for (bytes, want) in [
            (&b"/\xff"[..], "/\\xFF"),
            (b"/\\xFF", "/\\x5CxFF"),
            (b"/\"\n\x00\x7f", "/\"\n\0\u{7f}"),
            ("/é\u{9b}\u{2028}".as_bytes(), "/é\u{9b}\u{2028}"),
            (b"/\xed\xa0\x80", "/\\xED\\xA0\\x80"),
            (b"/\xc3", "/\\xC3"),
        ] {
            let text = line(&AccessEntry { target: bytes, ..ENTRY }, &Details::default());
            let value: Value = serde_json::from_str(&text).unwrap();
            assert_eq!(value["url"], want, "{text}");
            assert!(!text.trim_end().chars().any(char::is_control), "{text:?}");
        }
    }

    /// Bytes that a value represents.
    fn original(value: &str) -> Vec<u8> {
        let mut bytes = Vec::new();
        let mut rest = value;
        while let Some(c) = rest.chars().next() {
            if let Some(code) = rest.strip_prefix("\\x") {
                bytes.push(u8::from_str_radix(&code[..2], 16).unwrap());
                rest = &code[2..];
            } else {
                bytes.extend_from_slice(c.to_string().as_bytes());
                rest = &rest[c.len_utf8()..];
            }
        }
        bytes
    }

    proptest! {
        #[test]
        fn any_bytes_make_one_line_that_parses_and_loses_nothing(
            bytes in prop::collection::vec(any::<u8>(), 1..300),
            status: u16,
        ) {
            let entry = AccessEntry { target: &bytes, agent: &bytes, user: Some(&bytes), status, ..ENTRY };
            let details = Details { host: &bytes, file: &bytes, id: &bytes, ..Details::default() };
            let text = line(&entry, &details);
            prop_assert_eq!(text.matches('\n').count(), 1);
            let value: Value = serde_json::from_str(&text).unwrap();
            for name in ["url", "agent", "user", "host", "file", "id"] {
                prop_assert_eq!(original(value[name].as_str().unwrap()), &bytes[..]);
            }
        }
    }
}
