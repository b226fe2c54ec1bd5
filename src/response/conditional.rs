//! Preconditions: If-Match, If-None-Match, If-Modified-Since, If-Unmodified-Since and If-Range (RFC 9110
//! §13).
//!
//! `response::file` calls this for GET and HEAD requests that would otherwise be answered with 200.

use std::time::{Duration, SystemTime};

use crate::representation::Representation;
use crate::request::Fields;

/// Result of evaluating the preconditions of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PreconditionResult {
    /// All preconditions hold.
    Proceed,
    /// The client's copy is current: 304.
    NotModified,
    /// A precondition failed: 412.
    Failed,
}

/// Evaluates the preconditions in the order of RFC 9110 §13.2.2. Malformed dates are ignored.
pub fn evaluate(fields: &Fields<'_>, representation: &Representation) -> PreconditionResult {
    let unmet = match matches(fields, "If-Match", representation, Comparison::Strong) {
        Some(matched) => !matched,
        None => dates(fields, "If-Unmodified-Since", representation)
            .is_some_and(|(given, modified)| modified > given),
    };
    if unmet {
        return PreconditionResult::Failed;
    }
    let had = match matches(fields, "If-None-Match", representation, Comparison::Weak) {
        Some(matched) => matched,
        None => dates(fields, "If-Modified-Since", representation)
            .is_some_and(|(given, modified)| modified <= given),
    };
    if had { PreconditionResult::NotModified } else { PreconditionResult::Proceed }
}

/// Tells whether the Range field applies (RFC 9110 §13.1.5).
///
/// Without If-Range, the Range field applies. Else If-Range must hold the current strong entity tag, or
/// exactly the Last-Modified date. A file that is not settled has no strong validator, and is sent whole.
///
/// Browsers send back also a weak tag when a player seeks. The weak tag of a settled file is made of length
/// and date, so that such a tag counts wherever the date alone would.
pub fn range_applies(fields: &Fields<'_>, representation: &Representation) -> bool {
    let Some(validator) = fields.last("If-Range") else { return true };
    let is_tag = validator == representation.etag.as_bytes();
    if validator.starts_with(b"\"") {
        return is_tag;
    }
    let is_weak_tag = is_tag && !validator.is_empty();
    representation.settled
        && representation.modified.is_some_and(|date| is_weak_tag || parse_date(validator) == Some(date))
}

/// Comparison of entity tags (RFC 9110 §8.8.3.2).
#[derive(Clone, Copy, PartialEq, Eq)]
enum Comparison {
    Strong,
    Weak,
}

/// Tells whether the list field `name` holds the representation's entity tag, or `*`; `None` if absent.
fn matches(
    fields: &Fields<'_>,
    name: &str,
    representation: &Representation,
    comparison: Comparison,
) -> Option<bool> {
    let matched = |value: &[u8]| {
        let own = Tag::parse(representation.etag.as_bytes()).map(|(tag, _)| tag);
        value.trim_ascii() == b"*"
            || Tags(value).any(|tag| {
                own.is_some_and(|own| {
                    tag.opaque == own.opaque && (comparison == Comparison::Weak || !(tag.weak || own.weak))
                })
            })
    };
    fields.all(name).map(matched).reduce(|one, other| one || other)
}

/// Entity tag; `opaque` includes its quotes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Tag<'v> {
    weak: bool,
    opaque: &'v [u8],
}

impl<'v> Tag<'v> {
    /// Reads the tag at the start of `value`; returns the tag and the remaining text.
    fn parse(value: &'v [u8]) -> Option<(Tag<'v>, &'v [u8])> {
        let (weak, quoted) = match value.strip_prefix(b"W/") {
            Some(quoted) => (true, quoted),
            None => (false, value),
        };
        let inner = quoted.strip_prefix(b"\"")?;
        let end = inner.iter().position(|&byte| byte == b'"')? + 2;
        Some((Tag { weak, opaque: &quoted[..end] }, &quoted[end..]))
    }
}

/// Entity tags of a list, in order. Malformed members are skipped, as they match nothing.
struct Tags<'v>(&'v [u8]);

impl<'v> Iterator for Tags<'v> {
    type Item = Tag<'v>;

    fn next(&mut self) -> Option<Tag<'v>> {
        loop {
            let skip = self.0.iter().position(|byte| !b", \t".contains(byte))?;
            self.0 = &self.0[skip..];
            if let Some((tag, rest)) = Tag::parse(self.0) {
                self.0 = rest;
                return Some(tag);
            }
            let comma = self.0.iter().position(|&byte| byte == b',')?;
            self.0 = &self.0[comma..];
        }
    }
}

/// Date in the field `name`, and that of the representation, if both exist.
///
/// A field that occurs more than once, or without a date to compare, is ignored (RFC 9110 §13.1.3,
/// §13.1.4).
fn dates(
    fields: &Fields<'_>,
    name: &str,
    representation: &Representation,
) -> Option<(SystemTime, SystemTime)> {
    let mut values = fields.all(name);
    let value = values.next()?;
    let modified = representation.modified?;
    if values.next().is_some() {
        return None;
    }
    // Fast path: most clients send back the date exactly as they received it.
    if value == representation.last_modified.as_bytes() {
        return Some((modified, modified));
    }
    Some((parse_date(value)?, modified))
}

/// Parses any of the three date forms of RFC 9110 §5.6.7; second 60 counts as the next second.
fn parse_date(value: &[u8]) -> Option<SystemTime> {
    let text = std::str::from_utf8(value).ok()?;
    if let Some((before, after)) = text.split_once(":60 ") {
        return Some(
            httpdate::parse_http_date(&format!("{before}:59 {after}")).ok()? + Duration::from_secs(1),
        );
    }
    httpdate::parse_http_date(text).ok()
}

#[cfg(test)]
mod tests;
