//! A response on its way: bytes to send, their pace, and the line to log.

use std::time::Instant;

use super::close_reason::CloseReason;
use super::io::send_queue::{SendQueue, UNPACED};
use super::io::socket::{Progress, Socket};
use super::log_record::LogRecord;
use super::progress::SendWatch;
use crate::log::access::AccessEntry;
use crate::request::BodyLength;
use crate::throttle::{Allowance, Pacer};

/// Longest content without a use that is read past, framing included, to keep the connection; beyond it the
/// connection is closed.
pub const MOST_DISCARDED: u64 = 256 * 1024;

/// Step of a connection after its response.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AfterResponse {
    /// The connection takes another request.
    NextRequest,
    /// The connection takes another request once this one's content, which has no use, is read past.
    DiscardBody(BodyLength),
    /// The connection ends, but the client may still be sending: read on a moment, so that a reset does not
    /// destroy the response (RFC 9112 §9.6).
    Linger(CloseReason),
    /// The connection ends.
    Close(CloseReason),
}

impl AfterResponse {
    /// Tells whether the connection takes another request.
    pub fn keeps_alive(self) -> bool {
        matches!(self, AfterResponse::NextRequest | AfterResponse::DiscardBody(_))
    }
}

/// A response that one call could not send, or that a throttle paces.
#[derive(Debug)]
pub struct Outgoing {
    send_queue: SendQueue,
    record: LogRecord,
    pacer: Option<Box<Pacer>>,
    after: AfterResponse,
    /// Number of bytes of the head not yet sent, which do not count as content.
    head_left: u64,
    /// Number of content bytes sent.
    content: u64,
    watch: SendWatch,
    /// Start of the wait for storage.
    waits_since: Option<Instant>,
}

impl Outgoing {
    /// A response of which nothing is sent.
    pub fn new(
        send_queue: SendQueue,
        record: LogRecord,
        mut pacer: Option<Box<Pacer>>,
        after: AfterResponse,
    ) -> Outgoing {
        if let Some(pacer) = &mut pacer {
            pacer.set_remaining(send_queue.len());
        }
        Outgoing {
            send_queue,
            record,
            pacer,
            after,
            head_left: 0,
            content: 0,
            watch: SendWatch::default(),
            waits_since: None,
        }
    }

    /// Counts a part as sent: `head_left` bytes of head remain, and all after `content` bytes of content.
    pub fn part_sent(self, head_left: u64, content: u64) -> Outgoing {
        Outgoing { head_left, content, ..self }
    }

    /// Step after the last byte.
    pub fn after(&self) -> AfterResponse {
        self.after
    }

    /// Tells whether all bytes are sent.
    pub fn is_sent(&self) -> bool {
        self.send_queue.is_empty()
    }

    /// Tells whether the response holds memory that others need.
    pub fn holds_memory(&self) -> bool {
        self.send_queue.held.is_some()
    }

    /// True if the next bytes come from a file, which may have to be fetched from a disk.
    pub fn reads_disk(&self) -> bool {
        self.send_queue.reads_disk()
    }

    /// True if the next bytes come from storage that may not answer.
    pub fn reads_remote(&self) -> bool {
        self.send_queue.reads_remote()
    }

    /// Ends a wait for the client.
    pub fn resume(&mut self, now: Instant) {
        self.watch.resume(now);
    }

    /// Bytes that may be sent now; an error holds the time at which the throttle allows more.
    pub fn allowance(&mut self) -> Result<u64, Instant> {
        match self.pacer.as_mut().map(|pacer| pacer.allowance(Instant::now())) {
            Some(Allowance::Until(at)) => {
                self.watch.pause();
                Err(at)
            }
            Some(Allowance::Bytes(n)) => Ok(n),
            None => Ok(UNPACED),
        }
    }

    /// Sends a piece of up to `most` bytes, and counts it.
    pub fn send(&mut self, socket: &mut Socket, most: u64) -> Progress {
        self.waits_since = None;
        let progress = self.send_queue.send(socket, most);
        let n = if let Progress::Moved(n) = progress { n as u64 } else { 0 };
        self.watch.sent(n);
        let head = n.min(self.head_left);
        self.head_left -= head;
        self.content += n - head;
        if let Some(pacer) = &mut self.pacer {
            pacer.sent(n, Instant::now());
        }
        progress
    }

    /// Watch over the client's progress.
    pub fn watch_mut(&mut self) -> &mut SendWatch {
        &mut self.watch
    }

    /// Begins or continues a wait for storage; returns its start.
    pub fn wait_for_storage(&mut self) -> Instant {
        self.watch.pause();
        *self.waits_since.get_or_insert_with(Instant::now)
    }

    /// Line for the access log, with the content that was really sent.
    pub fn entry<'a>(&'a self, client: &'a [u8]) -> AccessEntry<'a> {
        self.record.entry(client, self.content)
    }
}
