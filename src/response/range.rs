//! The Range field → which bytes of a representation to send (RFC 9110 §14).
//!
//! Called by `response::file`, for GET alone: no other method has ranges (§14.2). However a
//! request asks, no byte is sent twice, and many parts are made only where their heads and their bytes
//! come to less than the file, so ranges are hardly ever dearer than the file.

use std::ops::Range;

/// More ranges than this in one request get the whole file. Programs that fetch what has changed of a file
/// (zsync) ask for some hundreds.
const MOST_RANGES: usize = 256;

/// So many parts are made at any price: small ranges of small files are rightly asked for.
const FEW_PARTS: usize = 16;

/// About what a part costs besides its bytes: delimiter, Content-Type, Content-Range.
const PART_HEAD: u64 = 160;

/// Result of a Range field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Selection {
    /// Everything, as if there were no such field: it is malformed, of another unit, or too greedy.
    Whole,
    /// One range: 206.
    One(Range<u64>),
    /// At least two, without overlap, in the order asked: 206 multipart/byteranges.
    Several(Vec<Range<u64>>),
    /// None of the ranges begins within the file: 416.
    Unsatisfiable,
}

/// Reads a Range field for a representation of `len` bytes.
///
/// Of an empty file everything is sent, which is nothing: a resumed download of it should not fail.
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

/// Would many parts take more bytes than the file? Parts do not overlap, so the sum cannot overflow.
fn is_dearer_than_whole(ranges: &[Range<u64>], len: u64) -> bool {
    let bytes: u64 = ranges.iter().map(|range| range.end - range.start).sum();
    ranges.len() > FEW_PARTS && bytes.saturating_add(ranges.len() as u64 * PART_HEAD) > len
}

/// One member of a range set; numbers too large for any file stand at the largest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Spec {
    /// First and last position.
    From(u64, u64),
    /// So many bytes at the end.
    Suffix(u64),
}

impl Spec {
    /// The bytes it names of a file of `len` (more than zero); none if it is unsatisfiable.
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

/// The members of the set, at least one; none if the field is to be ignored.
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

/// Decimal digits, at least one, nothing else; saturating.
fn number(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    Some(digits.iter().fold(0_u64, |n, digit| n.saturating_mul(10).saturating_add((digit - b'0').into())))
}

/// Joins ranges that overlap or touch. If there are none, the order asked for is kept
/// (RFC 9110 §15.3.7.2); else they are sorted.
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
