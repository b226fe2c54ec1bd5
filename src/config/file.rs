//! Config file: lines of words, `name` or `name=value`.
//!
//! As in thttpd, text from the first `#` of a line is dropped, even inside a word; blanks, tabs and line
//! ends (CR too) separate words; and nothing is quoted or escaped. Unlike thttpd, reading continues after
//! an error, so that all errors are reported at once.

use std::io;
use std::path::Path;
use std::sync::Arc;

use super::foreign;
use super::origin::Origin;
pub use super::origin::VARIABLE;
use super::settings::Settings;
use crate::sys::{read_lines, without_byte_order_mark};

/// Applies the options of `text`, the content of the file called `name`, to `settings`.
///
/// Errors are added to `settings.problems`. Any bytes are accepted.
pub fn parse(text: &[u8], name: &str, settings: &mut Settings) {
    let before = settings.problems.len();
    let file: Arc<str> = name.into();
    each_line(without_byte_order_mark(text), &mut |words, line| {
        settings.line(words, &Origin::File { name: Arc::clone(&file), line });
    });
    let refused = settings.problems.iter().skip(before);
    let lines = refused.filter_map(|problem| problem.place.as_ref().map(|(_, line)| *line));
    let hint = foreign::hint(name, text, lines.collect());
    settings.hint = settings.hint.take().or(hint);
}

/// Applies the options of `text`, the content of the variable [`VARIABLE`], by these rules.
pub fn parse_variable(text: &[u8], settings: &mut Settings) {
    each_line(text, &mut |words, _| settings.line(words, &Origin::Variable));
}

/// Calls `each` with the words and the number of each line.
fn each_line(text: &[u8], each: &mut dyn FnMut(&[&[u8]], usize)) {
    for (index, line) in text.split(|&b| b == b'\n').enumerate() {
        let code = line.split(|&b| b == b'#').next().unwrap_or_default();
        let words = code.split(|b| matches!(b, b' ' | b'\t' | b'\r')).filter(|word| !word.is_empty());
        each(&words.collect::<Vec<_>>(), index + 1);
    }
}

/// Reads the file at `path`, relative to the settings' directory.
///
/// # Errors
/// The system's error if the file cannot be read.
pub fn read(path: &Path, settings: &mut Settings) -> io::Result<()> {
    let text = read_lines(&settings.dir.join(path))?;
    parse(&text, &path.to_string_lossy(), settings);
    Ok(())
}

#[cfg(test)]
mod tests;
