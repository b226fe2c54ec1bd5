//! Routes: redirects, rewrites and other actions on a name before the look-up.
//!
//! Lines are compared with the requested name from the top. The first redirect, status, env or pass ends
//! the search. A rewrite changes the name for the lines below it only, so that it cannot loop. The first
//! try and the first fallback are kept for the look-up.

use super::env::EnvScript;
use super::pattern::Pattern;
use super::template::Template;
use super::words::Words;

/// Action of a route line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Route {
    /// Answers with a redirect.
    Redirect {
        /// 301, 302, 303, 307 or 308.
        status: u16,
        /// Location of the redirect.
        target: Template,
    },
    /// Replaces the name for the look-up and the lines below.
    Rewrite(Template),
    /// Suffixes to append to a name that does not exist.
    Try(Box<[String]>),
    /// Serves a file in place of 404.
    Fallback {
        /// Path below the host's tree, without a leading slash.
        file: Box<str>,
        /// Applies also to names whose suffix is that of another type than a page.
        any: bool,
    },
    /// Answers with a status.
    Status(u16),
    /// Answers with values of the environment.
    Env(EnvScript),
    /// Ends the search without an action.
    Pass,
}

/// Statuses that need a field of their own, which this action does not send.
const NEED_FIELDS: [u16; 5] = [401, 405, 407, 416, 426];

impl Route {
    /// Reads the route action `word` with its arguments.
    ///
    /// # Errors
    /// A sentence for the operator.
    pub(super) fn parse(word: &str, words: &Words, pattern: &Pattern) -> Result<Route, String> {
        match word {
            "redirect" => {
                let [status, target] = words.exactly("redirect CODE TARGET")?;
                let status = match status {
                    "301" | "302" | "303" | "307" | "308" => status.parse().unwrap_or(302),
                    _ => return Err(format!("{status}: a redirect is 301, 302, 303, 307 or 308")),
                };
                Ok(Route::Redirect { status, target: Template::redirect(target, pattern)? })
            }
            "rewrite" => {
                let [target] = words.exactly("rewrite PATH[?QUERY]")?;
                Ok(Route::Rewrite(Template::rewrite(target, pattern)?))
            }
            "try" => suffixes(words),
            "fallback" => fallback(words),
            "status" => {
                let [status] = words.exactly("status CODE")?;
                self::status(status)
            }
            "env" => EnvScript::parse(words, pattern).map(Route::Env),
            _ => {
                let [] = words.exactly("pass")?;
                Ok(Route::Pass)
            }
        }
    }
}

fn suffixes(words: &Words) -> Result<Route, String> {
    if words.is_empty() {
        return Err("write try SUFFIX...".into());
    }
    for suffix in words.iter() {
        if !suffix.starts_with(['.', '-']) || suffix.len() < 2 || suffix.contains('/') {
            return Err(format!("{suffix}: a suffix begins with . or - and has no slash"));
        }
    }
    Ok(Route::Try(words.iter().map(str::to_owned).collect()))
}

fn fallback(words: &Words) -> Result<Route, String> {
    let (file, any) = match words.slice() {
        [file] => (file, false),
        [file, any] if any == "any" => (file, true),
        _ => return Err("write fallback FILE [any]".into()),
    };
    let file = file.trim_start_matches('/');
    if file.is_empty() || file.split('/').any(|segment| matches!(segment, "" | "." | "..")) {
        return Err(format!("{file}: a fallback names a file from the top of the host's tree"));
    }
    Ok(Route::Fallback { file: file.into(), any })
}

fn status(word: &str) -> Result<Route, String> {
    match word.parse::<u16>() {
        Ok(status) if NEED_FIELDS.contains(&status) => {
            Err(format!("{status}: a response of this status needs fields that status does not send"))
        }
        Ok(status @ (200 | 204 | 400..=599)) if word.len() == 3 => Ok(Route::Status(status)),
        _ => Err(format!("{word}: a status is 200, 204 or from 400 to 599")),
    }
}
