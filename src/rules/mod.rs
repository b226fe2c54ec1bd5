//! The rules file: headers, caching, redirects, access and rates by name, in thttpd's patterns.
//!
//! ```text
//! PATTERN ACTION ──line──► Line<Route>          changes to the name before the look-up
//!                          Line<Guard>          access, by every name of the file
//!                          Line<ResponseRule>   fields of the response, by the file served
//!                          Line<Rate>           bytes a second, for `throttle`
//! ```
//!
//! `boot` loads the rules. `resource` applies them before, during and after its look-up, in the order of
//! thttpd-rules(5). The result for a file is stored in its cache entry, so that a cached file is served
//! without comparing patterns again.

use std::borrow::Cow;
use std::fmt;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use crate::config::origin::Origin;
use crate::config::{Config, foreign};
use crate::request::client::Scheme;
use crate::sys::reason;

mod bucket;
mod captures;
pub mod check;
pub mod env;
mod guard;
mod host_kinds;
mod line;
mod pattern;
pub mod rate;
mod response_rule;
mod response_rules;
mod route;
mod sorted_map;
mod template;
mod words;

pub use guard::{Charged, Covering, Guard, Refused};
pub use pattern::{Name, Pattern, SiteKey};
pub use response_rule::Listing;
pub use response_rules::{AppliedRules, OwnsResponseRules, ResponseRules, Ruling, is_freshness};
pub use route::{Answer, Route, Routed};
pub use sorted_map::SortedMap;

use host_kinds::HostKinds;
use rate::Rate;
use response_rule::ResponseRule;

/// Maximum number of combined rule sets, and of known hosts, in memory. A full table is emptied.
const MOST_KEPT: usize = 1024;

/// One line of the rules file: a pattern and an action.
#[derive(Debug)]
pub struct Line<A> {
    /// Names that the line covers.
    pub pattern: Arc<Pattern>,
    /// Action for those names.
    pub action: A,
    /// File and line number of the rule.
    pub place: Origin,
    /// Action as written, with variables expanded.
    pub text: Box<str>,
}

impl<A> Line<A> {
    fn new(pattern: Arc<Pattern>, action: A, place: &Origin, text: &str) -> Line<A> {
        Line { pattern, action, place: place.clone(), text: text.into() }
    }
}

impl<A> fmt::Display for Line<A> {
    /// Writes the place and the action, as in `rules:12: cache immutable`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.text)
    }
}

/// Error in a line of the rules file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// File and line number of the error.
    pub place: Origin,
    /// Description of the error.
    pub text: String,
}

impl Fault {
    /// Line number, for a fault in a file.
    pub fn line(&self) -> Option<usize> {
        if let Origin::File { line, .. } = self.place { Some(line) } else { None }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.text)
    }
}

/// All rules of one configuration.
#[derive(Debug, Default)]
pub struct Rules {
    routes: Vec<Line<Route>>,
    guards: Vec<Line<Guard>>,
    response: Vec<Line<ResponseRule>>,
    rates: Vec<Line<Rate>>,
    connections_per_address: Option<usize>,
    /// Set if a pattern asks for a host or a scheme.
    asks_for_site: bool,
    combined: Mutex<SortedMap<Box<[usize]>, Arc<ResponseRules>>>,
    host_kinds: HostKinds,
}

impl Rules {
    /// Reads lines of a file called `name`, for tests.
    ///
    /// # Errors
    /// Every line that is not as it should be.
    #[cfg(any(test, feature = "internals"))]
    pub fn parse(content: &[u8], name: &str) -> Result<Rules, Vec<Fault>> {
        let mut reader = line::Reader::default();
        reader.file(content, name);
        Rules::read(reader)
    }

    /// Reads the rules of `config`: the rules file and `rule` lines. Relative paths start from `start`.
    ///
    /// # Errors
    /// Descriptions of all faults, a line each, with their place.
    pub fn load(config: &Config, start: &Path) -> Result<Rules, String> {
        let mut reader = line::Reader::default();
        let mut hint = None;
        if let Some(path) = &config.rules_file {
            let content = std::fs::read(start.join(path));
            let content = content.map_err(|error| format!("{}: {}", path.display(), reason(&error)))?;
            let name = path.to_string_lossy();
            reader.file(&content, &name);
            hint = foreign::hint(&name, &content, reader.faults.iter().filter_map(Fault::line));
        }
        for text in &config.rules {
            reader.line(text, Origin::Assignment);
        }
        let dir = config.dir.as_deref().unwrap_or(Path::new("."));
        let mut served = Vec::new();
        for (line, file) in reader.rules.all_auth_files() {
            if file.is_served_below(dir, start) {
                let name = file.path.display();
                let text =
                    format!("{name} lies in the served directory: name it .ht..., or put it elsewhere");
                served.push((line.place.clone(), text));
            }
        }
        for (place, text) in served {
            reader.fault(&place, text);
        }
        let lines = |faults: Vec<Fault>| {
            faults.iter().map(Fault::to_string).chain(hint).collect::<Vec<_>>().join("\n")
        };
        let mut rules = Rules::read(reader).map_err(lines)?;
        for line in &mut rules.guards {
            if let Guard::Auth(Some(file)) = &mut line.action {
                file.open(start);
            }
        }
        Ok(rules)
    }

    fn read(reader: line::Reader) -> Result<Rules, Vec<Fault>> {
        if !reader.faults.is_empty() {
            return Err(reader.faults);
        }
        let mut rules = reader.rules;
        let asks = |pattern: &Pattern| {
            pattern.alternatives().iter().any(|one| one.host.is_some() || one.scheme.is_some())
        };
        let asks_for_site = rules.patterns().any(asks);
        rules.asks_for_site = asks_for_site;
        Ok(rules)
    }

