//! Patterns of rules: the names, hosts and schemes that a line covers.
//!
//! ```text
//! PATTERN     = alternative *( "|" alternative )
//! alternative = [ [ "http:" | "https:" ] "//" HOST "/" ] GLOB
//! ```
//!
//! Globs are those of cgipat ([`config::pattern`](crate::config::pattern)). An alternative without a host
//! is compared with the name below the served directory, which begins with the virtual host's directory. An
//! alternative with a host is compared with the host and the name below the host's tree.

use std::fmt;

use super::captures::{Captures, Glob};
use crate::config::printable::printable;
use crate::request::client::Scheme;

/// Pattern of one line: its text and its alternatives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pattern {
    text: Box<[u8]>,
    alternatives: Box<[Alternative]>,
}

/// One alternative of a pattern.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Alternative {
    pub(super) scheme: Option<Scheme>,
    pub(super) host: Option<Glob>,
    pub(super) name: Glob,
}

/// Site that a request is for, as patterns compare it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SiteKey {
    /// Scheme by which the client reached the server.
    pub scheme: Scheme,
    /// Requested host: lower case, without port, brackets and one trailing dot.
    pub host: String,
    /// Directory of the virtual host; `None` if virtual hosts are off.
    pub directory: Option<String>,
}

impl SiteKey {
    /// Site of `scheme` and `host`, as a request or a configuration spells the host.
    ///
    /// With virtual hosts, names of files begin with `directory`.
    pub fn new(scheme: Scheme, host: &str, directory: Option<&str>) -> SiteKey {
        SiteKey { scheme, host: plain_host(host), directory: directory.map(str::to_owned) }
    }

    /// Name of the file `full` (relative to the served directory) when requested from this site.
    pub fn name<'a>(&'a self, full: &'a [u8]) -> Name<'a> {
        let (scheme, asked) = (self.scheme, self.host.as_bytes());
        let Some(own) = &self.directory else {
            return Name { scheme, asked, host: asked, path: full, full };
        };
        // The first segment is the host's directory. A link may lead from one host to another's tree, so
        // the segment decides. Hosts without a directory share the default's, and differ by the requested
        // host.
        let slash = full.iter().position(|&b| b == b'/');
        let (dir, path) = slash.map_or((full, &b""[..]), |at| (&full[..at], &full[at + 1..]));
        let host = dir.strip_suffix(b".").unwrap_or(dir);
        Name { scheme, asked: if dir == own.as_bytes() { asked } else { host }, host, path, full }
    }
}

/// Name of a file or directory, split for comparison with patterns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Name<'a> {
    scheme: Scheme,
    /// Requested host, if the name lies in that host's tree.
    asked: &'a [u8],
    /// Host whose tree contains the name.
    host: &'a [u8],
    /// Path below the host's tree.
    path: &'a [u8],
    /// Path below the served directory.
    full: &'a [u8],
}

#[cfg(test)]
impl<'a> Name<'a> {
    /// Name without a host.
    pub fn plain(full: &'a [u8]) -> Name<'a> {
        Name { scheme: Scheme::Http, asked: b"", host: b"", path: full, full }
    }
}

impl Pattern {
    /// Reads a pattern of the rules file. Names may have any bytes, as files may.
    ///
    /// # Errors
    /// A sentence for the operator: a host has no slash behind it, is missing, or is not text.
    pub fn parse(text: impl AsRef<[u8]>) -> Result<Pattern, String> {
        let text = text.as_ref();
        let mut alternatives = Vec::new();
        for alternative in text.split(|&b| b == b'|') {
            alternatives.push(Alternative::parse(alternative)?);
        }
        Ok(Pattern { text: text.into(), alternatives: alternatives.into() })
    }

    /// Reads a pattern of a throttle file, where leading slashes of an alternative are ignored.
    pub fn relative(text: impl AsRef<[u8]>) -> Pattern {
        let pattern = crate::config::pattern::Pattern::relative(text);
        let alternatives = pattern.as_bytes().split(|&b| b == b'|');
        let plain = |text: &[u8]| Alternative { scheme: None, host: None, name: Glob::new(text) };
        Pattern { text: pattern.as_bytes().into(), alternatives: alternatives.map(plain).collect() }
    }

    /// Pattern as written, in bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.text
    }

    /// Tells whether an alternative covers `name`.
    pub fn matches(&self, name: &Name<'_>) -> bool {
        self.alternatives.iter().any(|alternative| alternative.matches(name))
    }

