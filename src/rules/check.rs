//! Warnings for `--check`: rules that are valid but probably not meant.

use std::fmt::Display;
use std::path::Path;

use super::captures::{Captures, Glob};
use super::guard::Guard;
use super::line::Line;
use super::pattern::{Alternative, Pattern, SiteKey};
use super::response_rule::{Cache, ResponseRule};
use super::route::Route;
use super::rule_set::Rules;
use super::template::Context;
use crate::request::client::Scheme;

/// Parts of the configuration that the checks depend on.
#[derive(Debug, Clone, Copy)]
pub struct Surroundings<'a> {
    /// Directory that is served.
    pub served: &'a Path,
    /// Directory that relative file names in rules start from.
    pub start: &'a Path,
    /// Set if virtual hosts are enabled.
    pub vhost: bool,
    /// Set if a trusted proxy can report that a client connected over https.
    pub has_proxies: bool,
}

impl Rules {
    /// Warnings about rules that are probably not meant, one line each, with their place.
    pub fn warnings(&self, around: &Surroundings<'_>) -> Vec<String> {
        let mut told = Vec::new();
        self.warn_of_routes(around, &mut told);
        self.warn_of_names(around, &mut told);
        for line in self.guards.iter().filter(|line| line.pattern.has_host() && !around.vhost) {
            told.push(format!("{line}: other names of the host reach the same files, as vhost is off"));
        }
        for (line, file) in self.all_auth_files() {
            if !around.start.join(&file.path).is_file() {
                told.push(format!("{line}: there is no such file; what it protects is answered 403"));
            }
        }
        if !around.has_proxies {
            let places = self.places_by_scheme(Scheme::Https);
            let what = "asks for https, which only a trusted proxy can tell of";
            told.extend(places.into_iter().map(|place| format!("{place}: {what}")));
        }
        told
    }

    /// The `cache immutable` line that applies to the page `full`, a name below the served directory.
    ///
    /// A page is requested by a name that does not change with the content, so that `immutable` would keep
    /// an old page in caches. With `vhost`, `full` begins with the virtual host's directory.
    pub fn keeps_for_good(&self, full: &[u8], vhost: bool) -> Option<&dyn Display> {
        let first = full.split(|&b| b == b'/').next().unwrap_or_default();
        let host = str::from_utf8(first).ok().filter(|_| vhost);
        let site = SiteKey::new(Scheme::Http, host.unwrap_or_default(), host);
        let name = site.name(full);
        let is_last = |line: &&Line<ResponseRule>| {
            matches!(line.action, ResponseRule::Cache(_)) && line.pattern.matches(&name)
        };
        let last = self.response.iter().rfind(is_last)?;
        (last.action == ResponseRule::Cache(Cache::Immutable)).then_some(last as &dyn Display)
    }

    fn warn_of_routes(&self, around: &Surroundings<'_>, told: &mut Vec<String>) {
        let places = places_by_prefix(&self.routes);
        for (at, line) in self.routes.iter().enumerate() {
            let is_above = |place: &usize| is_hidden_by(line, &self.routes[*place]);
            if let Some(above) = places_above(line, at, &places).into_iter().filter(is_above).min() {
                told.push(format!("{line}: has no effect below {}", self.routes[above]));
            }
            match &line.action {
                Route::Fallback { file, .. } if !around.vhost && !around.served.join(&**file).is_file() => {
                    told.push(format!("{line}: there is no such file"));
                }
                Route::Redirect { .. } if leads_to_itself(line) => {
                    told.push(format!("{line}: covers its own target"));
                }
                _ => {}
            }
        }
    }

