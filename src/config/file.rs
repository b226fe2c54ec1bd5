//! The config file: lines of words, `name` or `name=value`.
//!
//! thttpd's rules: everything from the first `#` of a line is dropped, even inside a word; words
//! are separated by blanks, tabs and line ends (CR too); nothing is quoted or escaped. Unlike
//! thttpd, reading goes on after a mistake, so that all of them can be told at once.

use std::io;
use std::path::Path;
use std::sync::Arc;

use super::origin::Origin;
pub use super::origin::VARIABLE;
use super::settings::Settings;
use crate::sys::read_regular_file;

/// Reads every option of `text`, the content of the file called `name`, over what `settings`
/// holds. Mistakes are added to `settings.problems`. Takes any bytes and never fails.
pub fn parse(text: &[u8], name: &str, settings: &mut Settings) {
    let name: Arc<str> = name.into();
    each_line(text, &mut |words, line| {
        settings.line(words, &Origin::File { name: Arc::clone(&name), line });
    });
}

/// Reads every option of `text`, the content of the variable [`VARIABLE`], by the same rules.
pub fn parse_variable(text: &[u8], settings: &mut Settings) {
    each_line(text, &mut |words, _| settings.line(words, &Origin::Variable));
}

/// Calls `each` with the words of each line of `text`, and its number.
fn each_line(text: &[u8], each: &mut dyn FnMut(&[&[u8]], usize)) {
    for (index, line) in text.split(|&b| b == b'\n').enumerate() {
        let code = line.split(|&b| b == b'#').next().unwrap_or_default();
        let words = code.split(|b| matches!(b, b' ' | b'\t' | b'\r')).filter(|word| !word.is_empty());
        each(&words.collect::<Vec<_>>(), index + 1);
    }
}

/// Opens the file at `path`, relative to the settings' directory, and [`parse`]s it.
///
/// # Errors
/// What the system says when the file cannot be read.
pub fn read(path: &Path, settings: &mut Settings) -> io::Result<()> {
    let text = read_regular_file(&settings.dir.join(path))?;
    parse(&text, &path.to_string_lossy(), settings);
    Ok(())
}

#[cfg(test)]
mod tests;