    /// Captures of the first alternative that covers `name`.
    pub fn captures<'a>(&self, name: &Name<'a>) -> Option<Captures<'a>> {
        let alternative = self.alternatives.iter().find(|alternative| alternative.matches(name))?;
        let mut found = Captures::default();
        match &alternative.host {
            Some(host) => {
                let named = if host.matches(name.asked) { name.asked } else { name.host };
                host.capture(named, &mut found)?;
                alternative.name.capture(name.path, &mut found)?;
            }
            None => alternative.name.capture(name.full, &mut found)?,
        }
        Some(found)
    }

    /// Minimum number of wildcards over all alternatives, and the minimum of those within hosts.
    pub fn wildcards(&self) -> (usize, usize) {
        let host = |one: &Alternative| one.host.as_ref().map_or(0, Glob::wildcards);
        let all = |one: &Alternative| host(one) + one.name.wildcards();
        let least = |count: &dyn Fn(&Alternative) -> usize| self.alternatives.iter().map(count).min();
        (least(&all).unwrap_or(0), least(&host).unwrap_or(0))
    }

    /// Literal name of a pattern that has neither a wildcard nor a second alternative; `None` if not UTF-8.
    pub fn literal(&self) -> Option<&str> {
        match &*self.alternatives {
            [only] if only.name.wildcards() == 0 => only.name.as_str(),
            _ => None,
        }
    }

    /// Tells whether the pattern covers every name of every host over both schemes.
    pub fn is_everything(&self) -> bool {
        let every = |one: &Alternative| {
            let host = one.host.as_ref().is_none_or(|host| matches!(host.as_bytes(), b"*" | b"**"));
            host && one.scheme.is_none() && one.name.as_bytes() == b"**"
        };
        self.alternatives.iter().any(every)
    }

    /// Tells whether an alternative asks for `scheme`.
    pub fn asks_for(&self, scheme: Scheme) -> bool {
        self.alternatives.iter().any(|one| one.scheme == Some(scheme))
    }

    /// Tells whether an alternative asks for a host.
    pub fn has_host(&self) -> bool {
        let is_certain = |one: &Alternative| one.host.as_ref().is_some_and(|host| host.as_bytes() != b"*");
        self.alternatives.iter().any(is_certain)
    }

    pub(super) fn alternatives(&self) -> &[Alternative] {
        &self.alternatives
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&printable(&self.text))
    }
}

impl Alternative {
    fn parse(text: &[u8]) -> Result<Alternative, String> {
        let schemes = [("http://", Scheme::Http), ("https://", Scheme::Https)];
        let lower = text[..text.len().min(8)].to_ascii_lowercase();
        let found = schemes.into_iter().find(|(word, _)| lower.starts_with(word.as_bytes()));
        let (scheme, rest) = match found {
            Some((word, scheme)) => (Some(scheme), Some(&text[word.len()..])),
            None => (None, text.strip_prefix(b"//")),
        };
        let Some(rest) = rest else {
            return Ok(Alternative { scheme, host: None, name: Glob::new(without_slashes(text)) });
        };
        let wrong = |why: &str| format!("{}: {why}", printable(text));
        let end = rest.iter().position(|&b| b == b'/');
        let (host, name) = rest.split_at(end.ok_or_else(|| wrong("write a slash behind the host"))?);
        if host.is_empty() {
            return Err(wrong("no host between the slashes; write * for every host"));
        }
        let host = str::from_utf8(host).map_err(|_| wrong("the host is not valid UTF-8"))?;
        let host = plain_host(host);
        if host.rsplit_once(':').is_some_and(|(name, port)| !name.contains(':') && is_port(port)) {
            return Err(wrong("a host is named without its port"));
        }
        Ok(Alternative { scheme, host: Some(Glob::new(&host)), name: Glob::new(without_slashes(name)) })
    }

    fn matches(&self, name: &Name<'_>) -> bool {
        if self.scheme.is_some_and(|scheme| scheme != name.scheme) {
            return false;
        }
        match &self.host {
            Some(host) => {
                (host.matches(name.asked) || host.matches(name.host)) && self.name.matches(name.path)
            }
            None => self.name.matches(name.full),
        }
    }
}

/// The part of `text` behind its leading slashes.
fn without_slashes(text: &[u8]) -> &[u8] {
    &text[text.iter().take_while(|&&b| b == b'/').count()..]
}

