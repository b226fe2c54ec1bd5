//! Responses for files: 200, 206, 304, or the errors 412 and 416.

use std::hash::{BuildHasher, RandomState};
use std::ops::Range;
use std::sync::Arc;

use super::conditional::{self, PreconditionResult};
use super::range::{self, FEW_PARTS, Selection};
use super::{Body, Parts, Policy, Response, head, refuse};
use crate::representation::{Content, Representation};
use crate::request::{Method, Rejection, Request};
use crate::sys::memory::RESPONSE_MEMORY;

/// Reason why a file is not sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unmet {
    /// A precondition failed: 412.
    Precondition,
    /// The ranges lie beyond the file's `len` bytes: 416.
    Range {
        /// The file's length, for Content-Range.
        len: u64,
    },
}

impl Unmet {
    /// The error response.
    pub fn respond(self, request: &Request<'_>, policy: &Policy<'_>) -> Response {
        match self {
            Unmet::Precondition => refuse(&Rejection::new(412, ""), request, policy),
            Unmet::Range { len } => Response {
                content_range: Some(format!("bytes */{len}")),
                ..refuse(&Rejection::new(416, ""), request, policy)
            },
        }
    }
}

/// Answers GET or HEAD of a file.
pub fn respond(
    request: &Request<'_>,
    representation: Arc<Representation>,
    content: Content,
) -> Result<Response, Unmet> {
    match conditional::evaluate(&request.fields, &representation) {
        PreconditionResult::Failed => return Err(Unmet::Precondition),
        PreconditionResult::NotModified => {
            return Ok(Response { representation: Some(representation), ..Response::bare(304) });
        }
        PreconditionResult::Proceed => {}
    }
    let len = representation.len;
    match selection(request, &representation) {
        Selection::Whole => Ok(Response {
            representation: Some(representation),
            body: slice(content, 0..len),
            ..Response::bare(200)
        }),
        Selection::One(range) => Ok(Response {
            representation: Some(representation),
            content_range: Some(content_range(&range, len)),
            body: slice(content, range),
            ..Response::bare(206)
        }),
        Selection::Several(ranges) => Ok(multipart(representation, content, &ranges)),
        Selection::Unsatisfiable => Err(Unmet::Range { len }),
    }
}

fn selection(request: &Request<'_>, representation: &Representation) -> Selection {
    let mut values = request.fields.all("Range");
    match (request.method, values.next(), values.next()) {
        (Method::Get, Some(value), None) if conditional::range_applies(&request.fields, representation) => {
            match range::select(value, representation.len) {
                // The heads of many parts take memory; the whole file is sent from the disk.
                Selection::Several(ranges) if ranges.len() > FEW_PARTS && RESPONSE_MEMORY.is_tight() => {
                    Selection::Whole
                }
                selection => selection,
            }
        }
        _ => Selection::Whole,
    }
}

fn slice(content: Content, range: Range<u64>) -> Body {
    match content {
        Content::Memory(bytes) => {
            // The range ends within the file, whose length is that of its bytes in memory.
            let end = bytes.len().min(range.end as usize);
            Body::Bytes(bytes, end.min(range.start as usize)..end)
        }
        Content::File(file) => Body::File(file, range),
    }
}

fn content_range(range: &Range<u64>, len: u64) -> String {
    format!("bytes {}-{}/{len}", range.start, range.end - 1)
}

/// Response with several ranges (multipart/byteranges, RFC 9110 §14.6).
///
/// The boundary is random, so that a file cannot contain the delimiter on purpose.
fn multipart(representation: Arc<Representation>, source: Content, ranges: &[Range<u64>]) -> Response {
    let random = || RandomState::new().hash_one(0_u8);
    let boundary = format!("{:016x}{:016x}", random(), random());
    let parts = ranges
        .iter()
        .map(|range| {
            // The preamble is empty and ends with CRLF, since zsync expects CRLF before each boundary.
            let mut part = format!("\r\n--{boundary}\r\n").into_bytes();
            head::field(&mut part, "Content-Type", &representation.media_type);
            head::field(&mut part, "Content-Range", content_range(range, representation.len).as_bytes());
            part.extend_from_slice(b"\r\n");
            (part, range.clone())
        })
        .collect();
    let closing = format!("\r\n--{boundary}--\r\n").into_bytes();
    Response {
        media_type: Some(format!("multipart/byteranges; boundary={boundary}").into_bytes().into()),
        representation: Some(representation),
        body: Body::Parts(Box::new(Parts { source, parts, closing })),
        ..Response::bare(206)
    }
}

#[cfg(test)]
mod tests;
