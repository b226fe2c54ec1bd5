//! thttpd: a tiny web server with a fixed pool of blocking workers.
//!
//! # Layout
//!
//! ```text
//! bytes ──parse──► Request ──resolve──► Resource ──respond──► Response ──send──► socket ──record──► log
//!        request/           resource/            response/             conn/              log/
//! ```
//!
//! Arrows point right only. Around the pipeline:
//!
//! * [`net`] owns connections (acceptor, workers, poller) and gives each its turns;
//! * [`conn`] is the life of one connection; [`site`] is all that a stage may read;
//! * [`docroot`] opens files below the root, [`auth`] checks passwords, [`representation`] is a file
//!   as HTTP describes it, [`cache`] remembers look-ups for [`resource`];
//! * [`rules`] holds the rules file: routes, guards, fields and rates by name;
//! * [`cgi`] runs scripts, [`throttle`] paces bytes;
//! * [`config`] parses flags and files, [`boot`] goes from root to ready, [`control`] obeys signals,
//!   [`command`] carries out the command line;
//! * [`sys`] wraps system calls: the only `unsafe`.
//!
//! # One request, step by step
//!
//! | Step | File | Function | Yields |
//! |---|---|---|---|
//! | accept a connection | `net/listener.rs` | `accept` | `AdmittedConnection` |
//! | hand it to a worker | `net/mod.rs` | `Shared::enqueue` | `ReadyConnection` |
//! | give it a turn | `net/worker.rs` | `Worker::run_turns` | `Next` |
//! | run its state | `conn/mod.rs` | `Connection::turn` | `Step` |
//! | read and parse a head | `conn/read_request.rs`, `request/head.rs` | `ReadRequest::advance`, `parse` | `Request` |
//! | decide | `conn/exchange.rs` | `decide` | `Decision` |
//! | find the resource | `resource/mod.rs`, `resource/lookup.rs` | `Resolver::resolve`, `look_up` | `Resolved` |
//! | make the response | `response/mod.rs` | `respond` | `Response` |
//! | send and log it | `conn/reply.rs`, `conn/send_response.rs` | `reply`, `SendResponse::advance` | `AccessEntry` |
//! | wait for the next one | `net/poller.rs` | `Poller::park` | |
/// The server's modules, which the crate keeps to itself: what no code uses is then seen by the compiler. The
/// feature `internals` opens them to `tests/` and `fuzz/`.
#[path = ""]
mod internals {
    pub mod auth;
    pub mod boot;
    pub mod cache;
    pub mod cgi;
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
    pub mod throttle;
}

#[cfg(feature = "internals")]
pub use internals::*;
#[cfg(not(feature = "internals"))]
use internals::*;

pub mod command;
pub mod companion;
#[cfg(test)]
mod testing;
