//! Standard error of a script as log lines: split, made printable, bounded.

use crate::config::printable::printable;

/// Maximum length of a logged line in bytes; the rest of the line is dropped.
const LINE_BYTES: usize = 500;
/// Maximum number of logged lines of one script; further output is read and dropped.
const LINES: u32 = 50;

/// Splitter of one script's standard error.
#[derive(Debug, Default)]
pub struct StderrLines {
    /// Incomplete line, at most [`LINE_BYTES`] long.
    partial: Vec<u8>,
    /// Set if the incomplete line was longer.
    cut: bool,
    /// Number of lines returned so far.
    given: u32,
}

impl StderrLines {
    /// Takes output of the script; passes each complete line, without its end, to `line`.
    pub fn take(&mut self, mut bytes: &[u8], line: &mut dyn FnMut(String)) {
        while let Some(end) = bytes.iter().position(|&b| b == b'\n') {
            self.keep(&bytes[..end]);
            self.finish(line);
            bytes = &bytes[end + 1..];
        }
        self.keep(bytes);
    }

    /// Passes the rest as a line, after the script has ended.
    pub fn finish(&mut self, line: &mut dyn FnMut(String)) {
        let text = printable(self.partial.trim_ascii_end());
        if !text.is_empty() && self.given <= LINES {
            line(match self.given {
                LINES => "(its further lines are not logged)".into(),
                _ if self.cut => text + " (cut)",
                _ => text,
            });
            self.given += 1;
        }
        self.partial.clear();
        self.cut = false;
    }

    fn keep(&mut self, bytes: &[u8]) {
        let room = LINE_BYTES - self.partial.len();
        self.cut |= bytes.len() > room;
        self.partial.extend_from_slice(&bytes[..bytes.len().min(room)]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(pieces: &[&[u8]]) -> Vec<String> {
        let mut stderr_lines = StderrLines::default();
        let mut lines = Vec::new();
        for piece in pieces {
            stderr_lines.take(piece, &mut |line| lines.push(line));
        }
        stderr_lines.finish(&mut |line| lines.push(line));
        lines
    }

    #[test]
    fn lines_are_put_together_from_pieces_and_empty_ones_left_out() {
        assert_eq!(lines(&[b"one\ntw", b"o\r\n\n \nthr", b"ee"]), ["one", "two", "three"]);
        assert_eq!(lines(&[b"", b"\n"]), [""; 0]);
    }

    #[test]
    fn control_characters_and_bytes_that_are_no_text_are_escaped() {
        let line = "a\\x1b[31m\\x00b\\rc\\ \\xff é";
        assert_eq!(lines(&[b"a\x1b[31m\x00b\rc\\ \xff \xc3\xa9"]), [line]);
    }

    #[test]
    fn a_long_line_is_cut_however_it_arrives() {
        let long = [b'x'; 3000];
        let expected = "x".repeat(LINE_BYTES) + " (cut)";
        assert_eq!(lines(&[&long, b"y\nnext"]), [expected.as_str(), "next"]);
        let bytes: Vec<&[u8]> = long.chunks(7).collect();
        assert_eq!(lines(&bytes), [expected.as_str()]);
    }

    #[test]
    fn a_flood_ends_with_one_line_that_says_so() {
        let flood = b"x\n".repeat(1000);
        let got = lines(&[&flood]);
        assert_eq!(got.len(), LINES as usize + 1);
        assert!(got[LINES as usize].contains("not logged"));
    }
}
