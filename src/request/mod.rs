//! Bytes → [`Request`]: pure, no socket, no file.
//!
//! [`head::parse`] takes what has arrived and answers with a complete request, with "not yet", or
//! with a [`Rejection`]. A request borrows the bytes it was read from; nothing is copied but a
//! path that had to be decoded.

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
    /// GET
    Get,
    /// HEAD
    Head,
    /// POST
    Post,
    /// PUT
    Put,
    /// DELETE
    Delete,
    /// OPTIONS
    Options,
    /// TRACE
    Trace,
    /// PATCH
    Patch,
    /// Anything else, CONNECT included: answered 501.
    Unknown,
}

impl Method {
    /// From the token in the request line.
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

    /// As written in logs and in REQUEST_METHOD; thttpd logs every method it does not know as `UNKNOWN`.
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
    /// No version in the request line: the answer is the bare body (thttpd, RFC 1945 §3.1).
    Http09,
    /// HTTP/1.0
    Http10,
    /// HTTP/1.1, and any 1.x above it.
    Http11,
}

/// A complete, well-formed request head.
#[derive(Debug, Clone)]
pub struct Request<'b> {
    /// The method, for decisions.
    pub method: Method,
    /// The method as sent, for messages.
    pub method_text: &'b [u8],
    /// The request target as sent (`/a%20b?q`, `http://host/a`, `*`).
    pub target: &'b [u8],
    /// For decisions.
    pub version: Version,
    /// As sent (`HTTP/1.2`), or `HTTP/0.9`; for the log and SERVER_PROTOCOL.
    pub version_text: &'b str,
    /// All field lines in order.
    pub fields: Fields<'b>,
    /// Host of the absolute-form target, else of the Host field: valid, port removed, as sent
    /// otherwise (case kept; brackets of an IPv6 literal kept). None on 1.0 without one.
    pub host: Option<&'b str>,
    /// The path: percent-decoded, dots resolved, no leading slash; empty for the top
    /// (thttpd's "working name", where it is `.`). Never holds NUL, never climbs.
    pub path: Cow<'b, [u8]>,
    /// Raw text after the first `?` of the target, when there is one.
    pub query: Option<&'b [u8]>,
    /// `OPTIONS *`: asks about the server itself; `path` is empty.
    pub asterisk: bool,
    /// How the content ends (RFC 9112 §6).
    pub body: BodyLength,
    /// May the connection persist after this exchange, as far as the request says (RFC 9112 §9.3)?
    pub keep_alive: bool,
    /// `Expect: 100-continue` on 1.1: the client waits for 100 Continue before it sends content.
    pub expects_continue: bool,
}

impl Request<'_> {
    /// HEAD: the response carries no content.
    pub fn is_head(&self) -> bool {
        self.method == Method::Head
    }

    /// The target's path and query, as sent, also where the target names a host.
    pub fn path_and_query(&self) -> &[u8] {
        target::origin_form(self.target).1
    }

    /// Host and port as sent: those of the absolute form count, not the Host field (RFC 9112 §3.2.2).
    pub fn authority(&self) -> Option<&[u8]> {
        target::origin_form(self.target).0.or_else(|| self.fields.last("Host"))
    }
}

/// A request that is answered with an error, as a value: status, and what to tell the client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rejection {
    /// 4xx or 5xx.
    pub status: u16,
    /// One sentence for the error page, without markup. `{url}` stands for the request target and
    /// is filled in, escaped, by `response::error`.
    pub why: Cow<'static, str>,
    /// The connection cannot be trusted with another request (framing is in doubt): close it.
    pub close: bool,
    /// The system lacks something that may be there in a moment: a request that may wait is answered then.
    pub may_pass: bool,
}

impl Rejection {
    /// An error after which the connection may go on.
    pub fn new(status: u16, why: impl Into<Cow<'static, str>>) -> Rejection {
        Rejection { status, why: why.into(), close: false, may_pass: false }
    }

    /// An error that ends the connection.
    pub fn fatal(status: u16, why: impl Into<Cow<'static, str>>) -> Rejection {
        Rejection { close: true, ..Rejection::new(status, why) }
    }

    /// 503 because the system lacks a descriptor, memory or a process just now.
    pub fn shortage() -> Rejection {
        Rejection { may_pass: true, ..Rejection::new(503, "") }
    }

    /// 400 that ends the connection: the bytes are not HTTP as we understand it.
    pub fn malformed(why: &'static str) -> Rejection {
        Rejection::fatal(400, why)
    }
}

impl fmt::Display for Rejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.status, self.why)
    }
}

/// Result of parsing bytes that may be incomplete, which is not an error.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Parsed<T> {
    /// The value, and how many bytes it took.
    Complete(T, usize),
    /// Well-formed so far; more must arrive.
    Partial,
}
