//! Errors in the configuration, worded so that they can be found and mended.
//!
//! Nothing here prints: `main` writes [`ConfigErrors`] to standard error and exits with status 1.

use std::fmt;
use std::sync::Arc;

use super::error_kind::ConfigErrorKind;
use super::foreign::{self, Refused};
use super::origin::Origin;
use super::printable::printable;

/// One refused option: where it stands, how it was written, and why it was refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigError {
    /// The file and line; none on the command line.
    pub place: Option<(Arc<str>, usize)>,
    /// The words as written, made printable: `port=abc`, `-p abc`.
    pub written: String,
    /// The reason.
    pub why: ConfigErrorKind,
}

impl ConfigError {
    /// The problem of the words `written` at `origin`.
    pub fn new(origin: &Origin, written: &[u8], why: ConfigErrorKind) -> ConfigError {
        let place = match origin {
            Origin::File { name, line } => Some((Arc::clone(name), *line)),
            Origin::Default | Origin::Flag(_) | Origin::Assignment | Origin::Operand | Origin::Variable => {
                None
            }
        };
        ConfigError { place, written: shortened(printable(written)), why }
    }
}

impl fmt::Display for ConfigError {
    /// `thttpd.conf:12: port=abc: not a number`; on the command line without the place.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some((name, line)) = &self.place {
            write!(f, "{}:{line}: ", printable(name.as_bytes()))?;
        }
        write!(f, "{}: {}", self.written, self.why)
    }
}

/// Everything that keeps the server from starting as it was asked to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigErrors {
    /// The program's name as invoked, which stands before problems of the command line.
    pub program: String,
    /// At least one problem, in the order in which they were met.
    pub list: Vec<ConfigError>,
}

impl ConfigErrors {
    /// A binary file named by mistake has thousands of problems; more than these help no reader.
    const MOST_SHOWN: usize = 50;
}

impl fmt::Display for ConfigErrors {
    /// The text for standard error: whole lines, the last without its line end.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut lines = Vec::new();
        let mut needs_help = true;
        for problem in self.list.iter().take(Self::MOST_SHOWN) {
            let in_file = problem.place.is_some() || matches!(problem.why, ConfigErrorKind::Unreadable(_));
            let program = if in_file { String::new() } else { format!("{}: ", self.program) };
            let mut line = format!("{program}{problem}");
            // The list of options helps where a word of the command line is none of them.
            if !in_file && problem.why.is_misuse() && std::mem::take(&mut needs_help) {
                line.push_str(if line.ends_with('?') { " " } else { "; " });
                line.push_str(&format!("{} --help lists them all", self.program));
            }
            lines.push(line);
        }
        if let Some(more @ 1..) = self.list.len().checked_sub(Self::MOST_SHOWN) {
            lines.push(format!("... and {more} more"));
        }
        let in_files = self
            .list
            .iter()
            .filter_map(|error| error.place.as_ref().map(|place| Refused { written: &error.written, place }));
        lines.extend(foreign::hint(in_files));
        f.write_str(&lines.join("\n"))
    }
}

impl std::error::Error for ConfigErrors {}

/// Long enough for any option anyone means; a word longer than this is told by its beginning.
fn shortened(mut text: String) -> String {
    const MOST: usize = 200;
    if let Some((at, _)) = text.char_indices().nth(MOST) {
        text.truncate(at);
        text.push_str("...");
    }
    text
}
