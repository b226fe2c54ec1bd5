//! File or standard stream for access-log lines.
//!
//! The file is opened with root's rights, and reopened after rotation without them, also inside a chroot.
//! [`access`](super::access) opens it; the writer thread owns it.

use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{OFlag, openat};
use nix::libc;
use nix::sys::stat::Mode;
use nix::unistd::geteuid;

use crate::sys::directory::{may_create_in, open_parent};
use crate::sys::ids::User;
use crate::sys::reason;

/// Mode of new log files: not readable for others, since logs identify visitors.
const MODE: Mode = Mode::from_bits_truncate(0o640);

/// Group of files that root creates by default.
const ROOT_GROUP: u32 = 0;

/// An open log.
#[derive(Debug)]
pub struct LogFile {
    /// Name for messages.
    pub shown: PathBuf,
    /// File that lines are written to.
    pub file: File,
    /// Maximum number of bytes that one write adds atomically beside other writers.
    pub whole: usize,
    /// Set if messages go to the same stream.
    pub is_shared: bool,
    /// Path for reopening; `None` for a standard stream.
    place: Option<LogPath>,
}

/// Directory held open, and the file's name in it, valid after chroot and chdir.
#[derive(Debug)]
struct LogPath {
    dir: OwnedFd,
    name: OsString,
    /// Directory of the file that a symbolic link leads to, if there is one.
    target_dir: Option<OwnedFd>,
}

impl LogFile {
    /// Opens standard output as a duplicate.
    ///
    /// The duplicate stays valid when 0–2 become `/dev/null`, and when `/dev/stdout` may not be opened any
    /// more.
    pub fn stdout() -> io::Result<LogFile> {
        LogFile::stream(Path::new("standard output"), io::stdout().as_fd().try_clone_to_owned()?)
    }

    fn stream(shown: &Path, fd: OwnedFd) -> io::Result<LogFile> {
        let file = File::from(fd);
        let (whole, is_shared) = (whole_write(&file), is_standard_error(&file));
        Ok(LogFile { shown: shown.to_owned(), file, whole, is_shared, place: None })
    }

    /// Opens `path` for appending, and creates it for `owner` (`None` = the current user).
    ///
    /// # Errors
    /// Those of open(2); `ELOOP` if root would follow a symbolic link in the last component, and `EMLINK`
    /// if the file has a second name (hard link). A user with write access to the log's directory could
    /// direct such names to any file.
    pub fn open(path: &Path, owner: Option<&User>) -> io::Result<LogFile> {
        match standard_stream(path) {
            Some(1) => return LogFile::stream(path, io::stdout().as_fd().try_clone_to_owned()?),
            Some(_) => return LogFile::stream(path, io::stderr().as_fd().try_clone_to_owned()?),
            None => {}
        }
        let place = LogPath::find(path)?;
        let file = place.open(OFlag::O_CREAT, owner.is_some())?;
        // A file system without owners (FAT), or root without CAP_CHOWN: the open file is written all the same, and
        // only opening it again may fail.
        if let Some(error) = owner.and_then(|user| set_owner(&file, user).err()) {
            super::warning!("fchown logfile - {}", reason(&error));
        }
        let whole = whole_write(&file);
        Ok(LogFile { shown: path.to_owned(), file, whole, is_shared: false, place: Some(place) })
    }

