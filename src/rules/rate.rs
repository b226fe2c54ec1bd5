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

/// Whose bytes a rate adds up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Each {
    /// All responses the pattern covers share the maximum: thttpd's rule.
    Rule,
    /// Every client address (IPv6: every /64) has the maximum to itself.
    Address,
    /// Every connection has the maximum to itself.
    Connection,
}

/// One rate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rate {
    /// Which names it covers.
    pub pattern: Pattern,
    /// Whose bytes are added up.
    pub each: Each,
    /// Bytes a second below which one more sender may not push the share; 0 = no minimum.
    pub min: u64,
    /// Bytes a second at most; 0 lets nothing be sent.
    pub max: u64,
}

/// What stands behind a pattern.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limit {
    /// Whose bytes are added up.
    pub each: Each,
    /// As [`Rate::min`].
    pub min: u64,
    /// As [`Rate::max`].
    pub max: u64,
    /// What follows the numbers, which thttpd ignores.
    pub has_rest: bool,
}

/// The word that stands for the cap on connections where a pattern would.
pub const CONNECTIONS: &str = "connections";

/// Blanks, as thttpd's files have them.
pub const BLANKS: [char; 2] = [' ', '\t'];

impl Limit {
    /// Reads `MAX`, `MIN-MAX`, `per-address MAX` or `per-connection MAX`.
    ///
    /// # Errors
    /// What is wrong with it.
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

    /// thttpd's own kind: `MAX` or `MIN-MAX`.
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

    /// The rate of the names that `pattern` covers.
    pub fn with_pattern(self, pattern: Pattern) -> Rate {
        Rate { pattern, each: self.each, min: self.min, max: self.max }
    }
}

/// The number that `text` starts with, as large as fits, and what follows it.
fn digits(text: &str) -> Option<(u64, &str)> {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, rest) = text.split_at(end);
    let grow = |n: u64, d: u8| n.saturating_mul(10).saturating_add(u64::from(d - b'0'));
    (end > 0).then(|| (number.bytes().fold(0, grow), rest))
}
