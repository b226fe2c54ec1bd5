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
use crate::rules::rate::{BLANKS, CONNECTIONS, Each, Limit, Rate};
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
    pub rules: Vec<Rate>,
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
                    ThrottleLine::Rate(rate) => parsed.rules.push(rate),
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
    Rate(Rate),
    Connections(usize),
}

/// Parses a non-empty line; returns its meaning, and a warning if part of it was ignored.
///
/// The pattern may contain any bytes, as file names do.
fn line(text: &[u8]) -> Result<(ThrottleLine, Option<&'static str>), &'static str> {
    let blank = text.iter().position(|b| matches!(b, b' ' | b'\t')).ok_or("a pattern without a rate")?;
    let (subject, rest) = text.split_at(blank);
    // Text behind the numbers, which is ignored, may have any bytes.
    let limit = Limit::parse(String::from_utf8_lossy(rest).trim_start_matches(BLANKS))?;
    if subject == CONNECTIONS.as_bytes() && limit.each == Each::Address {
        return Ok((ThrottleLine::Connections(usize::try_from(limit.max).unwrap_or(usize::MAX)), None));
    }
    let doubt = limit.has_rest.then_some("what follows the rate is ignored");
    Ok((ThrottleLine::Rate(limit.with_pattern(Pattern::relative(subject))), doubt))
}
