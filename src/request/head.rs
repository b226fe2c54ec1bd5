//! Head parser: request line and field lines to a [`Request`].
//!
//! The request line is parsed here (HTTP/0.9, minor versions, limits, thttpd's log). `httparse` reads the
//! field lines, and refuses obs-fold, blanks before the colon, NUL and bare CR. Lines may end in CRLF or,
//! as in thttpd and RFC 9112 §2.2, in a bare LF.

use super::{BodyLength, Fields, Method, Parsed, Rejection, Request, Version, framing, target};
use crate::config::Limits;

/// First line of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct RequestLine<'b> {
    /// Method as an enum, for decisions.
    method: Method,
    /// Method as sent.
    method_text: &'b [u8],
    /// Target as sent.
    target: &'b [u8],
    /// Version as an enum, for decisions.
    version: Version,
    /// Version as sent.
    version_text: &'b str,
}

/// Reads one request head from the start of `bytes`.
///
/// # Errors
/// The rejection for bytes that cannot become a valid request: 400, 414, 417, 421, 431, 501 or 505.
/// [`outline`](super::outline) reads such heads for the log.
pub fn parse<'b>(bytes: &'b [u8], limits: &Limits) -> Result<Parsed<Request<'b>>, Rejection> {
    // Bytes beyond the limit are ignored, so that the result does not depend on how the head was split.
    let bytes = &bytes[..bytes.len().min(limits.head)];
    let start = blank_lines(bytes);
    let (line, line_len) = match request_line(&bytes[start..], limits)? {
        Parsed::Complete(line, len) => (line, len),
        Parsed::Partial => return Ok(Parsed::Partial),
    };
    if line.target.len() > limits.target {
        return Err(Rejection::fatal(414, "The request target is longer than this server takes."));
    }
    let after_line = start + line_len;
    if line.version == Version::Http09 {
        let request = assemble(&bytes[..after_line], line, Fields::default())?;
        return Ok(Parsed::Complete(request, after_line));
    }
    match field_lines(&bytes[after_line..], limits)? {
        Parsed::Complete(fields, len) => {
            let len = after_line + len;
            Ok(Parsed::Complete(assemble(&bytes[..len], line, fields)?, len))
        }
        Parsed::Partial if bytes.len() >= limits.head => Err(head_too_large()),
        Parsed::Partial => Ok(Parsed::Partial),
    }
}

fn head_too_large() -> Rejection {
    Rejection::fatal(431, "The request's head is larger than this server takes.")
}

/// Length of empty lines before a request (RFC 9112 §2.2); only a few are skipped.
fn blank_lines(bytes: &[u8]) -> usize {
    let mut skipped = 0;
    for _ in 0..4 {
        match &bytes[skipped..] {
            [b'\r', b'\n', ..] => skipped += 2,
            [b'\n', ..] => skipped += 1,
            _ => break,
        }
    }
    skipped
}

fn request_line<'b>(bytes: &'b [u8], limits: &Limits) -> Result<Parsed<RequestLine<'b>>, Rejection> {
    // The longest line has the longest target, a method and a version.
    let longest = limits.target + 64;
    let window = &bytes[..bytes.len().min(longest.min(limits.head) + 2)];
    // The first control character ends the line, or is not allowed.
    let end = window.iter().position(|&b| is_control(b)).unwrap_or(window.len());
    match &window[end..] {
        [b'\r', b'\n', ..] => Ok(Parsed::Complete(words(&window[..end])?, end + 2)),
        [b'\n', ..] => Ok(Parsed::Complete(words(&window[..end])?, end + 1)),
        _ if !window.contains(&b'\n') => unended(bytes, longest, limits),
        _ => Err(Rejection::malformed("The request line holds a control character.")),
    }
}

fn is_control(b: u8) -> bool {
    b < b' ' || b == 0x7f
}

/// Result for a line without an end: wait for more bytes, or refuse.
fn unended<'b>(bytes: &[u8], longest: usize, limits: &Limits) -> Result<Parsed<RequestLine<'b>>, Rejection> {
    let method_len = bytes.iter().position(|&b| !is_token_byte(b)).unwrap_or(bytes.len());
    match bytes.get(method_len) {
        _ if bytes.is_empty() || bytes == b"\r" => Ok(Parsed::Partial),
        _ if method_len > longest => Err(Rejection::fatal(501, "No method has so long a name.")),
        // The bytes are not a method: TLS, another protocol, noise.
        Some(&after) if method_len == 0 || after != b' ' => Err(not_http()),
        _ if bytes.len() > longest => Err(Rejection::fatal(414, "The request line is too long.")),
        _ if bytes.len() >= limits.head => Err(head_too_large()),
        _ => Ok(Parsed::Partial),
    }
}

