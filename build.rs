//! Writes mime_guess's table down as one text, `types.txt`, which `src/resource/mime.rs` searches.
//!
//! As the crate has it in memory, each of its 1400 extensions takes pointers that the program has to
//! relocate as it starts, and comparing them takes tables of Unicode's cases. As lines it is 53 KB less
//! in a binary that is made to be small, and the types are the same ones.

use std::fmt::Write;
use std::path::PathBuf;
use std::{env, fs, io};

fn main() -> io::Result<()> {
    println!("cargo::rerun-if-changed=build.rs");
    let mut extensions = mime_guess::get_mime_extensions_str("*/*").unwrap_or_default().to_vec();
    extensions.sort_unstable();
    extensions.dedup();
    let mut lines = String::new();
    for extension in extensions {
        if let Some(media_type) = mime_guess::from_ext(extension).first_raw() {
            let _ = writeln!(lines, "{extension} {media_type}");
        }
    }
    let directory = env::var_os("OUT_DIR").ok_or_else(|| io::Error::other("cargo sets OUT_DIR"))?;
    fs::write(PathBuf::from(directory).join("types.txt"), lines)
}
