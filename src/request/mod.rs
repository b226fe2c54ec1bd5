//! Request parsing: bytes to a [`Request`]. Pure: no socket, no file.
//!
//! [`head::parse`] takes the bytes that have arrived. It returns a complete request, "incomplete", or a
//! [`Rejection`]. A request borrows its bytes; only a path with escapes or dots is copied.

use std::borrow::Cow;
use std::fmt;

pub mod accept;
pub mod body;
pub mod client;
pub mod fields;
pub mod forwarded;
pub mod framing;
pub mod head;
pub mod list_view;
pub mod outline;
pub mod proxy_protocol;
pub mod spool;
pub mod target;

pub use client::Client;
pub use fields::Fields;
pub use framing::BodyLength;

/// Request method (RFC 9110 §9). Case-sensitive, unlike thttpd's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// Method GET.
    Get,
    /// Method HEAD.
    Head,
    /// Method POST.
    Post,
    /// Method PUT.
    Put,
    /// Method DELETE.
    Delete,
    /// Method OPTIONS.
    Options,
    /// Method TRACE.
    Trace,
    /// Method PATCH.
    Patch,
    /// Any other method, CONNECT included: answered with 501.
    Unknown,
}

impl Method {
    /// Method for the token in the request line.
    pub fn from_token(token: &[u8]) -> Method {
        match token {
            b"GET" => Method::Get,
            b"HEAD" => Method::Head,
            b"POST" => Method::Post,
            b"PUT" => Method::Put,
            b"DELETE" => Method::Delete,
            b"OPTIONS" => Method::Options,
            b"TRACE" => Method::Trace,
            b"PATCH" => Method::Patch,
            _ => Method::Unknown,
        }
    }

    /// Name in logs and in REQUEST_METHOD; unknown methods are `UNKNOWN`, as in thttpd.
    pub fn as_str(self) -> &'static str {
        match self {
            Method::Get => "GET",
            Method::Head => "HEAD",
            Method::Post => "POST",
            Method::Put => "PUT",
            Method::Delete => "DELETE",
            Method::Options => "OPTIONS",
            Method::Trace => "TRACE",
            Method::Patch => "PATCH",
            Method::Unknown => "UNKNOWN",
        }
    }
}

/// Protocol version of a request. Minor versions above 1 are treated as 1.1 (RFC 9110 §2.5).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Version {
    /// Request line without a version: the response is the body alone (thttpd, RFC 1945 §3.1).
    Http09,
    /// HTTP/1.0.
    Http10,
    /// HTTP/1.1, or a 1.x above it.
    Http11,
}

/// A complete, well-formed request head.
#[derive(Debug, Clone)]
pub struct Request<'b> {
    /// Method, for decisions.
    pub method: Method,
    /// Method as sent, for messages.
    pub method_text: &'b [u8],
    /// The request target as sent (`/a%20b?q`, `http://host/a`, `*`).
    pub target: &'b [u8],
    /// Version, for decisions.
    pub version: Version,
    /// Version as sent (`HTTP/1.2`), or `HTTP/0.9`; for the log and SERVER_PROTOCOL.
    pub version_text: &'b str,
    /// All field lines in order.
    pub fields: Fields<'b>,
    /// Host of the absolute-form target, else of the Host field; `None` on 1.0 without one.
    ///
    /// The name is valid and has no port. Case and the brackets of an IPv6 literal are kept.
    pub host: Option<&'b str>,
    /// Path without leading slash: percent-decoded, dots resolved; empty for the top.
    ///
    /// thttpd calls it the working name, and writes `.` for the top. The path never holds NUL or leaves the
    /// tree.
    pub path: Cow<'b, [u8]>,
    /// Raw text after the first `?` of the target, if there is one.
    pub query: Option<&'b [u8]>,
    /// Set for `OPTIONS *`, a question about the server itself; `path` is empty.
    pub asterisk: bool,
    /// Framing of the content (RFC 9112 §6).
    pub body: BodyLength,
    /// Set if the request allows the connection to persist (RFC 9112 §9.3).
    pub keep_alive: bool,
    /// Set for `Expect: 100-continue` on 1.1: the client waits for 100 Continue before sending content.
    pub expects_continue: bool,
}

impl Request<'_> {
    /// Tells whether the method is HEAD, so that the response has no content.
    pub fn is_head(&self) -> bool {
        self.method == Method::Head
    }

    /// Path and query as sent, also for a target with a host.
    pub fn path_and_query(&self) -> &[u8] {
        target::origin_form(self.target).1
    }

    /// Host and port as sent; those of the absolute form have precedence (RFC 9112 §3.2.2).
    pub fn authority(&self) -> Option<&[u8]> {
        target::origin_form(self.target).0.or_else(|| self.fields.last("Host"))
    }
}

/// Error response to a request, as a value: the status and a sentence for the client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rejection {
    /// Status: 4xx or 5xx.
    pub status: u16,
    /// Sentence for the error page, without markup; `response::error` replaces `{url}` by the escaped
    /// target.
    pub why: Cow<'static, str>,
    /// Set if the connection must be closed, because the framing is in doubt.
    pub close: bool,
    /// Set if the cause may pass within moments, so that the request may be tried again first.
    pub may_pass: bool,
}

impl Rejection {
    /// Rejection that keeps the connection open.
    pub fn new(status: u16, why: impl Into<Cow<'static, str>>) -> Rejection {
        Rejection { status, why: why.into(), close: false, may_pass: false }
    }

    /// Rejection that closes the connection.
    pub fn fatal(status: u16, why: impl Into<Cow<'static, str>>) -> Rejection {
        Rejection { close: true, ..Rejection::new(status, why) }
    }

    /// Rejection with 503, for a shortage of descriptors, memory or processes.
    pub fn shortage() -> Rejection {
        Rejection { may_pass: true, ..Rejection::new(503, "") }
    }

    /// Rejection with 400 that closes the connection, for bytes that are not valid HTTP.
    pub fn malformed(why: &'static str) -> Rejection {
        Rejection::fatal(400, why)
    }
}

impl fmt::Display for Rejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.status, self.why)
    }
}

/// Result of parsing bytes that may be incomplete; incompleteness is not an error.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Parsed<T> {
    /// Value, and the number of bytes that it took.
    Complete(T, usize),
    /// Valid so far, but incomplete.
    Partial,
}
