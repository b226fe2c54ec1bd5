//! Refusal by a throttle.

use crate::request::Rejection;

/// Refusal of a request or connection: 503 with Retry-After (RFC 9110 §10.2.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Overloaded;

impl From<Overloaded> for Rejection {
    fn from(_: Overloaded) -> Rejection {
        Rejection::new(503, "Too many are asking at once; please try again later.")
    }
}
