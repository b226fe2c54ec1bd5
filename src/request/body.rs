//! Request content: removes the framing (RFC 9112 §6, §7.1). Pure: no socket, no file.
//!
//! [`BodyReader`] takes the bytes that the connection has read and passes the content to a sink. The `conn`
//! stage uses a [`Spool`](super::spool::Spool) as the sink. Bytes after the content belong to the next
//! request and stay with the caller.
//!
//! The chunked decoder accepts only what the grammar allows. Extensions are ignored after a check of their
//! characters. Leniency in other servers (a bare LF, a sign or blank before the size, a size that
//! overflows) has allowed requests to be smuggled past a proxy that reads the bytes differently.

use super::head::is_token_byte;
use super::{BodyLength, Rejection};

/// Maximum number of hex digits of a chunk size: a `u64` holds them all, so no size can overflow.
const SIZE_DIGITS: u8 = 16;
/// Maximum size of all chunk extensions of one request, in bytes; they are ignored.
const EXTENSION_BYTES: u32 = 16 * 1024;
/// Maximum size of the trailer section in bytes; it is read and discarded.
const TRAILER_BYTES: u32 = 16 * 1024;

/// Reader of one request's content, in pieces.
#[derive(Debug)]
pub struct BodyReader {
    state: BodyState,
    /// Bytes of chunk extensions, then of trailers, seen so far.
    overhead: u32,
}

/// Part of the grammar that the next byte belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum BodyState {
    /// Content of known length: number of bytes left, never zero.
    Length(u64),
    /// Chunk size: value and number of digits so far.
    Size(u64, u8),
    /// Blanks between the size and the `;` of an extension.
    Blank(u64),
    /// A chunk extension.
    Extension(u64),
    /// The LF that ends the line of the size.
    SizeEnd(u64),
    /// Content of a chunk: number of bytes left, never zero.
    Data(u64),
    /// CR after a chunk's content.
    DataCr,
    /// LF after a chunk's content.
    DataLf,
    /// First byte of a trailer line, or CR of the empty line at the end.
    TrailerStart,
    /// Name of a trailer field, after its first byte.
    TrailerName,
    /// Text after the colon.
    TrailerValue,
    /// The LF that ends a trailer line.
    TrailerEnd,
    /// The LF of the last, empty line.
    LastLf,
    /// The content is complete.
    Done,
}

impl BodyReader {
    /// Reader for content with the framing `length`.
    pub fn new(length: BodyLength) -> BodyReader {
        let state = match length {
            BodyLength::None | BodyLength::Length(0) => BodyState::Done,
            BodyLength::Length(n) => BodyState::Length(n),
            BodyLength::Chunked => BodyState::Size(0, 0),
        };
        BodyReader { state, overhead: 0 }
    }

    /// Takes `input` and passes its content to `sink`, in order and in one call.
    ///
    /// Contents of several chunks are joined first: a sink that writes to a disk would otherwise make a
    /// system call for each byte of a client that sends chunks of one byte.
    ///
    /// Returns the number of bytes that belong to this request, and whether the content is complete. All
    /// bytes are taken unless the content is complete; the rest is the next request's.
    ///
    /// # Errors
    /// 400 for framing that RFC 9112 §7.1 does not allow, and the errors of `sink`. The connection cannot
    /// be used for another request then.
    pub fn read(
        &mut self,
        input: &[u8],
        sink: &mut dyn FnMut(&[u8]) -> Result<(), Rejection>,
    ) -> Result<(usize, bool), Rejection> {
        let mut at = 0;
        let (mut first, mut joined): (&[u8], _) = (b"", Vec::new());
        while at < input.len() && self.state != BodyState::Done {
            match self.state {
                BodyState::Length(left) | BodyState::Data(left) => {
                    let arrived = input.len() - at;
                    let n = usize::try_from(left).map_or(arrived, |left| left.min(arrived));
                    let content = &input[at..at + n];
                    match (first, joined.is_empty()) {
                        ([], _) => first = content,
                        (_, true) => joined = [first, content].concat(),
                        _ => joined.extend_from_slice(content),
                    }
                    self.state = self.state.less(n as u64);
                    at += n;
                }
                _ => {
                    self.state = self.framing(input[at])?;
                    at += 1;
                }
            }
        }
        match if joined.is_empty() { first } else { &joined } {
            [] => {}
            content => sink(content)?,
        }
        Ok((at, self.state == BodyState::Done))
    }

