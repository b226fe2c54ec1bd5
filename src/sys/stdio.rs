//! Lines for standard output and standard error, each in one write.
//!
//! Several threads and processes may share one stream, as messages and access lines do in a container.
//! A line that is written in pieces would be cut by theirs.

use std::io::{self, Write};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Held while a line is written to a stream that messages share.
static STREAM: Mutex<()> = Mutex::new(());

/// Writes `text` and a line end to standard error, in one write.
///
/// # Errors
///
/// As write(2); standard error may be closed.
pub fn error_line(text: &str) -> io::Result<()> {
    let _stream = hold_stream();
    write_line(&mut io::stderr(), text)
}

/// Writes `text` and a line end to `stream`, in one write.
///
/// # Errors
///
/// As write(2).
pub fn write_line(stream: &mut dyn Write, text: &str) -> io::Result<()> {
    let mut line = String::with_capacity(text.len() + 1);
    line.push_str(text);
    line.push('\n');
    stream.write_all(line.as_bytes())
}

/// Keeps [`error_line`] waiting as long as the guard lives. The holder must not call it.
pub fn hold_stream() -> MutexGuard<'static, ()> {
    STREAM.lock().unwrap_or_else(PoisonError::into_inner)
}
