//! Targets of redirects and rewrites: text with `$1`, `$host`, `$scheme` and `$uri` in it.
//!
//! Each value is percent-encoded for the part of the URL where it is inserted. No name and no host can then
//! end a field, begin a query, or change the host of a redirect.

use super::captures::Captures;
use super::pattern::{Pattern, SiteKey};

/// One piece of a target: literal text or a variable.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Piece {
    Literal(Box<[u8]>),
    /// `$1` to `$9`.
    Capture(usize),
    Host,
    Scheme,
    /// Requested path, with its leading slash.
    Uri,
}

/// Parsed target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template {
    path: Box<[Piece]>,
    query: Query,
    /// Text from the `#` on.
    fragment: Box<[u8]>,
}

/// Query of the target.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Query {
    /// The client's query is kept.
    Client,
    /// No query is sent.
    Dropped,
    /// The target has a query of its own.
    Own(Box<[Piece]>),
}

/// Values of the variables for one request.
#[derive(Debug, Clone, Copy)]
pub struct Context<'a> {
    /// Captures of the line's pattern.
    pub captures: &'a Captures<'a>,
    /// Site of the request.
    pub site: &'a SiteKey,
    /// Requested path: decoded, without its leading slash.
    pub path: &'a [u8],
    /// Query of the request.
    pub query: Option<&'a [u8]>,
}

const VARIABLES: [(&str, Piece); 3] = [("host", Piece::Host), ("scheme", Piece::Scheme), ("uri", Piece::Uri)];

impl Template {
    /// Reads the target of a redirect, for a line with `pattern`.
    ///
    /// # Errors
    /// A sentence for the operator.
    pub fn redirect(text: &str, pattern: &Pattern) -> Result<Template, String> {
        if text.starts_with("//") || text.starts_with("/\\") {
            return Err(format!("{text}: a target on another site begins with http:// or https://"));
        }
        let absolute = ["http://", "https://", "$scheme://"].iter().find_map(|word| text.strip_prefix(word));
        if absolute.is_none() && !text.starts_with('/') {
            return Err(format!("{text}: a target begins with /, http://, https:// or $scheme://"));
        }
        if let Some(odd) = text.chars().find(|c| !c.is_ascii_graphic() || "\"<>\\^`{|}".contains(*c)) {
            return Err(format!("{text}: {odd} must be percent-encoded in a target"));
        }
        let template = Template::parse(text, pattern)?;
        if let Some(rest) = absolute {
            check_authority(text, rest, pattern)?;
        }
        Ok(template)
    }

    /// Reads the path and query of a rewrite, for a line with `pattern`. Literal text of the path is
    /// percent-decoded.
    ///
    /// # Errors
    /// A sentence for the operator.
    pub fn rewrite(text: &str, pattern: &Pattern) -> Result<Template, String> {
        if !text.starts_with('/') {
            return Err(format!("{text}: a rewrite begins with a slash: it names a path of this host"));
        }
        if text.contains('#') {
            return Err(format!("{text}: a rewrite has no fragment"));
        }
        let mut template = Template::parse(&text[1..], pattern)?;
        for piece in &mut template.path {
            if let Piece::Literal(literal) = piece {
                *literal = crate::request::target::decode(literal).into();
            }
        }
        match &*template.path {
            [Piece::Literal(path)] if !is_sound(path) => {
                Err(format!("{text}: no file has a name with . or .. or // or a NUL in it"))
            }
            _ => Ok(template),
        }
    }

    fn parse(text: &str, pattern: &Pattern) -> Result<Template, String> {
        let (text, fragment) = text.split_at(text.find('#').unwrap_or(text.len()));
        let (path, query) = match text.split_once('?') {
            None => (text, Query::Client),
            Some((path, "")) => (path, Query::Dropped),
            Some((path, query)) => (path, Query::Own(pieces(query, pattern)?)),
        };
        if fragment.contains('$') {
            return Err(format!("{fragment}: nothing is put in behind a #"));
        }
        Ok(Template { path: pieces(path, pattern)?, query, fragment: fragment.as_bytes().into() })
    }

    /// Location of the redirect for one request.
    pub fn location(&self, context: &Context<'_>) -> Vec<u8> {
        let mut out = Vec::new();
        for piece in &self.path {
            match piece {
                Piece::Literal(text) => out.extend_from_slice(text),
                Piece::Capture(number) => {
                    let text = context.captures.get(*number).unwrap_or_default();
                    match out.ends_with(b"://") {
                        true => host(&mut out, text),
                        false => encode(&mut out, text, PATH),
                    }
                }
                Piece::Host => host(&mut out, context.site.host.as_bytes()),
                Piece::Scheme => out.extend_from_slice(context.site.scheme.as_str().as_bytes()),
                Piece::Uri => {
                    out.push(b'/');
                    encode(&mut out, context.path, PATH);
                }
            }
        }
        if out.first() == Some(&b'/') {
            // A second slash at the start would make a host of the text behind it. A backslash is encoded
            // already.
            let slashes = out.iter().take_while(|&&b| b == b'/').count();
            out.drain(1..slashes);
        }
        if let Some(query) = self.query(context) {
            out.push(b'?');
            encode(&mut out, &query, SPELLED);
        }
        out.extend_from_slice(&self.fragment);
        out
    }

