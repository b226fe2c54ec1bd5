//! Captures: the part of a name that each wildcard of a glob matches.
//!
//! Each wildcard matches as few bytes as possible, the leftmost wildcard first. The match is found by
//! dynamic programming: for each piece of the glob, from the last to the first, a row tells where in the
//! name the rest of the glob can begin. Time and memory grow with the product of the two lengths in the
//! worst case.

use crate::config::pattern;

/// One glob, compiled for comparing and for capturing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Glob {
    matcher: pattern::Pattern,
    pieces: Box<[CapturePiece]>,
}

/// One piece of a glob: literal text or a wildcard.
#[derive(Debug, Clone, PartialEq, Eq)]
enum CapturePiece {
    Literal(Box<[u8]>),
    /// `?`: one byte.
    One,
    /// `*`: bytes without a slash.
    Run,
    /// `**`: any bytes.
    AnyRun,
}

/// Texts that the wildcards of an alternative match, in order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Captures<'a>(Vec<&'a [u8]>);

impl<'a> Captures<'a> {
    /// Captures of `count` wildcards that all match `text`.
    pub(super) fn repeat(text: &'a str, count: usize) -> Captures<'a> {
        Captures(vec![text.as_bytes(); count])
    }

    /// The text of the wildcard with this number, counted from 1.
    pub fn get(&self, number: usize) -> Option<&'a [u8]> {
        self.0.get(number.checked_sub(1)?).copied()
    }
}

impl Glob {
    /// Reads a glob without alternatives.
    pub(super) fn new(text: impl AsRef<[u8]>) -> Glob {
        let text = text.as_ref();
        Glob { matcher: pattern::Pattern::new(text), pieces: pieces(text).into() }
    }

    /// The glob as written.
    pub(super) fn as_bytes(&self) -> &[u8] {
        self.matcher.as_bytes()
    }

    /// The glob as written; `None` if not UTF-8.
    pub(super) fn as_str(&self) -> Option<&str> {
        str::from_utf8(self.as_bytes()).ok()
    }

    /// Text in front of the first wildcard.
    pub(super) fn literal_prefix(&self) -> &[u8] {
        let text = self.as_bytes();
        let end = text.iter().position(|byte| matches!(byte, b'*' | b'?')).unwrap_or(text.len());
        &text[..end]
    }

    /// Tells whether the whole of `name` matches.
    pub(super) fn matches(&self, name: &[u8]) -> bool {
        self.matcher.matches(name)
    }

    /// Number of wildcards in the glob.
    pub(super) fn wildcards(&self) -> usize {
        self.pieces.iter().filter(|piece| !matches!(piece, CapturePiece::Literal(_))).count()
    }

    /// Adds the text that each wildcard matches in `name` to `found`; `None` if `name` does not match.
    pub(super) fn capture<'a>(&self, name: &'a [u8], found: &mut Captures<'a>) -> Option<()> {
        let rows = self.rows(name);
        let (mut at, first) = (0, rows.first()?);
        if !first[0] {
            return None;
        }
        for (piece, after) in self.pieces.iter().zip(&rows[1..]) {
            let length = match piece {
                CapturePiece::Literal(text) => text.len(),
                CapturePiece::One => 1,
                CapturePiece::Run | CapturePiece::AnyRun => after[at..].iter().position(|can| *can)?,
            };
            if !matches!(piece, CapturePiece::Literal(_)) {
                found.0.push(&name[at..at + length]);
            }
            at += length;
        }
        Some(())
    }

    /// One row for each piece, and one for the end: positions in `name` where the rest of the glob can
    /// begin.
    fn rows(&self, name: &[u8]) -> Vec<Vec<bool>> {
        let mut end = vec![false; name.len() + 1];
        end[name.len()] = true;
        let mut rows = vec![end];
        for piece in self.pieces.iter().rev() {
            let row = rows.last().map(|after| row(piece, name, after)).unwrap_or_default();
            rows.push(row);
        }
        rows.reverse();
        rows
    }
}

