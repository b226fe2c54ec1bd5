//! What is still to be sent: segments of memory and of files, in order.

use std::collections::VecDeque;
use std::io::IoSlice;
use std::ops::Range;
use std::sync::Arc;

use crate::conn::io::socket::{Progress, Socket};
use crate::representation::Content;
use crate::response::Body;
use crate::sys::fd::OpenFile;
use crate::sys::memory::MemoryReservation;

/// Bytes handed to the system in one call: enough to keep it rare, little enough to share a worker.
const PIECE: u64 = 512 * 1024;

/// The same, at the beginning of a file: most files are no longer.
const FIRST_PIECE: u64 = 1024 * 1024;

/// The bound of a response that no throttle covers.
pub const UNPACED: u64 = u64::MAX;

/// Pieces of memory gathered into one call.
const GATHER: usize = 8;

/// One run of bytes.
#[derive(Debug)]
enum Segment {
    Owned(Vec<u8>, usize),
    Shared(Arc<[u8]>, Range<usize>),
    File(Arc<OpenFile>, Range<u64>),
}

/// The rest of a response.
#[derive(Debug, Default)]
pub struct SendQueue {
    segments: VecDeque<Segment>,
    /// The memory of a large page among them.
    pub held: Option<Arc<MemoryReservation>>,
}

impl SendQueue {
    /// A response whose head (with any content already appended) is `head`.
    pub fn new(head: Vec<u8>) -> SendQueue {
        let mut send_queue = SendQueue::default();
        send_queue.push_bytes(head);
        send_queue
    }

    /// Appends bytes of ours.
    pub fn push_bytes(&mut self, bytes: Vec<u8>) {
        if !bytes.is_empty() {
            self.segments.push_back(Segment::Owned(bytes, 0));
        }
    }

    /// Appends a response's content.
    pub fn push_body(&mut self, body: Body) {
        match body {
            Body::None => {}
            Body::Bytes(bytes, range) => self.push_memory(bytes, range),
            Body::Page(page) => self.push_bytes(page),
            Body::File(file, range) => self.push_file(file, range),
            Body::Parts { source, parts, closing } => {
                for (head, range) in parts {
                    self.push_bytes(head);
                    self.push_content(&source, range);
                }
                self.push_bytes(closing);
            }
        }
    }

    fn push_content(&mut self, source: &Content, range: Range<u64>) {
        match source {
            Content::Memory(bytes) => {
                let at = |n: u64| usize::try_from(n).unwrap_or(bytes.len()).min(bytes.len());
                self.push_memory(Arc::clone(bytes), at(range.start)..at(range.end));
            }
            Content::File(file) => self.push_file(Arc::clone(file), range),
        }
    }

    fn push_memory(&mut self, bytes: Arc<[u8]>, range: Range<usize>) {
        if !range.is_empty() {
            self.segments.push_back(Segment::Shared(bytes, range));
        }
    }

    fn push_file(&mut self, file: Arc<OpenFile>, range: Range<u64>) {
        if !range.is_empty() {
            self.segments.push_back(Segment::File(file, range));
        }
    }

    /// Bytes still to be sent.
    pub fn len(&self) -> u64 {
        let lengths = self.segments.iter().map(|segment| match segment {
            Segment::Owned(bytes, at) => (bytes.len() - at) as u64,
            Segment::Shared(_, range) => range.len() as u64,
            Segment::File(_, range) => range.end - range.start,
        });
        lengths.sum()
    }

    /// Everything is sent.
    pub fn is_empty(&self) -> bool {
        self.segments.is_empty()
    }

    /// The next bytes come from a file, which may have to be fetched from a disk.
    pub fn reads_disk(&self) -> bool {
        matches!(self.segments.front(), Some(Segment::File(..)))
    }

    /// ReadRequest them may hang for as long as another machine or a program does not answer.
    pub fn reads_remote(&self) -> bool {
        matches!(self.segments.front(), Some(Segment::File(file, _)) if file.is_remote())
    }

    /// Sends a piece, of up to `most` bytes, in one call and without waiting.
    pub fn send(&mut self, socket: &mut Socket, most: u64) -> Progress {
        let progress = match self.segments.front() {
            None => return Progress::Moved(0),
            Some(Segment::File(file, range)) => {
                let piece = if range.start == 0 { FIRST_PIECE } else { PIECE };
                let count = (range.end - range.start).min(most).min(piece);
                match file.file() {
                    Some(file) => {
                        socket.send_file(file, range.start, usize::try_from(count).unwrap_or(usize::MAX))
                    }
                    None => Progress::Ended,
                }
            }
            Some(_) => self.send_memory(socket, most),
        };
        if let Progress::Moved(n) = progress {
            self.advance(n);
        }
        progress
    }

    fn send_memory(&self, socket: &Socket, most: u64) -> Progress {
        let mut pieces = [IoSlice::new(b""); GATHER];
        let mut count = 0;
        let mut room = usize::try_from(most.min(PIECE)).unwrap_or(usize::MAX);
        for segment in self.segments.iter().take(GATHER) {
            let bytes = match segment {
                Segment::Owned(bytes, at) => &bytes[*at..],
                Segment::Shared(bytes, range) => &bytes[range.clone()],
                Segment::File(..) => break,
            };
            let bytes = &bytes[..bytes.len().min(room)];
            room -= bytes.len();
            pieces[count] = IoSlice::new(bytes);
            count += 1;
            if room == 0 {
                break;
            }
        }
        // A packet need not leave half full when a file follows at once. Under a throttle what follows may
        // be a second away, and the kernel would send the held heads of many responses in one burst.
        let more = most == UNPACED && room > 0 && count < self.segments.len();
        socket.write_pieces(&pieces[..count], more)
    }

    fn advance(&mut self, sent: usize) {
        let mut left = sent as u64;
        while let Some(front) = self.segments.front_mut() {
            let gone = match front {
                Segment::Owned(bytes, at) => {
                    let n = left.min((bytes.len() - *at) as u64);
                    *at += usize::try_from(n).unwrap_or_default();
                    (n, *at == bytes.len())
                }
                Segment::Shared(_, range) => {
                    let n = left.min(range.len() as u64);
                    range.start += usize::try_from(n).unwrap_or_default();
                    (n, range.start == range.end)
                }
                Segment::File(_, range) => {
                    let n = left.min(range.end - range.start);
                    range.start += n;
                    (n, range.start == range.end)
                }
            };
            left -= gone.0;
            if !gone.1 {
                return;
            }
            self.segments.pop_front();
        }
    }
}
