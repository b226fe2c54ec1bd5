//! Responses: decides status, fields and body for a resource; touches no socket.
//!
//! Input: the [`Request`](crate::request::Request), its [`Resource`](crate::resource::Resource) or the
//! [`Rejection`](crate::request::Rejection) of an earlier stage, and the [`Policy`].
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

pub mod conditional;
pub mod error;
mod error_pages;
pub mod escape;
pub mod file;
#[cfg(test)]
mod fixture;
pub mod head;
pub mod listing;
mod message;
mod page;
mod policy;
pub mod range;
pub mod redirect;
mod respond;
pub mod status;
#[cfg(test)]
mod tests;

pub use error::refuse;
pub use error_pages::ErrorPages;
pub use message::{Body, Parts, Response};
pub use policy::Policy;
pub use respond::respond;
pub use status::Status;

/// Product name, for the Server field, the foot of pages and SERVER_SOFTWARE.
pub const SERVER: &str = concat!("thttpd/", env!("CARGO_PKG_VERSION"));
