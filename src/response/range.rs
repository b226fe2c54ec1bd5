//! The Range field: selects the bytes of a representation to send (RFC 9110 §14).
//!
//! Only GET has ranges (§14.2). No byte is sent twice in one response. Many parts are sent only if they
//! need fewer bytes than the file, so that range requests cannot be used to multiply the traffic.

use std::ops::Range;

/// Maximum number of ranges in one request; with more, the whole file is sent.
///
/// Programs that fetch the changed parts of a file (zsync) ask for some hundreds.
const MOST_RANGES: usize = 256;

/// Number of parts that are sent even if the whole file would be shorter.
pub(super) const FEW_PARTS: usize = 16;

/// Approximate size of a part's head in bytes: delimiter, Content-Type, Content-Range.
const PART_HEAD: u64 = 160;

/// Result of a Range field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Selection {
    /// Whole file: the field is malformed, of another unit, or asks for too many ranges.
    Whole,
    /// One range: 206.
    One(Range<u64>),
    /// At least two ranges without overlap, in the requested order: 206 multipart/byteranges.
    Several(Vec<Range<u64>>),
    /// No range begins within the file: 416.
    Unsatisfiable,
}

/// Reads a Range field for a representation of `len` bytes.
///
/// An empty file is sent whole, so that resuming its download succeeds.
pub fn select(value: &[u8], len: u64) -> Selection {
    if len == 0 {
        return Selection::Whole;
    }
    let Some(specs) = parse(value) else { return Selection::Whole };
    let ranges: Vec<Range<u64>> = specs.iter().filter_map(|spec| spec.within(len)).collect();
    let mut ranges = coalesce(ranges);
    match ranges.len() {
        0 => Selection::Unsatisfiable,
        1 => Selection::One(ranges.remove(0)),
        _ if is_dearer_than_whole(&ranges, len) => Selection::Whole,
        _ => Selection::Several(ranges),
    }
}

/// Tells whether many parts take more bytes than the file. Parts do not overlap, so the sum cannot
/// overflow.
fn is_dearer_than_whole(ranges: &[Range<u64>], len: u64) -> bool {
    let bytes: u64 = ranges.iter().map(|range| range.end - range.start).sum();
    ranges.len() > FEW_PARTS && bytes.saturating_add(ranges.len() as u64 * PART_HEAD) > len
}

/// One member of a range set. Numbers saturate at the largest value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Spec {
    /// First and last position.
    From(u64, u64),
    /// Number of bytes at the end.
    Suffix(u64),
}

impl Spec {
    /// Range within a file of `len` (more than zero) bytes; `None` if unsatisfiable.
    fn within(self, len: u64) -> Option<Range<u64>> {
        match self {
            Spec::From(first, last) if first < len => Some(first..last.min(len - 1) + 1),
            Spec::Suffix(count) if count > 0 => Some(len.saturating_sub(count)..len),
            _ => None,
        }
    }

    fn parse(text: &[u8]) -> Option<Spec> {
        let dash = text.iter().position(|&byte| byte == b'-')?;
        let (first, last) = (&text[..dash], &text[dash + 1..]);
        if first.is_empty() {
            return Some(Spec::Suffix(number(last)?));
        }
        let first = number(first)?;
        let last = if last.is_empty() { u64::MAX } else { number(last)? };
        (first <= last).then_some(Spec::From(first, last))
    }
}

/// Members of the set, at least one; `None` if the field is to be ignored.
fn parse(value: &[u8]) -> Option<Vec<Spec>> {
    let equals = value.iter().position(|&byte| byte == b'=')?;
    if !value[..equals].eq_ignore_ascii_case(b"bytes") {
        return None;
    }
    let mut specs = Vec::new();
    let members = value[equals + 1..].split(|&byte| byte == b',').map(<[u8]>::trim_ascii);
    for member in members.filter(|member| !member.is_empty()) {
        if specs.len() == MOST_RANGES {
            return None;
        }
        specs.push(Spec::parse(member)?);
    }
    (!specs.is_empty()).then_some(specs)
}

/// Number in decimal digits, at least one and nothing else; saturating.
fn number(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    Some(digits.iter().fold(0_u64, |n, digit| n.saturating_mul(10).saturating_add((digit - b'0').into())))
}

/// Joins ranges that overlap or touch, and sorts them.
///
/// Without any such ranges, the requested order is kept (RFC 9110 §15.3.7.2).
fn coalesce(asked: Vec<Range<u64>>) -> Vec<Range<u64>> {
    let mut sorted: Vec<&Range<u64>> = Vec::with_capacity(asked.len());
    for range in &asked {
        sorted.insert(sorted.partition_point(|before| before.start <= range.start), range);
    }
    let mut joined: Vec<Range<u64>> = Vec::with_capacity(sorted.len());
    for range in sorted {
        match joined.last_mut() {
            Some(last) if range.start <= last.end => last.end = last.end.max(range.end),
            _ => joined.push(range.clone()),
        }
    }
    if joined.len() == asked.len() { asked } else { joined }
}

#[cfg(test)]
mod tests;