/// Positions where `piece` can begin, given the positions `after` where the next piece can begin.
fn row(piece: &CapturePiece, name: &[u8], after: &[bool]) -> Vec<bool> {
    let mut row = vec![false; after.len()];
    for at in (0..after.len()).rev() {
        row[at] = match piece {
            CapturePiece::Literal(text) => name[at..].starts_with(text) && after[at + text.len()],
            CapturePiece::One => at < name.len() && after[at + 1],
            CapturePiece::Run => after[at] || at < name.len() && name[at] != b'/' && row[at + 1],
            CapturePiece::AnyRun => after[at] || at < name.len() && row[at + 1],
        };
    }
    row
}

fn pieces(text: &[u8]) -> Vec<CapturePiece> {
    let mut pieces = Vec::new();
    let mut rest = text;
    while let Some(&first) = rest.first() {
        let (piece, length) = match first {
            b'*' if rest.starts_with(b"**") => (CapturePiece::AnyRun, 2),
            b'*' => (CapturePiece::Run, 1),
            b'?' => (CapturePiece::One, 1),
            _ => {
                let end = rest.iter().position(|b| matches!(b, b'*' | b'?')).unwrap_or(rest.len());
                (CapturePiece::Literal(rest[..end].into()), end)
            }
        };
        pieces.push(piece);
        rest = &rest[length..];
    }
    pieces
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Reference matcher: tries every length of each wildcard in order, the shortest first.
    fn oracle(pieces: &[CapturePiece], name: &[u8]) -> Option<Vec<Vec<u8>>> {
        let Some((piece, rest)) = pieces.split_first() else {
            return name.is_empty().then(Vec::new);
        };
        let longest = match piece {
            CapturePiece::Literal(text) => return oracle(rest, name.strip_prefix(&**text)?),
            CapturePiece::One => 1,
            CapturePiece::Run => name.iter().position(|&b| b == b'/').unwrap_or(name.len()),
            CapturePiece::AnyRun => name.len(),
        };
        let shortest = usize::from(*piece == CapturePiece::One);
        (shortest..=longest.min(name.len())).find_map(|length| {
            let mut found = oracle(rest, &name[length..])?;
            found.insert(0, name[..length].to_vec());
            Some(found)
        })
    }

    fn captured(glob: &str, name: &[u8]) -> Option<Vec<Vec<u8>>> {
        let mut found = Captures::default();
        Glob::new(glob).capture(name, &mut found)?;
        Some(found.0.into_iter().map(<[u8]>::to_vec).collect())
    }

    #[test]
    fn each_wildcard_is_as_short_as_can_be_from_the_left() {
        for (glob, name, want) in [
            ("**", "a/b", vec!["a/b"]),
            ("a/**", "a/", vec![""]),
            ("*.*", "a.b.c", vec!["a", "b.c"]),
            ("**/*", "a/b/c", vec!["a/b", "c"]),
            ("**/**", "a/b/c", vec!["a", "b/c"]),
            ("?*", "ab", vec!["a", "b"]),
            ("***", "a/b", vec!["a/", "b"]),
            ("old", "old", vec![]),
        ] {
            let want: Vec<Vec<u8>> = want.into_iter().map(|text| text.as_bytes().to_vec()).collect();
            assert_eq!(captured(glob, name.as_bytes()), Some(want), "{glob} {name}");
        }
    }

    #[test]
    fn a_hostile_pattern_and_name_cost_their_product_and_no_more() {
        let glob = Glob::new("**a".repeat(60));
        let name = [b"a".repeat(8000), b"b".to_vec()].concat();
        let started = std::time::Instant::now();
        assert!(glob.capture(&name, &mut Captures::default()).is_none());
        assert!(glob.capture(&name[..8000], &mut Captures::default()).is_some());
        assert!(started.elapsed() < std::time::Duration::from_secs(5));
    }

    proptest! {
        #[test]
        fn captures_are_those_of_the_definition(glob in "[ab/?*]{0,9}", name in "[ab/]{0,9}") {
            let want = oracle(&pieces(glob.as_bytes()), name.as_bytes());
            let got = captured(&glob, name.as_bytes());
            prop_assert_eq!(got.is_some(), Glob::new(&glob).matches(name.as_bytes()));
            prop_assert_eq!(got, want);
        }
    }
}