    /// Warns of patterns that match no name, and of guards for a directory but not for its content.
    fn warn_of_names(&self, around: &Surroundings<'_>, told: &mut Vec<String>) {
        let mut warn = |line: &dyn Display, pattern: &Pattern| {
            if let Some(why) = pattern.alternatives().iter().find_map(fault_of) {
                told.push(format!("{line}: `{pattern}` {why}"));
            }
        };
        self.routes.iter().for_each(|line| warn(line, &line.pattern));
        self.guards.iter().for_each(|line| warn(line, &line.pattern));
        self.response.iter().for_each(|line| warn(line, &line.pattern));
        self.rates.iter().for_each(|line| warn(line, &line.pattern));
        // With virtual hosts a name begins with a host's directory.
        let is_of_no_host = |one: &Alternative| {
            let Some(name) = one.name.as_str() else { return false };
            let first = name.split('/').next().unwrap_or_default();
            one.host.is_none() && !first.contains(['*', '?']) && !around.served.join(first).exists()
        };
        for line in self.guards.iter().filter(|_| around.vhost) {
            if line.pattern.alternatives().iter().any(is_of_no_host) {
                let why = "begins with no host's directory, as it must with vhost; for every host write //*/";
                told.push(format!("{line}: `{}` {why}{}", line.pattern, line.pattern));
            }
        }
        let site = SiteKey::new(Scheme::Http, "", None);
        for line in self.guards.iter().filter(|line| !matches!(line.action, Guard::Requests(_))) {
            let name = line.pattern.literal().filter(|_| !around.vhost || !line.pattern.has_host());
            let Some(name) = name.map(|name| name.trim_end_matches('/')) else { continue };
            let content = if name.is_empty() { "\0".to_owned() } else { format!("{name}/\0") };
            let is_covered =
                self.guards.iter().any(|one| one.pattern.matches(&site.name(content.as_bytes())));
            if !is_covered && around.served.join(name).is_dir() {
                told.push(format!("{line}: covers the directory and nothing in it; write {name}/**"));
            }
        }
    }

    /// Places of the lines whose pattern asks for `scheme`.
    fn places_by_scheme(&self, scheme: Scheme) -> Vec<String> {
        let mut places = Vec::new();
        let mut look = |place: &dyn Display, pattern: &Pattern| {
            if pattern.asks_for(scheme) {
                places.push(place.to_string());
            }
        };
        self.routes.iter().for_each(|line| look(&line.place, &line.pattern));
        self.guards.iter().for_each(|line| look(&line.place, &line.pattern));
        self.response.iter().for_each(|line| look(&line.place, &line.pattern));
        places.dedup();
        places
    }
}

/// Places of routes, each with the text in front of the first wildcard of an alternative, in order.
fn places_by_prefix(routes: &[Line<Route>]) -> Vec<(&[u8], usize)> {
    let mut places = Vec::new();
    for (at, line) in routes.iter().enumerate() {
        places.extend(line.pattern.alternatives().iter().map(|one| (one.name.literal_prefix(), at)));
    }
    places.sort_unstable();
    places
}

/// Places above `at` of routes that may cover `line`.
///
/// A pattern covers another one only if the text in front of its first wildcard begins that of the other.
/// So thousands of redirects are not each compared with all others.
fn places_above(line: &Line<Route>, at: usize, places: &[(&[u8], usize)]) -> Vec<usize> {
    let mut found = Vec::new();
    let prefix = line.pattern.alternatives().first().map_or(&b""[..], |one| one.name.literal_prefix());
    for len in 0..=prefix.len() {
        let first = places.partition_point(|(text, _)| *text < &prefix[..len]);
        let same = places[first..].iter().take_while(|(text, place)| *text == &prefix[..len] && *place < at);
        found.extend(same.map(|(_, place)| *place));
    }
    found
}

/// Tells whether `above` makes `line` ineffective: `above` covers all its names and decides first.
fn is_hidden_by(line: &Line<Route>, above: &Line<Route>) -> bool {
    let ends = match (&above.action, &line.action) {
        (Route::Try(_), Route::Try(_)) | (Route::Fallback { .. }, Route::Fallback { .. }) => true,
        (Route::Try(_) | Route::Fallback { .. } | Route::Rewrite(_), _) => false,
        _ => true,
    };
    ends && covers(&above.pattern, &line.pattern)
}

/// Tells whether `one` covers every name that `other` covers. False negatives are possible, false positives
/// are not.
fn covers(one: &Pattern, other: &Pattern) -> bool {
    let covered = |narrow: &Alternative| one.alternatives().iter().any(|wide| is_wider(wide, narrow));
    other.alternatives().iter().all(covered)
}

