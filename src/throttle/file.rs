//! Parser of the throttle file.
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
//! The first two forms are thttpd's, with its rules: blanks are spaces and tabs, a leading slash of the
//! pattern and of each alternative is dropped, and text behind the numbers is ignored (with a warning). The
//! other three are additions. Their second word is not a number, so that thttpd refused such lines, and no
//! valid file of thttpd contains one. The pattern `connections` is written `/connections`. Addresses are
//! IPv4 addresses and IPv6 /64 networks.

use std::fmt;
use std::path::{Path, PathBuf};

use crate::config::printable::shortened;
use crate::rules::Pattern;
use crate::rules::rate::{Each, Rate as Rule};
use crate::sys::without_byte_order_mark;

/// Error in a line of the throttle file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ThrottleFileError {
    /// Path of the throttle file.
    pub file: PathBuf,
    /// Line number, from 1.
    pub line: usize,
    /// Line without its comment.
    pub text: String,
    /// Description of the error.
    pub why: &'static str,
    /// Set if the line was skipped; otherwise only a part of it was ignored.
    pub skipped: bool,
}

/// Writes thttpd's words for a skipped line, with the place and the reason added.
impl fmt::Display for ThrottleFileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = if self.skipped { "unparsable" } else { "doubtful" };
        let ThrottleFileError { file, line, text, why, .. } = self;
        write!(f, "{kind} line in {}:{line} - {text:.80} ({why})", file.display())
    }
}

/// Contents of a throttle file.
#[derive(Debug, Default)]
pub struct ThrottleFile {
    /// Rules in file order.
    pub rules: Vec<Rule>,
    /// Smallest limit on simultaneous connections per address, if there is one.
    pub connections_per_address: Option<usize>,
    /// Errors in the order of lines.
    pub problems: Vec<ThrottleFileError>,
}

/// Parses all lines of `content`; `path` is for errors.
pub fn parse(path: &Path, content: &[u8]) -> ThrottleFile {
    let mut parsed = ThrottleFile::default();
    let content = without_byte_order_mark(content);
    for (index, raw) in content.split(|&b| b == b'\n').enumerate() {
        let raw = raw.split(|&b| b == b'#').next().unwrap_or_default().trim_ascii();
        if raw.is_empty() {
            continue;
        }
        let mut report = |why, skipped| {
            let text = shortened(raw);
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

/// Parses a non-empty line; returns its meaning, and a warning if part of it was ignored.
///
/// The pattern may contain any bytes, as file names do.
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

/// Parses thttpd's form: `numbers` is `MAX` or `MIN-MAX`.
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

/// First word of `text`, and the text behind the following blanks.
fn split_blank(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = text.iter().position(|&b| is_blank(b))?;
    Some((&text[..end], without_blanks(&text[end..])))
}

/// Leading number of `text`, saturated at the largest value, and the text behind the number.
fn digits(text: &[u8]) -> Option<(u64, &[u8])> {
    let end = text.iter().take_while(|b| b.is_ascii_digit()).count();
    let (number, rest) = text.split_at(end);
    let grow = |n: u64, d: &u8| n.saturating_mul(10).saturating_add(u64::from(d - b'0'));
    (end > 0).then(|| (number.iter().fold(0, grow), rest))
}