    /// Number of content bytes still to come, if known: `None` for chunked framing.
    pub fn remaining_hint(&self) -> Option<u64> {
        match self.state {
            BodyState::Length(left) => Some(left),
            BodyState::Done => Some(0),
            _ => None,
        }
    }

    /// The state after one byte of framing.
    fn framing(&mut self, byte: u8) -> Result<BodyState, Rejection> {
        match self.state {
            BodyState::Size(value, digits) => size(value, digits, byte),
            BodyState::Blank(value) => match byte {
                b' ' | b'\t' => self.spend(EXTENSION_BYTES, BodyState::Blank(value)),
                b';' => self.spend(EXTENSION_BYTES, BodyState::Extension(value)),
                _ => Err(malformed()),
            },
            BodyState::Extension(value) => match byte {
                b'\r' => Ok(BodyState::SizeEnd(value)),
                _ if is_text(byte) => self.spend(EXTENSION_BYTES, BodyState::Extension(value)),
                _ => Err(malformed()),
            },
            BodyState::SizeEnd(0) => {
                self.overhead = 0;
                expect(byte, b'\n', BodyState::TrailerStart)
            }
            BodyState::SizeEnd(value) => expect(byte, b'\n', BodyState::Data(value)),
            BodyState::DataCr => expect(byte, b'\r', BodyState::DataLf),
            BodyState::DataLf => expect(byte, b'\n', BodyState::Size(0, 0)),
            BodyState::TrailerStart if byte == b'\r' => Ok(BodyState::LastLf),
            BodyState::TrailerStart | BodyState::TrailerName if is_token_byte(byte) => {
                self.spend(TRAILER_BYTES, BodyState::TrailerName)
            }
            BodyState::TrailerName if byte == b':' => self.spend(TRAILER_BYTES, BodyState::TrailerValue),
            BodyState::TrailerValue if byte == b'\r' => Ok(BodyState::TrailerEnd),
            BodyState::TrailerValue if is_text(byte) => self.spend(TRAILER_BYTES, BodyState::TrailerValue),
            BodyState::TrailerEnd => expect(byte, b'\n', BodyState::TrailerStart),
            BodyState::LastLf => expect(byte, b'\n', BodyState::Done),
            _ => Err(malformed()),
        }
    }

    /// Counts one discarded byte, up to `limit`.
    fn spend(&mut self, limit: u32, next: BodyState) -> Result<BodyState, Rejection> {
        self.overhead += 1;
        if self.overhead > limit {
            return Err(Rejection::malformed(
                "The request's chunked content has too many extensions or trailer fields.",
            ));
        }
        Ok(next)
    }
}

impl BodyState {
    /// State after `n` bytes of content; `n` is at most the number of bytes left.
    fn less(self, n: u64) -> BodyState {
        match self {
            BodyState::Length(left) if left > n => BodyState::Length(left - n),
            BodyState::Length(_) => BodyState::Done,
            BodyState::Data(left) if left > n => BodyState::Data(left - n),
            BodyState::Data(_) => BodyState::DataCr,
            other => other,
        }
    }
}

/// State after one byte of a chunk's size: at least one digit, with nothing before it.
fn size(value: u64, digits: u8, byte: u8) -> Result<BodyState, Rejection> {
    match (byte as char).to_digit(16) {
        Some(digit) if digits < SIZE_DIGITS => {
            Ok(BodyState::Size((value << 4) | u64::from(digit), digits + 1))
        }
        None if digits > 0 => match byte {
            b'\r' => Ok(BodyState::SizeEnd(value)),
            b';' => Ok(BodyState::Extension(value)),
            b' ' | b'\t' => Ok(BodyState::Blank(value)),
            _ => Err(malformed()),
        },
        _ => Err(malformed()),
    }
}

