//! Listening sockets in the file system: bound before root and root directory are given up, and
//! removed at the end.
//!
//! A socket whose server is gone is replaced. Anything else in its place is an error: it may be
//! another program's file, or the socket of another server.

use std::ffi::OsString;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::net::UnixListener;
use std::path::Path;

use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, openat};
use nix::sys::socket::{
    AddressFamily, SockFlag, SockType, UnixAddr, bind, connect, listen as start_listening, socket,
};
use nix::sys::stat::{Mode, SFlag, umask};
use nix::unistd::{Gid, Uid, UnlinkatFlags, fchownat, unlinkat};

use super::failure::Failure;
use super::listen::{BACKLOG, Succession};
use super::privileges::Privileges;
use crate::config::listen::Listen;
use crate::sys::directory::{may_create_in, open_parent};
use crate::sys::ids;
use crate::sys::stat::{FileStat, StatFields, fstat, fstatat};

/// Path of a bound socket, to be removed at the end.
#[derive(Debug)]
pub struct SocketFile {
    /// Directory, held open since no path leads there after chroot.
    dir: OwnedFd,
    name: OsString,
    device: u64,
    inode: u64,
}

impl SocketFile {
    /// Directory of the socket; `None` if no descriptor is left.
    pub fn directory(&self) -> Option<OwnedFd> {
        self.dir.try_clone().ok()
    }

    /// Removes the path, unless another socket was bound there.
    pub fn remove(&self) {
        let found = fstatat(&self.dir, self.name.as_os_str(), AtFlags::AT_SYMLINK_NOFOLLOW);
        if found.is_ok_and(|found| (found.st_dev, found.inode()) == (self.device, self.inode)) {
            let _ = unlinkat(&self.dir, self.name.as_os_str(), UnlinkatFlags::NoRemoveDir);
        }
    }
}

/// Binds `path` with the options of `listen`, for the user that the server will run as.
///
/// While `is_leaving` tells that a listening server may be about to end, that server is waited for.
///
/// # Errors
/// The socket cannot be bound; the failure has advice.
pub fn bind_path(
    path: &Path,
    listen: &Listen,
    privileges: &Privileges,
    is_leaving: &dyn Fn() -> bool,
) -> Result<(UnixListener, SocketFile), Failure> {
    let failed = |call: &str, errno: Errno| failure(call, path, errno);
    let owner = owner(listen, privileges)?;
    let SocketPlace { dir, name, address } =
        SocketPlace::find(path).map_err(|errno| failed("bind", errno))?;
    let succession = Succession::new(is_leaving);
    while let Err(errno) = remove_stale(&dir, &name, &address) {
        if errno != Errno::EADDRINUSE || !succession.wait() {
            return Err(failed("bind", errno));
        }
    }
    let fd = stream(SockFlag::empty()).map_err(|errno| failed("socket", errno))?;
    // No other thread exists yet that could create a file under this umask.
    let before = umask(Mode::from_bits_truncate(!listen.mode & 0o777));
    let bound = bind(fd.as_raw_fd(), &address);
    umask(before);
    bound.map_err(|errno| failed("bind", errno))?;
    let meta = set_owner(&dir, &name, owner).map_err(|errno| failed("chown", errno))?;
    start_listening(&fd, BACKLOG).map_err(|errno| failed("listen", errno))?;
    Ok((fd.into(), SocketFile { dir, name, device: meta.st_dev, inode: meta.inode() }))
}

/// Checks whether `path` can be bound with the options of `listen`, without changing anything, for `--check`.
///
/// # Errors
/// The failure of a start. A socket in use is none, as the running server may use it.
pub fn try_path(path: &Path, listen: &Listen) -> Result<(), Failure> {
    group(listen)?;
    let place = SocketPlace::find(path);
    let is_usable = place.and_then(|SocketPlace { dir, name, .. }| {
        match fstatat(&dir, name.as_os_str(), AtFlags::AT_SYMLINK_NOFOLLOW) {
            Ok(found) if !is_socket(&found) => Err(Errno::EEXIST),
            _ => may_create_in(dir),
        }
    });
    is_usable.map_err(|errno| failure("bind", path, errno))
}