    /// Path that a request is rewritten to, without its leading slash.
    ///
    /// `None` if the path would contain a dot segment, an empty segment or a NUL, as no file has such a
    /// name.
    pub fn path(&self, context: &Context<'_>) -> Option<Vec<u8>> {
        let mut out = Vec::new();
        for piece in &self.path {
            match piece {
                Piece::Literal(text) => out.extend_from_slice(text),
                Piece::Capture(number) => out.extend_from_slice(context.captures.get(*number)?),
                Piece::Host => out.extend_from_slice(context.site.host.as_bytes()),
                Piece::Scheme => out.extend_from_slice(context.site.scheme.as_str().as_bytes()),
                Piece::Uri => {
                    // The target's literal text ends with a slash, so the leading slash of the path is left
                    // out.
                    if !(out.is_empty() || out.ends_with(b"/")) {
                        out.push(b'/');
                    }
                    out.extend_from_slice(context.path);
                }
            }
        }
        is_sound(&out).then_some(out)
    }

    /// Query that goes with the path or the location.
    pub fn query(&self, context: &Context<'_>) -> Option<Vec<u8>> {
        let pieces = match &self.query {
            Query::Client => return context.query.map(<[u8]>::to_vec),
            Query::Dropped => return None,
            Query::Own(pieces) => pieces,
        };
        let mut out = Vec::new();
        for piece in pieces {
            match piece {
                Piece::Literal(text) => out.extend_from_slice(text),
                Piece::Capture(number) => {
                    encode(&mut out, context.captures.get(*number).unwrap_or_default(), VALUE);
                }
                Piece::Host => host(&mut out, context.site.host.as_bytes()),
                Piece::Scheme => out.extend_from_slice(context.site.scheme.as_str().as_bytes()),
                Piece::Uri => {
                    out.push(b'/');
                    encode(&mut out, context.path, VALUE);
                }
            }
        }
        Some(out)
    }
}

/// Splits `text` at its variables.
fn pieces(text: &str, pattern: &Pattern) -> Result<Box<[Piece]>, String> {
    let mut pieces = Vec::new();
    let mut rest = text;
    while let Some(dollar) = rest.find('$') {
        if dollar > 0 {
            pieces.push(Piece::Literal(rest.as_bytes()[..dollar].into()));
        }
        let (piece, length) = variable(&rest[dollar + 1..], pattern)?;
        pieces.push(piece);
        rest = &rest[dollar + 1 + length..];
    }
    if !rest.is_empty() {
        pieces.push(Piece::Literal(rest.as_bytes().into()));
    }
    Ok(pieces.into())
}

/// Variable at the start of `text`, and the length of its name.
fn variable(text: &str, pattern: &Pattern) -> Result<(Piece, usize), String> {
    if let Some(digit) = text.chars().next().and_then(|c| c.to_digit(10)) {
        let (number, (all, _)) = (digit as usize, pattern.wildcards());
        return match number {
            0 => Err("$0: wildcards are counted from 1".into()),
            number if number > all => {
                Err(format!("${number}: an alternative of the pattern has only {all} wildcards"))
            }
            number => Ok((Piece::Capture(number), 1)),
        };
    }
    let end = text.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(text.len());
    let word = &text[..end];
    match VARIABLES.iter().find(|(name, _)| *name == word) {
        Some((_, piece)) => Ok((piece.clone(), end)),
        None => {
            let mut known = VARIABLES.iter().map(|(name, _)| *name);
            let meant = crate::config::suggest::nearest(word, &mut known).map_or_else(
                || "there are $1 to $9, $host, $scheme and $uri".into(),
                |name| format!("did you mean ${name}?"),
            );
            Err(format!("${word} is no variable; {meant}; a plain $ is written %24"))
        }
    }
}

