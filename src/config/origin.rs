//! Where a value came from: told in problems, in warnings and by `--dump-config`.

use std::fmt;
use std::sync::Arc;

use super::options::{OPTIONS, place_of};
use super::printable::printable;

/// The variable of the environment that holds words as a config file does; they come before all flags.
pub const VARIABLE: &str = "THTTPD_CONFIG";

/// The place where an option was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// Nowhere: the built-in value.
    Default,
    /// On the command line, by this flag (`-p`).
    Flag(&'static str),
    /// On the command line, by `-o name=value`.
    Assignment,
    /// On the command line, by a directory without a flag.
    Operand,
    /// In the environment, by the variable [`VARIABLE`].
    Variable,
    /// In a config file.
    File {
        /// The file, as it was named.
        name: Arc<str>,
        /// The line, counted from 1.
        line: usize,
    },
}

impl fmt::Display for Origin {
    /// `default`, `-p`, `-o`, `DIR` or `thttpd.conf:12`; never more than one line.
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

/// The origin of every option's present value, by its place in [`OPTIONS`].
#[derive(Debug, Clone)]
pub struct Origins(Vec<Origin>);

impl Origins {
    /// Nothing was written yet.
    pub fn new() -> Origins {
        Origins(vec![Origin::Default; OPTIONS.len()])
    }

    /// Where the option of config-file name `name` (or an alias of it) got its value;
    /// [`Origin::Default`] also for a name that no option has.
    pub fn get(&self, name: &str) -> &Origin {
        place_of(name).map_or(&Origin::Default, |place| &self.0[place])
    }

    /// Remembers who wrote the option at `place` of the table last.
    pub(super) fn set(&mut self, place: usize, origin: Origin) {
        self.0[place] = origin;
    }
}

impl Default for Origins {
    fn default() -> Origins {
        Origins::new()
    }
}
