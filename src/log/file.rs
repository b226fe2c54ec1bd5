//! The file (or standard stream) that access-log lines go to: opened once with root's rights, and
//! reopened after rotation without them, also from inside a chroot.
//!
//! [`access`](super::access) opens it, its writer thread owns it.

use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{OFlag, open, openat};
use nix::libc;
use nix::sys::stat::Mode;
use nix::unistd::geteuid;

use crate::sys::ids::User;

/// Log files name visitors, so the world does not read them; the umask may take more away.
const MODE: Mode = Mode::from_bits_truncate(0o640);

/// The group of what root creates where nothing says otherwise.
const ROOT_GROUP: u32 = 0;

/// An open log.
#[derive(Debug)]
pub struct LogFile {
    /// Name for messages.
    pub shown: PathBuf,
    /// Where lines go.
    pub file: File,
    /// Bytes that one write puts down whole, other writers notwithstanding.
    pub whole: usize,
    /// Messages go to the same stream.
    pub is_shared: bool,
    /// Where it can be opened again; none for a standard stream.
    place: Option<LogPath>,
}

/// A file's directory, held open, and its name there: valid whatever becomes of the process's root
/// and working directory.
#[derive(Debug)]
struct LogPath {
    dir: OwnedFd,
    name: OsString,
}

impl LogFile {
    /// Opens standard output. The descriptor is a duplicate: it lives on when 0–2 become `/dev/null`
    /// and when the right to open `/dev/stdout` is gone.
    pub fn stdout() -> io::Result<LogFile> {
        LogFile::stream(Path::new("-"), io::stdout().as_fd().try_clone_to_owned()?)
    }

    fn stream(shown: &Path, fd: OwnedFd) -> io::Result<LogFile> {
        let file = File::from(fd);
        let (whole, is_shared) = (whole_write(&file), is_standard_error(&file));
        Ok(LogFile { shown: shown.to_owned(), file, whole, is_shared, place: None })
    }

    /// Opens `path` for appending, creating it for `owner` (none = the user that runs the server).
    ///
    /// # Errors
    ///
    /// As open(2); `ELOOP` when root would have to follow a symbolic link in the last
    /// place, and `EMLINK` when the file has a second name (hard link): a user with write access
    /// to the log's directory could point it at any file of the system.
    pub fn open(path: &Path, owner: Option<&User>) -> io::Result<LogFile> {
        match standard_stream(path) {
            Some(1) => return LogFile::stream(path, io::stdout().as_fd().try_clone_to_owned()?),
            Some(_) => return LogFile::stream(path, io::stderr().as_fd().try_clone_to_owned()?),
            None => {}
        }
        let name = path.file_name().ok_or(Errno::EISDIR)?.to_owned();
        let dir = match path.parent() {
            Some(dir) if !dir.as_os_str().is_empty() => dir,
            _ => Path::new("."),
        };
        let place = LogPath {
            dir: open(dir, OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC, Mode::empty())?,
            name,
        };
        let file = place.open(owner.is_some())?;
        if let Some(user) = owner {
            give_to(&file, user)?;
        }
        let whole = whole_write(&file);
        Ok(LogFile { shown: path.to_owned(), file, whole, is_shared: false, place: Some(place) })
    }

    /// Where [`LogFile::reopen`] will look; none for a standard stream.
    pub fn directory(&self) -> Option<OwnedFd> {
        self.place.as_ref().and_then(|place| place.dir.try_clone().ok())
    }

    /// Opens the name anew, after the old file was renamed. `Ok(false)`: nothing to reopen.
    ///
    /// # Errors
    ///
    /// As [`LogFile::open`]; the old file then stays in use.
    pub fn reopen(&mut self) -> io::Result<bool> {
        let Some(place) = &self.place else { return Ok(false) };
        self.file = place.open(geteuid().is_root())?;
        self.whole = whole_write(&self.file);
        Ok(true)
    }
}

impl LogPath {
    fn open(&self, as_root: bool) -> io::Result<File> {
        // O_NONBLOCK: a FIFO without a reader answers ENXIO where it would otherwise stop the start.
        let mut flags = OFlag::O_WRONLY
            | OFlag::O_APPEND
            | OFlag::O_CREAT
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

/// Makes the file the user's, so that it can be opened again after rotation. A group other than root's
/// stays: an administrator, a package or the directory gave it, for those who read logs.
fn give_to(file: &File, user: &User) -> io::Result<()> {
    let meta = file.metadata()?;
    let uid = (meta.uid() != user.uid).then_some(user.uid);
    let gid = (meta.gid() == ROOT_GROUP && user.gid != ROOT_GROUP).then_some(user.gid);
    if meta.is_file() && (uid, gid) != (None, None) {
        std::os::unix::fs::fchown(file, uid, gid)?;
    }
    Ok(())
}

/// A regular file takes any write in one piece; a pipe takes PIPE_BUF bytes so (pipe(7)).
fn whole_write(file: &File) -> usize {
    let is_regular = file.metadata().is_ok_and(|meta| meta.is_file());
    if is_regular { usize::MAX } else { libc::PIPE_BUF }
}

/// Is this the file behind standard error?
fn is_standard_error(file: &File) -> bool {
    let identity = |file: &File| file.metadata().ok().map(|meta| (meta.dev(), meta.ino()));
    let stderr = io::stderr().as_fd().try_clone_to_owned().map(File::from);
    stderr.is_ok_and(|stderr| identity(file).is_some() && identity(&stderr) == identity(file))
}

/// 1 or 2 when `path` is a name for standard output or error, also through one symbolic link: images
/// point their log files at `/dev/stdout`.
pub(super) fn standard_stream(path: &Path) -> Option<u32> {
    let number = |path: &Path| match path.to_str()? {
        "/dev/stdout" | "/dev/fd/1" | "/proc/self/fd/1" => Some(1),
        "/dev/stderr" | "/dev/fd/2" | "/proc/self/fd/2" => Some(2),
        _ => None,
    };
    number(path).or_else(|| number(&std::fs::read_link(path).ok()?))
}