fn failure(call: &str, path: &Path, errno: Errno) -> Failure {
    let advice = match errno {
        Errno::EADDRINUSE => "a server listens there: stop it, or give another path with listen=",
        Errno::EEXIST => "something else has that name: remove it, or give another path with listen=",
        Errno::ENAMETOOLONG => "a socket's path has at most 107 bytes: give a shorter one with listen=",
        _ => "give a path in a directory that can be written with listen=",
    };
    Failure::from_call(format_args!("{call} {}", path.display()), errno, advice).with_option("listen")
}

/// Directory, name and address of a socket's path.
struct SocketPlace {
    dir: OwnedFd,
    name: OsString,
    address: UnixAddr,
}

impl SocketPlace {
    fn find(path: &Path) -> nix::Result<SocketPlace> {
        let name = path.file_name().ok_or(Errno::EISDIR)?.to_owned();
        Ok(SocketPlace { dir: open_parent(path)?, name, address: UnixAddr::new(path)? })
    }
}

fn stream(flags: SockFlag) -> nix::Result<OwnedFd> {
    socket(AddressFamily::Unix, SockType::Stream, SockFlag::SOCK_CLOEXEC | flags, None)
}

/// Removes a socket that no process listens on.
fn remove_stale(dir: &OwnedFd, name: &OsString, address: &UnixAddr) -> nix::Result<()> {
    let found = match fstatat(dir, name.as_os_str(), AtFlags::AT_SYMLINK_NOFOLLOW) {
        Err(Errno::ENOENT) => return Ok(()),
        found => found?,
    };
    if !is_socket(&found) {
        return Err(Errno::EEXIST);
    }
    // A process that has stopped accepting would be waited for without end.
    let probe = stream(SockFlag::SOCK_NONBLOCK)?;
    match connect(probe.as_raw_fd(), address) {
        Err(Errno::ECONNREFUSED) => unlinkat(dir, name.as_os_str(), UnlinkatFlags::NoRemoveDir),
        _ => Err(Errno::EADDRINUSE),
    }
}

/// Changes the owner of the socket.
///
/// The path may refer to another file by now, so one descriptor is used for both the check and the change.
fn set_owner(dir: &OwnedFd, name: &OsString, owner: Owner) -> nix::Result<FileStat> {
    let flags = OFlag::O_PATH | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    let file = openat(dir, name.as_os_str(), flags, Mode::empty())?;
    let meta = fstat(&file)?;
    if !is_socket(&meta) {
        return Err(Errno::EEXIST);
    }
    if owner != Owner::default() {
        fchownat(&file, "", owner.user, owner.group, AtFlags::AT_EMPTY_PATH)?;
    }
    Ok(meta)
}

fn is_socket(meta: &FileStat) -> bool {
    SFlag::from_bits_truncate(meta.st_mode & SFlag::S_IFMT.bits()) == SFlag::S_IFSOCK
}

/// New owner of a socket: user and group, each `None` to keep it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Owner {
    user: Option<Uid>,
    group: Option<Gid>,
}

fn owner(listen: &Listen, privileges: &Privileges) -> Result<Owner, Failure> {
    let user = privileges.user();
    let group = group(listen)?.or(user.map(|user| user.gid));
    Ok(Owner { user: user.map(|user| Uid::from_raw(user.uid)), group: group.map(Gid::from_raw) })
}

/// Group of `;group=`; `None` without one.
fn group(listen: &Listen) -> Result<Option<u32>, Failure> {
    let Some(name) = &listen.group else { return Ok(None) };
    ids::group(name).map(Some).ok_or_else(|| {
        let advice = "name a group of /etc/group with ;group=, or give its number";
        Failure::new(format!("unknown group - '{name}'"), advice).with_option("listen")
    })
}
