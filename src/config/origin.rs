//! Origins of values, for errors, warnings and `--dump-config`.

use std::fmt;
use std::sync::Arc;

use super::options::{OPTIONS, place_of};
use super::printable::printable;

/// Environment variable with words as in a config file, applied before all flags.
pub const VARIABLE: &str = "THTTPD_CONFIG";

/// Place where an option was set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// Built-in value.
    Default,
    /// Command line, with this flag (`-p`).
    Flag(&'static str),
    /// Command line, with `-o name=value`.
    Assignment,
    /// Command line, with a directory without a flag.
    Operand,
    /// Environment variable [`VARIABLE`].
    Variable,
    /// Config file.
    File {
        /// Name of the file as given.
        name: Arc<str>,
        /// Line number, counted from 1.
        line: usize,
    },
}

impl fmt::Display for Origin {
    /// Writes `default`, `-p`, `-o`, `DIR` or `thttpd.conf:12`; never more than one line.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Origin::Default => f.write_str("default"),
            Origin::Flag(flag) => f.write_str(flag),
            Origin::Assignment => f.write_str("-o"),
            Origin::Operand => f.write_str("DIR"),
            Origin::Variable => f.write_str(VARIABLE),
            Origin::File { name, line } => write!(f, "{}:{line}", printable(name.as_bytes())),
        }
    }
}

/// Origin of every option's current value, by its index in [`OPTIONS`].
#[derive(Debug, Clone)]
pub struct Origins(Vec<Origin>);

impl Origins {
    /// Origins before any option is set.
    pub fn new() -> Origins {
        Origins(vec![Origin::Default; OPTIONS.len()])
    }

    /// Origin of the option with the config-file name or alias `name`.
    ///
    /// [`Origin::Default`] also for an unknown name.
    pub fn get(&self, name: &str) -> &Origin {
        place_of(name).map_or(&Origin::Default, |place| &self.0[place])
    }

    /// Records the origin of the option at `place` in the table.
    pub(super) fn set(&mut self, place: usize, origin: Origin) {
        self.0[place] = origin;
    }
}

impl Default for Origins {
    fn default() -> Origins {
        Origins::new()
    }
}
