//! The throttle file: bytes → rules.
//!
//! ```text
//! # comment, to the end of the line
//! **.jpg|**.gif   50000           at most 50 000 bytes a second, all senders together
//! **              2000-100000     and refuse requests that would leave any less than 2 000
//! **.iso          per-address 200000      at most 200 000 for each client address
//! **.iso          per-connection 50000    at most 50 000 for each connection
//! connections     per-address 20          at most 20 connections of one address at once
//! ```
//!
//! The first two kinds are thttpd's, read as it reads them: blanks are spaces and tabs, a leading
//! slash of the pattern and of each alternative is dropped, what follows the numbers is ignored (but
//! told of). The other three are ours. Their second word is not a number, so thttpd called such lines
//! unparsable, and no file that worked with it can hold one by accident. A pattern that is just
//! `connections` is written `/connections`. Addresses are IPv4 addresses and IPv6 /64 networks.

use std::fmt;
use std::path::{Path, PathBuf};

use crate::config::printable::printable;
use crate::rules::Pattern;

use super::{Each, Rule};

/// A line that is not as it should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ThrottleFileError {
    /// The throttle file.
    pub file: PathBuf,
    /// Line number, from 1.
    pub line: usize,
    /// The line without its comment.
    pub text: String,
    /// Description of the mistake.
    pub why: &'static str,
    /// The line makes no rule; else it does, and only part of it was ignored.
    pub skipped: bool,
}

/// thttpd's words for a skipped line, with the place and the reason added.
impl fmt::Display for ThrottleFileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = if self.skipped { "unparsable" } else { "doubtful" };
        let ThrottleFileError { file, line, text, why, .. } = self;
        write!(f, "{kind} line in {}:{line} - {text:.80} ({why})", file.display())
    }
}

/// Contents of a throttle file.
#[derive(Debug, Default)]
pub struct Parsed {
    /// Its rules, in order.
    pub rules: Vec<Rule>,
    /// The smallest cap on simultaneous connections per address, if there is any.
    pub connections_per_address: Option<usize>,
    /// Mistakes found, in the order of lines.
    pub problems: Vec<ThrottleFileError>,
}

/// Reads all lines of `content`; `path` is for the problems.
pub fn parse(path: &Path, content: &[u8]) -> Parsed {
    let mut parsed = Parsed::default();
    for (index, raw) in content.split(|&b| b == b'\n').enumerate() {
        let raw = raw.split(|&b| b == b'#').next().unwrap_or_default().trim_ascii();
        if raw.is_empty() {
            continue;
        }
        let mut report = |why, skipped| {
            let text = printable(raw);
            parsed.problems.push(ThrottleFileError {
                file: path.to_owned(),
                line: index + 1,
                text,
                why,
                skipped,
            });
        };
        match line(raw) {
            Err(why) => report(why, true),
            Ok((entry, doubt)) => {
                if let Some(why) = doubt {
                    report(why, false);
                }
                match entry {
                    ThrottleLine::Rule(rule) => parsed.rules.push(rule),
                    ThrottleLine::Connections(most) => {
                        let cap = parsed.connections_per_address.get_or_insert(most);
                        *cap = most.min(*cap);
                    }
                }
            }
        }
    }
    parsed
}

/// Meaning of one line.
enum ThrottleLine {
    Rule(Rule),
    Connections(usize),
}

/// A line that is not empty → what it says, and a doubt if part of it was ignored. The pattern may hold
/// any bytes: names of files do.
fn line(text: &[u8]) -> Result<(ThrottleLine, Option<&'static str>), &'static str> {
    let (subject, rest) = split_blank(text).ok_or("a pattern without a rate")?;
    if rest.first().is_some_and(u8::is_ascii_digit) {
        return shared_rule(subject, rest);
    }
    let (word, number) = split_blank(rest).ok_or("no rate after the pattern")?;
    let each = match word {
        b"per-address" => Each::Address,
        b"per-connection" => Each::Connection,
        _ => return Err("no rate after the pattern"),
    };
    let max = match digits(number) {
        Some((max, b"")) if max > 0 => max,
        _ => return Err("expected one number, not zero, at the end"),
    };
    if subject == b"connections" && each == Each::Address {
        return Ok((ThrottleLine::Connections(usize::try_from(max).unwrap_or(usize::MAX)), None));
    }
    Ok((ThrottleLine::Rule(Rule { pattern: Pattern::relative(subject), each, min: 0, max }), None))
}

/// thttpd's own kind: `numbers` is `MAX` or `MIN-MAX`.
fn shared_rule(pattern: &[u8], numbers: &[u8]) -> Result<(ThrottleLine, Option<&'static str>), &'static str> {
    let (first, rest) = digits(numbers).ok_or("no rate after the pattern")?;
    let range = rest.strip_prefix(b"-").and_then(|rest| digits(without_blanks(rest)));
    let (min, max, rest) = match range {
        Some((max, rest)) => (first, max, rest),
        None => (0, first, rest),
    };
    if min > max {
        return Err("the minimum is above the maximum");
    }
    let doubt = (!rest.is_empty()).then_some("what follows the rate is ignored");
    Ok((ThrottleLine::Rule(Rule { pattern: Pattern::relative(pattern), each: Each::Rule, min, max }), doubt))
}

fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t')
}

fn without_blanks(text: &[u8]) -> &[u8] {
    &text[text.iter().take_while(|&&b| is_blank(b)).count()..]
}

/// The first word of `text`, and what follows the blanks behind it.
fn split_blank(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = text.iter().position(|&b| is_blank(b))?;
    Some((&text[..end], without_blanks(&text[end..])))
}

/// The number that `text` starts with, as large as fits, and what follows it.
fn digits(text: &[u8]) -> Option<(u64, &[u8])> {
    let end = text.iter().take_while(|b| b.is_ascii_digit()).count();
    let (number, rest) = text.split_at(end);
    let grow = |n: u64, d: &u8| n.saturating_mul(10).saturating_add(u64::from(d - b'0'));
    (end > 0).then(|| (number.iter().fold(0, grow), rest))
}
