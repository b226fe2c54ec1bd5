//! Output lines for standard output and standard error, each in one write.
//!
//! Several threads and processes may share one stream, as messages and access lines do in a container.
//! Their output would cut a line that is written in pieces.

use std::borrow::Cow;
use std::io::{self, Write};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Lock held while writing a line to a stream that messages share.
static STREAM: Mutex<()> = Mutex::new(());

/// Writes `text` and a line end to standard error in one write, escaped by [`for_terminal`].
///
/// # Errors
/// Those of write(2); standard error may be closed.
pub fn error_line(text: &str) -> io::Result<()> {
    let _stream = hold_stream();
    write_line(&mut io::stderr(), &for_terminal(text))
}

/// Writes `text` and a line end to `stream`, in one write.
///
/// # Errors
/// Those of write(2).
pub fn write_line(stream: &mut dyn Write, text: &str) -> io::Result<()> {
    let mut line = String::with_capacity(text.len() + 1);
    line.push_str(text);
    line.push('\n');
    stream.write_all(line.as_bytes())
}

/// Escapes control characters in `text`, except line ends and tabs.
///
/// File names and file contents must not send commands to a terminal.
pub fn for_terminal(text: &str) -> Cow<'_, str> {
    let is_plain = |c: char| !c.is_control() || matches!(c, '\n' | '\t');
    if text.chars().all(is_plain) {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        match is_plain(c) {
            true => shown.push(c),
            false => shown.extend(c.escape_default()),
        }
    }
    Cow::Owned(shown)
}

/// Blocks [`error_line`] while the guard lives. The holder must not call that function.
pub fn hold_stream() -> MutexGuard<'static, ()> {
    STREAM.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_text_sends_a_terminal_commands() {
        assert_eq!(for_terminal("a\tb\nä"), "a\tb\nä");
        assert_eq!(for_terminal("\x1b[31m\r\u{9b}2J"), "\\u{1b}[31m\\r\\u{9b}2J");
    }
}
