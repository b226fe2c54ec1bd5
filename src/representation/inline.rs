//! Short text of bounded length, stored in place: the hot path reads it without a pointer to other memory.

use std::fmt;
use std::ops::Deref;

/// Up to `N` bytes of text, at most 255.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Inline<const N: usize> {
    len: u8,
    bytes: [u8; N],
}

impl<const N: usize> From<&str> for Inline<N> {
    /// Copies `text`. A text longer than `N` is cut at a character boundary; choose `N` large enough.
    fn from(text: &str) -> Inline<N> {
        let mut end = text.len().min(N).min(usize::from(u8::MAX));
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        let mut bytes = [0; N];
        bytes[..end].copy_from_slice(&text.as_bytes()[..end]);
        Inline { len: end as u8, bytes }
    }
}

impl<const N: usize> Deref for Inline<N> {
    type Target = str;

    fn deref(&self) -> &str {
        str::from_utf8(&self.bytes[..usize::from(self.len)]).unwrap_or_default()
    }
}

impl<const N: usize> Inline<N> {
    /// Bytes of the text.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..usize::from(self.len)]
    }
}

impl<const N: usize> fmt::Display for Inline<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&**self, f)
    }
}

impl<const N: usize> fmt::Debug for Inline<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&**self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_comes_back_as_it_was() {
        for text in ["", "a", "eight by"] {
            let kept = Inline::<8>::from(text);
            assert_eq!((&*kept, kept.as_bytes()), (text, text.as_bytes()));
        }
    }

    #[test]
    fn long_text_is_cut_at_a_character_boundary() {
        assert_eq!(&*Inline::<4>::from("abcdé"), "abcd");
        assert_eq!(&*Inline::<4>::from("abcé"), "abc");
    }
}
