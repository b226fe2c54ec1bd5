//! The system's description of a failed call.

use std::fmt;
use std::io;

/// Text of `error` as from thttpd's `%m`, without Rust's `(os error N)`.
pub fn reason(error: &io::Error) -> String {
    let mut text = error.to_string();
    if error.raw_os_error().is_some() {
        text.truncate(text.find(" (os error").unwrap_or(text.len()));
    }
    text
}

/// `error` with the name of its file or option in its text: `NAME: REASON`.
pub fn named(name: &dyn fmt::Display, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{name}: {}", reason(error)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_systems_words_stand_alone_and_ours_as_they_are() {
        assert_eq!(reason(&io::Error::from_raw_os_error(nix::libc::ENOENT)), "No such file or directory");
        assert_eq!(reason(&io::Error::other("a table (os error prone)")), "a table (os error prone)");
    }
}
