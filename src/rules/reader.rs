//! The grammar of the rules file: bytes → lines with their patterns and actions.
//!
//! ```text
//! line    = [ PATTERN ] BLANKS ACTION      ; a line that begins with a blank goes on with the pattern above
//! comment = "#" at the start of a line or behind a blank, to the end of the line
//! ```

use std::sync::Arc;

use super::guard::Guard;
use super::line::{Fault, Line};
use super::pattern::Pattern;
use super::rate::{BLANKS, CONNECTIONS, Each, Limit};
use super::response_rule::ResponseRule;
use super::route::Route;
use super::rule_set::Rules;
use super::words::{Words, expanded};
use crate::config::expand::expand;
use crate::config::origin::Origin;
use crate::config::printable::{printable, shortened};
use crate::config::suggest;
use crate::sys::without_byte_order_mark;

/// Action words, except for the numbers of rates.
const ACTIONS: [&str; 19] = [
    "redirect",
    "rewrite",
    "try",
    "fallback",
    "status",
    "env",
    "pass",
    "allow",
    "deny",
    "auth",
    "requests",
    "header",
    "cache",
    "type",
    "charset",
    "cors",
    "listing",
    "per-address",
    "per-connection",
];

/// Parser state: reads lines in order and collects rules and faults.
#[derive(Debug, Default)]
pub(super) struct Reader {
    pub(super) rules: Rules,
    pub(super) faults: Vec<Fault>,
    above: Above,
}

/// Pattern that an indented line continues.
#[derive(Debug, Default)]
enum Above {
    #[default]
    Nothing,
    /// A pattern with a reported fault. Lines that continue such a pattern are skipped.
    Faulty,
    Pattern(Arc<Pattern>),
}

impl Reader {
    /// Reads all lines of the file called `name`.
    pub(super) fn file(&mut self, content: &[u8], name: &str) {
        let name: Arc<str> = name.into();
        let content = without_byte_order_mark(content);
        for (raw, number) in content.split(|&b| b == b'\n').zip(1..) {
            let place = Origin::File { name: Arc::clone(&name), line: number };
            self.line(raw, place);
        }
    }

    /// Reads one line. Its pattern may have any bytes, as names of files may; an action is UTF-8.
    pub(super) fn line(&mut self, text: &[u8], place: Origin) {
        let text = trim_end(without_comment(text));
        if text.is_empty() {
            return;
        }
        let (pattern, action) = text.split_at(text.iter().position(is_blank).unwrap_or(text.len()));
        let pattern = (!pattern.is_empty()).then_some(pattern);
        if let Some(text) = pattern {
            let expanded = expand(text).map_err(|why| format!("{}: {why}", printable(text)));
            let parsed = expanded.and_then(Pattern::parse);
            self.above = match parsed {
                Ok(pattern) => Above::Pattern(Arc::new(pattern)),
                Err(why) => {
                    self.fault(&place, why);
                    Above::Faulty
                }
            };
        }
        let pattern = match &self.above {
            Above::Pattern(pattern) => Arc::clone(pattern),
            Above::Faulty => return,
            Above::Nothing => {
                return self.fault(&place, "begins with a blank, but there is no pattern above it".into());
            }
        };
        let read = match std::str::from_utf8(action) {
            Ok(action) => self.action(pattern, action.trim_start_matches(BLANKS), &place),
            Err(_) => Err("what follows the pattern is not valid UTF-8".into()),
        };
        if let Err(why) = read {
            self.fault(&place, why);
        }
    }

    fn action(&mut self, pattern: Arc<Pattern>, text: &str, place: &Origin) -> Result<(), String> {
        if text.chars().any(|c| c.is_control() && c != '\t') {
            return Err("holds a control character".into());
        }
        let (word, rest) = text.split_once(BLANKS).unwrap_or((text, ""));
        let word = expanded(word)?;
        let rest = rest.trim_start_matches(BLANKS);
        let rules = &mut self.rules;
        // A rule is shown with its variables expanded; the parser reports those that cannot be.
        let shown = &*expanded(text).unwrap_or_default();
        match &*word {
            "" => return Err("an action must follow the pattern".into()),
            "redirect" | "rewrite" | "try" | "fallback" | "status" | "env" | "pass" => {
                let action = Route::parse(&word, &Words::new(rest)?, &pattern)?;
                rules.routes.push(Line::new(pattern, action, place, shown));
            }
            "allow" | "deny" | "auth" | "requests" => {
                let action = Guard::parse(&word, &Words::new(rest)?, &pattern)?;
                rules.guards.push(Line::new(pattern, action, place, shown));
            }
            "header" | "cache" | "type" | "charset" | "cors" | "listing" => {
                let action = ResponseRule::parse(&word, rest)?;
                rules.response.push(Line::new(pattern, action, place, shown));
            }
            "per-address" | "per-connection" => return self.rate(&pattern, &word, rest, place),
            number if number.starts_with(|c: char| c.is_ascii_digit()) => {
                return self.rate(&pattern, number, rest, place);
            }
            unknown => return Err(stranger(unknown)),
        }
        Ok(())
    }

    fn rate(&mut self, pattern: &Arc<Pattern>, word: &str, rest: &str, place: &Origin) -> Result<(), String> {
        let text = format!("{word} {}", Words::new(rest)?.joined());
        let limit = Limit::parse(text.trim_end())?;
        if limit.has_rest {
            return Err(format!("{}: nothing may follow the rate", text.trim_end()));
        }
        if pattern.as_bytes() == CONNECTIONS.as_bytes() && limit.each == Each::Address {
            let most = usize::try_from(limit.max).unwrap_or(usize::MAX);
            let cap = self.rules.connections_per_address.get_or_insert(most);
            *cap = most.min(*cap);
            return Ok(());
        }
        let rate = limit.with_pattern(Pattern::clone(pattern));
        self.rules.rates.push(Line::new(Arc::clone(pattern), rate, place, text.trim_end()));
        Ok(())
    }

    pub(super) fn fault(&mut self, place: &Origin, text: String) {
        self.faults.push(Fault { place: place.clone(), text: shortened(text) });
    }
}

/// The part of `line` before a comment: a `#` at the start or behind a blank.
fn without_comment(line: &[u8]) -> &[u8] {
    let begins = |at: &usize| line[*at] == b'#' && (*at == 0 || is_blank(&line[at - 1]));
    (0..line.len()).find(begins).map_or(line, |at| &line[..at])
}

/// The part of `line` before blanks and carriage returns at its end.
fn trim_end(line: &[u8]) -> &[u8] {
    let last = line.iter().rposition(|byte| !is_blank(byte) && *byte != b'\r');
    &line[..last.map_or(0, |at| at + 1)]
}

fn is_blank(byte: &u8) -> bool {
    matches!(byte, b' ' | b'\t')
}

/// Error text for a word that is not an action, with a suggestion of the nearest action.
fn stranger(word: &str) -> String {
    match suggest::nearest(word, &mut ACTIONS.iter().copied()) {
        Some(meant) => format!("{word}: unknown action; did you mean {meant}?"),
        None => format!("{word}: unknown action"),
    }
}