/// Refuses an authority that a requested name could change.
///
/// Between `scheme://` and a slash, `$uri` or the end, only literal text, `$host` and wildcards of the
/// pattern's host are allowed.
fn check_authority(text: &str, rest: &str, pattern: &Pattern) -> Result<(), String> {
    let end = ["/", "$uri"].iter().filter_map(|end| rest.find(end)).min().unwrap_or(rest.len());
    let authority = pieces(&rest[..end], pattern)?;
    let (_, in_host) = pattern.wildcards();
    if authority.is_empty() {
        return Err(format!("{text}: the target names no host"));
    }
    for piece in &authority {
        match piece {
            Piece::Host => {}
            Piece::Capture(number) if *number <= in_host => {}
            Piece::Literal(literal) => {
                let is_plain = |b: &u8| b.is_ascii_alphanumeric() || b"-._:[]".contains(b);
                if let Some(odd) = literal.iter().find(|b| !is_plain(b)) {
                    return Err(format!("{text}: {} in the name of a host", char::from(*odd)));
                }
            }
            _ => {
                return Err(format!(
                    "{text}: only $host and wildcards of the pattern's host may stand in the target's host"
                ));
            }
        }
    }
    Ok(())
}

/// Bytes that are not encoded in a path, beside letters and digits (RFC 3986 §3.3).
const PATH: &[u8] = b"-._~/!$&'()*+,;=:@";
/// Bytes that are not encoded in a value within a query, beside letters and digits.
const VALUE: &[u8] = b"-._~/";
/// Bytes that are not encoded in a query that the client has encoded already.
const SPELLED: &[u8] = b"-._~:/?@!$&'()*+,;=%";

/// Tells whether `path` has no dot segment, no empty segment and no NUL.
fn is_sound(path: &[u8]) -> bool {
    let inner = path.strip_suffix(b"/").unwrap_or(path);
    let is_name = |segment: &[u8]| !matches!(segment, b"" | b"." | b"..");
    path.is_empty() || inner.split(|&b| b == b'/').all(is_name) && !path.contains(&0)
}

/// Path-absolute reference to `path`, which is decoded and has no leading slash, with `query` as spelled.
pub fn reference(path: &[u8], query: Option<&[u8]>) -> Vec<u8> {
    let mut out = b"/".to_vec();
    encode(&mut out, path, PATH);
    if let Some(query) = query {
        out.push(b'?');
        encode(&mut out, query, SPELLED);
    }
    out
}

/// Appends `text` with all bytes but letters, digits and `kept` percent-encoded.
fn encode(out: &mut Vec<u8>, text: &[u8], kept: &[u8]) {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    for &byte in text {
        if byte.is_ascii_alphanumeric() || kept.contains(&byte) {
            out.push(byte);
        } else {
            out.extend_from_slice(&[b'%', HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]]);
        }
    }
}

