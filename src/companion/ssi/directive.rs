//! Directives of a page: splits a page into text and directives. Pure.
//!
//! A directive is `<!--#NAME TAG="VALUE" ... -->`; the quotes may be single ones, or missing.

/// Piece of a page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PagePiece<'p> {
    /// Text to be copied.
    Text(&'p [u8]),
    /// Directive: the text between `<!--#` and `-->`.
    Directive(&'p [u8]),
}

/// Pieces of a page in order. A directive without an end is text.
pub fn pieces(page: &[u8]) -> Pieces<'_> {
    Pieces { rest: page }
}

/// Iterator of [`pieces`].
pub struct Pieces<'p> {
    rest: &'p [u8],
}

const OPEN: &[u8] = b"<!--#";
const CLOSE: &[u8] = b"-->";

impl<'p> Iterator for Pieces<'p> {
    type Item = PagePiece<'p>;

    fn next(&mut self) -> Option<PagePiece<'p>> {
        if self.rest.is_empty() {
            return None;
        }
        let open = find(self.rest, OPEN).unwrap_or(self.rest.len());
        if open > 0 {
            let (text, rest) = self.rest.split_at(open);
            self.rest = rest;
            return Some(PagePiece::Text(text));
        }
        match find(self.rest, CLOSE) {
            Some(close) => {
                let inside = &self.rest[OPEN.len()..close.max(OPEN.len())];
                self.rest = &self.rest[close + CLOSE.len()..];
                Some(PagePiece::Directive(inside))
            }
            None => Some(PagePiece::Text(std::mem::take(&mut self.rest))),
        }
    }
}

/// First word of a directive, and the rest.
pub fn name(directive: &[u8]) -> (&[u8], &[u8]) {
    let directive = directive.trim_ascii_start();
    directive.split_at(directive.iter().position(u8::is_ascii_whitespace).unwrap_or(directive.len()))
}

/// Pairs `TAG="VALUE"` in order; a tag without a value has an empty one.
pub fn tags(mut text: &[u8]) -> Vec<(&[u8], &[u8])> {
    let mut tags = Vec::new();
    loop {
        text = text.trim_ascii_start();
        if text.is_empty() {
            return tags;
        }
        let end = text.iter().position(|&b| b == b'=' || b.is_ascii_whitespace()).unwrap_or(text.len());
        let (tag, rest) = text.split_at(end);
        let rest = rest.trim_ascii_start();
        let Some(rest) = rest.strip_prefix(b"=") else {
            tags.push((tag, &b""[..]));
            text = rest;
            continue;
        };
        let (value, rest) = value(rest.trim_ascii_start());
        tags.push((tag, value));
        text = rest;
    }
}

/// Value, in quotes or up to the next blank, and the remaining text.
fn value(text: &[u8]) -> (&[u8], &[u8]) {
    if let [quote @ (b'"' | b'\''), inside @ ..] = text {
        let end = inside.iter().position(|b| b == quote).unwrap_or(inside.len());
        return (&inside[..end], inside.get(end + 1..).unwrap_or_default());
    }
    text.split_at(text.iter().position(u8::is_ascii_whitespace).unwrap_or(text.len()))
}

fn find(text: &[u8], part: &[u8]) -> Option<usize> {
    text.windows(part.len()).position(|window| window == part)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn text_and_directives_come_in_order() {
        let page = b"a<<!--#echo var=\"X\"-->b<!-- plain --><!--#fsize file=y -->";
        let expected = [
            PagePiece::Text(b"a<"),
            PagePiece::Directive(b"echo var=\"X\""),
            PagePiece::Text(b"b<!-- plain -->"),
            PagePiece::Directive(b"fsize file=y "),
        ];
        assert_eq!(pieces(page).collect::<Vec<_>>(), expected);
    }

    #[test]
    fn unclosed_directives_are_text() {
        for page in [&b"x<!--#echo var=\"X\""[..], b"x<!--#", b"x<!--", b"x<"] {
            let text: Vec<u8> = pieces(page)
                .flat_map(|piece| match piece {
                    PagePiece::Text(text) => text.to_vec(),
                    PagePiece::Directive(_) => panic!("a directive in {}", page.escape_ascii()),
                })
                .collect();
            assert_eq!(text, page);
        }
    }

    #[test]
    fn the_shortest_directives_are_empty() {
        assert_eq!(pieces(b"<!--#-->").collect::<Vec<_>>(), [PagePiece::Directive(b"")]);
        assert_eq!(name(b""), (&b""[..], &b""[..]));
    }

    #[test]
    fn tags_have_values_in_any_quotes_or_none() {
        let (name, rest) = name(b" include virtual=\"/a b\" file='c\"d' x = y lone");
        assert_eq!(name, b"include");
        let expected: [(&[u8], &[u8]); 4] =
            [(b"virtual", b"/a b"), (b"file", b"c\"d"), (b"x", b"y"), (b"lone", b"")];
        assert_eq!(tags(rest), expected);
    }

    #[test]
    fn an_open_quote_ends_with_the_directive() {
        assert_eq!(tags(b"var=\"abc"), [(&b"var"[..], &b"abc"[..])]);
        assert_eq!(tags(b"="), [(&b""[..], &b""[..])]);
    }

    proptest! {
        #[test]
        fn no_byte_of_a_page_is_lost(page in "[-<!#>x\" =]{0,60}") {
            let whole: Vec<u8> = pieces(page.as_bytes())
                .flat_map(|piece| match piece {
                    PagePiece::Text(text) => text.to_vec(),
                    PagePiece::Directive(inside) => {
                        let _ = tags(name(inside).1);
                        [OPEN, inside, CLOSE].concat()
                    }
                })
                .collect();
            prop_assert_eq!(whole, page.as_bytes());
        }
    }
}
