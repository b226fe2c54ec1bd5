//! Outline of a refused head, for its log line and the form of its answer.
//!
//! The parser stops at the first fault, but the operator needs the request line and the client's name. This
//! lenient reader takes the words of the first line and a few fields, and decides nothing.

use super::head::is_token_byte;
use super::{Method, Version, target};

/// Number of bytes of a target that the log shows; a longer incomplete target counts as read.
const SHOWN: usize = 200;

/// Parts of a refused head, as far as they could be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Outline<'b> {
    /// Method; `Unknown` if not read.
    pub method: Method,
    /// Target as sent; empty if not read.
    pub target: &'b [u8],
    /// Version that decides the form of the answer; 1.1 if not read.
    pub version: Version,
    /// Version as sent; `UNKNOWN` if not read (thttpd).
    pub version_text: &'b str,
    /// Referer or Referrer field; empty if not read.
    pub referer: &'b [u8],
    /// User-Agent field; empty if not read.
    pub agent: &'b [u8],
}

const UNREAD: Outline<'static> = Outline {
    method: Method::Unknown,
    target: b"",
    version: Version::Http11,
    version_text: "UNKNOWN",
    referer: b"",
    agent: b"",
};

/// Reads the outline of `bytes`, the beginning of a head.
pub fn outline(bytes: &[u8]) -> Outline<'_> {
    let start = bytes.iter().position(|b| !matches!(b, b'\r' | b'\n')).unwrap_or(bytes.len());
    let mut lines = bytes[start..].split_inclusive(|&b| b == b'\n');
    let first = lines.next().unwrap_or_default();
    let mut outline = request_line(first);
    if outline.method == Method::Unknown && outline.target.is_empty() {
        return UNREAD;
    }
    let fields = lines.map_while(|line| line.strip_suffix(b"\n").map(<[u8]>::trim_ascii_end));
    let (mut referer, mut referrer) = (None, None);
    for line in fields.take_while(|line| !line.is_empty()) {
        let colon = line.iter().position(|&b| b == b':').unwrap_or(line.len());
        let (name, value) = (&line[..colon], line[colon..].get(1..).unwrap_or_default().trim_ascii());
        match () {
            () if name.eq_ignore_ascii_case(b"Referer") => referer = Some(value),
            () if name.eq_ignore_ascii_case(b"Referrer") => referrer = Some(value),
            () if name.eq_ignore_ascii_case(b"User-Agent") => outline.agent = value,
            () => {}
        }
    }
    Outline { referer: referer.or(referrer).unwrap_or_default(), ..outline }
}

/// Splits the request line at any run of blanks, as thttpd does; more than three words are invalid.
fn request_line(line: &[u8]) -> Outline<'_> {
    let is_whole = line.ends_with(b"\n");
    let text = if is_whole { line.trim_ascii_end() } else { line };
    let mut words = text.split(|b| matches!(b, b' ' | b'\t')).filter(|word| !word.is_empty());
    let (method, target, version, more) = (words.next(), words.next(), words.next(), words.next());
    let (Some(method), Some(target), None) = (method, target, more) else { return UNREAD };
    let has_ended = is_whole || version.is_some() || text.ends_with(b" ") || target.len() >= SHOWN;
    if !has_ended || text.starts_with(b" ") || !method.iter().copied().all(is_token_byte) {
        return UNREAD;
    }
    let method = Method::from_token(method);
    let version_text = match version {
        Some(version) if is_whole && version.is_ascii() => std::str::from_utf8(version).ok(),
        None if is_whole => Some("HTTP/0.9"),
        _ => None,
    };
    let is_simple = version.is_none() && method == Method::Get && text[b"GET ".len()..] == *target;
    let version = match version_text {
        Some("HTTP/0.9") if is_simple => Version::Http09,
        Some("HTTP/1.0") => Version::Http10,
        _ => Version::Http11,
    };
    Outline { method, target, version, version_text: version_text.unwrap_or("UNKNOWN"), ..UNREAD }
}

impl Outline<'_> {
    /// Method that decides the form of the answer; `Unknown` for a line without a version.
    ///
    /// Such a line is probably not a request line, so no method-specific form applies.
    pub fn answered_method(&self) -> Method {
        if self.version_text.starts_with("HTTP/1.") { self.method } else { Method::Unknown }
    }

    /// The target's path and query, also where the target names a host.
    pub fn path_and_query(&self) -> &[u8] {
        target::origin_form(self.target).1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Method, target, version, referrer and agent, in the form of the log.
    fn read(bytes: &str) -> String {
        let read = outline(bytes.as_bytes());
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let (method, target) = (read.method.as_str(), text(read.target));
        format!("{method} {target} {} {} {}", read.version_text, text(read.referer), text(read.agent))
    }

    #[test]
    fn refused_heads_are_outlined() {
        for (bytes, want) in [
            ("GET /a HTTP/1.1\r\nReferer: r\r\nUser-Agent: a b\r\n\r\n", "GET /a HTTP/1.1 r a b"),
            ("\r\nGET\t /a   HTTP/1.1\nreferrer: r\nX y\nUSER-AGENT:a\n\n", "GET /a HTTP/1.1 r a"),
            ("GET /a HTTP/3.0\r\nUser-Agent: 1\r\nUser-Agent: 2\r\n\r\n", "GET /a HTTP/3.0  2"),
            ("GET /a foo\r\n\r\nUser-Agent: content\r\n", "GET /a foo  "),
            ("BREW /a HTTP/1.1\r\n folded: x\r\nUser-Agent: a\r\n", "UNKNOWN /a HTTP/1.1  a"),
            ("GET /a\r\n", "GET /a HTTP/0.9  "),
            // Of an incomplete line, only the complete words count.
            ("GET /a HT", "GET /a UNKNOWN  "),
            ("GET /a HTTP/1.1\r\nUser-Agent: ha", "GET /a HTTP/1.1  "),
            ("GET /a", "UNKNOWN  UNKNOWN  "),
            ("", "UNKNOWN  UNKNOWN  "),
            ("\x16\x03\x01 a b\nUser-Agent: a\n", "UNKNOWN  UNKNOWN  "),
            ("GET /a b HTTP/1.1\r\nUser-Agent: a\r\n\r\n", "UNKNOWN  UNKNOWN  "),
        ] {
            assert_eq!(read(bytes), want, "{bytes:?}");
        }
    }

    #[test]
    fn a_target_too_long_to_be_shown_whole_need_not_end() {
        let long = format!("GET /{}", "a".repeat(SHOWN));
        assert_eq!(outline(long.as_bytes()).target.len(), SHOWN + 1);
    }

    #[test]
    fn only_a_get_of_two_words_is_answered_without_a_head() {
        assert_eq!(outline(b"GET /a\r\n").version, Version::Http09);
        assert_eq!(outline(b"GET  HTTP/1.1\r\n").version, Version::Http11);
        assert_eq!(outline(b"GET\r\n").version, Version::Http11);
        assert_eq!(outline(b"POST /a\r\n").version, Version::Http11);
        assert_eq!(outline(b"GET /a HTTP/0.9\r\n").version, Version::Http11);
        assert_eq!(outline(b"GET /a HTTP/1.0\r\n").version, Version::Http10);
        assert_eq!(outline(b"HEAD /a HTTP/1.1\r\n").answered_method(), Method::Head);
        assert_eq!(outline(b"HEAD /a\r\n").answered_method(), Method::Unknown);
    }
}
