//! Refusal of a request, before a response is made of it.

use std::borrow::Cow;
use std::fmt;

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
