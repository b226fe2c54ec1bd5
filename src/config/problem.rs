//! What is wrong with what the operator wrote, worded so that it can be found and mended.
//!
//! Nothing here prints: `main` writes [`Problems`] to standard error and exits with status 1.

use std::fmt;
use std::sync::Arc;

use super::help;
use super::origin::Origin;

/// Why one written option was refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Why {
    /// No option has this name; the nearest one, if any is near.
    Unknown {
        /// What was probably meant, ready to be written in its place.
        nearest: Option<String>,
    },
    /// The command line holds a word that belongs to no flag.
    Stray,
    /// The option needs a value and has none.
    ValueRequired,
    /// The option takes no value and was given one.
    NoValue,
    /// Not a decimal number.
    NotNumber,
    /// Neither a decimal number of bytes nor one followed by K, M or G.
    NotSize,
    /// A number outside what the option allows, with that range in the option's own notation.
    OutOfRange {
        /// The smallest allowed value; `None` where there is no lower end.
        least: Option<String>,
        /// The largest allowed value.
        most: String,
    },
    /// A value that must say something is empty.
    Empty,
    /// Not UTF-8, where text is needed.
    NotUtf8,
    /// Holds a control character, which could break a field line, a log line or a path.
    Control,
    /// The file could not be read, with the system's reason.
    Unreadable(String),
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Why::Unknown { nearest: None } => f.write_str("unknown option"),
            Why::Unknown { nearest: Some(word) } => write!(f, "unknown option; did you mean {word}?"),
            Why::Stray => f.write_str("unexpected argument"),
            Why::ValueRequired => f.write_str("value required"),
            Why::NoValue => f.write_str("no value allowed"),
            Why::NotNumber => f.write_str("not a number"),
            Why::NotSize => f.write_str("not a size (digits, with K, M or G behind them if wanted)"),
            Why::OutOfRange { least: Some(least), most } => write!(f, "must be from {least} to {most}"),
            Why::OutOfRange { least: None, most } => write!(f, "must be at most {most}"),
            Why::Empty => f.write_str("must not be empty"),
            Why::NotUtf8 => f.write_str("not valid UTF-8"),
            Why::Control => f.write_str("control characters are not allowed"),
            Why::Unreadable(reason) => f.write_str(reason),
        }
    }
}

/// One refused option: where it stands, how it was written, and why it was refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The file and line; none on the command line.
    pub place: Option<(Arc<str>, usize)>,
    /// The words as written, made printable: `port=abc`, `-p abc`.
    pub written: String,
    /// The reason.
    pub why: Why,
}

impl Problem {
    /// The problem of the words `written` at `origin`.
    pub fn new(origin: &Origin, written: &[u8], why: Why) -> Problem {
        let place = match origin {
            Origin::File { name, line } => Some((Arc::clone(name), *line)),
            Origin::Default | Origin::Flag(_) | Origin::Assignment => None,
        };
        Problem { place, written: shortened(printable(written)), why }
    }
}

impl fmt::Display for Problem {
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
pub struct Problems {
    /// The program's name as invoked, which stands before problems of the command line.
    pub program: String,
    /// The command line itself could not be understood, so the usage line is shown first.
    pub usage: bool,
    /// At least one problem, in the order in which they were met.
    pub list: Vec<Problem>,
}

impl Problems {
    /// A binary file named by mistake has thousands of problems; nobody reads more than these.
    const MOST_SHOWN: usize = 50;
}

impl fmt::Display for Problems {
    /// The text for standard error: whole lines, the last without its line end.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut lines = Vec::new();
        if self.usage {
            lines.push(help::usage(&self.program));
        }
        for problem in self.list.iter().take(Self::MOST_SHOWN) {
            let in_file = problem.place.is_some() || matches!(problem.why, Why::Unreadable(_));
            let program = if in_file { String::new() } else { format!("{}: ", self.program) };
            lines.push(format!("{program}{problem}"));
        }
        if let Some(more @ 1..) = self.list.len().checked_sub(Self::MOST_SHOWN) {
            lines.push(format!("... and {more} more"));
        }
        f.write_str(&lines.join("\n"))
    }
}

impl std::error::Error for Problems {}

/// `bytes` as text on one line, control characters escaped, so that nothing written in a file can
/// forge a line of our output.
pub fn printable(bytes: &[u8]) -> String {
    let mut shown = String::with_capacity(bytes.len());
    for char in String::from_utf8_lossy(bytes).chars() {
        if char.is_control() {
            shown.extend(char.escape_default());
        } else {
            shown.push(char);
        }
    }
    shown
}

/// Long enough for any option anyone means; a word longer than this is told by its beginning.
fn shortened(mut text: String) -> String {
    const MOST: usize = 200;
    if let Some((at, _)) = text.char_indices().nth(MOST) {
        text.truncate(at);
        text.push_str("...");
    }
    text
}
