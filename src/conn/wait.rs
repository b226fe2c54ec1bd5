//! Why a connection waits, and why it came back.

use std::os::fd::RawFd;
use std::time::Instant;

/// What a waiting connection waits for.
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
    /// What for.
    pub on: On,
    /// How long at most.
    pub until: Instant,
}

/// Why a connection is in a worker's hands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wake {
    /// Just accepted, or what it waited for is there.
    Ready,
    /// The same, and the peer has ended its side: what is read next may be the end.
    Hangup,
    /// The worker that just served it has time to wait for more in the read itself.
    SpinRead,
    /// Its deadline passed.
    Expired,
    /// The server ends: an idle connection closes now, a busy one with its response.
    Drain,
    /// The server's grace is over: close and say so in the log.
    Abort,
}

/// What becomes of a connection after a turn: the only result of one.
#[derive(Debug, PartialEq, Eq)]
pub enum Next {
    /// Into the parking lot.
    Park(Wait),
    /// The same, between two requests of a persistent connection: a worker with nothing else to do
    /// may wait for the next request itself.
    Idle(Wait),
    /// It could go on, but others have waited long enough.
    Yield,
    /// It is over.
    Close,
}
