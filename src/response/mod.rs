//! Responses: decides status, fields and body for a resource; touches no socket.
//!
//! Input: the [`Request`], its [`Resource`] or the [`Rejection`] of an earlier stage, and the [`Policy`].
//! Output: a [`Response`] for `conn` to send, with a head written by [`head::write`]. Only two things are
//! read from the disk: a directory's entries, through its open descriptor, and the operator's own error
//! pages.
//!
//! ```text
//!              ┌─ File ──► file ──► conditional ─► range ─► 200 206 304 412 416
//! respond ─────┼─ Directory ─► listing                      200
//!              ├─ Moved ─► redirect                         302
//!              └─ no such method here ─► error              405 501
//! Rejection ─────────────────────────► error                4xx 5xx
//! ```

use std::borrow::Cow;
use std::ops::Range;
use std::sync::Arc;
use std::time::SystemTime;

use crate::config::choice::{ListingStyle, RedirectForm};
use crate::docroot::blocking::Blocking;
use crate::representation::{Content, Representation};
use crate::request::{Method, Rejection, Request};
use crate::resource::Resource;
use crate::rules::AppliedRules;
use crate::sys::fd::OpenFile;
use crate::sys::memory::MemoryReservation;

pub mod conditional;
pub mod error;
pub mod escape;
pub mod file;
#[cfg(test)]
mod fixture;
pub mod head;
pub mod listing;
mod page;
pub mod range;
pub mod redirect;
pub mod status;

pub use error::ErrorPages;
pub use status::Status;

/// Product name, for the Server field, the foot of pages and SERVER_SOFTWARE.
pub const SERVER: &str = concat!("thttpd/", env!("CARGO_PKG_VERSION"));

/// Methods that files and listings answer (RFC 9110 §10.2.1).
const ALLOW: (&str, Cow<'static, [u8]>) = ("Allow", Cow::Borrowed(b"GET, HEAD, OPTIONS"));

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
    Parts {
        /// Source of all parts.
        source: Content,
        /// Head of each part, and the range of the source that follows it.
        parts: Vec<(Vec<u8>, Range<u64>)>,
        /// Closing delimiter.
        closing: Vec<u8>,
    },
}

impl Body {
    /// Length of the content in bytes; for HEAD, the length of GET's content.
    pub fn bytes(&self) -> u64 {
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
}

/// Settings that a response depends on.
#[derive(Clone, Copy)]
pub struct Policy<'a> {
    /// Location of the operator's error pages.
    pub pages: &'a ErrorPages,
    /// Directory of the virtual host below the root; its error pages have precedence.
    pub host_dir: Option<&'a [u8]>,
    /// Charset of listings (`-T`): names are sent as raw bytes.
    pub charset: &'a [u8],
    /// Set if listings omit dot files.
    pub hide_dotfiles: bool,
    /// Style of directory lists.
    pub listing_style: ListingStyle,
    /// Form of the Location when redirecting to a directory's slash.
    pub redirects: RedirectForm,
    /// Text at the foot of generated pages; empty = no foot.
    pub signature: &'a str,
    /// Worker that answers; told before a call that may block.
    pub blocking: &'a dyn Blocking,
    /// The current time, for the age of entries in a listing.
    pub now: SystemTime,
}

/// Response to `request` for `resource`.
///
/// Scripts are run by `cgi`; a [`Resource::Script`] here is answered with 500.
pub fn respond(request: &Request<'_>, resource: Resource, policy: &Policy<'_>) -> Response {
    match (resource, request.method) {
        (_, Method::Unknown) => refuse(&unknown_method(request), request, policy),
        (Resource::Moved(to), _) => redirect::to(&to, policy),
        (Resource::Redirect { status, location }, _) => redirect::to_location(status, location, policy),
        (Resource::Preflight { is_script, headers }, _) => preflight(is_script, headers),
        (Resource::Status(status), _) => self::status(status, request, policy),
        (Resource::Server, _) | (_, Method::Options) => options(),
        (Resource::File(representation, content), Method::Get | Method::Head) => {
            file::respond(request, representation, content)
                .unwrap_or_else(|unmet| unmet.respond(request, policy))
        }
        (Resource::Directory(directory), Method::Get | Method::Head) => {
            listing::page(request, directory, policy)
                .unwrap_or_else(|rejection| refuse(&rejection, request, policy))
        }
        (Resource::Text { media_type, content }, Method::Get | Method::Head) => {
            Response::page(200, media_type.as_bytes(), content).with("Cache-Control", &b"no-cache"[..])
        }
        (Resource::File(..) | Resource::Directory(_) | Resource::Text { .. }, _) => {
            let mut response = refuse(&Rejection::new(405, ""), request, policy);
            response.fields.push(ALLOW);
            response
        }
        (Resource::Script(_), _) => refuse(&Rejection::new(500, ""), request, policy),
    }
}

/// Error response for a `rejection` of `request` by any stage.
pub fn refuse(rejection: &Rejection, request: &Request<'_>, policy: &Policy<'_>) -> Response {
    error::page(rejection, request.target, policy)
}

/// Response with the status set by a rule.
fn status(status: u16, request: &Request<'_>, policy: &Policy<'_>) -> Response {
    match status {
        200 => Response::page(200, b"text/plain; charset=UTF-8", b"ok".to_vec()),
        204 => Response::bare(204),
        error => refuse(&Rejection::new(error, ""), request, policy),
    }
}

/// Answer to a CORS preflight request: allowed methods and fields (Fetch §4.8).
///
/// Access-Control-Allow-Origin comes from the response rules.
fn preflight(is_script: bool, headers: Option<Vec<u8>>) -> Response {
    let methods = if is_script { &b"GET, HEAD, POST"[..] } else { b"GET, HEAD" };
    let response = Response::bare(204).with("Access-Control-Allow-Methods", methods);
    match headers {
        Some(headers) => response.with("Access-Control-Allow-Headers", headers),
        None => response,
    }
}

/// Answer to OPTIONS (RFC 9110 §9.3.7): no content, and the allowed methods.
fn options() -> Response {
    let mut response = Response::bare(204);
    response.fields.push(ALLOW);
    response
}

fn unknown_method(request: &Request<'_>) -> Rejection {
    let method = String::from_utf8_lossy(request.method_text);
    let shown: String = method.chars().take(20).collect();
    Rejection::new(501, format!("This server does not implement the method \u{2018}{shown}\u{2019}."))
}

#[cfg(test)]
mod tests;
