//! What is allowed in a rules file but probably not meant, for `--check`.

use std::path::Path;

use super::captures::Captures;
use super::pattern::{Alternative, Pattern, SiteKey};
use super::response_rule::{Cache, ResponseRule};
use super::route::Route;
use super::template::Context;
use super::{Line, Rules};
use crate::request::client::Scheme;

/// What the checks have to know of the configuration.
#[derive(Debug, Clone, Copy)]
pub struct Surroundings<'a> {
    /// The directory that is served.
    pub served: &'a Path,
    /// Where names of files begin.
    pub start: &'a Path,
    /// There are virtual hosts.
    pub vhost: bool,
    /// Some proxy may say that a client came by https.
    pub has_proxies: bool,
}

impl Rules {
    /// A line for each thing that is probably not meant, with its place.
    pub fn warnings(&self, around: &Surroundings<'_>) -> Vec<String> {
        let mut told = Vec::new();
        self.warn_of_routes(around, &mut told);
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

    /// The line that has caches keep the page `full`, a name below the served directory, for good: a page is
    /// found by its name, which does not change with its content. `vhost`: it begins with the host's directory.
    pub fn keeps_for_good(&self, full: &[u8], vhost: bool) -> Option<&dyn std::fmt::Display> {
        let first = full.split(|&b| b == b'/').next().unwrap_or_default();
        let host = str::from_utf8(first).ok().filter(|_| vhost);
        let site = SiteKey::new(Scheme::Http, host.unwrap_or_default(), host);
        let name = site.name(full);
        let is_last = |line: &&Line<ResponseRule>| {
            matches!(line.action, ResponseRule::Cache(_)) && line.pattern.matches(&name)
        };
        let last = self.response.iter().rfind(is_last)?;
        (last.action == ResponseRule::Cache(Cache::Immutable)).then_some(last as &dyn std::fmt::Display)
    }

    fn warn_of_routes(&self, around: &Surroundings<'_>, told: &mut Vec<String>) {
        for (at, line) in self.routes.iter().enumerate() {
            let covered = self.routes[..at].iter().find(|above| is_hidden_by(line, above));
            if let Some(above) = covered {
                told.push(format!("{line}: has no effect below {above}"));
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

    /// Where lines stand that ask for `scheme`.
    fn places_by_scheme(&self, scheme: Scheme) -> Vec<String> {
        fn asking<A>(lines: &[Line<A>], scheme: Scheme) -> impl Iterator<Item = String> {
            lines.iter().filter(move |line| line.pattern.asks_for(scheme)).map(|line| line.place.to_string())
        }
        let routes = asking(&self.routes, scheme).chain(asking(&self.guards, scheme));
        let mut places: Vec<String> = routes.chain(asking(&self.response, scheme)).collect();
        places.dedup();
        places
    }
}

/// Does `above` end the search, or take the place, for every name that `line` covers?
fn is_hidden_by(line: &Line<Route>, above: &Line<Route>) -> bool {
    let ends = match (&above.action, &line.action) {
        (Route::Try(_), Route::Try(_)) | (Route::Fallback { .. }, Route::Fallback { .. }) => true,
        (Route::Try(_) | Route::Fallback { .. } | Route::Rewrite(_), _) => false,
        _ => true,
    };
    ends && covers(&above.pattern, &line.pattern)
}

/// Does `one` cover all that `other` covers? A no may be wrong; a yes is not.
fn covers(one: &Pattern, other: &Pattern) -> bool {
    let covered = |narrow: &Alternative| one.alternatives().iter().any(|wide| is_wider(wide, narrow));
    other.alternatives().iter().all(covered)
}

fn is_wider(wide: &Alternative, narrow: &Alternative) -> bool {
    let scheme = wide.scheme.is_none() || wide.scheme == narrow.scheme;
    let host = match (&wide.host, &narrow.host) {
        (None, None) => true,
        // A plain name has a virtual host's directory in front, and one of a host has not.
        (None, Some(_)) => wide.name.as_str() == "**",
        (Some(wide), None) => wide.as_str() == "*" && narrow.name.as_str() == "**",
        (Some(wide), Some(narrow)) => wide.as_str() == "*" || wide == narrow,
    };
    let (wide, narrow) = (wide.name.as_str(), narrow.name.as_str());
    let begins = wide
        .strip_suffix("**")
        .is_some_and(|start| !start.contains(['*', '?']) && narrow.strip_prefix(start).is_some());
    scheme && host && (wide == narrow || begins)
}

/// Would the target of a redirect be redirected by the same line?
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
