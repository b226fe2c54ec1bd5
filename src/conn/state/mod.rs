//! States of a connection, one file each.
//!
//! A state's `advance` does all that can be done without waiting. None imports another: each answers with a
//! [`Transition`](super::transition::Transition), which `conn/mod.rs` carries out.

pub mod discard_body;
pub mod linger;
pub mod read_body;
pub mod read_proxy_head;
pub mod read_request;
pub mod relay_cgi;
pub mod send_response;
pub mod start_cgi;
