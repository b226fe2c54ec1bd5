//! Names in a directory by getdents64(2): glibc's readdir(3) has no room for large inode numbers in programs of
//! 32 bits.

use std::ffi::{CStr, c_long};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use nix::dir::Type;
use nix::errno::Errno;
use nix::fcntl::{OFlag, openat};
use nix::libc;
use nix::sys::stat::Mode;

/// Bytes that one call reads: some hundred names.
const BUFFER: usize = 32 * 1024;

/// Parts of a record: the inode number and the offset, then the record's length, the type and the name.
const LENGTH_AT: usize = 16;
const TYPE_AT: usize = LENGTH_AT + 2;
const NAME_AT: usize = TYPE_AT + 1;

/// A directory open for reading.
#[derive(Debug)]
pub struct Dir(OwnedFd);

/// One name in a directory.
#[derive(Debug)]
pub struct DirEntry {
    name: Box<CStr>,
    kind: Option<Type>,
}

impl Dir {
    /// Opens the directory `name` in the directory `dir`.
    ///
    /// # Errors
    /// Those of openat(2).
    pub fn openat(dir: impl AsFd, name: &CStr, flags: OFlag, mode: Mode) -> nix::Result<Dir> {
        openat(dir, name, flags, mode).map(Dir)
    }

    /// The entries that have not been read yet.
    pub fn iter(&mut self) -> impl Iterator<Item = nix::Result<DirEntry>> {
        let (mut records, mut at) = (Vec::new(), 0);
        std::iter::from_fn(move || {
            if at >= records.len() {
                at = 0;
                if let Err(errno) = read(&self.0, &mut records) {
                    return Some(Err(errno));
                }
            }
            let (entry, length) = parse(records.get(at..)?)?;
            at += length;
            Some(Ok(entry))
        })
    }
}

impl AsFd for Dir {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl DirEntry {
    /// Name of the file.
    pub fn file_name(&self) -> &CStr {
        &self.name
    }

    /// Type of the file, where the file system tells it with the name.
    pub fn file_type(&self) -> Option<Type> {
        self.kind
    }
}

/// Reads the next records; none are left at the end of the directory.
fn read(dir: &OwnedFd, records: &mut Vec<u8>) -> nix::Result<()> {
    records.resize(BUFFER, 0);
    // SAFETY: the call writes at most as many bytes as the buffer has, which lives through it.
    let count: c_long =
        unsafe { libc::syscall(libc::SYS_getdents64, dir.as_raw_fd(), records.as_mut_ptr(), records.len()) };
    records.truncate(usize::try_from(count).unwrap_or_default());
    Errno::result(count).map(drop)
}

/// First of `records`, and its length; `None` at their end.
fn parse(records: &[u8]) -> Option<(DirEntry, usize)> {
    let length = usize::from(u16::from_ne_bytes([*records.get(LENGTH_AT)?, *records.get(LENGTH_AT + 1)?]));
    let name = CStr::from_bytes_until_nul(records.get(NAME_AT..length)?).ok()?;
    let kind = match *records.get(TYPE_AT)? {
        libc::DT_FIFO => Some(Type::Fifo),
        libc::DT_CHR => Some(Type::CharacterDevice),
        libc::DT_DIR => Some(Type::Directory),
        libc::DT_BLK => Some(Type::BlockDevice),
        libc::DT_REG => Some(Type::File),
        libc::DT_LNK => Some(Type::Symlink),
        libc::DT_SOCK => Some(Type::Socket),
        _ => None,
    };
    Some((DirEntry { name: name.into(), kind }, length))
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;
    use crate::testing::TempTree;

    #[test]
    fn every_name_is_read_once_with_its_type() {
        let tree = TempTree::new();
        for n in 0..2000 {
            tree.file(&format!("{n}-{}", "x".repeat(n % 100)), "");
        }
        std::fs::create_dir(tree.path().join("dir")).unwrap();
        std::os::unix::fs::symlink("none", tree.path().join("link")).unwrap();
        let parent = std::fs::File::open(tree.path()).unwrap();
        let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        let read = |mut dir: Dir| -> HashMap<String, Option<Type>> {
            let names = dir.iter().map(Result::unwrap);
            names.map(|entry| (entry.file_name().to_str().unwrap().into(), entry.file_type())).collect()
        };
        let found = read(Dir::openat(&parent, c".", flags, Mode::empty()).unwrap());
        let mut others = nix::dir::Dir::openat(&parent, c".", flags, Mode::empty()).unwrap();
        let others = others.iter().map(Result::unwrap);
        let expected: HashMap<String, Option<Type>> =
            others.map(|entry| (entry.file_name().to_str().unwrap().into(), entry.file_type())).collect();
        assert_eq!((found.len(), found), (2004, expected));
        assert_eq!(read(Dir::openat(&parent, c"dir", flags, Mode::empty()).unwrap()).len(), 2);
    }

    #[test]
    fn a_directory_that_is_none_is_an_error_and_not_an_end() {
        let tree = TempTree::new();
        tree.file("file", "");
        let parent = std::fs::File::open(tree.path()).unwrap();
        let mut file = Dir::openat(&parent, c"file", OFlag::O_RDONLY, Mode::empty()).unwrap();
        assert_eq!(file.iter().next().unwrap().unwrap_err(), Errno::ENOTDIR);
    }
}
