//! Method and version of a request line, as decisions need them.

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
