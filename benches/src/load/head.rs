//! Bytes from a server → where the response's head ends, or what is wrong with it.
//!
//! Every response is checked: version, status and the length it announces. Most servers repeat the
//! same head for the same file but for the date, so after one full reading a [`Shape`] remembers
//! where things stood and the next check compares three short stretches of bytes.

use std::error::Error;
use std::fmt;
use std::io::Read;
use std::ops::Range;

use memchr::memmem;

use crate::Result;
use crate::tree::Page;

/// One request of a workload and the answer it must get.
pub struct Exchange {
    /// The request as it goes over the wire.
    pub request: Vec<u8>,
    /// The three digits of the status.
    pub status: [u8; 3],
    /// Bytes of the body.
    pub body: u64,
}

impl Exchange {
    /// A plain request for the page on a persistent connection, to be answered with its content.
    pub fn of(page: &Page) -> Self {
        Self::with_fields(page, "")
    }

    /// Exchange with more field lines, each ended by CR LF.
    pub fn with_fields(page: &Page, field_lines: &str) -> Self {
        let request = format!(
            "GET {} HTTP/1.1\r\nHost: localhost\r\nUser-Agent: thttpd-bench\r\nAccept: */*\r\n{field_lines}\r\n",
            page.target
        );
        Self { request: request.into_bytes(), status: *b"200", body: page.size }
    }

    /// Receives the whole answer from a blocking stream and returns its body.
    ///
    /// # Errors
    /// The answer is wrong, ends early or does not come in the stream's time.
    pub fn receive(&self, stream: &mut impl Read) -> Result<Vec<u8>> {
        let mut answer = Vec::new();
        let mut part = [0; 16 * 1024];
        loop {
            if let Some(head) = Shape::default().read(&answer, self)?
                && answer.len() as u64 >= head as u64 + self.body
            {
                return Ok(answer.split_off(head));
            }
            match stream.read(&mut part)? {
                0 => return Err(Fault::Truncated.into()),
                bytes => answer.extend_from_slice(&part[..bytes]),
            }
        }
    }
}

/// Why an answer does not count.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// Not a response of HTTP/1.1.
    NotHttp,
    /// Another status than the workload asks for.
    Status(String),
    /// `Content-Length` is missing or not the size of the file.
    Length(Option<u64>),
    /// More bytes came than were announced.
    Surplus,
    /// The connection ended within a response.
    Truncated,
    /// A system call failed.
    Io(nix::Error),
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotHttp => write!(f, "the answer is not HTTP/1.1"),
            Self::Status(status) => write!(f, "unexpected status {status}"),
            Self::Length(None) => write!(f, "no Content-Length"),
            Self::Length(Some(length)) => write!(f, "Content-Length {length} is not the file's size"),
            Self::Surplus => write!(f, "more bytes than announced"),
            Self::Truncated => write!(f, "the connection ended within a response"),
            Self::Io(errno) => write!(f, "{errno}"),
        }
    }
}

impl Error for Fault {}

impl From<nix::Error> for Fault {
    fn from(errno: nix::Error) -> Self {
        Self::Io(errno)
    }
}

const VERSION: &[u8] = b"HTTP/1.1 ";
const BLANK_LINE: &[u8] = b"\r\n\r\n";
const NOT_MODIFIED: &[u8; 3] = b"304";

/// Where the parts of a head stood that was read in full and found right.
#[derive(Clone, Default)]
pub struct Shape {
    /// Bytes of the head with its blank line; 0 before any was read.
    head: usize,
    /// Where its `Content-Length` field line stood.
    length_at: Range<usize>,
    /// Content-Length line.
    length: Vec<u8>,
}

