//! Packaged files: the manual, the completions, the units, and current and former config files match the
//! program.
//!
//! `packaging/test` tests real installations.

use std::fs;
use std::path::PathBuf;

mod completions;
mod cookbook;
mod kubernetes;
mod manual;
mod migration;
mod old_configs;
mod sbom;
mod small_std;
mod tools;
mod units;
mod unwinding;

/// A file of the source tree, by its path from the top.
fn source(path: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// The text of a file of the source tree.
fn text(path: &str) -> String {
    fs::read_to_string(source(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}
