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
//! | accept a connection | `net/accept.rs` | `accept` | `AdmittedConnection` |
//! | hand it to a worker | `net/shared.rs` | `Shared::enqueue` | `ReadyConnection` |
//! | give it a turn | `net/worker.rs` | `Worker::run_turns` | `Next` |
//! | run its state | `conn/mod.rs` | `Connection::turn`, `State::advance` | `Advance` |
//! | read and parse a head | `conn/state/read_request.rs`, `request/head.rs` | `ReadRequest::advance`, `parse` | `Request` |
//! | decide | `conn/exchange.rs` | `decide` | `Decision` |
//! | find the resource | `resource/resolver.rs`, `resource/lookup.rs` | `Resolver::resolve`, `look_up` | `Resolved` |
//! | make the response | `response/respond.rs` | `respond` | `Response` |
//! | send and log it | `conn/reply.rs`, `conn/state/send_response.rs` | `send`, `SendResponse::advance` | `AccessEntry` |
//! | lead to the next state | `conn/mod.rs` | `enter` | `State`, `CloseReason` |
//! | wait for the next one | `net/poller.rs` | `Poller::park` | |
//!
//! # Questions of a newcomer
//!
//! | Question | Files |
//! |---|---|
//! | where is 404 decided? | `resource/lookup.rs` by the file system, `resource/by_rules.rs` by a rule; `resource/denial.rs` makes it |
//! | where does a timeout end a connection? | `conn/timeouts.rs`: each deadline, and how it ends; `net/poller.rs` wakes the connection for it |
//! | which code may touch a connection? | `conn/session.rs`: its fields are private; `conn/mod.rs` alone makes states |
//! | what happens when descriptors, memory or processes run out? | `net/admission.rs` |
//! | which requests are not parsed again? | `conn/response_cache.rs`: those with the bytes of one before, within its second |
//! | how is an option added? | `config/mod.rs`, `config/options.rs`, and the code that reads it |
//! | how is a response field added? | `response/head.rs`, or the response's own file in `response/` |

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
