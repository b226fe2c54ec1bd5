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

mod bucket;
mod captures;
pub mod check;
mod covering;
pub mod env;
mod guard;
mod guarding;
mod host_kinds;
mod line;
mod load;
mod pattern;
pub mod rate;
mod reader;
mod response_rule;
mod response_rules;
mod route;
mod routing;
mod rule_set;
mod sorted_map;
mod template;
#[cfg(test)]
mod tests;
mod words;

pub use covering::Covering;
pub use guarding::{Charged, Refused};
#[cfg(test)]
pub use line::Fault;
pub use pattern::{Name, Pattern, SiteKey};
pub use response_rule::Listing;
pub use response_rules::{AppliedRules, FileRules, OwnsResponseRules, ResponseRules, is_freshness};
pub use routing::{Answer, Routed};
pub use rule_set::Rules;
pub use sorted_map::SortedMap;
pub use template::reference;