fn is_port(text: &str) -> bool {
    text.bytes().all(|b| b.is_ascii_digit() || b == b'*')
}

/// Host in the form that patterns compare. An IPv6 address has no brackets and one spelling, like the
/// directory of a virtual host.
fn plain_host(host: &str) -> String {
    let bare = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    if let Some(address) = bare.and_then(|bare| bare.parse::<std::net::Ipv6Addr>().ok()) {
        return std::net::IpAddr::from(address).to_canonical().to_string();
    }
    let lower = bare.unwrap_or(host).to_ascii_lowercase();
    lower.strip_suffix('.').map(str::to_owned).unwrap_or(lower)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn covers(pattern: &str, url: &str, vhost: bool) -> bool {
        let (scheme, rest) = url.split_once("://").unwrap();
        let (host, path) = rest.split_once('/').unwrap();
        let scheme = if scheme == "https" { Scheme::Https } else { Scheme::Http };
        let site = SiteKey::new(scheme, host, vhost.then_some(host));
        let full = if vhost { format!("{host}/{path}") } else { path.to_owned() };
        Pattern::parse(pattern).unwrap().matches(&site.name(full.as_bytes()))
    }

    #[test]
    fn hosts_schemes_and_names_are_compared() {
        for (pattern, url, vhost, want) in [
            ("a/*", "http://h/a/b", false, true),
            ("/a/*", "http://h/a/b", false, true),
            ("a/*", "http://h/a/b", true, false),
            ("*/a/*", "http://h/a/b", true, true),
            ("//h/a/*", "http://h/a/b", true, true),
            ("//h/a/*", "http://h/a/b", false, true),
            ("//H./a/*", "http://h/a/b", false, true),
            ("//h/a/*", "http://H./a/b", false, true),
            ("//g/a/*", "http://h/a/b", false, false),
            ("//*/**", "https://any.example/x", false, true),
            ("https://*/**", "http://h/x", false, false),
            ("HTTPS://*/**", "https://h/x", true, true),
            ("http://*.example.org/**", "http://a.b.example.org/x", false, true),
            ("//[::1]/**", "http://[0::1]/x", false, true),
            ("//h/", "http://h/", false, true),
            ("//h//a", "http://h/a", false, true),
            ("/", "http://h/", false, true),
            ("a|//h/b", "http://h/b", false, true),
            ("http:x", "http://h/http:x", false, true),
        ] {
            assert_eq!(covers(pattern, url, vhost), want, "{pattern} {url} {vhost}");
        }
    }

    #[test]
    fn a_name_reached_by_a_link_belongs_to_the_host_whose_directory_it_is_in() {
        let site = SiteKey::new(Scheme::Http, "b.example", Some("b.example"));
        let pattern = Pattern::parse("//a.example/private/**").unwrap();
        assert!(pattern.matches(&site.name(b"a.example/private/x")));
        assert!(!pattern.matches(&site.name(b"b.example/private/x")));
    }

    #[test]
    fn patterns_without_a_host_are_reported() {
        for (text, part) in
            [("//h", "a slash behind"), ("///a", "no host"), ("https:///", "no host"), ("//h:80/", "port")]
        {
            assert!(Pattern::parse(text).unwrap_err().contains(part), "{text}");
        }
    }

    #[test]
    fn wildcards_of_hosts_come_first() {
        let site = SiteKey::new(Scheme::Http, "www.example.org", None);
        let pattern = Pattern::parse("//*.example.*/a/**/?").unwrap();
        let captures = pattern.captures(&site.name(b"a/b/c/d")).unwrap();
        let texts: Vec<&[u8]> = (1..=4).filter_map(|number| captures.get(number)).collect();
        assert_eq!(texts, [&b"www"[..], b"org", b"b/c", b"d"]);
        assert_eq!(pattern.wildcards(), (4, 2));
    }

    #[test]
    fn everything_and_literals_are_known() {
        for (text, everything, literal) in [
            ("**", true, None),
            ("//*/**", true, None),
            ("/**", true, None),
            ("https://*/**", false, None),
            ("//h/**", false, None),
            ("a|**", true, None),
            ("/env.js", false, Some("env.js")),
            ("//h/env.js", false, Some("env.js")),
            ("a|b", false, None),
        ] {
            let pattern = Pattern::parse(text).unwrap();
            assert_eq!((pattern.is_everything(), pattern.literal()), (everything, literal), "{text}");
        }
    }
}
