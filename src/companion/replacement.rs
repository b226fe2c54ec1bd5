//! Atomic replacement of a file: writes a new file beside the old one, and renames it.
//!
//! A reader sees the old or the new file as a whole, and a crash leaves the old one. `thtpasswd` writes
//! password files this way, `syslogtocern` its logs.

use std::ffi::{OsStr, OsString};
use std::fs::{File, Metadata, Permissions, TryLockError};
use std::io::{self, Write};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, AtFlags, OFlag, open, openat, renameat};
use nix::sys::stat::Mode;
use nix::unistd::{Gid, Uid, UnlinkatFlags, fchown, linkat, unlinkat};

/// Maximum wait for a lock. Cooperating programs hold a lock for one write to the disk.
const LOCK_LIMIT: Duration = Duration::from_secs(10);
/// Time after which the user is told of the wait.
const LOCK_NOTICE: Duration = Duration::from_secs(1);
/// Interval between two attempts to lock.
const LOCK_POLL: Duration = Duration::from_millis(20);

/// Directory in which files are replaced.
pub struct TargetDirectory {
    dir: OwnedFd,
}

impl TargetDirectory {
    /// Opens the directory of `path`, and returns the file's name in it.
    ///
    /// # Errors
    /// `path` has no file name, or the directory cannot be opened.
    pub fn containing(path: &Path) -> io::Result<(TargetDirectory, OsString)> {
        let name = path.file_name().ok_or(Errno::EISDIR)?;
        let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
        let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        let dir = open(parent.unwrap_or(Path::new(".")), flags, Mode::empty())?;
        Ok((TargetDirectory { dir }, name.to_owned()))
    }

    /// Locks the directory against other writers, for as long as the returned file is open.
    ///
    /// The directory is locked, since a lock on the file would be lost with the replaced file. Every
    /// process that may read the directory can hold the lock forever, so the wait ends after
    /// [`LOCK_LIMIT`]. `waiting` is called once if the wait is long.
    ///
    /// # Errors
    /// Those of flock(2); `ETIMEDOUT` after the time limit.
    pub fn lock(&self, waiting: &dyn Fn()) -> io::Result<File> {
        let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        let own = File::from(openat(self.dir.as_fd(), ".", flags, Mode::empty())?);
        let begun = Instant::now();
        let mut is_told = false;
        loop {
            match own.try_lock() {
                Ok(()) => return Ok(own),
                Err(TryLockError::Error(error)) => return Err(error),
                Err(TryLockError::WouldBlock) => {}
            }
            let waited = begun.elapsed();
            if waited >= LOCK_LIMIT {
                return Err(Errno::ETIMEDOUT.into());
            }
            if waited >= LOCK_NOTICE && !std::mem::replace(&mut is_told, true) {
                waiting();
            }
            std::thread::sleep(LOCK_POLL);
        }
    }

    /// Opens the file `name` for reading, without blocking and without following a link.
    ///
    /// # Errors
    /// Those of openat(2).
    pub fn open(&self, name: &OsStr) -> io::Result<File> {
        let flags =
            OFlag::O_RDONLY | OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_NOCTTY | OFlag::O_CLOEXEC;
        Ok(File::from(openat(self.dir.as_fd(), name, flags, Mode::empty())?))
    }

    /// Creates a file that will replace `name`, with owner, group and mode of `like`.
    ///
    /// Without `like`, the mode is 644 under the umask.
    ///
    /// # Errors
    /// The file cannot be created, or not be given to the owner of `like`.
    pub fn replace(&self, name: &OsStr, like: Option<&Metadata>) -> io::Result<Replacement<'_>> {
        let mode = Mode::from_bits_truncate(if like.is_some() { 0o600 } else { 0o644 });
        let (file, temporary) = match self.unnamed(mode) {
            Some(file) => (file, None),
            None => self.named(mode).map(|(file, name)| (file, Some(name)))?,
        };
        let replacement = Replacement { place: self, file, temporary, name: name.to_owned() };
        if let Some(like) = like {
            replacement.resemble(like)?;
        }
        Ok(replacement)
    }

    /// New file without a name, which leaves nothing behind if the program is interrupted.
    ///
    /// `None` where the file system has no such files, or where /proc, by which they are named, is missing.
    fn unnamed(&self, mode: Mode) -> Option<File> {
        let flags = OFlag::O_WRONLY | OFlag::O_TMPFILE | OFlag::O_CLOEXEC;
        let file = File::from(openat(self.dir.as_fd(), ".", flags, mode).ok()?);
        Path::new(&path_of(&file)).exists().then_some(file)
    }

    /// New file with a temporary name.
    fn named(&self, mode: Mode) -> io::Result<(File, OsString)> {
        let name = temporary_name()?;
        let flags = OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        let file = openat(self.dir.as_fd(), name.as_os_str(), flags, mode)?;
        Ok((File::from(file), name))
    }
}

/// Name that no other program uses, and that is never served if this is a web directory (`.ht`).
fn temporary_name() -> io::Result<OsString> {
    let random = super::random::<8>()?.map(|byte| format!("{byte:02x}")).concat();
    Ok(OsString::from(format!(".ht-{random}")))
}

/// Path of an open file, even of one without a name.
fn path_of(file: &File) -> String {
    format!("/proc/self/fd/{}", file.as_raw_fd())
}

/// New file, removed on drop unless [finished](Replacement::finish).
pub struct Replacement<'p> {
    place: &'p TargetDirectory,
    file: File,
    /// Name until the end; a file may have none.
    temporary: Option<OsString>,
    name: OsString,
}

impl Replacement<'_> {
    /// Copies owner and mode; the owner comes first, as changing it may clear mode bits.
    fn resemble(&self, like: &Metadata) -> io::Result<()> {
        let own = self.file.metadata()?;
        if (own.uid(), own.gid()) != (like.uid(), like.gid()) {
            fchown(&self.file, Some(Uid::from_raw(like.uid())), Some(Gid::from_raw(like.gid())))?;
        }
        self.file.set_permissions(Permissions::from_mode(like.mode() & 0o7777))
    }

    /// Renames the file to its final name after syncing its content to disk.
    ///
    /// # Errors
    /// Those of the system calls; the old file is then unchanged.
    pub fn finish(mut self) -> io::Result<()> {
        self.file.sync_all()?;
        let dir = self.place.dir.as_fd();
        let temporary = match &mut self.temporary {
            Some(name) => name,
            // linkat(2) replaces no file, so that a rename is needed, too. A crash between the two calls leaves
            // a complete file with the temporary name. It has the owner and mode of the final one, and its
            // name begins with .ht, so that it is never served.
            without => {
                let name = temporary_name()?;
                linkat(
                    AT_FDCWD,
                    path_of(&self.file).as_str(),
                    dir,
                    name.as_os_str(),
                    AtFlags::AT_SYMLINK_FOLLOW,
                )?;
                without.insert(name)
            }
        };
        renameat(dir, temporary.as_os_str(), dir, self.name.as_os_str())?;
        // The file is in place; a failure to sync the directory cannot be corrected here.
        let _ = nix::unistd::fsync(dir);
        Ok(())
    }
}

impl Write for Replacement<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl Drop for Replacement<'_> {
    /// Removes the temporary file. After the rename, the name is free and unique to this program.
    fn drop(&mut self) {
        if let Some(temporary) = &self.temporary {
            let _ = unlinkat(self.place.dir.as_fd(), temporary.as_os_str(), UnlinkatFlags::NoRemoveDir);
        }
    }
}