fn is_wider(wide: &Alternative, narrow: &Alternative) -> bool {
    let scheme = wide.scheme.is_none() || wide.scheme == narrow.scheme;
    let host = match (&wide.host, &narrow.host) {
        (None, None) => true,
        // A pattern without a host is compared with a name that includes the virtual host's directory.
        (None, Some(_)) => wide.name.as_bytes() == b"**",
        (Some(wide), None) => wide.as_bytes() == b"*" && narrow.name.as_bytes() == b"**",
        (Some(wide), Some(narrow)) => wide.as_bytes() == b"*" || is_wider_glob(wide, narrow),
    };
    scheme && host && is_wider_glob(&wide.name, &narrow.name)
}

/// Reason why the pattern is probably not meant; `None` for a usual one.
fn fault_of(one: &Alternative) -> Option<&'static str> {
    match one.name.as_str()? {
        _ if is_void(one) => Some("covers no name, as names are decoded and have no . or .. or // in them"),
        name if is_foreign(name) => {
            Some("is taken as it stands but for * ** ? and |: it looks like a regular expression or the like")
        }
        _ => None,
    }
}

/// Tells whether the pattern has signs of regular expressions, of braces or of named segments, which other
/// servers understand.
fn is_foreign(name: &str) -> bool {
    let name = name.as_bytes();
    let has = |sign: &[u8]| name.windows(sign.len()).any(|part| part == sign);
    let count = |byte: u8| name.iter().filter(|&&one| one == byte).count();
    let is_range = |part: &[u8]| matches!(part, [b'[', from, b'-', to] if from < to);
    matches!(name, [b'^' | b':', ..] | [.., b'$'])
        || [&b"\\"[..], b"(.*", b"[^", b"/:"].into_iter().any(has)
        || count(b'(') != count(b')')
        || count(b'{') > 0 && count(b',') > 0
        || name.windows(4).any(is_range)
}

/// Tells whether the pattern has a segment or an escape that no name has.
fn is_void(one: &Alternative) -> bool {
    let Some(name) = one.name.as_str() else { return false };
    let is_escape = |at: usize| {
        let digits = name.as_bytes().get(at + 1..at + 3);
        digits.is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit))
    };
    name.contains("//")
        || name.split('/').any(|segment| matches!(segment, "." | ".."))
        || name.match_indices('%').any(|(at, _)| is_escape(at))
}

/// Tells whether `wide` matches every text that the glob `narrow` matches; no for one that is not UTF-8.
///
/// Two texts stand for all: each wildcard of `narrow` is replaced by the shortest text, and by a long one
/// with a byte that no literal of `wide` matches.
fn is_wider_glob(wide: &Glob, narrow: &Glob) -> bool {
    let Some(narrow) = narrow.as_str() else { return false };
    // Most patterns are plain names, and each is compared with all others.
    if wide.wildcards() == 0 {
        return wide.as_bytes() == narrow.as_bytes();
    }
    [["", "", "\0"], ["\0/\0\0", "\0\0\0", "/"]].iter().all(|[any_run, run, one]| {
        let text = narrow.replace("**", "\u{1}").replace("*", run).replace("?", one);
        wide.matches(text.replace("\u{1}", any_run).as_bytes())
    })
}

/// Tells whether the target of a redirect matches the redirect's own pattern, which would be a loop.
fn leads_to_itself(line: &Line<Route>) -> bool {
    let Route::Redirect { target, .. } = &line.action else { return false };
    [Scheme::Http, Scheme::Https].into_iter().any(|scheme| {
        let site = SiteKey::new(scheme, "host", None);
        let captures = Captures::repeat("x", line.pattern.wildcards().0);
        let context = Context { captures: &captures, site: &site, path: b"x", query: None };
        let location = String::from_utf8_lossy(&target.location(&context)).into_owned();
        let (scheme, path) = match location.split_once("://") {
            None => (scheme, location.as_str()),
            Some(("https", rest)) => (Scheme::Https, rest),
            Some((_, rest)) => (Scheme::Http, rest),
        };
        let path = match location.contains("://") {
            false => path,
            true => match path.strip_prefix("host") {
                Some(path) => path,
                None => return false,
            },
        };
        let path = path.split(['?', '#']).next().unwrap_or_default().trim_start_matches('/');
        let site = SiteKey::new(scheme, "host", None);
        line.pattern.matches(&site.name(path.as_bytes()))
    })
}
