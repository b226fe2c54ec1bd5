//! Parser of a script's response head (RFC 3875 §6). Pure.
//!
//! [`OutputParser`](super::output_parser::OutputParser) finds the end of the head and calls [`parse`]. A
//! script's head is not trusted: the result has valid names, values without control characters, and no
//! influence on the framing of the response.

use std::str;

use crate::log::decimal::parse_decimal;
use crate::request::head::is_token_byte;

/// Maximum size of a head in bytes.
pub const MOST: usize = 64 * 1024;

/// Kind of response that a script's head begins (RFC 3875 §6.2).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ScriptResponse {
    /// A response to the client.
    Document(ScriptHead),
    /// Internal redirect to another resource of this server: path and query (RFC 3875 §6.2.2).
    LocalRedirect(Vec<u8>),
}

/// Response head written by a script.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScriptHead {
    /// Status: 200 to 599.
    pub status: u16,
    /// Reason phrase, if the script sets one.
    pub reason: Option<String>,
    /// Content-Length set by the script.
    pub length: Option<u64>,
    /// Set if the script's content is chunked (RFC 9112 §7.1).
    pub chunked: bool,
    /// Other fields in order, without those that only the server sets.
    pub fields: Vec<(String, Vec<u8>)>,
}

/// Scanner for the end of a head: the first empty line. Lines end in CRLF or LF.
#[derive(Debug, Clone, Copy)]
pub struct EndFinder {
    line_is_empty: bool,
}

impl EndFinder {
    /// Scanner at the start of a head.
    pub fn new() -> EndFinder {
        EndFinder { line_is_empty: true }
    }

    /// Takes more bytes. Returns the number of bytes up to the end of the head, if the end is among them.
    pub fn find(&mut self, bytes: &[u8]) -> Option<usize> {
        for (at, byte) in bytes.iter().enumerate() {
            match byte {
                b'\n' if self.line_is_empty => return Some(at + 1),
                b'\n' => self.line_is_empty = true,
                b'\r' => {}
                _ => self.line_is_empty = false,
            }
        }
        None
    }
}

impl Default for EndFinder {
    fn default() -> EndFinder {
        EndFinder::new()
    }
}

/// Scanner for the end of a raw response's head, with the beginning of its status line.
#[derive(Debug, Clone, Copy, Default)]
pub struct RawHead {
    finder: EndFinder,
    /// First bytes: `HTTP/1.1 103`, and the byte behind the status.
    start: [u8; 13],
    len: usize,
}

impl RawHead {
    /// Tells whether the head has no byte yet.
    pub fn is_at_start(&self) -> bool {
        self.len == 0
    }

    /// Takes more bytes, as [`EndFinder::find`].
    pub fn find(&mut self, bytes: &[u8]) -> Option<usize> {
        for (place, byte) in self.start[self.len..].iter_mut().zip(bytes) {
            *place = *byte;
            self.len += 1;
        }
        self.finder.find(bytes)
    }

    /// Tells whether another head follows: the status is 1xx, but not 101 (RFC 9110 §15.2.2).
    pub fn is_interim(&self) -> bool {
        let [b'H', b'T', b'T', b'P', b'/', b'1', b'.', _, b' ', b'1', tens, ones, behind] = self.start else {
            return false;
        };
        tens.is_ascii_digit()
            && ones.is_ascii_digit()
            && (tens, ones) != (b'0', b'1')
            && behind.is_ascii_whitespace()
    }
}

/// Parses a complete head, with or without its final empty line.
///
/// A field without a value counts as not sent (RFC 3875 §6.3). With `Transfer-Encoding: chunked` the
/// content is decoded and Content-Length ignored (RFC 9112 §6.3).
///
/// The status is that of the `Status` field; else that of a first line `HTTP/1.x NNN`, as in thttpd; else
/// 302 with a `Location`; else 200. A `Location` with a path and without other fields is an internal
/// redirect; otherwise the client is redirected.
///
/// # Errors
/// The fault of the head, as a sentence for the log.
pub fn parse(head: &[u8]) -> Result<ScriptResponse, &'static str> {
    let mut lines =
        head.split(|&b| b == b'\n').map(|line| line.strip_suffix(b"\r").unwrap_or(line)).peekable();
    let mut draft = HeadBuilder::default();
    if let Some(line) = lines.next_if(|line| line.starts_with(b"HTTP/")) {
        draft.status_line(line)?;
    }
    for line in lines.take_while(|line| !line.is_empty()) {
        draft.field_line(line)?;
    }
    draft.finish()
}