    /// Takes over the request counts of `old` for lines with the same limit.
    pub fn follow(&mut self, old: &Rules) {
        for line in &mut self.guards {
            let same = |one: &&Line<Guard>| one.pattern == line.pattern && one.text == line.text;
            if let Guard::Requests(requests) = &mut line.action
                && let Some(Line { action: Guard::Requests(before), .. }) = old.guards.iter().find(same)
            {
                requests.follow(before);
            }
        }
    }

    /// Tells whether no rule applies to requests; rates are applied elsewhere.
    pub fn is_empty(&self) -> bool {
        self.routes.is_empty() && self.guards.is_empty() && self.response.is_empty()
    }

    /// Tells whether there are guards.
    pub fn has_guards(&self) -> bool {
        !self.guards.is_empty()
    }

    /// Rates, for the throttle.
    pub fn rates(&self) -> impl Iterator<Item = &Rate> {
        self.rates.iter().map(|line| &line.action)
    }

    /// Smallest limit on simultaneous connections of one address.
    pub fn connections_per_address(&self) -> Option<usize> {
        self.connections_per_address
    }

    /// Patterns of routes, guards and response rules.
    fn patterns(&self) -> impl Iterator<Item = &Pattern> {
        let routes = self.routes.iter().map(|line| &*line.pattern);
        let guards = self.guards.iter().map(|line| &*line.pattern);
        routes.chain(guards).chain(self.response.iter().map(|line| &*line.pattern))
    }

    /// Combined response rules that cover `name`; `None` if no line does.
    pub fn response_rules(&self, name: &Name<'_>) -> Option<Arc<ResponseRules>> {
        self.response_rules_where(&|line| line.pattern.matches(name))
    }

    /// Combined response rules whose pattern covers everything, for a request with a malformed target.
    pub fn universal_response_rules(&self) -> Option<Arc<ResponseRules>> {
        self.response_rules_where(&|line| line.pattern.is_everything())
    }

    fn response_rules_where(
        &self,
        covers: &dyn Fn(&Line<ResponseRule>) -> bool,
    ) -> Option<Arc<ResponseRules>> {
        let all = self.response.iter().enumerate();
        let places: Box<[usize]> = all.filter(|(_, line)| covers(line)).map(|(place, _)| place).collect();
        if places.is_empty() {
            return None;
        }
        let mut kept = self.combined.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(response_rules) = kept.get(&*places) {
            return Some(Arc::clone(response_rules));
        }
        let lines = places.iter().filter_map(|place| self.response.get(*place));
        let response_rules = Arc::new(ResponseRules::combine(lines.map(|line| &line.action)));
        kept.insert_within(MOST_KEPT, places, Arc::clone(&response_rules));
        Some(response_rules)
    }

    /// Response rules that cover `name`, as text for `--explain`.
    pub fn response_lines(&self, name: &Name<'_>) -> impl Iterator<Item = String> {
        self.response.iter().filter(|line| line.pattern.matches(name)).map(ToString::to_string)
    }

    /// Rates that cover `name`, as text for `--explain`.
    pub fn rate_lines(&self, name: &Name<'_>) -> impl Iterator<Item = String> {
        self.rates.iter().filter(|line| line.pattern.matches(name)).map(ToString::to_string)
    }

    /// Cache key for `name`: includes the scheme and host if patterns depend on them.
    pub fn cache_key<'n>(&self, name: &'n [u8], scheme: Scheme, host: Option<&str>) -> Cow<'n, [u8]> {
        if !self.asks_for_site {
            return Cow::Borrowed(name);
        }
        let mut key = Vec::with_capacity(name.len() + 64);
        key.extend_from_slice(name);
        key.extend_from_slice(&[0, scheme as u8]);
        self.host_kinds.append(&mut key, host.unwrap_or_default(), &|host| self.kind_of_host(host));
        Cow::Owned(key)
    }

    /// Bit set of the host patterns that `host` matches. Hosts with equal bits share cache entries.
    fn kind_of_host(&self, host: &str) -> Box<[u8]> {
        let site = SiteKey::new(Scheme::Http, host, None);
        let globs = self.patterns().flat_map(Pattern::alternatives).filter_map(|one| one.host.as_ref());
        let matched: Vec<bool> = globs.map(|glob| glob.matches(site.host.as_bytes())).collect();
        let byte = |bits: &[bool]| bits.iter().fold(0_u8, |byte, bit| byte << 1 | u8::from(*bit));
        matched.chunks(8).map(byte).collect()
    }

    /// Parsed rules as comment lines, in file order, for `--dump-config`.
    pub fn dump(&self) -> String {
        let mut lines: Vec<(usize, String)> = Vec::new();
        let mut add = |place: &Origin, pattern: &Pattern, text: &str| {
            let number = if let Origin::File { line, .. } = place { *line } else { usize::MAX };
            lines.push((number, format!("# {place}: {} {text}\n", pattern.as_str())));
        };
        self.routes.iter().for_each(|line| add(&line.place, &line.pattern, &line.text));
        self.guards.iter().for_each(|line| add(&line.place, &line.pattern, &line.text));
        self.response.iter().for_each(|line| add(&line.place, &line.pattern, &line.text));
        self.rates.iter().for_each(|line| add(&line.place, &line.pattern, &line.text));
        lines.sort_by_key(|(number, _)| *number);
        let mut text: String = lines.into_iter().map(|(_, line)| line).collect();
        if let Some(most) = self.connections_per_address {
            text.push_str(&format!("# connections per-address {most}\n"));
        }
        text
    }
}

#[cfg(test)]
mod tests;
