//! Writes mime_guess's table down as one text, `types.rs`, which `src/representation/mime.rs` searches.
//!
//! As the crate has it in memory, each of its 1400 extensions takes pointers that the program has to
//! relocate as it starts, and comparing them takes tables of Unicode's cases. As lines, the usual beginnings
//! of types as one letter, it is 70 KB less in a binary that is made to be small, and the types are the same
//! ones.

use std::path::PathBuf;
use std::{env, fs, io};

/// The usual beginnings of types. The first that fits is written as the capital letter of its place; the last
/// one fits every type.
const BEGINNINGS: [&str; 15] = [
    "application/vnd.",
    "application/x-",
    "application/",
    "text/x-",
    "text/",
    "image/vnd.",
    "image/x-",
    "image/",
    "audio/x-",
    "audio/",
    "video/x-",
    "video/vnd.",
    "video/",
    "model/",
    "",
];

fn main() -> io::Result<()> {
    println!("cargo::rerun-if-changed=build.rs");
    let mut extensions = mime_guess::get_mime_extensions_str("*/*").unwrap_or_default().to_vec();
    extensions.sort_unstable();
    extensions.dedup();
    let mut lines = String::new();
    for extension in extensions {
        if let Some(media_type) = mime_guess::from_ext(extension).first_raw() {
            lines += &line(extension, media_type);
        }
    }
    let text = format!("(&{BEGINNINGS:?}, {lines:?})");
    let directory = env::var_os("OUT_DIR").ok_or_else(|| io::Error::other("cargo sets OUT_DIR"))?;
    fs::write(PathBuf::from(directory).join("types.rs"), text)
}

/// `html` and `text/html` as `htmlEhtml`.
fn line(extension: &str, media_type: &str) -> String {
    assert!(!extension.bytes().any(|byte| byte.is_ascii_uppercase()), "{extension} holds a capital letter");
    for (beginning, letter) in BEGINNINGS.iter().zip('A'..) {
        if let Some(rest) = media_type.strip_prefix(beginning) {
            return format!("{extension}{letter}{rest}\n");
        }
    }
    String::new()
}
