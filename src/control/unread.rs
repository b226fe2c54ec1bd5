//! Files that are read only at start; HUP warns about those that have changed.

use std::ffi::OsString;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use nix::fcntl::{AtFlags, OFlag, open};
use nix::sys::stat::Mode;

use crate::sys::stat::{FileStat, StatFields, fstatat};

/// Files of a configuration, with their versions at the time of reading.
#[derive(Debug, Default)]
pub struct ReadFiles(Vec<ReadFile>);

#[derive(Debug)]
struct ReadFile {
    path: PathBuf,
    /// Directory, held open since no path leads there after chroot.
    dir: OwnedFd,
    name: OsString,
    version: FileStamp,
}

/// Version of a file: device, inode, size, and modification time in seconds and nanoseconds.
type FileStamp = (u64, u64, i64, (i64, i64));

fn version(meta: &FileStat) -> FileStamp {
    (meta.st_dev, meta.inode(), meta.bytes(), meta.modified())
}

impl ReadFiles {
    /// Records the current versions of `files`, except those that cannot be accessed.
    pub fn look(files: &[PathBuf]) -> ReadFiles {
        ReadFiles(files.iter().filter_map(|path| ReadFile::look(path)).collect())
    }

    /// Files that have changed.
    pub fn changed(&self) -> impl Iterator<Item = &Path> {
        self.0.iter().filter(|file| file.has_changed()).map(|file| file.path.as_path())
    }
}

impl ReadFile {
    fn look(path: &Path) -> Option<ReadFile> {
        let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        let parent = path.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let dir = open(parent, flags, Mode::empty()).ok()?;
        let name = path.file_name()?.to_owned();
        let meta = fstatat(&dir, name.as_os_str(), AtFlags::empty()).ok()?;
        Some(ReadFile { path: path.to_owned(), dir, name, version: version(&meta) })
    }

    /// Tells whether the file has changed; false for a file that the server's user may not access.
    fn has_changed(&self) -> bool {
        let meta = fstatat(&self.dir, self.name.as_os_str(), AtFlags::empty());
        meta.is_ok_and(|meta| version(&meta) != self.version)
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::testing::TempTree;

    #[test]
    fn a_file_that_was_written_or_replaced_has_changed() {
        let tree = TempTree::new();
        for name in ["same", "written", "replaced", "gone"] {
            tree.file(name, "port=80\n");
        }
        let path = |name: &str| tree.path().join(name);
        let files = ["same", "written", "replaced", "gone", "never"].map(path);
        let read = ReadFiles::look(&files);
        assert_eq!(read.changed().count(), 0);
        fs::write(path("written"), "port=81 vhost\n").unwrap();
        tree.file("new", "port=81\n");
        fs::rename(path("new"), path("replaced")).unwrap();
        fs::remove_file(path("gone")).unwrap();
        assert_eq!(read.changed().collect::<Vec<_>>(), [path("written"), path("replaced")]);
    }
}
