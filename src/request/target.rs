//! Request target (RFC 9112 §3.2): split into host, path and query.
//!
//! The path is percent-decoded, its dots are resolved, and it never leaves the tree. This is thttpd's
//! `strdecode` and `de_dotdot`, except that NUL is refused and the query is cut off before decoding.

use std::borrow::Cow;

use super::{Method, Rejection};

/// Parts of a target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target<'b> {
    /// Authority of the absolute form, port included.
    pub authority: Option<&'b [u8]>,
    /// Decoded path ([`Request::path`](super::Request::path)).
    pub path: Cow<'b, [u8]>,
    /// Raw text after the first `?`.
    pub query: Option<&'b [u8]>,
    /// Set for the target `*`.
    pub asterisk: bool,
}

/// Splits and decodes the target.
///
/// # Errors
/// 400 for a target that is neither `/…`, `http://host/…` nor (for OPTIONS) `*`, or that decodes to a NUL
/// or to a doubled first slash. thttpd refuses the latter too, so that redirects stay on this host. 421 for
/// an `https` target.
pub fn parse(target: &[u8], method: Method) -> Result<Target<'_>, Rejection> {
    if target.first() == Some(&b'/') {
        return origin(None, target);
    }
    if target == b"*" && method == Method::Options {
        return Ok(Target { authority: None, path: Cow::Borrowed(b""), query: None, asterisk: true });
    }
    if method == Method::Unknown {
        // A CONNECT target is a host and port. The method is answered with 501 anyway.
        return Ok(Target { authority: None, path: Cow::Borrowed(b""), query: None, asterisk: false });
    }
    if let Some((authority, path)) = split_absolute(target) {
        if authority.is_empty() {
            return Err(Rejection::malformed("The request target names no host."));
        }
        return origin(Some(authority), path);
    }
    if strip_scheme(target, b"https://").is_some() {
        return Err(Rejection::new(
            421,
            "This connection is not encrypted; it cannot answer for an https URL.",
        ));
    }
    Err(Rejection::malformed("The request target must begin with a slash, or with http:// and a host."))
}

fn strip_scheme<'b>(target: &'b [u8], scheme: &[u8]) -> Option<&'b [u8]> {
    let (head, rest) = target.split_at_checked(scheme.len())?;
    head.eq_ignore_ascii_case(scheme).then_some(rest)
}

/// Splits a valid target into its authority, if any, and the origin form (RFC 9112 §3.2.1).
pub fn origin_form(target: &[u8]) -> (Option<&[u8]>, &[u8]) {
    match split_absolute(target) {
        None => (None, target),
        Some((authority, b"")) => (Some(authority), b"/"),
        Some((authority, path)) => (Some(authority), path),
    }
}

/// Splits `http://AUTHORITY/path?query` into authority and rest.
fn split_absolute(target: &[u8]) -> Option<(&[u8], &[u8])> {
    let rest = strip_scheme(target, b"http://")?;
    Some(rest.split_at(rest.iter().position(|&b| b == b'/' || b == b'?').unwrap_or(rest.len())))
}

fn origin<'b>(authority: Option<&'b [u8]>, raw: &'b [u8]) -> Result<Target<'b>, Rejection> {
    let (raw_path, query) = match raw.iter().position(|&b| b == b'?') {
        Some(at) => (&raw[..at], Some(&raw[at + 1..])),
        None => (raw, None),
    };
    let below_top = raw_path.strip_prefix(b"/").unwrap_or(raw_path);
    let path = if is_plain(below_top) { Cow::Borrowed(below_top) } else { Cow::Owned(resolve(below_top)?) };
    Ok(Target { authority, path, query, asterisk: false })
}

/// Tells whether a path needs no decoding and has neither dot segments nor doubled slashes, as most paths.
fn is_plain(path: &[u8]) -> bool {
    let mut at_segment_start = true;
    for &b in path {
        if b == b'%' || b == 0 || (at_segment_start && (b == b'.' || b == b'/')) {
            return false;
        }
        at_segment_start = b == b'/';
    }
    true
}

fn resolve(raw: &[u8]) -> Result<Vec<u8>, Rejection> {
    let decoded = decode(raw);
    if decoded.contains(&0) {
        return Err(Rejection::new(400, "The request target holds a NUL byte."));
    }
    if decoded.first() == Some(&b'/') {
        return Err(Rejection::new(400, "The request target begins with two slashes."));
    }
    Ok(remove_dots(&decoded))
}

/// Percent-decodes. A `%` without two hex digits is kept, so that `/100%` names a file `100%` (thttpd).
pub fn decode(raw: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(raw.len());
    let mut rest = raw;
    while let Some((&b, after)) = rest.split_first() {
        if b == b'%'
            && let [high, low, beyond @ ..] = after
            && let (Some(h), Some(l)) = (hex(*high), hex(*low))
        {
            out.push(h << 4 | l);
            rest = beyond;
        } else {
            out.push(b);
            rest = after;
        }
    }
    out
}