impl Shape {
    /// Reads the head at the start of `bytes`: its length, or `None` if it is not all there yet.
    ///
    /// # Errors
    /// The answer is not the one the exchange asks for.
    pub fn read(&mut self, bytes: &[u8], exchange: &Exchange) -> std::result::Result<Option<usize>, Fault> {
        if self.fits(bytes, exchange) {
            return Ok(Some(self.head));
        }
        let Some(end) = memmem::find(bytes, BLANK_LINE) else { return Ok(None) };
        let head = &bytes[..end + BLANK_LINE.len()];
        if !head.starts_with(VERSION) {
            return Err(Fault::NotHttp);
        }
        let status = head.get(9..12).unwrap_or_default();
        if status != exchange.status {
            return Err(Fault::Status(String::from_utf8_lossy(status).into_owned()));
        }
        // A 304 may carry the length of the representation it does not send (RFC 9110 §15.4.5).
        let length_at =
            if &exchange.status == NOT_MODIFIED { 0..0 } else { content_length(head, exchange.body)? };
        *self = Self { head: head.len(), length: head[length_at.clone()].to_vec(), length_at };
        Ok(Some(head.len()))
    }

    fn fits(&self, bytes: &[u8], exchange: &Exchange) -> bool {
        self.head > 0
            && bytes.len() >= self.head
            && bytes.starts_with(VERSION)
            && bytes[9..12] == exchange.status
            && bytes[self.length_at.clone()] == self.length
            && &bytes[self.head - BLANK_LINE.len()..self.head] == BLANK_LINE
    }
}

/// Finds the `Content-Length` field line and compares its value.
fn content_length(head: &[u8], expected: u64) -> std::result::Result<Range<usize>, Fault> {
    let mut start = 0;
    for line in head.split_inclusive(|byte| *byte == b'\n') {
        let at = start..start + line.len();
        start = at.end;
        let Some(colon) = line.iter().position(|byte| *byte == b':') else { continue };
        if !line[..colon].eq_ignore_ascii_case(b"content-length") {
            continue;
        }
        let value = String::from_utf8_lossy(&line[colon + 1..]).trim().parse().ok();
        return if value == Some(expected) { Ok(at) } else { Err(Fault::Length(value)) };
    }
    Err(Fault::Length(None))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn exchange(status: &[u8; 3], body: u64) -> Exchange {
        Exchange { request: Vec::new(), status: *status, body }
    }

    const FIRST: &[u8] = b"HTTP/1.1 200 OK\r\nDate: 1\r\nContent-Length: 12\r\n\r\nhello";
    const NEXT: &[u8] = b"HTTP/1.1 200 OK\r\nDate: 2\r\nContent-Length: 12\r\n\r\nhello";
    const LONGER: &[u8] = b"HTTP/1.1 200 OK\r\nDate: 2\r\nContent-Length: 13\r\n\r\nhello";

    #[test]
    fn a_known_shape_with_another_date_is_accepted() {
        let mut shape = Shape::default();
        let wanted = exchange(b"200", 12);
        assert_eq!(shape.read(FIRST, &wanted), Ok(Some(FIRST.len() - 5)));
        assert!(shape.fits(NEXT, &wanted));
        assert_eq!(shape.read(NEXT, &wanted), Ok(Some(NEXT.len() - 5)));
    }

    #[test]
    fn a_known_shape_with_another_length_is_a_fault() {
        let mut shape = Shape::default();
        let wanted = exchange(b"200", 12);
        assert!(shape.read(FIRST, &wanted).is_ok());
        for _ in 0..2 {
            assert_eq!(shape.read(LONGER, &wanted), Err(Fault::Length(Some(13))));
        }
    }

    #[test]
    fn half_a_head_is_not_yet_a_head() {
        let mut shape = Shape::default();
        assert_eq!(shape.read(&FIRST[..20], &exchange(b"200", 12)), Ok(None));
    }

    #[test]
    fn another_status_is_a_fault() {
        let mut shape = Shape::default();
        assert_eq!(shape.read(FIRST, &exchange(b"304", 0)), Err(Fault::Status("200".into())));
    }

    #[test]
    fn a_304_needs_no_length() {
        let mut shape = Shape::default();
        let bytes = b"HTTP/1.1 304 Not Modified\r\nDate: 1\r\n\r\n";
        assert_eq!(shape.read(bytes, &exchange(b"304", 0)), Ok(Some(bytes.len())));
        assert_eq!(shape.read(bytes, &exchange(b"304", 0)), Ok(Some(bytes.len())));
    }
}
