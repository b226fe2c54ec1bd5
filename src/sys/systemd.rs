//! systemd's two small protocols, without its library: sockets handed over at start
//! (sd_listen_fds(3)) and messages about our state (sd_notify(3)).
//!
//! `boot/` takes the sockets; `control/` sends the messages.

use std::env;
use std::ffi::OsString;
use std::io;
use std::net::TcpListener;
use std::os::fd::{AsFd, FromRawFd, OwnedFd};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::Duration;

use nix::fcntl::{FcntlArg, FdFlag, fcntl};
use nix::sys::socket::sockopt::{AcceptConn, SockType};
use nix::sys::socket::{AddressFamily, SockaddrLike, SockaddrStorage, getsockname, getsockopt};
use nix::sys::stat::fstat;

/// The first descriptor that is handed over.
const FIRST: i32 = 3;
/// More sockets than any unit file lists; a larger number is not meant seriously.
const MOST: i32 = 256;

/// The listening TCP sockets that were handed to this process; empty when it was started without.
///
/// Call it once: it owns the descriptors. It must come before the process forks, since `LISTEN_PID`
/// names the process that was started, and before it opens anything.
///
/// # Errors
///
/// A descriptor is no listening TCP socket.
pub fn listeners() -> io::Result<Vec<TcpListener>> {
    let number = |name: &str| env::var(name).ok()?.parse::<i32>().ok();
    if number("LISTEN_PID").map(|pid| pid.cast_unsigned()) != Some(std::process::id()) {
        return Ok(Vec::new());
    }
    let count = number("LISTEN_FDS").unwrap_or(0).clamp(0, MOST);
    (FIRST..FIRST + count).map(take).collect()
}

fn take(number: i32) -> io::Result<TcpListener> {
    // SAFETY: LISTEN_PID and LISTEN_FDS say that this descriptor was opened for us before we were
    // started; nothing of ours owns it, for `listeners` is called once and before anything is opened.
    // A wrong LISTEN_FDS is found by the checks below, which fail with EBADF.
    let fd = unsafe { OwnedFd::from_raw_fd(number) };
    match check(&fd) {
        Ok(()) => Ok(TcpListener::from(fd)),
        Err(error) => {
            // Not ours to close: it may not even be open.
            std::mem::forget(fd);
            Err(error)
        }
    }
}

fn check(fd: &impl AsFd) -> io::Result<()> {
    let family = getsockname::<SockaddrStorage>(std::os::fd::AsRawFd::as_raw_fd(&fd.as_fd()))?.family();
    let internet = matches!(family, Some(AddressFamily::Inet | AddressFamily::Inet6));
    let stream = getsockopt(fd, SockType)? == nix::sys::socket::SockType::Stream;
    if !internet || !stream || !getsockopt(fd, AcceptConn)? {
        return Err(io::Error::other("not a listening TCP socket"));
    }
    fcntl(fd, FcntlArg::F_SETFD(FdFlag::FD_CLOEXEC))?;
    Ok(())
}

/// Whether standard error is the journal: `JOURNAL_STREAM` names its device and inode (systemd.exec(5)).
pub fn has_standard_error() -> bool {
    let Ok(journal) = env::var("JOURNAL_STREAM") else { return false };
    fstat(io::stderr()).is_ok_and(|stderr| journal == format!("{}:{}", stderr.st_dev, stderr.st_ino))
}

/// The way to tell systemd about our state; nothing happens where there is no systemd.
#[derive(Debug)]
pub struct Notify {
    socket: Option<UnixDatagram>,
    /// Half of what systemd allows between two signs of life; none = it does not watch.
    pub watchdog: Option<Duration>,
}

impl Notify {
    /// Connects to `NOTIFY_SOCKET`, if there is one. Call it before chroot.
    pub fn from_environment() -> Notify {
        let socket = env::var_os("NOTIFY_SOCKET").and_then(|path| connect(&path).ok());
        let micros = env::var("WATCHDOG_USEC").ok().and_then(|text| text.parse().ok());
        let watchdog =
            micros.filter(|_| socket.is_some()).map(|micros: u64| Duration::from_micros(micros / 2));
        Notify { socket, watchdog }
    }

    /// Ready to serve.
    pub fn ready(&self, status: &str) {
        self.send(&format!("READY=1\nSTATUS={status}\nMAINPID={}", std::process::id()));
    }

    /// The configuration is being read again; [`Notify::ready`] ends it.
    pub fn reloading(&self) {
        let now = nix::time::clock_gettime(nix::time::ClockId::CLOCK_MONOTONIC).map(Duration::from);
        let micros = now.unwrap_or_default().as_micros();
        self.send(&format!("RELOADING=1\nMONOTONIC_USEC={micros}"));
    }

    /// The end has begun.
    pub fn stopping(&self) {
        self.send("STOPPING=1");
    }

    /// Alive.
    pub fn alive(&self) {
        self.send("WATCHDOG=1");
    }

    fn send(&self, message: &str) {
        if let Some(socket) = &self.socket {
            // A service manager that does not listen needs no message.
            let _ = socket.send(message.as_bytes());
        }
    }
}

/// A path, or behind `@` a name in the abstract namespace.
fn connect(path: &OsString) -> io::Result<UnixDatagram> {
    let socket = UnixDatagram::unbound()?;
    socket.set_nonblocking(true)?;
    match path.as_bytes().strip_prefix(b"@") {
        Some(name) => socket.connect_addr(&SocketAddr::from_abstract_name(name)?)?,
        None => socket.connect(path)?,
    }
    Ok(socket)
}
