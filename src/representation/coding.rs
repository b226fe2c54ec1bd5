//! Content codings of precompressed files: validation of such files, and selection for a client.

use std::cmp::Reverse;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use super::{Content, FileFacts, Representation};
use crate::request::{Fields, accept};
use crate::rules::Covering;

/// Maximum window size that a decoder of the coding `zstd` must support, in bytes (RFC 9659).
const LARGEST_WINDOW: u64 = 8 * 1024 * 1024;

/// A content coding (RFC 9110 §8.4.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Coding {
    /// RFC 1952.
    Gzip,
    /// RFC 7932.
    Brotli,
    /// RFC 8878.
    Zstd,
}

impl Coding {
    /// All codings.
    pub const ALL: [Coding; 3] = [Coding::Gzip, Coding::Brotli, Coding::Zstd];

    /// Name of the coding in Content-Encoding.
    pub fn name(self) -> &'static str {
        match self {
            Coding::Gzip => "gzip",
            Coding::Brotli => "br",
            Coding::Zstd => "zstd",
        }
    }

    /// Suffix of files in this coding.
    pub fn suffix(self) -> &'static [u8] {
        match self {
            Coding::Gzip => b".gz",
            Coding::Brotli => b".br",
            Coding::Zstd => b".zst",
        }
    }

    /// Reason why the open `file` of `len` bytes cannot be a form of a file of `plain_len` bytes.
    ///
    /// `None` if the file may be such a form.
    ///
    /// # Errors
    /// Errors of reading the file.
    pub fn misfit(self, file: &File, len: u64, plain_len: u64) -> io::Result<Option<&'static str>> {
        let mut head = [0; 18];
        let n = file.read_at(&mut head, 0)?;
        let head = &head[..n];
        Ok(match self {
            Coding::Gzip if !head.starts_with(&[0x1f, 0x8b, 8]) || len < 18 => Some("not in gzip's format"),
            Coding::Gzip => {
                let mut size = [0; 4];
                file.read_exact_at(&mut size, len - 4)?;
                // The gzip trailer holds the length modulo 2^32.
                (u32::from_le_bytes(size) != plain_len as u32).then_some("of a file of another length")
            }
            Coding::Brotli => head.is_empty().then_some("empty"),
            Coding::Zstd => zstd_misfit(head, plain_len),
        })
    }
}

/// Reads the head of a Zstandard frame (RFC 8878 §3.1.1.1).
fn zstd_misfit(head: &[u8], plain_len: u64) -> Option<&'static str> {
    const BROKEN: Option<&str> = Some("not in zstd's format");
    let [0x28, 0xb5, 0x2f, 0xfd, descriptor, rest @ ..] = head else { return BROKEN };
    let is_single_segment = descriptor & 0x20 != 0;
    let dictionary = [0, 1, 2, 4][usize::from(descriptor & 3)];
    let size_len = match descriptor >> 6 {
        0 => usize::from(is_single_segment),
        flag => 1 << flag,
    };
    let (mut window, mut rest) = (None, rest);
    if !is_single_segment {
        let [byte, after @ ..] = rest else { return BROKEN };
        let base = 1_u64 << (10 + (byte >> 3));
        window = Some(base + base / 8 * u64::from(byte & 7));
        rest = after;
    }
    if dictionary > 0 {
        return Some("made with a dictionary");
    }
    let Some(size) = rest.get(..size_len) else { return BROKEN };
    let size = size.iter().rev().fold(0_u64, |sum, &byte| sum << 8 | u64::from(byte));
    let size = if size_len == 2 { size + 256 } else { size };
    if size_len > 0 && size != plain_len {
        return Some("of a file of another length");
    }
    (window.unwrap_or(size) > LARGEST_WINDOW).then_some("in need of a window that clients need not have")
}

