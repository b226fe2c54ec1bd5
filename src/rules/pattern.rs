//! A rule's pattern: which names, of which hosts and schemes, it covers.
//!
//! ```text
//! PATTERN     = alternative *( "|" alternative )
//! alternative = [ [ "http:" | "https:" ] "//" HOST "/" ] GLOB
//! ```
//!
//! Globs are those of cgipat ([`config::pattern`](crate::config::pattern)). A plain alternative is compared
//! with the name below the served directory, a virtual host's directory first; one with a host with that
//! host and the name below the host's tree.

use std::fmt;

use super::captures::{Captures, Glob};
use crate::config::printable::printable;
use crate::request::client::Scheme;

/// A pattern of one line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pattern {
    text: Box<[u8]>,
    alternatives: Box<[Alternative]>,
}

/// One of the names that a pattern stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Alternative {
    pub(super) scheme: Option<Scheme>,
    pub(super) host: Option<Glob>,
    pub(super) name: Glob,
}

/// The site that a client asked: what a pattern may say of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SiteKey {
    /// How the client reached it.
    pub scheme: Scheme,
    /// The host asked for: lower case, without port, brackets and one dot at the end.
    pub host: String,
    /// The directory of the virtual host, where names begin with such a one.
    pub directory: Option<String>,
}

impl SiteKey {
    /// The site of `scheme` and `host` as a request or a configuration spells it.
    /// Its names begin with `directory`, if there are virtual hosts.
    pub fn new(scheme: Scheme, host: &str, directory: Option<&str>) -> SiteKey {
        SiteKey { scheme, host: plain_host(host), directory: directory.map(str::to_owned) }
    }

    /// `full`, a name below the served directory, as asked of this site.
    pub fn name<'a>(&'a self, full: &'a [u8]) -> Name<'a> {
        let (scheme, asked) = (self.scheme, self.host.as_bytes());
        let Some(own) = &self.directory else {
            return Name { scheme, asked, host: asked, path: full, full };
        };
        // The directory tells whose file it is, also where a link led there from another host. Hosts without
        // one share the default's, and are told apart by what was asked.
        let slash = full.iter().position(|&b| b == b'/');
        let (dir, path) = slash.map_or((full, &b""[..]), |at| (&full[..at], &full[at + 1..]));
        let host = dir.strip_suffix(b".").unwrap_or(dir);
        Name { scheme, asked: if dir == own.as_bytes() { asked } else { host }, host, path, full }
    }
}

/// One name of a file or directory, as patterns see it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Name<'a> {
    scheme: Scheme,
    /// The host asked for, where the name lies in that host's tree.
    asked: &'a [u8],
    /// The host whose tree it lies in.
    host: &'a [u8],
    /// Below the host's tree.
    path: &'a [u8],
    /// Below the served directory.
    full: &'a [u8],
}

#[cfg(test)]
impl<'a> Name<'a> {
    /// A name of no known host.
    pub fn plain(full: &'a [u8]) -> Name<'a> {
        Name { scheme: Scheme::Http, asked: b"", host: b"", path: full, full }
    }
}

impl Pattern {
    /// Reads a pattern of the rules file.
    ///
    /// # Errors
    /// A sentence for the operator: a host without a slash behind it, or no host where one should be.
    pub fn parse(text: &str) -> Result<Pattern, String> {
        let alternatives: Result<Vec<_>, _> = text.split('|').map(Alternative::parse).collect();
        Ok(Pattern { text: text.as_bytes().into(), alternatives: alternatives?.into() })
    }

    /// Reads a pattern of a throttle file: slashes in front of an alternative do not count.
    pub fn relative(text: impl AsRef<[u8]>) -> Pattern {
        let pattern = crate::config::pattern::Pattern::relative(text);
        let alternatives = pattern.as_bytes().split(|&b| b == b'|');
        let plain = |text: &[u8]| Alternative { scheme: None, host: None, name: Glob::new(text) };
        Pattern { text: pattern.as_bytes().into(), alternatives: alternatives.map(plain).collect() }
    }

    /// The pattern as written.
    pub fn as_bytes(&self) -> &[u8] {
        &self.text
    }

    /// The pattern as text.
    pub fn as_str(&self) -> &str {
        // A line of the rules file is text; a throttle file's patterns are compared and shown as bytes.
        str::from_utf8(&self.text).unwrap_or_default()
    }

    /// Does an alternative cover `name`?
    pub fn matches(&self, name: &Name<'_>) -> bool {
        self.alternatives.iter().any(|alternative| alternative.matches(name))
    }

    /// What the wildcards stand for in the first alternative that covers `name`.
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

    /// How many wildcards every alternative has, and how many of them every alternative has in its host.
    pub fn wildcards(&self) -> (usize, usize) {
        let host = |one: &Alternative| one.host.as_ref().map_or(0, Glob::wildcards);
        let all = |one: &Alternative| host(one) + one.name.wildcards();
        let least = |count: &dyn Fn(&Alternative) -> usize| self.alternatives.iter().map(count).min();
        (least(&all).unwrap_or(0), least(&host).unwrap_or(0))
    }

    /// The one name that the pattern stands for, if it has no wildcard and no alternative.
    pub fn literal(&self) -> Option<&str> {
        match &*self.alternatives {
            [only] if only.name.wildcards() == 0 => Some(only.name.as_str()),
            _ => None,
        }
    }

    /// Does the pattern cover every name of every host over both schemes?
    pub fn is_everything(&self) -> bool {
        let every = |one: &Alternative| {
            let host = one.host.as_ref().is_none_or(|host| host.as_str() == "*" || host.as_str() == "**");
            host && one.scheme.is_none() && one.name.as_str() == "**"
        };
        self.alternatives.iter().any(every)
    }

    /// Does an alternative ask for this scheme?
    pub fn asks_for(&self, scheme: Scheme) -> bool {
        self.alternatives.iter().any(|one| one.scheme == Some(scheme))
    }

    /// Does an alternative ask for certain hosts?
    pub fn has_host(&self) -> bool {
        let is_certain = |one: &Alternative| one.host.as_ref().is_some_and(|host| host.as_str() != "*");
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
    fn parse(text: &str) -> Result<Alternative, String> {
        let schemes = [("http://", Scheme::Http), ("https://", Scheme::Https)];
        let lower = text.get(..8).unwrap_or(text).to_ascii_lowercase();
        let found = schemes.into_iter().find(|(word, _)| lower.starts_with(word));
        let (scheme, rest) = match found {
            Some((word, scheme)) => (Some(scheme), Some(&text[word.len()..])),
            None => (None, text.strip_prefix("//")),
        };
        let Some(rest) = rest else {
            return Ok(Alternative { scheme, host: None, name: Glob::new(text.trim_start_matches('/')) });
        };
        let (host, name) =
            rest.split_once('/').ok_or_else(|| format!("{text}: write a slash behind the host"))?;
        if host.is_empty() {
            return Err(format!("{text}: no host between the slashes; write * for every host"));
        }
        let host = plain_host(host);
        if host.rsplit_once(':').is_some_and(|(name, port)| !name.contains(':') && is_port(port)) {
            return Err(format!("{text}: a host is named without its port"));
        }
        let name = Glob::new(name.trim_start_matches('/'));
        Ok(Alternative { scheme, host: Some(Glob::new(&host)), name })
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

fn is_port(text: &str) -> bool {
    text.bytes().all(|b| b.is_ascii_digit() || b == b'*')
}

/// A host as patterns compare it. An IPv6 address has no brackets and one spelling, as the directory of a
/// virtual host has.
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
    fn what_names_no_host_is_told() {
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
