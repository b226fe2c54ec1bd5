//! Application of the routes to one request.

use super::env::EnvScript;
use super::line::Line;
use super::pattern::SiteKey;
use super::route::Route;
use super::rule_set::Rules;
use super::template::Context;

/// Result of the routes for one request.
#[derive(Debug, Default)]
pub struct Routed<'r> {
    /// Names that rewrites have produced, in order, below the host's tree; the last is looked up.
    pub rewritten: Vec<Vec<u8>>,
    /// Query set by a rewrite; `Some(None)` drops the client's.
    pub query: Option<Option<Vec<u8>>>,
    /// Suffixes to try.
    pub suffixes: &'r [String],
    /// File to serve in place of 404, and whether every name may have it.
    pub fallback: Option<(&'r str, bool)>,
    /// Answer that needs no look-up.
    pub answer: Option<Answer<'r>>,
    /// Lines that applied, in order.
    pub lines: Vec<&'r Line<Route>>,
}

/// Answer that needs no look-up.
#[derive(Debug)]
pub enum Answer<'r> {
    /// Redirect with its status and its Location.
    Redirect(u16, Vec<u8>),
    /// Response with this status.
    Status(u16),
    /// Values of the environment.
    Env(&'r EnvScript),
    /// 404: a rewrite produced no valid name.
    Nothing,
}

impl Rules {
    /// Applies the routes to `path`, which is decoded and has no leading slash.
    ///
    /// `prefix` is the virtual host's directory with its slash, or empty.
    pub fn route(&self, site: &SiteKey, path: &[u8], prefix: &[u8], query: Option<&[u8]>) -> Routed<'_> {
        let mut routed = Routed::default();
        let mut full = [prefix, path].concat();
        let mut query = query.map(<[u8]>::to_vec);
        for line in &self.routes {
            let name = site.name(&full);
            if !line.pattern.matches(&name) {
                continue;
            }
            let captures = line.pattern.captures(&name).unwrap_or_default();
            let context = Context { captures: &captures, site, path, query: query.as_deref() };
            match &line.action {
                Route::Redirect { status, target } => {
                    routed.answer = Some(Answer::Redirect(*status, target.location(&context)));
                }
                Route::Rewrite(target) => match target.path(&context) {
                    Some(rewritten) => {
                        let next = target.query(&context);
                        full = [prefix, &rewritten].concat();
                        query = next;
                        routed.query = Some(query.clone());
                        routed.rewritten.push(rewritten);
                    }
                    None => routed.answer = Some(Answer::Nothing),
                },
                Route::Try(_) if !routed.suffixes.is_empty() => continue,
                Route::Try(suffixes) => routed.suffixes = suffixes,
                Route::Fallback { .. } if routed.fallback.is_some() => continue,
                Route::Fallback { file, any } => routed.fallback = Some((file, *any)),
                Route::Status(status) => routed.answer = Some(Answer::Status(*status)),
                Route::Env(environment) => routed.answer = Some(Answer::Env(environment)),
                Route::Pass => {}
            }
            routed.lines.push(line);
            if routed.answer.is_some() || line.action == Route::Pass {
                break;
            }
        }
        routed
    }
}