/// Tells whether `variant` is older than `plain`, in whole seconds, as tools drop fractions.
pub fn is_older(variant: &FileFacts, plain: &FileFacts) -> bool {
    match variant.modified {
        (seconds, 0) => seconds < plain.modified.0,
        time => time < plain.modified,
    }
}

/// Precompressed form of a file.
#[derive(Debug)]
pub struct Variant {
    /// Content coding of the form.
    pub coding: Coding,
    /// Name in the tree, with links not expanded.
    pub name: Box<[u8]>,
    /// Metadata of the form, with the media type of the plain file.
    pub representation: Arc<Representation>,
    /// Content in memory, or an open file.
    pub content: Content,
    /// Guards of the rules that cover any name of the form.
    pub covering: Covering,
}

/// Parsed Accept-Encoding.
#[derive(Default)]
struct Accepted {
    listed: [Option<u16>; 3],
    identity: Option<u16>,
    any: Option<u16>,
}

impl Accepted {
    fn parse<'v>(values: impl Iterator<Item = &'v [u8]>) -> Accepted {
        let mut accepted = Accepted::default();
        for (name, weight) in accept::members(values) {
            let is = |known: &str| name.eq_ignore_ascii_case(known.as_bytes());
            let found = Coding::ALL.iter().position(|coding| is(coding.name()));
            match found.or(is("x-gzip").then_some(0)) {
                Some(at) => accepted.listed[at] = Some(weight),
                None if is("identity") => accepted.identity = Some(weight),
                None if is("*") => accepted.any = Some(weight),
                None => {}
            }
        }
        accepted
    }

    /// Weight of a coding; 0 if the coding is refused or not listed.
    ///
    /// `*` names no coding that the client can surely decode, and the plain file suits it as well. It stands for
    /// the codings that are not listed only where the client refuses the plain file by name.
    fn weight(&self, coding: Coding) -> u16 {
        let any = self.any.filter(|_| self.identity == Some(0));
        self.listed[coding as usize].or(any).unwrap_or(0)
    }

    /// Weight of the plain file; `None` if neither identity nor `*` is listed.
    fn plain_weight(&self) -> Option<u16> {
        self.identity.or(self.any)
    }
}

/// Variant to send: the smallest of those with the highest weight; `None` for the plain file.
///
/// An accepted variant whose tag is in If-None-Match comes first, since the client has it. The plain file
/// comes last unless it is listed itself, or by `*` (RFC 9110 §12.5.3). `permitted` is asked from the best variant
/// on, until it agrees.
pub fn select<'v>(
    variants: &'v [Variant],
    plain: &Representation,
    fields: &Fields,
    mut permitted: impl FnMut(&Variant) -> bool,
) -> Option<&'v Variant> {
    let accepted = Accepted::parse(fields.all("Accept-Encoding"));
    let of = |variant: &'v Variant| (accepted.weight(variant.coding), &variant.representation, Some(variant));
    let mut choices: Vec<_> = variants
        .iter()
        .map(of)
        .filter(|(weight, ..)| *weight > 0)
        .map(|(weight, representation, variant)| {
            (weight, Reverse(representation.len), &**representation, variant)
        })
        .collect();
    if accepted.plain_weight() != Some(0) {
        choices.push((accepted.plain_weight().unwrap_or(0), Reverse(plain.len), plain, None));
    }
    let had: Vec<&[u8]> = fields.all("If-None-Match").collect();
    let is_had = |representation: &Representation| {
        let tag = representation.etag.as_bytes();
        let opaque = tag.strip_prefix(b"W/").unwrap_or(tag);
        !opaque.is_empty() && had.iter().any(|value| value.windows(opaque.len()).any(|part| part == opaque))
    };
    choices.sort_by_key(|(weight, len, representation, _)| Reverse((is_had(representation), *weight, *len)));
    choices.iter().find_map(|(.., variant)| match variant {
        Some(variant) => permitted(variant).then_some(Some(*variant)),
        None => Some(None),
    })?
}

#[cfg(test)]
mod tests;
