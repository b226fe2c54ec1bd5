//! Waits of a connection, and the events that end them.

use std::os::fd::RawFd;
use std::time::Instant;

use super::close_reason::CloseReason;

/// Event that a waiting connection waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum On {
    /// Bytes from the client, or its end.
    Readable,
    /// Room in the socket's send buffer.
    Writable,
    /// Output of a script, on this descriptor.
    Pipe(RawFd),
    /// A worker's return from storage that may not answer.
    RemoteStorage,
    /// Nothing but the time (a throttle's pause).
    Time,
}

/// A wait and its end: at the deadline the connection comes back with [`Wake::Expired`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wait {
    /// Event that ends it.
    pub on: On,
    /// Deadline.
    pub until: Instant,
}

/// Reason for which a worker has the connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wake {
    /// The connection was just accepted, or the event that it waited for has come.
    Ready,
    /// The event has come, and the peer has shut down its side: the next read may find the end.
    Hangup,
    /// The worker that just served it has time to wait for more in the read itself.
    SpinRead,
    /// The deadline of the wait has passed.
    Expired,
    /// The server ends: an idle connection closes now, a busy one with its response.
    Drain,
    /// The server's grace is over: close, and log what is cut off.
    Abort,
}

/// Result of a turn: where the connection goes.
#[derive(Debug, PartialEq, Eq)]
pub enum Next {
    /// Into the poller.
    Park(Wait),
    /// Into the poller between two requests of a persistent connection: a worker with nothing else to do
    /// may wait for the next request itself.
    Idle(Wait),
    /// Back into the queue: the connection could go on, but others have waited long enough.
    Yield,
    /// Nowhere: the connection is over.
    Close(CloseReason),
}
