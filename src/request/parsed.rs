//! Result of the parsers of bytes that arrive in pieces.

/// Result of parsing bytes that may be incomplete; incompleteness is not an error.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Parsed<T> {
    /// Value, and the number of bytes that it took.
    Complete(T, usize),
    /// Valid so far, but incomplete.
    Partial,
}