/// Status in a line such as `HTTP/1.1 200 OK`.
pub fn status_of_line(line: &[u8]) -> Option<u16> {
    let after = line.strip_prefix(b"HTTP/")?;
    let blank = after.iter().position(|&b| b == b' ')?;
    status_and_reason(&after[blank..]).map(|(status, _)| status)
}

/// Partly parsed head.
#[derive(Debug, Default)]
struct HeadBuilder {
    status: Option<(u16, Option<String>)>,
    has_location: bool,
    length: Option<u64>,
    chunked: bool,
    fields: Vec<(String, Vec<u8>)>,
    /// Set if there was a line, even one that counts as not sent.
    has_lines: bool,
    /// Number of lines with a value, including those not passed on.
    lines: usize,
}

impl HeadBuilder {
    fn status_line(&mut self, line: &[u8]) -> Result<(), &'static str> {
        let blank = line.iter().position(|&b| b == b' ').ok_or("its status line has no status")?;
        self.status = Some(status_and_reason(&line[blank..]).ok_or("its status line has no valid status")?);
        (self.has_lines, self.lines) = (true, self.lines + 1);
        Ok(())
    }

    fn field_line(&mut self, line: &[u8]) -> Result<(), &'static str> {
        let colon = line.iter().position(|&b| b == b':').ok_or("a line of its head is not a field")?;
        let (name, value) = (&line[..colon], line[colon + 1..].trim_ascii());
        if name.is_empty() || !name.iter().all(|&b| is_token_byte(b)) {
            return Err("a field of its head has no valid name");
        }
        if value.iter().any(|&b| b.is_ascii_control() && b != b'\t') {
            return Err("a field of its head holds a control character");
        }
        let name = str::from_utf8(name).map_err(|_| "a field of its head has no valid name")?;
        self.has_lines = true;
        if value.is_empty() {
            return Ok(());
        }
        self.lines += 1;
        self.field(name, value)
    }

    fn field(&mut self, name: &str, value: &[u8]) -> Result<(), &'static str> {
        match name.to_ascii_lowercase().as_str() {
            "status" => self.status = Some(status_and_reason(value).ok_or("its Status is no valid status")?),
            "content-length" => self.content_length(value)?,
            "transfer-encoding" => match value.to_ascii_lowercase().as_slice() {
                b"chunked" if !self.chunked => self.chunked = true,
                b"identity" => {}
                _ => return Err("its Transfer-Encoding is not understood"),
            },
            // Only the server manages the connection (RFC 9110 §7.6.1, RFC 3875 §6.3.4).
            "connection" | "keep-alive" | "proxy-connection" | "te" | "trailer" | "upgrade" | "server"
            | "date" => {}
            lower => {
                self.has_location |= lower == "location";
                self.fields.push((name.to_owned(), value.to_vec()));
            }
        }
        Ok(())
    }

    fn content_length(&mut self, value: &[u8]) -> Result<(), &'static str> {
        match (parse_decimal(value), self.length) {
            (None, _) => Err("its Content-Length is not a number"),
            (Some(new), Some(old)) if new != old => Err("it has two different Content-Lengths"),
            (Some(new), _) => {
                self.length = Some(new);
                Ok(())
            }
        }
    }

    fn finish(self) -> Result<ScriptResponse, &'static str> {
        if !self.has_lines {
            return Err("its head is empty");
        }
        if let [(_, location)] = &self.fields[..]
            && self.has_location
            && self.lines == 1
            && is_local(location)
        {
            return Ok(ScriptResponse::LocalRedirect(location.clone()));
        }
        let implied = if self.has_location { 302 } else { 200 };
        let (status, reason) = self.status.unwrap_or((implied, None));
        let (chunked, fields) = (self.chunked, self.fields);
        let length = self.length.filter(|_| !chunked);
        Ok(ScriptResponse::Document(ScriptHead { status, reason, length, chunked, fields }))
    }
}