/// Returns `next` if `byte` equals `wanted`, the only byte allowed here.
fn expect(byte: u8, wanted: u8, next: BodyState) -> Result<BodyState, Rejection> {
    if byte == wanted { Ok(next) } else { Err(malformed()) }
}

/// Tells whether a byte is allowed in a line: no control byte but the tab.
fn is_text(byte: u8) -> bool {
    byte == b'\t' || (byte >= b' ' && byte != 0x7f)
}

fn malformed() -> Rejection {
    Rejection::malformed("The request's chunked content is malformed.")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Content, bytes taken and completeness if `input` arrives in pieces of `step` bytes.
    fn read_in(length: BodyLength, input: &[u8], step: usize) -> Result<(Vec<u8>, usize, bool), Rejection> {
        let mut reader = BodyReader::new(length);
        let mut content = Vec::new();
        let (mut taken, mut complete) = (0, false);
        for piece in input.chunks(step) {
            let (n, done) = reader.read(piece, &mut |bytes| {
                content.extend_from_slice(bytes);
                Ok(())
            })?;
            taken += n;
            complete = done;
            if done {
                break;
            }
        }
        Ok((content, taken, complete))
    }

    fn read(length: BodyLength, input: &[u8]) -> Result<(Vec<u8>, usize, bool), Rejection> {
        let whole = read_in(length, input, input.len().max(1));
        for step in [1, 2, 3, 7] {
            assert_eq!(read_in(length, input, step), whole, "in pieces of {step}");
        }
        whole
    }

    #[test]
    fn content_length_takes_that_many_bytes_and_leaves_the_rest() {
        assert_eq!(read(BodyLength::Length(5), b"helloGET /"), Ok((b"hello".to_vec(), 5, true)));
        assert_eq!(read(BodyLength::Length(9), b"hello"), Ok((b"hello".to_vec(), 5, false)));
    }

    #[test]
    fn no_content_is_complete_before_a_byte_is_taken() {
        for length in [BodyLength::None, BodyLength::Length(0)] {
            let mut reader = BodyReader::new(length);
            assert_eq!(reader.read(b"GET /", &mut |_| unreachable!()), Ok((0, true)));
            assert_eq!(reader.read(b"", &mut |_| unreachable!()), Ok((0, true)));
        }
    }

    #[test]
    fn chunks_are_joined_and_what_follows_is_left() {
        for (input, content) in [
            (&b"0\r\n\r\n"[..], &b""[..]),
            (b"5\r\nhello\r\n0\r\n\r\n", b"hello"),
            (b"1\r\nh\r\n4\r\nello\r\n0\r\n\r\n", b"hello"),
            (b"a\r\n0123456789\r\n00\r\n\r\n", b"0123456789"),
            (b"A\r\n0123456789\r\n0\r\n\r\n", b"0123456789"),
            (b"5;a=b\r\nhello\r\n0;last\r\n\r\n", b"hello"),
            (b"5 \t; q=\"a;b\"\r\nhello\r\n0\r\n\r\n", b"hello"),
            (b"5\r\nhello\r\n0\r\nX-Sum: 1\r\nX-Two: 2\r\n\r\n", b"hello"),
            (b"2\r\n\r\n\r\n0\r\n\r\n", b"\r\n"),
        ] {
            let followed = [input, b"GET / HTTP/1.1\r\n"].concat();
            let (got, taken, complete) = read(BodyLength::Chunked, &followed).unwrap();
            assert_eq!((&got[..], taken, complete), (content, input.len(), true), "{}", input.escape_ascii());
        }
    }

    #[test]
    fn contents_of_many_small_chunks_arrive_in_one_call() {
        let mut calls = Vec::new();
        let mut sink = |bytes: &[u8]| {
            calls.push(bytes.to_vec());
            Ok(())
        };
        let mut reader = BodyReader::new(BodyLength::Chunked);
        reader.read(&b"1\r\nx\r\n".repeat(1000), &mut sink).unwrap();
        reader.read(b"2\r\n", &mut sink).unwrap();
        reader.read(b"yz\r\n0\r\n\r\n", &mut sink).unwrap();
        assert_eq!(calls, [vec![b'x'; 1000], b"yz".to_vec()]);
    }

    #[test]
    fn every_prefix_of_chunked_content_is_incomplete() {
        let input = b"5;x\r\nhello\r\n0\r\nT: 1\r\n\r\n";
        for end in 0..input.len() {
            let (_, taken, complete) = read(BodyLength::Chunked, &input[..end]).unwrap();
            assert_eq!((taken, complete), (end, false));
        }
    }

    #[test]
    fn framing_outside_the_grammar_is_400_and_ends_the_connection() {
        for input in [
            &b"\r\n"[..],
            b"g\r\n",
            b"-1\r\n",
            b"+5\r\nhello\r\n",
            b" 5\r\nhello\r\n",
            b"0x5\r\nhello\r\n",
            b";x\r\n",
            b"5\nhello\n0\n\n",
            b"5 \r\nhello\r\n",
            b"5 6\r\nhello\r\n",
            b"5\rhello",
            b"5;a\nhello\r\n",
            b"5;\0\r\nhello\r\n",
            b"5\r\nhelloX",
            b"5\r\nhello\n0\r\n\r\n",
            b"5\r\nhello\rX",
            b"0\r\n\n",
            b"0\r\nT: 1\n\r\n",
            b"0\r\nT\x00: 1\r\n\r\n",
            b"0\r\nno colon\r\n\r\n",
            b"0\r\nT : 1\r\n\r\n",
            b"0\r\n: 1\r\n\r\n",
            b"0\r\n folded: 1\r\n\r\n",
            b"0\r\nT: 1\r\n 2\r\n\r\n",
            b"0\r\nT: 1\x7f\r\n\r\n",
            b"0\r\n\rX",
            b"00000000000000005\r\n",
            b"fffffffffffffffff\r\n",
        ] {
            let error = read(BodyLength::Chunked, input).expect_err(&input.escape_ascii().to_string());
            assert_eq!((error.status, error.close), (400, true));
        }
    }

    #[test]
    fn the_largest_size_is_read_without_overflow() {
        let mut reader = BodyReader::new(BodyLength::Chunked);
        reader.read(b"ffffffffffffffff\r\n", &mut |_| Ok(())).unwrap();
        assert_eq!(reader.state, BodyState::Data(u64::MAX));
    }

    #[test]
    fn extensions_and_trailers_are_bounded() {
        let mut many = Vec::new();
        for _ in 0..300 {
            many.extend_from_slice(b"1;");
            many.extend_from_slice(&[b'x'; 60]);
            many.extend_from_slice(b"\r\nA\r\n");
        }
        assert_eq!(read_in(BodyLength::Chunked, &many, 4096).unwrap_err().status, 400);
        let mut trailers = b"0\r\n".to_vec();
        trailers.extend(b"X-Field: 0123456789\r\n".repeat(1000));
        assert_eq!(read_in(BodyLength::Chunked, &trailers, 4096).unwrap_err().status, 400);
    }

    #[test]
    fn a_refusal_of_the_sink_is_passed_on() {
        for (length, input) in [(BodyLength::Length(3), &b"abc"[..]), (BodyLength::Chunked, b"3\r\nabc\r\n")]
        {
            let refusal = BodyReader::new(length).read(input, &mut |_| Err(Rejection::fatal(413, "big")));
            assert_eq!(refusal.unwrap_err().status, 413);
        }
    }

    #[test]
    fn the_hint_counts_down_where_the_length_is_known() {
        let mut reader = BodyReader::new(BodyLength::Length(5));
        reader.read(b"he", &mut |_| Ok(())).unwrap();
        assert_eq!(reader.remaining_hint(), Some(3));
        assert_eq!(BodyReader::new(BodyLength::Chunked).remaining_hint(), None);
        assert_eq!(BodyReader::new(BodyLength::None).remaining_hint(), Some(0));
    }
}