/// Tells whether a file with this base name is never served or listed: it begins with `.ht` in any case.
pub fn is_never_served(base: &[u8]) -> bool {
    base.get(..3).is_some_and(|start| start.eq_ignore_ascii_case(b".ht"))
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|n| u8::try_from(n).ok())
}

/// Resolves `.`, `..` and empty segments; `..` at the top stays at the top, as in thttpd.
///
/// A trailing slash is kept, and a trailing `.` or `..` leaves one (RFC 3986 §5.2.4).
pub fn remove_dots(path: &[u8]) -> Vec<u8> {
    let mut out: Vec<u8> = Vec::with_capacity(path.len());
    let mut segments = path.split(|&b| b == b'/').peekable();
    while let Some(segment) = segments.next() {
        let last = segments.peek().is_none();
        match segment {
            b"" | b"." => {}
            b".." => {
                // `out` is empty or ends in a slash: remove that slash and the segment before it.
                out.pop();
                let keep = out.iter().rposition(|&b| b == b'/').map_or(0, |at| at + 1);
                out.truncate(keep);
            }
            _ => {
                out.extend_from_slice(segment);
                if !last {
                    out.push(b'/');
                }
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn path(target: &str) -> Result<String, u16> {
        parse(target.as_bytes(), Method::Get)
            .map(|t| String::from_utf8_lossy(&t.path).into_owned())
            .map_err(|r| r.status)
    }

    #[test]
    fn paths_are_decoded_and_their_dots_resolved() {
        for (target, want) in [
            ("/", ""),
            ("/a.txt", "a.txt"),
            ("/sub/", "sub/"),
            ("/./a", "a"),
            ("/sub/./a", "sub/a"),
            ("/sub//a", "sub/a"),
            ("/sub/../a", "a"),
            ("/../../a", "a"),
            ("/..", ""),
            ("/sub/..", ""),
            ("/sub/x/..", "sub/"),
            ("/sub/.", "sub/"),
            ("/...", "..."),
            ("/a..b/c", "a..b/c"),
            ("/..dots", "..dots"),
            ("/%2e%2e%2fetc", "etc"),
            ("/sub%2f%2e%2e%2fa", "a"),
            ("/%68ello", "hello"),
            ("/pct%2541", "pct%41"),
            ("/%zz", "%zz"),
            ("/%4", "%4"),
            ("/%", "%"),
            ("/q%3Fmark", "q?mark"),
            ("/a?b%20c", "a"),
            ("http://h/a", "a"),
            ("HTTP://h", ""),
        ] {
            assert_eq!(path(target), Ok(want.to_owned()), "{target}");
        }
    }

    #[test]
    fn unsafe_targets_are_refused() {
        for (target, want) in [
            ("//a", 400),
            ("/%2fetc", 400),
            ("/%00", 400),
            ("/a%00.html", 400),
            ("/a\0.html", 400),
            ("a", 400),
            ("*", 400),
            ("", 400),
            ("http://", 400),
            ("http:///a", 400),
            ("ftp://h/a", 400),
            ("https://h/a", 421),
        ] {
            assert_eq!(path(target), Err(want), "{target}");
        }
    }

    #[test]
    fn query_is_kept_raw_and_asterisk_is_for_options() {
        let t = parse(b"/a%20b?x=%41?y", Method::Get).expect("valid");
        assert_eq!((t.path.as_ref(), t.query), (&b"a b"[..], Some(&b"x=%41?y"[..])));
        assert_eq!(parse(b"/a?", Method::Get).expect("valid").query, Some(&b""[..]));
        assert!(parse(b"*", Method::Options).expect("valid").asterisk);
    }

    proptest! {
        #[test]
        fn no_target_climbs_out_or_keeps_a_nul(raw in "(/|%2[fFeE]|\\.|[a-c]|%00|\\?|%){0,24}") {
            if let Ok(t) = parse(format!("/{raw}").as_bytes(), Method::Get) {
                prop_assert!(!t.path.contains(&0));
                prop_assert!(t.path.first() != Some(&b'/'));
                prop_assert!(t.path.split(|&b| b == b'/').all(|s| s != b".." && s != b"."));
            }
        }

        #[test]
        fn resolving_dots_twice_changes_nothing(path in proptest::collection::vec(
            prop_oneof![Just(b'/'), Just(b'.'), Just(b'a')], 0..24)) {
            let once = remove_dots(&path);
            prop_assert_eq!(remove_dots(&once), once);
        }
    }
}
