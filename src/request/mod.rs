//! Request parsing: bytes to a [`Request`]. Pure: no socket, no file.
//!
//! [`head::parse`] takes the bytes that have arrived. It returns a complete request, "incomplete", or a
//! [`Rejection`]. A request borrows its bytes; only a path with escapes or dots is copied.

pub mod accept;
pub mod body;
pub mod client;
pub mod fields;
pub mod forwarded;
pub mod framing;
pub mod head;
pub mod list_view;
mod message;
pub mod outline;
mod parsed;
pub mod proxy_protocol;
mod rejection;
mod request_line;
pub mod spool;
pub mod target;

pub use client::Client;
pub use fields::Fields;
pub use framing::BodyLength;
pub use message::Request;
pub use parsed::Parsed;
pub use rejection::Rejection;
pub use request_line::{Method, Version};
