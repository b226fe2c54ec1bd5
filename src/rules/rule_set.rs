//! All rules of one configuration, and what they say of a name.

use std::borrow::Cow;
use std::sync::{Arc, Mutex, PoisonError};

use super::guard::Guard;
use super::host_kinds::HostKinds;
use super::line::Line;
use super::pattern::{Name, Pattern, SiteKey};
use super::rate::Rate;
use super::response_rule::ResponseRule;
use super::response_rules::ResponseRules;
use super::route::Route;
use super::sorted_map::SortedMap;
use crate::config::origin::Origin;
use crate::request::client::Scheme;

/// Maximum number of combined rule sets in memory. A full table is emptied.
const MOST_COMBINED: usize = 1024;

/// All rules of one configuration.
#[derive(Debug, Default)]
pub struct Rules {
    pub(super) routes: Vec<Line<Route>>,
    pub(super) guards: Vec<Line<Guard>>,
    pub(super) response: Vec<Line<ResponseRule>>,
    pub(super) rates: Vec<Line<Rate>>,
    pub(super) connections_per_address: Option<usize>,
    /// Set if a pattern asks for a host or a scheme.
    pub(super) asks_for_site: bool,
    combined: Mutex<SortedMap<Box<[usize]>, Arc<ResponseRules>>>,
    host_kinds: HostKinds,
}

impl Rules {
    /// Takes over the request counts of `old` for lines with the same limit; each line of `old` serves once.
    pub fn follow(&mut self, old: &Rules) {
        let mut before: Vec<&Line<Guard>> = old.guards.iter().collect();
        for line in &mut self.guards {
            let is_same = |one: &&Line<Guard>| one.pattern == line.pattern && one.text == line.text;
            let Some(at) = before.iter().position(is_same) else { continue };
            if let (Guard::Requests(requests), Guard::Requests(old)) =
                (&mut line.action, &before.remove(at).action)
            {
                requests.follow(old);
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
    pub(super) fn patterns(&self) -> impl Iterator<Item = &Pattern> {
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
        kept.insert_within(MOST_COMBINED, places, Arc::clone(&response_rules));
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
            lines.push((number, format!("# {place}: {pattern} {text}\n")));
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
