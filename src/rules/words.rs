//! Words of a rule's line: split at blanks, variables expanded.

use super::rate::BLANKS;
use crate::config::expand::expand;

/// The words behind an action, variables expanded.
#[derive(Debug)]
pub(super) struct Words(Vec<String>);

impl Words {
    /// Splits `text` at blanks and expands each word.
    ///
    /// # Errors
    /// Why a variable cannot be expanded.
    pub(super) fn new(text: &str) -> Result<Words, String> {
        let words = text.split(BLANKS).filter(|word| !word.is_empty());
        words.map(expanded).collect::<Result<Vec<_>, _>>().map(Words)
    }

    /// The words in order.
    pub(super) fn iter(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(String::as_str)
    }

    /// The words as a slice.
    pub(super) fn slice(&self) -> &[String] {
        &self.0
    }

    /// True if there is no word.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The words where there are exactly so many; else how the action is written.
    pub(super) fn exactly<const N: usize>(&self, usage: &str) -> Result<[&str; N], String> {
        let words: Vec<&str> = self.iter().collect();
        words.try_into().map_err(|_| format!("write {usage}"))
    }

    /// The words with a blank between two.
    pub(super) fn joined(&self) -> String {
        self.0.join(" ")
    }
}

/// `text` with its variables expanded.
pub(super) fn expanded(text: &str) -> Result<String, String> {
    let bytes = expand(text.as_bytes()).map_err(|why| format!("{text}: {why}"))?;
    String::from_utf8(bytes.into_owned()).map_err(|_| format!("{text}: not valid UTF-8"))
}
