//! Resource → [`Response`]: status, fields and body are decided here; no socket is touched.

use std::borrow::Cow;
use std::fs::File;
use std::sync::Arc;

use crate::resource::Representation;

pub mod conditional;
pub mod error;
pub mod escape;
pub mod head;
pub mod listing;
pub mod range;

/// A status code (RFC 9110 §15).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Status(pub u16);

/// A decided response.
#[derive(Debug)]
pub struct Response {
    /// Status code.
    pub status: Status,
    /// Content-Type; none on bodies that have none (304 keeps its file's).
    pub media_type: Option<Cow<'static, str>>,
    /// The file whose metadata (Last-Modified, ETag, Content-Encoding) the head carries, if any.
    pub representation: Option<Arc<Representation>>,
    /// `Content-Range`, value only.
    pub content_range: Option<String>,
    /// Further fields, in order, last in the head: Location, WWW-Authenticate, Allow, Retry-After.
    pub fields: Vec<(&'static str, Cow<'static, [u8]>)>,
    /// The content.
    pub body: Body,
    /// The connection ends after this response whatever the request asked.
    pub close: bool,
}

/// A response's content.
#[derive(Debug)]
pub enum Body {
    /// None, and the head says nothing of length (304, 204).
    None,
    /// Bytes made or cached in memory; `start..end` of them are sent.
    Bytes(Arc<[u8]>, std::ops::Range<usize>),
    /// A generated page.
    Page(Vec<u8>),
    /// `start..end` of a file.
    File(Arc<File>, std::ops::Range<u64>),
    /// Several ranges of a file: each a part's head and its bytes; then the closing delimiter
    /// (multipart/byteranges, RFC 9110 §14.6). The boundary is in `media_type`.
    Parts {
        /// The shared source.
        source: crate::resource::Content,
        /// Part head, then the range of the source that follows it.
        parts: Vec<(Vec<u8>, std::ops::Range<u64>)>,
        /// After the last part.
        closing: Vec<u8>,
    },
}

impl Body {
    /// Bytes of content; for HEAD, what GET would have sent.
    pub fn len(&self) -> u64 {
        match self {
            Body::None => 0,
            Body::Bytes(_, range) => range.len() as u64,
            Body::Page(page) => page.len() as u64,
            Body::File(_, range) => range.end - range.start,
            Body::Parts { parts, closing, .. } => {
                parts.iter().map(|(head, range)| head.len() as u64 + range.end - range.start).sum::<u64>()
                    + closing.len() as u64
            }
        }
    }

    /// No bytes of content.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}
