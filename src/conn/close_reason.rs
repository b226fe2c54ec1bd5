//! Reasons for which connections are closed.

use nix::errno::Errno;

/// Reason for which a connection was closed: one for each, from accept to close.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CloseReason {
    /// The client ended its side between two requests, or before the first.
    ClientEnd,
    /// The client reset the connection, or no longer takes what is sent.
    Reset,
    /// A system call on the socket failed.
    IoError,
    /// No request came within `keepalive_timeout`, or `head_timeout` where it was the first.
    IdleTimeout,
    /// A head was not complete within `head_timeout`.
    HeadTimeout,
    /// Content stood still for `body_timeout`, or unwanted content took longer than that.
    BodyTimeout,
    /// The client took nothing of a response for `send_timeout`.
    SendTimeout,
    /// Bytes came or went more slowly than `body_min_rate` or `send_min_rate`.
    MinimumRate,
    /// A file's storage did not answer within `send_timeout`.
    StorageTimeout,
    /// The request or its version asked for no further one.
    NotKeptAlive,
    /// `keepalive_requests` or `keepalive_max_time` was reached.
    KeepAliveLimit,
    /// Bytes were no HTTP, or the request ended before it was complete.
    ProtocolError,
    /// A response to a request that was refused ends its connection (413, 503).
    Rejected,
    /// Content that no response needed was too long to be read past.
    UnreadBody,
    /// The memory for unfinished requests had no room for this one.
    NoMemory,
    /// The client had too many connections.
    ConnectionLimit,
    /// A PROXY protocol head was malformed, or did not come in time.
    ProxyRefused,
    /// A file became shorter while it was sent.
    FileTruncated,
    /// The output of a script ended early, or was no response.
    ScriptFailed,
    /// The server ended, and the connection was idle or had had its response.
    Shutdown,
    /// The server's grace was over: what was under way was cut off.
    Aborted,
    /// A defect in the server: the turn panicked.
    Panic,
}

impl CloseReason {
    /// Number of reasons.
    pub const COUNT: usize = CloseReason::ALL.len();

    /// All reasons, each at the place of its discriminant.
    pub const ALL: [CloseReason; 22] = [
        CloseReason::ClientEnd,
        CloseReason::Reset,
        CloseReason::IoError,
        CloseReason::IdleTimeout,
        CloseReason::HeadTimeout,
        CloseReason::BodyTimeout,
        CloseReason::SendTimeout,
        CloseReason::MinimumRate,
        CloseReason::StorageTimeout,
        CloseReason::NotKeptAlive,
        CloseReason::KeepAliveLimit,
        CloseReason::ProtocolError,
        CloseReason::Rejected,
        CloseReason::UnreadBody,
        CloseReason::NoMemory,
        CloseReason::ConnectionLimit,
        CloseReason::ProxyRefused,
        CloseReason::FileTruncated,
        CloseReason::ScriptFailed,
        CloseReason::Shutdown,
        CloseReason::Aborted,
        CloseReason::Panic,
    ];

    /// Reason of a connection on which a system call failed with `errno`.
    pub fn from_errno(errno: Errno) -> CloseReason {
        match errno {
            Errno::ECONNRESET | Errno::EPIPE | Errno::ECONNABORTED => CloseReason::Reset,
            _ => CloseReason::IoError,
        }
    }

    /// Label of the reason in `/metrics`.
    pub fn label(self) -> &'static str {
        match self {
            CloseReason::ClientEnd => "client_end",
            CloseReason::Reset => "reset",
            CloseReason::IoError => "io_error",
            CloseReason::IdleTimeout => "idle_timeout",
            CloseReason::HeadTimeout => "head_timeout",
            CloseReason::BodyTimeout => "body_timeout",
            CloseReason::SendTimeout => "send_timeout",
            CloseReason::MinimumRate => "minimum_rate",
            CloseReason::StorageTimeout => "storage_timeout",
            CloseReason::NotKeptAlive => "not_kept_alive",
            CloseReason::KeepAliveLimit => "keepalive_limit",
            CloseReason::ProtocolError => "protocol_error",
            CloseReason::Rejected => "rejected",
            CloseReason::UnreadBody => "unread_body",
            CloseReason::NoMemory => "no_memory",
            CloseReason::ConnectionLimit => "connection_limit",
            CloseReason::ProxyRefused => "proxy_refused",
            CloseReason::FileTruncated => "file_truncated",
            CloseReason::ScriptFailed => "script_failed",
            CloseReason::Shutdown => "shutdown",
            CloseReason::Aborted => "aborted",
            CloseReason::Panic => "panic",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn each_reason_stands_at_its_place_and_has_a_label_of_its_own() {
        for (at, reason) in CloseReason::ALL.into_iter().enumerate() {
            assert_eq!(reason as usize, at, "{reason:?}");
        }
        let labels: HashSet<&str> = CloseReason::ALL.into_iter().map(CloseReason::label).collect();
        assert_eq!(labels.len(), CloseReason::COUNT);
    }

    #[test]
    fn a_client_that_left_is_told_from_a_failure_of_ours() {
        assert_eq!(CloseReason::from_errno(Errno::ECONNRESET), CloseReason::Reset);
        assert_eq!(CloseReason::from_errno(Errno::ENOMEM), CloseReason::IoError);
    }
}
