//! The servers under measurement: which there are, how each is started, what it uses.

pub mod known;
pub mod running;
pub mod usage;

use std::path::PathBuf;

/// Role of a server in the comparison.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Role {
    /// The server this repository builds.
    Ours,
    /// Server that people would use instead; ours is compared with the best of these.
    Peer,
    /// A program of this benchmark that does as little as a server can.
    Limit,
    /// Ours, set up otherwise; shown where it is named, and compared with ours.
    Variant,
    /// Given on the command line; shown, but no yardstick.
    Guest,
}

/// A server that can be started on any port over any tree.
#[derive(Clone, Debug)]
pub struct Server {
    /// The name in tables and for `--servers`.
    pub name: String,
    /// Place of the server in the comparison.
    pub role: Role,
    /// The program and its arguments, with places to fill in (see [`running::Setting`]).
    pub command: Vec<String>,
    /// A configuration file to fill in likewise; its path is what `{conf}` stands for.
    pub configuration: Option<PathBuf>,
    /// Further places that this server fills in its own way.
    pub places: Vec<(&'static str, &'static str)>,
    /// Version, as the program tells it.
    pub version: String,
}
