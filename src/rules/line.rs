//! One line of the rules file, as read or at fault.

use std::fmt;
use std::sync::Arc;

use super::pattern::Pattern;
use crate::config::origin::Origin;
use crate::config::printable::shortened;

/// One line of the rules file: a pattern and an action.
#[derive(Debug)]
pub struct Line<A> {
    /// Names that the line covers.
    pub pattern: Arc<Pattern>,
    /// Action for those names.
    pub action: A,
    /// File and line number of the rule.
    pub place: Origin,
    /// Action as written, with variables expanded.
    pub text: Box<str>,
}

impl<A> Line<A> {
    pub(super) fn new(pattern: Arc<Pattern>, action: A, place: &Origin, text: &str) -> Line<A> {
        Line { pattern, action, place: place.clone(), text: text.into() }
    }
}

impl<A> fmt::Display for Line<A> {
    /// Writes the place and the action, as in `rules:12: cache immutable`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, shortened(&*self.text))
    }
}

/// Error in a line of the rules file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// File and line number of the error.
    pub place: Origin,
    /// Description of the error.
    pub text: String,
}

impl Fault {
    /// Line number, for a fault in a file.
    pub fn line(&self) -> Option<usize> {
        if let Origin::File { line, .. } = self.place { Some(line) } else { None }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.text)
    }
}
