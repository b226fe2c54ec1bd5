//! Resolver: maps a request to a [`Resource`] of the file system; reads the disk, never the client.
//!
//! [`Resolver::resolve`] returns the requested resource or a refusal. Each resolution uses one open
//! descriptor (or one copy in memory) for both the checks and the response, so that the served file is the
//! checked one. The ordered checks are in [`lookup`]. [`cache`](crate::cache) keeps their results for plain
//! files, and compares them with the disk before each use.

pub mod by_rules;
mod denial;
mod found;
mod guards;
pub mod index;
pub mod list_limiter;
pub mod lookup;
mod lookup_context;
mod precompressed;
mod readme;
mod realm;
pub mod referrer;
mod represent;
mod resolve_request;
mod resolver;
mod rule_context;
mod siblings;
pub mod vhost;

pub use denial::{AccessDenied, DenialNote, Retry};
pub use found::{Directory, Resolution, Resolved, Resource, Script, ThrottleName};
pub use resolve_request::{Explain, ResolveRequest};
pub use resolver::Resolver;
