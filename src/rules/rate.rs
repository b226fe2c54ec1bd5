//! Rates: how many bytes a second may be sent, and how many connections one address may have.
//!
//! ```text
//! **.jpg|**.gif   50000           at most 50 000 bytes a second, all senders together
//! **              2000-100000     and refuse requests that would leave any less than 2 000
//! **.iso          per-address 200000      at most 200 000 for each client address
//! **.iso          per-connection 50000    at most 50 000 for each connection
//! connections     per-address 20          at most 20 connections of one address at once
//! ```
//!
//! The rules file and the throttle file have the same lines; [`throttle`](crate::throttle) keeps them.

use super::pattern::Pattern;

/// Unit that shares the maximum of a rate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Each {
    /// All responses that the pattern covers share the maximum, as in thttpd.
    Rule,
    /// Each client address (IPv6: each /64) has the whole maximum.
    Address,
    /// Each connection has the whole maximum.
    Connection,
}

/// Rate limit of the names that one pattern covers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rate {
    /// Names that the limit covers.
    pub pattern: Pattern,
    /// Unit that shares the maximum.
    pub each: Each,
    /// Minimum share of each sender, in bytes a second; 0 = no minimum.
    ///
    /// A request that would push the shares below the minimum is refused.
    pub min: u64,
    /// Maximum rate in bytes a second; with 0, nothing is sent.
    pub max: u64,
}

/// Rate limit without its pattern, as parsed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limit {
    /// Unit that shares the maximum.
    pub each: Each,
    /// Minimum share in bytes a second ([`Rate::min`]).
    pub min: u64,
    /// Maximum in bytes a second ([`Rate::max`]).
    pub max: u64,
    /// Set if text follows the numbers; thttpd ignores such text.
    pub has_rest: bool,
}

/// Keyword of the limit on connections, in the place of a pattern.
pub const CONNECTIONS: &str = "connections";

/// Blanks that separate words, as in thttpd's files.
pub const BLANKS: [char; 2] = [' ', '\t'];

impl Limit {
    /// Reads `MAX`, `MIN-MAX`, `per-address MAX` or `per-connection MAX`.
    ///
    /// # Errors
    /// The fault of the text, for the operator.
    pub fn parse(text: &str) -> Result<Limit, &'static str> {
        if text.starts_with(|c: char| c.is_ascii_digit()) {
            return Limit::shared(text);
        }
        let (word, number) = text.split_once(BLANKS).ok_or("no rate after the pattern")?;
        let each = match word {
            "per-address" => Each::Address,
            "per-connection" => Each::Connection,
            _ => return Err("no rate after the pattern"),
        };
        match digits(number.trim_matches(BLANKS)) {
            Some((max, "")) if max > 0 => Ok(Limit { each, min: 0, max, has_rest: false }),
            _ => Err("expected one number, not zero, at the end"),
        }
    }

    /// Reads thttpd's own form: `MAX` or `MIN-MAX`.
    fn shared(numbers: &str) -> Result<Limit, &'static str> {
        let (first, rest) = digits(numbers).ok_or("no rate after the pattern")?;
        let range = rest.strip_prefix('-').and_then(|rest| digits(rest.trim_start_matches(BLANKS)));
        let (min, max, rest) = match range {
            Some((max, rest)) => (first, max, rest),
            None => (0, first, rest),
        };
        if min > max {
            return Err("the minimum is above the maximum");
        }
        Ok(Limit { each: Each::Rule, min, max, has_rest: !rest.is_empty() })
    }

    /// Adds the pattern to the limit.
    pub fn with_pattern(self, pattern: Pattern) -> Rate {
        Rate { pattern, each: self.each, min: self.min, max: self.max }
    }
}

/// Leading number of `text`, saturated at the largest value, and the text behind the number.
fn digits(text: &str) -> Option<(u64, &str)> {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, rest) = text.split_at(end);
    let grow = |n: u64, d: u8| n.saturating_mul(10).saturating_add(u64::from(d - b'0'));
    (end > 0).then(|| (number.bytes().fold(0, grow), rest))
}
