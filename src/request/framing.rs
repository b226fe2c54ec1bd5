//! How a request's content ends (RFC 9112 §6), with the smuggling rules strict.

/// Length of a request's content.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BodyLength {
    /// No content.
    None,
    /// Content-Length.
    Length(u64),
    /// `Transfer-Encoding: chunked`.
    Chunked,
}
