//! Document root: opens names below the served directory, and never outside it.
//!
//! Every file sent to a client is opened here, relative to one directory descriptor. The kernel refuses
//! names that leave the tree (`openat2` with RESOLVE_BENEATH). Before Linux 5.6, or under a sandbox without
//! that call, each component is opened in turn without following links, which has the same effect.

pub mod blocking;
mod directory;
mod open;
pub mod path;
mod root;

pub use directory::DirectoryRef;
pub use open::{PATH, READ};
pub use root::{DocRoot, Links, View};
