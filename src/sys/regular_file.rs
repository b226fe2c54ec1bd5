//! Reading of regular files named by the operator, without blocking on FIFOs or devices.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt};
use std::path::Path;

use nix::libc::{O_NOCTTY, O_NONBLOCK, makedev};

/// Text of a file without the byte order mark that some editors put before UTF-8.
///
/// The mark is no part of the first word.
pub fn without_byte_order_mark(text: &[u8]) -> &[u8] {
    text.strip_prefix("\u{feff}".as_bytes()).unwrap_or(text)
}

/// Reads the whole regular file at `path`; `/dev/null` counts as empty.
///
/// A FIFO would block `open` until another process writes, and a device may never end, so that the start
/// would hang. Both are refused.
///
/// # Errors
/// Those of open(2) and read(2); `InvalidInput` with a description for other files.
pub fn read_regular_file(path: &Path) -> io::Result<Vec<u8>> {
    let mut file = File::options().read(true).custom_flags(O_NONBLOCK | O_NOCTTY).open(path)?;
    let meta = file.metadata()?;
    let (kind, is_null) = (meta.file_type(), meta.rdev() == makedev(1, 3));
    let what = match () {
        () if kind.is_file() || (kind.is_char_device() && is_null) => {
            let mut content = Vec::new();
            file.read_to_end(&mut content)?;
            return Ok(content);
        }
        () if kind.is_fifo() => "Is a FIFO or pipe, not a regular file",
        () if kind.is_dir() => return Err(nix::errno::Errno::EISDIR.into()),
        () => "Is a device, not a regular file",
    };
    Err(io::Error::new(io::ErrorKind::InvalidInput, what))
}

/// Reads the regular file at `path` whose lines the operator writes; bytes above 127 may be of any encoding.
///
/// A program or a picture named by mistake would give thousands of errors.
///
/// # Errors
/// Those of [`read_regular_file`]; `InvalidInput` with a description for text in UTF-16, and for a file with a NUL
/// byte.
pub fn read_lines(path: &Path) -> io::Result<Vec<u8>> {
    let text = read_regular_file(path)?;
    let what = match () {
        () if is_utf16(&text) => "encoded as UTF-16: save it as UTF-8",
        () if text.contains(&0) => "Holds NUL bytes, so it is no text",
        () => return Ok(text),
    };
    Err(io::Error::new(io::ErrorKind::InvalidInput, what))
}

/// Tells whether `text` begins as UTF-16 does: with its byte order mark, or with an ASCII character of two bytes.
fn is_utf16(text: &[u8]) -> bool {
    matches!(text, [0xff, 0xfe, ..] | [0xfe, 0xff, ..] | [1..=127, 0, ..] | [0, 1..=127, ..])
}

/// Reads the regular file at `path` as text; bytes that are not UTF-8 are replaced.
///
/// # Errors
/// Those of [`read_regular_file`].
pub fn read_text(path: &Path) -> io::Result<String> {
    Ok(String::from_utf8_lossy(&read_regular_file(path)?).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_regular_files_are_read_and_nothing_is_waited_for() {
        let tree = crate::testing::TempTree::new();
        let path = |name: &str| tree.path().join(name);
        std::fs::write(path("file"), "text").unwrap();
        nix::unistd::mkfifo(&path("fifo"), nix::sys::stat::Mode::S_IRWXU).unwrap();
        assert_eq!(read_regular_file(&path("file")).unwrap(), b"text");
        assert_eq!(read_regular_file(Path::new("/dev/null")).unwrap(), b"");
        for (name, said) in [
            (path("fifo"), "Is a FIFO or pipe, not a regular file"),
            ("/dev/zero".into(), "Is a device, not a regular file"),
            (tree.path().into(), "Is a directory"),
            (path("none"), "No such file or directory"),
        ] {
            let error = read_regular_file(&name).unwrap_err();
            assert_eq!(crate::sys::reason(&error), said);
        }
    }

    #[test]
    fn text_in_utf16_and_binary_files_are_told_as_such() {
        let tree = crate::testing::TempTree::new();
        let path = tree.path().join("file");
        for text in [&b"\xff\xfep\0o\0"[..], b"\xfe\xff\0p\0o", b"p\0o\0", b"\0p\0o"] {
            std::fs::write(&path, text).unwrap();
            let error = read_lines(&path).unwrap_err();
            assert_eq!(crate::sys::reason(&error), "encoded as UTF-16: save it as UTF-8");
        }
        for text in [&b"\0"[..], b"\0\0", b"port\0", b"\x7fELF\x02\x01\x01\0"] {
            std::fs::write(&path, text).unwrap();
            let error = read_lines(&path).unwrap_err();
            assert_eq!(crate::sys::reason(&error), "Holds NUL bytes, so it is no text");
            assert_eq!(read_regular_file(&path).unwrap(), text);
        }
        for text in [&b""[..], b"p", b"\xef\xbb\xbfport=80", b"\xff\xff"] {
            std::fs::write(&path, text).unwrap();
            assert_eq!(read_lines(&path).unwrap(), text);
        }
    }
}