/// Appends a host in the form of a URL: an IPv6 address in brackets.
fn host(out: &mut Vec<u8>, host: &[u8]) {
    if host.contains(&b':') {
        out.push(b'[');
        encode(out, host, b":.");
        out.push(b']');
    } else {
        encode(out, host, b"-._~");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::request::client::Scheme;
    use proptest::prelude::*;

    /// Location for a request of `path` with `query` at `www.example.org`.
    fn location(pattern: &str, target: &str, path: &[u8], query: Option<&str>) -> String {
        let pattern = Pattern::parse(pattern).unwrap();
        let template = Template::redirect(target, &pattern).unwrap();
        let site = SiteKey::new(Scheme::Http, "www.example.org", None);
        let captures = pattern.captures(&site.name(path)).expect("a match");
        let query = query.map(str::as_bytes);
        let context = Context { captures: &captures, site: &site, path, query };
        String::from_utf8(template.location(&context)).unwrap()
    }

    #[test]
    fn targets_are_filled_in() {
        for (pattern, target, path, query, want) in [
            ("old/**", "/new/$1", "old/a/b", None, "/new/a/b"),
            ("old/**", "/new/$1", "old/a b?", Some("x=1"), "/new/a%20b%3F?x=1"),
            ("old/**", "/new/$1?", "old/a", Some("x=1"), "/new/a"),
            ("old/**", "/new?p=$1", "old/a&b=c%", Some("x=1"), "/new?p=a%26b%3Dc%25"),
            ("**", "https://$host$uri", "a/b", Some("q"), "https://www.example.org/a/b?q"),
            ("**", "$scheme://example.org$uri", "", None, "http://example.org/"),
            ("//*.example.org/**", "https://$1.example.com/$2", "x", None, "https://www.example.com/x"),
            ("//www.*/**", "https://$1$uri", "x", None, "https://example.org/x"),
            ("a", "/b#top", "a", Some("q"), "/b?q#top"),
            ("**", "https://example.org:8443/", "x", None, "https://example.org:8443/"),
            ("old**", "/$1", "old//evil.com", None, "/evil.com"),
            ("old**", "/$1", "old/\\evil.com", None, "/%5Cevil.com"),
            ("*/x", "/$1/y", "/x", None, "/y"),
            ("old/*", "/$1", "old/a\r\nX: y", None, "/a%0D%0AX:%20y"),
        ] {
            assert_eq!(location(pattern, target, path.as_bytes(), query), want, "{pattern} {target} {path}");
        }
    }

    #[test]
    fn an_ipv6_address_in_the_place_of_a_host_has_brackets() {
        for target in ["https://$1/$2", "https://$host/$2", "https://$host$uri"] {
            let pattern = Pattern::parse("//*/**").unwrap();
            let template = Template::redirect(target, &pattern).unwrap();
            let site = SiteKey::new(Scheme::Http, "[0::1]", None);
            let captures = pattern.captures(&site.name(b"a")).expect("a match");
            let context = Context { captures: &captures, site: &site, path: b"a", query: None };
            assert_eq!(template.location(&context), b"https://[::1]/a", "{target}");
        }
    }

    #[test]
    fn a_target_that_could_lead_elsewhere_is_refused() {
        for (pattern, target, part) in [
            ("**", "//evil.com", "begins with http://"),
            ("**", "evil.com", "begins with /"),
            ("**", "$1", "begins with /"),
            ("**", "https://$1/", "only $host"),
            ("**", "https://example.com$1", "only $host"),
            ("//*/**", "https://$2/", "only $host"),
            ("*|//*/*", "https://$1/", "only $host"),
            ("**", "https://", "no host"),
            ("**", "https:///x", "no host"),
            ("**", "https://user@example.com/", "@ in the name"),
            ("**", "https://example.com?x", "? in the name"),
            ("**", "/$2", "only 1 wildcards"),
            ("**", "/$0", "from 1"),
            ("**", "/$hots", "did you mean $host?"),
            ("**", "/$", "no variable"),
            ("**", "/a#$1", "behind a #"),
            ("**", "/a\"b", "percent-encoded"),
            ("**", "/caf\u{e9}", ": \u{e9} must be percent-encoded"),
        ] {
            let said = Template::redirect(target, &Pattern::parse(pattern).unwrap()).unwrap_err();
            assert!(said.contains(part), "{pattern} {target}: {said}");
        }
    }

    #[test]
    fn a_rewrite_to_a_name_that_no_file_has_is_refused() {
        for target in ["/../a", "/a/.", "/a/%2e%2e/b", "/a//b", "//a", "/a%00b"] {
            let said = Template::rewrite(target, &Pattern::parse("**").unwrap()).unwrap_err();
            assert_eq!(said, format!("{target}: no file has a name with . or .. or // or a NUL in it"));
        }
        for target in ["/", "/a/", "/..a/b..", "/%41"] {
            assert!(Template::rewrite(target, &Pattern::parse("**").unwrap()).is_ok(), "{target}");
        }
    }

    #[test]
    fn a_rewritten_path_names_something_or_nothing() {
        let site = SiteKey::new(Scheme::Http, "h", None);
        for (pattern, target, path, want) in [
            ("app/**", "/$1", "app/x", Some("x")),
            ("app/**", "/$1", "app/", Some("")),
            ("app/**", "/app.cgi/$1", "app/x/y", Some("app.cgi/x/y")),
            ("a/**", "/a%20b/$1", "a/%41", Some("a b/%41")),
            ("a*", "/b/$1", "a..", None),
            ("a*", "/b/$1/c", "a", None),
            ("a**", "/b$1", "a/./c", None),
            ("a**", "/b/$1", "a\0", None),
            ("**", "/sub$uri", "a/b", Some("sub/a/b")),
        ] {
            let pattern = Pattern::parse(pattern).unwrap();
            let template = Template::rewrite(target, &pattern).unwrap();
            let captures = pattern.captures(&site.name(path.as_bytes())).unwrap();
            let context = Context { captures: &captures, site: &site, path: path.as_bytes(), query: None };
            let got = template.path(&context).map(|path| String::from_utf8(path).unwrap());
            assert_eq!(got.as_deref(), want, "{target} {path}");
        }
    }

    proptest! {
        #[test]
        fn no_name_leads_to_another_site(path in proptest::collection::vec(any::<u8>(), 0..12)) {
            for target in ["/$1", "/$1$1", "/x/$1", "https://example.org/$1", "https://$host/$1"] {
                let path = [b"old", &path[..]].concat();
                let location = location("old**", target, &path, None);
                prop_assert!(location.bytes().all(|b| b.is_ascii_graphic() && b != b'\\'));
                let prefix = ["/", "https://example.org/", "https://www.example.org/"];
                prop_assert!(prefix.iter().any(|prefix| location.starts_with(prefix)));
                prop_assert!(!location.starts_with("//"));
            }
        }
    }
}
