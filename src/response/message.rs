//! A response, as `conn` sends it.

use std::borrow::Cow;
use std::ops::Range;
use std::sync::Arc;

use super::status::Status;
use crate::representation::{Content, Representation};
use crate::rules::AppliedRules;
use crate::sys::fd::OpenFile;
use crate::sys::memory::MemoryReservation;

/// Complete response, ready to be sent.
#[derive(Debug)]
pub struct Response {
    /// Status code.
    pub status: Status,
    /// Content-Type, if that differs from the representation's.
    pub media_type: Option<Cow<'static, [u8]>>,
    /// File whose metadata the head carries.
    ///
    /// The fields are Last-Modified, ETag, Content-Encoding, and Content-Type unless `media_type` is set.
    pub representation: Option<Arc<Representation>>,
    /// Value of Content-Range.
    pub content_range: Option<String>,
    /// Additional fields, at the end of the head: Location, WWW-Authenticate, Allow, Retry-After.
    pub fields: Vec<(&'static str, Cow<'static, [u8]>)>,
    /// Content.
    pub body: Body,
    /// Set if the connection must be closed after this response.
    pub close: bool,
    /// Set for a 503 whose cause may pass within moments, so that the request is tried again first.
    pub may_pass: bool,
    /// Memory reservation of a large page, released when the page is sent.
    pub held: Option<Arc<MemoryReservation>>,
    /// Response rules for the head.
    pub applied_rules: Option<AppliedRules>,
}

impl Response {
    /// Response without additional fields and without content.
    pub fn bare(status: u16) -> Response {
        Response {
            status: Status(status),
            media_type: None,
            representation: None,
            content_range: None,
            fields: Vec::new(),
            body: Body::None,
            close: false,
            may_pass: false,
            held: None,
            applied_rules: None,
        }
    }

    /// Response with a generated page. `media_type` includes the charset.
    pub fn page(status: u16, media_type: impl Into<Cow<'static, [u8]>>, page: Vec<u8>) -> Response {
        Response { media_type: Some(media_type.into()), body: Body::Page(page), ..Response::bare(status) }
    }

    /// Adds a field.
    pub fn with(mut self, name: &'static str, value: impl Into<Cow<'static, [u8]>>) -> Response {
        self.fields.push((name, value.into()));
        self
    }
}

/// Content of a response.
#[derive(Debug)]
pub enum Body {
    /// No content, and no Content-Length (304, 204).
    None,
    /// Bytes in memory; the range `start..end` is sent.
    Bytes(Arc<[u8]>, Range<usize>),
    /// A generated page.
    Page(Vec<u8>),
    /// Range `start..end` of a file.
    File(Arc<OpenFile>, Range<u64>),
    /// Several ranges of a file (multipart/byteranges, RFC 9110 §14.6), each with a part head.
    ///
    /// The closing delimiter follows the last part. The boundary is in `media_type`.
    Parts(Box<Parts>),
}

/// Several ranges of one file, as content of one response.
#[derive(Debug)]
pub struct Parts {
    /// Source of all parts.
    pub source: Content,
    /// Head of each part, and the range of the source that follows it.
    pub parts: Vec<(Vec<u8>, Range<u64>)>,
    /// Closing delimiter.
    pub closing: Vec<u8>,
}

impl Body {
    /// Length of the content in bytes; for HEAD, the length of GET's content.
    pub fn bytes(&self) -> u64 {
        match self {
            Body::None => 0,
            Body::Bytes(_, range) => range.len() as u64,
            Body::Page(page) => page.len() as u64,
            Body::File(_, range) => range.end - range.start,
            Body::Parts(content) => {
                let Parts { parts, closing, .. } = &**content;
                parts.iter().map(|(head, range)| head.len() as u64 + range.end - range.start).sum::<u64>()
                    + closing.len() as u64
            }
        }
    }
}
