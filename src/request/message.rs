//! A request, as all later stages read it.

use std::borrow::Cow;

use super::fields::Fields;
use super::framing::BodyLength;
use super::request_line::{Method, Version};
use super::target;

/// A complete, well-formed request head.
#[derive(Debug, Clone)]
pub struct Request<'b> {
    /// The whole head as received.
    pub head: &'b [u8],
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
