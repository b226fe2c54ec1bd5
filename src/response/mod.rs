//! Resource → [`Response`]: status, fields and body are decided here; no socket is touched.
//!
//! Enters: the [`Request`], what it named (a [`Resource`], or the [`Rejection`] of an earlier
//! stage), and the [`Policy`]. Leaves: a [`Response`], which `conn` sends, its head written by
//! [`head::write`]. Of the disk only two things are read: a directory's entries, through its open
//! descriptor, and the operator's own error pages.
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

/// Product name: the Server field, the foot of its pages, SERVER_SOFTWARE.
pub const SERVER: &str = concat!("thttpd/", env!("CARGO_PKG_VERSION"));

/// Methods that files and listings answer (RFC 9110 §10.2.1).
const ALLOW: (&str, Cow<'static, [u8]>) = ("Allow", Cow::Borrowed(b"GET, HEAD, OPTIONS"));

/// A decided response.
#[derive(Debug)]
pub struct Response {
    /// Status code.
    pub status: Status,
    /// Content-Type, when it is not the representation's own.
    pub media_type: Option<Cow<'static, [u8]>>,
    /// The file whose metadata (Last-Modified, ETag, Content-Encoding, and Content-Type unless
    /// `media_type` has it) the head carries, if any.
    pub representation: Option<Arc<Representation>>,
    /// `Content-Range`, value only.
    pub content_range: Option<String>,
    /// Further fields, in order, last in the head: Location, WWW-Authenticate, Allow, Retry-After.
    pub fields: Vec<(&'static str, Cow<'static, [u8]>)>,
    /// The content.
    pub body: Body,
    /// The connection ends after this response whatever the request asked.
    pub close: bool,
    /// A 503 for want of something that may be there in a moment.
    pub may_pass: bool,
    /// The memory of a large page, held until it is sent.
    pub held: Option<Arc<MemoryReservation>>,
    /// What rules say of it.
    pub applied_rules: Option<AppliedRules>,
}

impl Response {
    /// A response without fields of its own and without content.
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

    /// A generated page. `media_type` names its charset.
    pub fn page(status: u16, media_type: impl Into<Cow<'static, [u8]>>, page: Vec<u8>) -> Response {
        Response { media_type: Some(media_type.into()), body: Body::Page(page), ..Response::bare(status) }
    }

    /// Adds a field.
    pub fn with(mut self, name: &'static str, value: impl Into<Cow<'static, [u8]>>) -> Response {
        self.fields.push((name, value.into()));
        self
    }
}

/// A response's content.
#[derive(Debug)]
pub enum Body {
    /// None, and the head says nothing of length (304, 204).
    None,
    /// Bytes made or cached in memory; `start..end` of them are sent.
    Bytes(Arc<[u8]>, Range<usize>),
    /// A generated page.
    Page(Vec<u8>),
    /// `start..end` of a file.
    File(Arc<OpenFile>, Range<u64>),
    /// Several ranges of a file: each a part's head and its bytes; then the closing delimiter
    /// (multipart/byteranges, RFC 9110 §14.6). The boundary is in `media_type`.
    Parts {
        /// The shared source.
        source: Content,
        /// Part head, then the range of the source that follows it.
        parts: Vec<(Vec<u8>, Range<u64>)>,
        /// After the last part.
        closing: Vec<u8>,
    },
}

impl Body {
    /// Bytes of content; for HEAD, what GET would have sent.
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
    /// Where the operator's own error pages are.
    pub pages: &'a ErrorPages,
    /// With vhosting, the host's directory below the root: its error pages go first.
    pub host_dir: Option<&'a [u8]>,
    /// Charset of listings (`-T`): names are sent as the bytes they are.
    pub charset: &'a [u8],
    /// Leave dot files out of listings.
    pub hide_dotfiles: bool,
    /// Form of lists of directories.
    pub listing_style: ListingStyle,
    /// How the redirect to a directory's slash names it.
    pub redirects: RedirectForm,
    /// Text at the foot of our pages; empty = they have none.
    pub signature: &'a str,
    /// The worker that answers.
    pub blocking: &'a dyn Blocking,
    /// The current time, for the age of entries in a listing.
    pub now: SystemTime,
}

/// Answers `request`, which names `resource`.
///
/// A [`Resource::Script`] is not for this stage (`cgi` runs it); it is answered with 500.
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

/// The error page for a `rejection` of `request` by any stage.
pub fn refuse(rejection: &Rejection, request: &Request<'_>, policy: &Policy<'_>) -> Response {
    error::page(rejection, request.target, policy)
}

/// What a rule says in place of any resource.
fn status(status: u16, request: &Request<'_>, policy: &Policy<'_>) -> Response {
    match status {
        200 => Response::page(200, b"text/plain; charset=UTF-8", b"ok".to_vec()),
        204 => Response::bare(204),
        error => refuse(&Rejection::new(error, ""), request, policy),
    }
}

/// What a page of another origin may send (Fetch §4.8); from where it may, its dress says.
fn preflight(is_script: bool, headers: Option<Vec<u8>>) -> Response {
    let methods = if is_script { &b"GET, HEAD, POST"[..] } else { b"GET, HEAD" };
    let response = Response::bare(204).with("Access-Control-Allow-Methods", methods);
    match headers {
        Some(headers) => response.with("Access-Control-Allow-Headers", headers),
        None => response,
    }
}

/// RFC 9110 §9.3.7: no content, only what the resource can do.
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