fn not_http() -> Rejection {
    Rejection::malformed("The request line is not HTTP: it must be a method, a target and a version.")
}

/// Splits METHOD SP TARGET [SP VERSION]; single spaces and no other blanks (RFC 9112 §3).
fn words(line: &[u8]) -> Result<RequestLine<'_>, Rejection> {
    let mut words = line.split(|&b| b == b' ');
    let (Some(method_text), Some(target)) = (words.next(), words.next()) else { return Err(not_http()) };
    if method_text.is_empty() || !method_text.iter().copied().all(is_token_byte) || target.is_empty() {
        return Err(not_http());
    }
    let method = Method::from_token(method_text);
    let (version, version_text) = match (words.next(), words.next()) {
        (None, _) if method == Method::Get => (Version::Http09, "HTTP/0.9"),
        (Some(text), None) => version(text)?,
        _ => return Err(not_http()),
    };
    Ok(RequestLine { method, method_text, target, version, version_text })
}

/// Parses `HTTP/1.x` (RFC 9112 §2.3): case-sensitive, one digit each.
fn version(text: &[u8]) -> Result<(Version, &str), Rejection> {
    let (b"HTTP/", [major @ b'0'..=b'9', b'.', minor @ b'0'..=b'9']) =
        text.split_at_checked(5).ok_or_else(not_http)?
    else {
        return Err(not_http());
    };
    match (major, minor) {
        (b'1', b'0') => Ok((Version::Http10, "HTTP/1.0")),
        (b'1', b'1') => Ok((Version::Http11, "HTTP/1.1")),
        (b'1', _) => Ok((Version::Http11, std::str::from_utf8(text).unwrap_or_default())),
        _ => Err(Rejection::fatal(505, "This server speaks HTTP/1.1 and HTTP/1.0.")),
    }
}

/// Tells whether only empty lines have arrived, which some clients send behind a request (RFC 9112 §2.2).
///
/// No request has begun then.
pub fn is_blank(bytes: &[u8]) -> bool {
    matches!(&bytes[blank_lines(bytes)..], b"" | b"\r")
}

/// Tells whether a byte is a tchar (RFC 9110 §5.6.2).
pub fn is_token_byte(b: u8) -> bool {
    const TOKEN: [bool; 256] = alphanumeric_or(b"!#$%&'*+-.^_`|~");
    TOKEN[usize::from(b)]
}

/// Tells whether a byte is allowed in a host name.
fn is_host_byte(b: u8) -> bool {
    const HOST: [bool; 256] = alphanumeric_or(b"-._~!$&'()*+,;=%");
    HOST[usize::from(b)]
}

/// Lookup table of letters, digits and `others`, used for every byte of every head.
const fn alphanumeric_or(others: &[u8]) -> [bool; 256] {
    let mut table = [false; 256];
    let mut byte = 0;
    while byte < 256 {
        table[byte] = (byte as u8).is_ascii_alphanumeric();
        byte += 1;
    }
    let mut at = 0;
    while at < others.len() {
        table[others[at] as usize] = true;
        at += 1;
    }
    table
}

fn field_lines<'b>(bytes: &'b [u8], limits: &Limits) -> Result<Parsed<Fields<'b>>, Rejection> {
    // Most heads are short: the large array is cleared only for the others.
    let mut few = [httparse::EMPTY_HEADER; 24];
    if limits.fields > few.len()
        && let Err(httparse::Error::TooManyHeaders) = httparse::parse_headers(bytes, &mut few)
    {
        let mut many = [httparse::EMPTY_HEADER; Limits::MOST_FIELDS];
        let most = limits.fields.min(many.len());
        return collect(httparse::parse_headers(bytes, &mut many[..most]));
    }
    let most = limits.fields.min(few.len());
    collect(httparse::parse_headers(bytes, &mut few[..most]))
}

type ReadLines<'h, 'b> = httparse::Result<(usize, &'h [httparse::Header<'b>])>;