/// Parses three digits, 200 to 599, and the phrase behind them. Scripts cannot send interim responses.
fn status_and_reason(text: &[u8]) -> Option<(u16, Option<String>)> {
    let text = str::from_utf8(text).ok()?.trim_ascii();
    let (code, phrase) = text.split_once(' ').unwrap_or((text, ""));
    let digits = code.len() == 3 && code.bytes().all(|b| b.is_ascii_digit());
    let status = code.parse().ok().filter(|status| digits && (200..=599).contains(status))?;
    let phrase = phrase.trim_ascii();
    let sound = !phrase.is_empty() && !phrase.chars().any(char::is_control);
    Some((status, sound.then(|| phrase.to_owned())))
}

/// Tells whether `location` is a path on this server.
///
/// `//` begins the name of another server, and a fragment is for the client (RFC 3875 §6.2.2).
fn is_local(location: &[u8]) -> bool {
    location.first() == Some(&b'/') && location.get(1) != Some(&b'/') && !location.contains(&b'#')
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn document(head: &str) -> ScriptHead {
        match parse(head.as_bytes()) {
            Ok(ScriptResponse::Document(head)) => head,
            other => panic!("{head:?} gives {other:?}"),
        }
    }

    #[test]
    fn the_status_comes_from_status_then_the_first_line_then_location() {
        for (head, status, reason) in [
            ("Content-Type: a/b\n\n", 200, None),
            ("Status: 404 Not Here\n\n", 404, Some("Not Here")),
            ("status:404\r\n\r\n", 404, None),
            ("HTTP/1.0 202 Accepted\r\nA: b\r\n\r\n", 202, Some("Accepted")),
            ("HTTP/1.1 202\nStatus: 203\n\n", 203, None),
            ("Location: http://e.com/\n\n", 302, None),
            ("Location: //e.com/\n\n", 302, None),
            ("Location: /x\nSet-Cookie: a=b\n\n", 302, None),
            ("Location: /x\nContent-Type: a/b\n\n", 302, None),
            ("Status: 301\nLocation: /x\n\n", 301, None),
            ("HTTP/1.0 301 Moved\nLocation: /x\n\n", 301, Some("Moved")),
            ("Content-Location: /x\nLocation: http://e.com/\n\n", 302, None),
        ] {
            let got = document(head);
            assert_eq!((got.status, got.reason.as_deref()), (status, reason), "{head:?}");
        }
    }

    #[test]
    fn a_path_as_the_only_field_is_a_redirect_within_the_server() {
        for head in ["Location: /x?y\n\n", "location:/x?y\r\n\r\n"] {
            assert_eq!(
                parse(head.as_bytes()),
                Ok(ScriptResponse::LocalRedirect(b"/x?y".to_vec())),
                "{head:?}"
            );
        }
    }

    #[test]
    fn other_fields_are_passed_on_in_order_and_repeated() {
        let head =
            document("Content-type: text/html\r\nSet-Cookie: a=b\r\nX-Empty:\r\nSet-Cookie:  c=d \r\n\r\n");
        let fields: Vec<_> = head.fields.iter().map(|(n, v)| (n.as_str(), &v[..])).collect();
        assert_eq!(
            fields,
            [("Content-type", &b"text/html"[..]), ("Set-Cookie", b"a=b"), ("Set-Cookie", b"c=d"),]
        );
    }

    #[test]
    fn fields_that_are_the_servers_to_set_are_left_out() {
        let head = document(
            "Connection: close\nKeep-Alive: 5\nTransfer-Encoding: identity\nUpgrade: x\nServer: me\nDate: now\n\
             Content-Length: 12\nStatus: 200 OK\nX: y\n\n",
        );
        assert_eq!(head.fields, [("X".to_owned(), b"y".to_vec())]);
        assert_eq!(head.length, Some(12));
    }

    #[test]
    fn a_field_without_a_value_is_one_that_was_not_sent() {
        for (head, status) in [
            ("Content-Length:\n\n", 200),
            ("Content-Type:\r\nStatus: \r\n\r\n", 200),
            ("Location:\n\n", 200),
            ("Status:\nLocation: http://e.com/\n\n", 302),
            ("Transfer-Encoding:\n\n", 200),
        ] {
            let got = document(head);
            assert_eq!((got.status, got.length, got.chunked), (status, None, false), "{head:?}");
            assert!(got.fields.iter().all(|(_, value)| !value.is_empty()), "{head:?}");
        }
        let redirect = parse(b"Content-Type:\nLocation: /x\n\n");
        assert_eq!(redirect, Ok(ScriptResponse::LocalRedirect(b"/x".to_vec())));
    }

    #[test]
    fn chunked_content_has_no_other_length() {
        for value in ["chunked", "Chunked"] {
            let head = document(&format!("Content-Length: 3\ntransfer-encoding: {value}\n\n"));
            assert_eq!((head.chunked, head.length, head.fields), (true, None, vec![]));
        }
    }

    #[test]
    fn heads_that_could_be_misread_are_refused() {
        for head in [
            "",
            "\n",
            "no header at all\n",
            "Content-Type: a/b\nno colon\n\n",
            ": x\n\n",
            "Bad Name: x\n\n",
            "Name : x\n\n",
            "A: b\n folded: c\n\n",
            "A: b\0c\n\n",
            "A: b\rSet-Cookie: c\n\n",
            "A: \x1b[2J\n\n",
            "Status: 99\n\n",
            "Status: 100 Continue\n\n",
            "Status: 2000\n\n",
            "Status: +20\n\n",
            "Status: OK\n\n",
            "HTTP/1.0\n\n",
            "HTTP/1.0 abc\n\n",
            "Content-Length: -1\n\n",
            "Content-Length: 1x\n\n",
            "Transfer-Encoding: gzip\n\n",
            "Transfer-Encoding: gzip, chunked\n\n",
            "Transfer-Encoding: chunked\nTransfer-Encoding: chunked\n\n",
            "Content-Length: 99999999999999999999\n\n",
            "Content-Length: 1\nContent-Length: 2\n\n",
        ] {
            assert!(parse(head.as_bytes()).is_err(), "{head:?}");
        }
    }

    #[test]
    fn the_end_is_the_first_empty_line_whatever_its_line_ends_and_pieces() {
        for (bytes, end) in [
            ("A: b\n\nrest", Some(6)),
            ("A: b\r\n\r\nrest", Some(8)),
            ("A: b\n\r\nrest", Some(7)),
            ("\nrest", Some(1)),
            ("A: b\nC: d\n", None),
            ("A: b\r\n\r", None),
        ] {
            for step in 1..=bytes.len() {
                let mut finder = EndFinder::new();
                let mut before = 0;
                let found = bytes.as_bytes().chunks(step).find_map(|piece| {
                    let found = finder.find(piece).map(|end| before + end);
                    before += piece.len();
                    found
                });
                assert_eq!(found, end, "{bytes:?} in pieces of {step}");
            }
        }
    }

    #[test]
    fn a_raw_status_line_tells_its_status() {
        assert_eq!(status_of_line(b"HTTP/1.0 203 Raw"), Some(203));
        assert_eq!(status_of_line(b"HTTP/1.1 204"), Some(204));
        assert_eq!(status_of_line(b"hello"), None);
    }

    proptest! {
        #[test]
        fn nothing_a_script_writes_can_break_out_of_its_field(head in proptest::collection::vec(any::<u8>(), 0..200)) {
            if let Ok(ScriptResponse::Document(head)) = parse(&head) {
                prop_assert!((200..=599).contains(&head.status));
                prop_assert!(!head.reason.unwrap_or_default().chars().any(char::is_control));
                for (name, value) in head.fields {
                    prop_assert!(name.bytes().all(is_token_byte));
                    prop_assert!(!value.iter().any(|b| matches!(b, b'\r' | b'\n' | 0)));
                }
            }
        }
    }
}
