//! Ownership of connections: acceptor, channel, workers, poller.
//!
//! ```text
//!             accept             channel (unbounded; the ConnectionLimiter bounds it)
//!  listeners ────────► acceptor ─────────► worker 1..N ──turn──► Next::Close(reason) ─► close_counts
//!      │                                    ▲      │ Next::Park
//!      └ accept: admission, then            │ready ▼
//!        AdmittedConnection                 poller ◄──── deadlines ── timer thread
//! ```
//!
//! | Subject | File |
//! |---|---|
//! | threads, their start and end | [`server`] |
//! | state that they share | [`shared`] |
//! | one connection accepted and admitted | [`accept`] by [`admission`]; [`admitted`] is the result |
//! | turns | [`worker`], as many at once as [`active_workers`] allows and the [`load`] needs |
//! | waits | [`poller`], with the deadlines of [`timers`] |
//! | reload | [`generation`] |
//! | `/healthz`, `/metrics` | [`status`], [`health`], [`metrics`] |
//!
//! The acceptor waits for the listeners; a worker that has just served a new connection accepts the next
//! one itself, if there is one.
//!
//! A connection has exactly one owner: the channel, a worker, or the poller. A worker does all that
//! can be done without waiting on the client; a connection that then waits — for a request, for room
//! in a socket buffer, for a throttle's pause to end — waits in the [`poller`], so no slow client
//! holds a worker. Workers themselves wait in one place only, the poller's epoll set, in which an
//! eventfd becomes ready when something was put into the channel. At most as many workers are active as
//! there are processors, and fewer where fewer can do all the work; the rest are on standby for turns that
//! may block ([`active_workers`]).

mod accept;
mod acceptor;
mod active_workers;
mod admission;
mod admitted;
mod close_counts;
mod generation;
mod health;
pub mod listen_socket;
mod listener;
mod load;
mod metrics;
mod poller;
mod server;
mod shared;
mod status;
mod timers;
mod worker;

pub use server::Server;