fn collect<'b>(read: ReadLines<'_, 'b>) -> Result<Parsed<Fields<'b>>, Rejection> {
    match read {
        Ok(httparse::Status::Partial) => Ok(Parsed::Partial),
        Ok(httparse::Status::Complete((len, lines))) => {
            let mut fields = Fields::with_capacity(lines.len());
            for line in lines {
                fields.push(line.name, line.value);
            }
            Ok(Parsed::Complete(fields, len))
        }
        Err(httparse::Error::TooManyHeaders) => {
            Err(Rejection::fatal(431, "The request has more field lines than this server takes."))
        }
        Err(_) => Err(Rejection::malformed("A field line of the request is malformed.")),
    }
}

/// Builds the request after the checks that need both line and fields.
fn assemble<'b>(head: &'b [u8], line: RequestLine<'b>, fields: Fields<'b>) -> Result<Request<'b>, Rejection> {
    let body = framing::body_length(&fields, line.version)?;
    let target = target::parse(line.target, line.method)?;
    let host = host(target.authority, &fields, line.version)?;
    let keep_alive = match line.version {
        Version::Http09 => false,
        Version::Http10 => {
            fields.has_token("Connection", "keep-alive") && !fields.has_token("Connection", "close")
        }
        Version::Http11 => !fields.has_token("Connection", "close"),
    };
    let expects_continue =
        line.version >= Version::Http11 && expects_100_continue(&fields)? && body != BodyLength::None;
    Ok(Request {
        head,
        method: line.method,
        method_text: line.method_text,
        target: line.target,
        version: line.version,
        version_text: line.version_text,
        host,
        path: target.path,
        query: target.query,
        asterisk: target.asterisk,
        body,
        keep_alive,
        expects_continue,
        fields,
    })
}

/// Tells whether the client waits for 100 Continue. Other expectations are refused (RFC 9110 §10.1.1).
fn expects_100_continue(fields: &Fields<'_>) -> Result<bool, Rejection> {
    let mut is_expected = false;
    for member in fields.members("Expect") {
        if !member.eq_ignore_ascii_case(b"100-continue") {
            return Err(Rejection::fatal(417, "This server knows no expectation but 100-continue."));
        }
        is_expected = true;
    }
    Ok(is_expected)
}

/// Host of a request: the absolute form's, else that of Host (RFC 9112 §3.2, §3.2.2).
///
/// At most one Host field is allowed. A 1.1 request must have one that is not empty, as in thttpd.
fn host<'b>(
    authority: Option<&'b [u8]>,
    fields: &Fields<'b>,
    version: Version,
) -> Result<Option<&'b str>, Rejection> {
    let mut lines = fields.all("Host");
    let field = lines.next();
    if lines.next().is_some() {
        return Err(Rejection::malformed("The request has more than one Host."));
    }
    let from_field = field.filter(|value| !value.is_empty()).map(host_name).transpose()?;
    if version == Version::Http11
        && field.is_none_or(<[u8]>::is_empty)
        && (authority.is_none() || field.is_none())
    {
        return Err(Rejection::malformed("An HTTP/1.1 request must name its host."));
    }
    authority.map(host_name).transpose().map(|host| host.or(from_field))
}

/// Host name in `name[:port]` or `[v6][:port]`, brackets kept.
///
/// A name must be valid as a directory's: no slash, no leading dot, no blanks or markup (thttpd's rule,
/// stricter).
fn host_name(value: &[u8]) -> Result<&str, Rejection> {
    let bad = || Rejection::malformed("The request's host is not a valid name or address.");
    let position = |byte| value.iter().position(|&b| b == byte);
    let name_end = match value.first() {
        Some(b'[') => position(b']').ok_or_else(bad)? + 1,
        _ => position(b':').unwrap_or(value.len()),
    };
    let (name, port) = value.split_at(name_end);
    let name = std::str::from_utf8(name).map_err(|_| bad())?;
    let port_is_fine = port.is_empty()
        || port.strip_prefix(b":").is_some_and(|digits| digits.iter().all(u8::is_ascii_digit));
    let name_is_fine = match name.strip_prefix('[').and_then(|n| n.strip_suffix(']')) {
        Some(literal) => literal.parse::<std::net::Ipv6Addr>().is_ok(),
        None => !name.is_empty() && !name.starts_with('.') && name.bytes().all(is_host_byte),
    };
    if port_is_fine && name_is_fine { Ok(name) } else { Err(bad()) }
}

#[cfg(test)]
mod tests;
