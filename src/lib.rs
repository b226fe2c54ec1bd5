//! thttpd: a tiny web server with a fixed pool of blocking workers.
//!
//! # Layout
//!
//! ```text
//! bytes ──parse──► Request ──resolve──► Resource ──respond──► Response ──send──► socket ──record──► log
//!        request/           resource/            response/             conn/              log/
//! ```
//!
//! Arrows point right only. Round the pipeline:
//!
//! * [`net`] owns connections — acceptor, workers, parking lot — and gives each its turns;
//! * [`conn`] is the life of one connection; [`site`] is all that a stage may read;
//! * [`rules`] are the operator's, by name: routes, guards, fields, rates;
//! * [`cgi`] runs scripts, [`throttle`] paces bytes;
//! * [`config`] is what the operator wrote, [`boot`] goes from root to ready, [`control`] obeys
//!   signals, [`command`] does what the command line asks;
//! * [`sys`] is where we meet the system: the only `unsafe`.
pub mod auth;
pub mod boot;
pub mod cache;
pub mod cgi;
pub mod command;
pub mod companion;
pub mod config;
pub mod conn;
pub mod control;
pub mod docroot;
pub mod log;
pub mod net;
pub mod representation;
pub mod request;
pub mod resource;
pub mod response;
pub mod rules;
pub mod site;
#[allow(unsafe_code)]
pub mod sys;
#[cfg(test)]
mod testing;
pub mod throttle;
