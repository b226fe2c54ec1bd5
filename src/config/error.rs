//! Errors in the configuration, with their place and a hint.
//!
//! This module prints nothing: `main` writes [`ConfigErrors`] to standard error and exits with status 1.

use std::fmt;
use std::sync::Arc;

use super::error_kind::ConfigErrorKind;
use super::foreign;
use super::origin::Origin;
use super::printable::{joined, printable, shortened};

/// Refused option: its place, its text, and the reason.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigError {
    /// File and line; `None` for the command line.
    pub place: Option<(Arc<str>, usize)>,
    /// Words as written, made printable: `port=abc`, `-p abc`.
    pub written: String,
    /// The reason.
    pub why: ConfigErrorKind,
}

impl ConfigError {
    /// Error for the words `written` at `origin`.
    pub fn new(origin: &Origin, written: &[u8], why: ConfigErrorKind) -> ConfigError {
        let place = match origin {
            Origin::File { name, line } => Some((Arc::clone(name), *line)),
            Origin::Default | Origin::Flag(_) | Origin::Assignment | Origin::Operand | Origin::Variable => {
                None
            }
        };
        let written = if written.is_empty() { b"''" } else { written };
        ConfigError { place, written: shortened(written), why }
    }
}

impl fmt::Display for ConfigError {
    /// Writes `thttpd.conf:12: port=abc: not a number`; without the place for the command line.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some((name, line)) = &self.place {
            write!(f, "{}:{line}: ", printable(name.as_bytes()))?;
        }
        write!(f, "{}: {}", self.written, shortened(self.why.to_string()))
    }
}

/// All errors of a configuration, which prevent the start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigErrors {
    /// Program name as invoked, written before errors of the command line.
    pub program: String,
    /// Errors in the order found; at least one.
    pub list: Vec<ConfigError>,
    /// Hint at the manual, if a file is written for another server.
    pub hint: Option<String>,
}

impl fmt::Display for ConfigErrors {
    /// Writes the text for standard error, without the last line end.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut needs_help = true;
        let mut lines = self.list.iter().map(|problem| {
            let in_file = problem.place.is_some();
            let program = if in_file { String::new() } else { format!("{}: ", self.program) };
            let mut line = format!("{program}{problem}");
            // The hint at `--help` is useful only for unknown words on the command line.
            if !in_file && problem.why.is_misuse() && std::mem::take(&mut needs_help) {
                let is_answered = line.ends_with('?');
                line.push_str(if is_answered { " " } else { "; " });
                line.push_str(&format!("{} --help lists them all", self.program));
                if let (false, Some(server)) = (is_answered, foreign::server_with(&problem.written)) {
                    line.push_str(&format!(", thttpd-migration(7) those of {server}"));
                }
            }
            line
        });
        f.write_str(&joined(self.hint.as_deref(), &mut lines))
    }
}

impl std::error::Error for ConfigErrors {}
