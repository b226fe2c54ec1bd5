//! A worker's receive buffer: holds one connection's unread bytes for the length of a turn.

use crate::conn::io::socket::{Progress, Socket};
use crate::conn::io::spin::BlockingReadPolicy;

/// Room beyond the largest head, so that a read seldom splits what a client sent at once.
const SPARE: usize = 16 * 1024;

/// Bytes received, and the part of them that is not yet consumed.
#[derive(Debug, Default)]
pub struct ReceiveBuffer {
    buffer: Vec<u8>,
    start: usize,
    end: usize,
    /// Set if the last read emptied the socket: epoll reports anything newer.
    drained: bool,
}

impl ReceiveBuffer {
    /// A buffer that takes a head of `largest` bytes, and more.
    pub fn with_room_for(largest: usize) -> ReceiveBuffer {
        ReceiveBuffer { buffer: vec![0; largest + SPARE], ..ReceiveBuffer::default() }
    }

    /// Starts a turn with the bytes an earlier one left.
    pub fn begin(&mut self, pending: &mut Vec<u8>) {
        let pending = std::mem::take(pending);
        if pending.len() > self.buffer.len() {
            self.buffer.resize(pending.len() + SPARE, 0);
        }
        self.buffer[..pending.len()].copy_from_slice(&pending);
        (self.start, self.end, self.drained) = (0, pending.len(), false);
    }

    /// Bytes not yet consumed.
    pub fn bytes(&self) -> &[u8] {
        &self.buffer[self.start..self.end]
    }

    /// Tells whether no unconsumed byte is left.
    pub fn is_empty(&self) -> bool {
        self.start == self.end
    }

    /// Tells whether the last read emptied the socket, too.
    pub fn is_drained(&self) -> bool {
        self.is_drained_after(0)
    }

    /// Tells whether no byte is left behind the first `n`, nor in the socket as of the last read.
    pub fn is_drained_after(&self, n: usize) -> bool {
        self.drained && self.bytes().len() == n
    }

    /// Marks `n` bytes as consumed.
    pub fn consume(&mut self, n: usize) {
        self.start += n;
        if self.start >= self.end {
            (self.start, self.end) = (0, 0);
        }
    }

    /// Reads more; with `blocking_read`, waits for the first byte.
    pub fn fill(&mut self, socket: &mut Socket, blocking_read: Option<&mut BlockingReadPolicy>) -> Progress {
        if self.start > 0 {
            self.buffer.copy_within(self.start..self.end, 0);
            (self.start, self.end) = (0, self.end - self.start);
        }
        let room = &mut self.buffer[self.end..];
        let asked = room.len();
        let progress = match blocking_read {
            None => socket.read(room),
            Some(blocking_read) => socket.read_blocking(room, blocking_read),
        };
        if let Progress::Moved(n) = progress {
            self.end += n;
            self.drained = n < asked;
        }
        progress
    }

    /// Ends the turn; gives the rest for the next one.
    pub fn finish(&mut self) -> Vec<u8> {
        let rest = self.bytes().to_vec();
        (self.start, self.end) = (0, 0);
        rest
    }
}