    /// Tells whether [`LogFile::open`] would succeed, without creating the file.
    ///
    /// A FIFO is not opened: its reader would see the end of the log.
    ///
    /// # Errors
    /// Those of [`LogFile::open`].
    pub fn try_open(path: &Path, as_root: bool) -> io::Result<()> {
        let is_fifo = || path.metadata().is_ok_and(|meta| meta.file_type().is_fifo());
        if standard_stream(path).is_some() || is_fifo() {
            return Ok(());
        }
        let place = LogPath::find(path)?;
        match place.open(OFlag::empty(), as_root) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                may_create_in(&place.dir).map_err(Into::into)
            }
            opened => opened.map(drop),
        }
    }

    /// Directories for [`LogFile::reopen`]: that of the name, and that of a link's target.
    pub fn directories(&self) -> Vec<OwnedFd> {
        let mut dirs = Vec::new();
        if let Some(place) = &self.place {
            dirs.extend(place.dir.try_clone());
            dirs.extend(place.target_dir.as_ref().and_then(|dir| dir.try_clone().ok()));
        }
        dirs
    }

    /// Opens the path again after the old file was renamed. `Ok(false)`: a standard stream.
    ///
    /// # Errors
    /// Those of [`LogFile::open`]; the old file then stays in use.
    pub fn reopen(&mut self) -> io::Result<bool> {
        let Some(place) = &self.place else { return Ok(false) };
        self.file = place.open(OFlag::O_CREAT, geteuid().is_root())?;
        self.whole = whole_write(&self.file);
        Ok(true)
    }
}

impl LogPath {
    fn find(path: &Path) -> io::Result<LogPath> {
        let name = path.file_name().ok_or(Errno::EISDIR)?.to_owned();
        let is_link = path.symlink_metadata().is_ok_and(|meta| meta.is_symlink());
        let target = is_link.then(|| path.canonicalize().ok()).flatten();
        let target_dir = target.and_then(|target| open_parent(&target).ok());
        Ok(LogPath { dir: open_parent(path)?, name, target_dir })
    }

    fn open(&self, creation: OFlag, as_root: bool) -> io::Result<File> {
        // With O_NONBLOCK, a FIFO without a reader gives ENXIO instead of blocking the start.
        let mut flags = creation
            | OFlag::O_WRONLY
            | OFlag::O_APPEND
            | OFlag::O_LARGEFILE
            | OFlag::O_CLOEXEC
            | OFlag::O_NOCTTY
            | OFlag::O_NONBLOCK;
        if as_root {
            flags |= OFlag::O_NOFOLLOW;
        }
        let file = File::from(openat(&self.dir, self.name.as_os_str(), flags, MODE)?);
        let meta = file.metadata()?;
        if as_root && meta.is_file() && meta.nlink() > 1 {
            return Err(Errno::EMLINK.into());
        }
        Ok(file)
    }
}

/// Gives the file to the user, so that it can be reopened after rotation.
///
/// A group other than root's is kept: an administrator, a package or the directory has set it for readers
/// of logs.
fn set_owner(file: &File, user: &User) -> io::Result<()> {
    let meta = file.metadata()?;
    let uid = (meta.uid() != user.uid).then_some(user.uid);
    let gid = (meta.gid() == ROOT_GROUP && user.gid != ROOT_GROUP).then_some(user.gid);
    if meta.is_file() && (uid, gid) != (None, None) {
        std::os::unix::fs::fchown(file, uid, gid)?;
    }
    Ok(())
}

/// Atomic write size: unlimited for a regular file, PIPE_BUF for a pipe (pipe(7)).
fn whole_write(file: &File) -> usize {
    let is_regular = file.metadata().is_ok_and(|meta| meta.is_file());
    if is_regular { usize::MAX } else { libc::PIPE_BUF }
}

/// Tells whether `file` is standard error.
fn is_standard_error(file: &File) -> bool {
    let identity = |file: &File| file.metadata().ok().map(|meta| (meta.dev(), meta.ino()));
    let stderr = io::stderr().as_fd().try_clone_to_owned().map(File::from);
    stderr.is_ok_and(|stderr| identity(file).is_some() && identity(&stderr) == identity(file))
}

/// Returns 1 or 2 if `path` names standard output or error, also through one symbolic link.
///
/// Container images link their log files to `/dev/stdout`.
pub(super) fn standard_stream(path: &Path) -> Option<u32> {
    let number = |path: &Path| match path.to_str()? {
        "/dev/stdout" | "/dev/fd/1" | "/proc/self/fd/1" => Some(1),
        "/dev/stderr" | "/dev/fd/2" | "/proc/self/fd/2" => Some(2),
        _ => None,
    };
    number(path).or_else(|| number(&std::fs::read_link(path).ok()?))
}
