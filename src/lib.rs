//! thttpd: a tiny web server with a fixed pool of blocking workers.
//!
//! # Layout
//!
//! ```text
//! bytes ──parse──► Request ──resolve──► Resource ──respond──► Response ──send──► socket ──record──► log
//!        request/           resource/            response/             conn/              log/
//! ```
//!
//! Arrows point right only.
pub mod boot;
pub mod cgi;
pub mod config;
pub mod conn;
pub mod control;
pub mod log;
pub mod net;
pub mod request;
pub mod resource;
pub mod response;
pub mod site;
#[allow(unsafe_code)]
pub mod sys;
#[cfg(test)]
mod testing;
pub mod throttle;
