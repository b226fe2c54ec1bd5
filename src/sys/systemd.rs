//! systemd's protocols, without its library: sd_listen_fds(3) for sockets, sd_notify(3) for the state.
//!
//! `boot/` takes the sockets; `control/` sends the messages.

use std::env;
use std::ffi::OsString;
use std::io::{self, IoSlice};
use std::net::TcpListener;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::Duration;

use super::stat::fstat;
use nix::fcntl::{FcntlArg, FdFlag, OFlag, fcntl};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::sockopt::{AcceptConn, SockType};
use nix::sys::socket::{
    AddressFamily, ControlMessage, MsgFlags, SockaddrLike, SockaddrStorage, getsockname, getsockopt, sendmsg,
};
use nix::unistd::pipe2;

/// Number of the first descriptor handed over.
const FIRST: i32 = 3;
/// Maximum number of sockets accepted, above that of any real unit file.
const MOST: i32 = 256;

/// Name of the listening sockets that systemd keeps between processes of the service.
pub const STORED: &str = "thttpd-listener";
/// Maximum wait for systemd's answer to a barrier, in milliseconds; old versions never answer.
const BARRIER_TIME: u16 = 5000;

/// Socket handed over by systemd.
#[derive(Debug)]
pub struct HandedSocket {
    /// Listening socket.
    pub fd: OwnedFd,
    /// Name from `FileDescriptorName=` in the socket unit, or [`STORED`]; empty if `LISTEN_FDNAMES` has
    /// none.
    pub name: String,
}

/// Takes the listening stream sockets handed to this process; empty if there are none.
///
/// Call this once, as the result owns the descriptors. The call must come before any fork, since
/// `LISTEN_PID` names the started process, and before opening other descriptors.
///
/// # Errors
/// A descriptor is not a listening stream socket.
pub fn listeners() -> io::Result<Vec<HandedSocket>> {
    let number = |name: &str| env::var(name).ok()?.parse::<i32>().ok();
    if number("LISTEN_PID").map(|pid| pid.cast_unsigned()) != Some(std::process::id()) {
        return Ok(Vec::new());
    }
    let count = number("LISTEN_FDS").unwrap_or(0).clamp(0, MOST);
    let names = env::var("LISTEN_FDNAMES").unwrap_or_default();
    let mut names = names.split(':');
    let mut sockets = Vec::new();
    for number in FIRST..FIRST + count {
        let name = names.next().unwrap_or_default().to_owned();
        sockets.push(HandedSocket { fd: take(number)?, name });
    }
    Ok(sockets)
}

fn take(number: i32) -> io::Result<OwnedFd> {
    // SAFETY: LISTEN_PID and LISTEN_FDS say that this descriptor was opened for us before we were
    // started; nothing of ours owns it, for `listeners` is called once and before anything is opened.
    // A wrong LISTEN_FDS is found by the checks below, which fail with EBADF.
    let fd = unsafe { OwnedFd::from_raw_fd(number) };
    match check(&fd) {
        Ok(()) => Ok(fd),
        Err(error) => {
            // An invalid descriptor must not be closed; it may not even be open.
            std::mem::forget(fd);
            Err(error)
        }
    }
}

fn check(fd: &impl AsFd) -> io::Result<()> {
    let family = getsockname::<SockaddrStorage>(std::os::fd::AsRawFd::as_raw_fd(&fd.as_fd()))?.family();
    let known = matches!(family, Some(AddressFamily::Inet | AddressFamily::Inet6 | AddressFamily::Unix));
    let stream = getsockopt(fd, SockType)? == nix::sys::socket::SockType::Stream;
    if !known || !stream || !getsockopt(fd, AcceptConn)? {
        return Err(io::Error::other("not a listening stream socket"));
    }
    fcntl(fd, FcntlArg::F_SETFD(FdFlag::FD_CLOEXEC))?;
    Ok(())
}

/// Tells whether standard error is the journal, by device and inode in `JOURNAL_STREAM` (systemd.exec(5)).
pub fn has_standard_error() -> bool {
    let Ok(journal) = env::var("JOURNAL_STREAM") else { return false };
    fstat(io::stderr()).is_ok_and(|stderr| journal == format!("{}:{}", stderr.st_dev, stderr.st_ino))
}

/// Connection for state messages to systemd; without systemd, all calls do nothing.
#[derive(Debug)]
pub struct Notify {
    socket: Option<UnixDatagram>,
    /// Half of systemd's maximum interval between keep-alive messages; `None` = no watchdog.
    pub watchdog: Option<Duration>,
}

impl Notify {
    /// Connects to `NOTIFY_SOCKET` if set. Call this before chroot.
    pub fn from_environment() -> Notify {
        let socket = env::var_os("NOTIFY_SOCKET").and_then(|path| connect(&path).ok());
        let micros = env::var("WATCHDOG_USEC").ok().and_then(|text| text.parse().ok());
        let watchdog =
            micros.filter(|_| socket.is_some()).map(|micros: u64| Duration::from_micros(micros / 2));
        Notify { socket, watchdog }
    }

    /// Reports that the server is ready.
    pub fn ready(&self, status: &str) {
        self.send(&ready(status));
    }

    /// Reports the first readiness, and stores `listeners` in systemd (`FileDescriptorStoreMax=`).
    ///
    /// Clients then find the sockets open while the service is restarted.
    pub fn ready_and_store(&self, status: &str, listeners: &[TcpListener]) {
        if listeners.is_empty() {
            return self.ready(status);
        }
        self.send_with(&format!("{}\nFDSTORE=1\nFDNAME={STORED}", ready(status)), listeners);
    }

    /// Tells whether [`Notify::ready_and_store`] has a receiver.
    pub fn is_connected(&self) -> bool {
        self.socket.is_some()
    }

    /// Makes systemd close the stored listening sockets; returns when they are closed.
    pub fn close_stored(&self) {
        self.send(&format!("FDSTOREREMOVE=1\nFDNAME={STORED}"));
        // systemd closes this descriptor after processing all earlier messages (sd_notify_barrier(3)).
        let Ok((answer, barrier)) = pipe2(OFlag::O_CLOEXEC) else { return };
        self.send_with("BARRIER=1", &[barrier]);
        let _ = poll(&mut [PollFd::new(answer.as_fd(), PollFlags::empty())], PollTimeout::from(BARRIER_TIME));
    }

    /// Reports that the configuration is being read; [`Notify::ready`] ends that state.
    pub fn reloading(&self) {
        let now = nix::time::clock_gettime(nix::time::ClockId::CLOCK_MONOTONIC).map(Duration::from);
        let micros = u64::try_from(now.unwrap_or_default().as_micros()).unwrap_or(u64::MAX);
        self.send(&format!("RELOADING=1\nMONOTONIC_USEC={micros}"));
    }

    /// Reports that the shutdown has begun.
    pub fn stopping(&self) {
        self.send("STOPPING=1");
    }

    /// Sends a keep-alive message.
    pub fn alive(&self) {
        self.send("WATCHDOG=1");
    }

    fn send_with(&self, message: &str, descriptors: &[impl AsRawFd]) {
        let Some(socket) = &self.socket else { return };
        let descriptors: Vec<_> = descriptors.iter().map(AsRawFd::as_raw_fd).collect();
        let rights = [ControlMessage::ScmRights(&descriptors)];
        let text = [IoSlice::new(message.as_bytes())];
        let _ = sendmsg::<()>(socket.as_raw_fd(), &text, &rights, MsgFlags::MSG_NOSIGNAL, None);
    }

    fn send(&self, message: &str) {
        if let Some(socket) = &self.socket {
            // A failed send is ignored: the service manager may not listen any more.
            let _ = socket.send(message.as_bytes());
        }
    }
}

fn ready(status: &str) -> String {
    format!("READY=1\nSTATUS={status}\nMAINPID={}", std::process::id())
}

/// Connects to a path, or to an abstract name behind `@`.
fn connect(path: &OsString) -> io::Result<UnixDatagram> {
    let socket = UnixDatagram::unbound()?;
    socket.set_nonblocking(true)?;
    match path.as_bytes().strip_prefix(b"@") {
        Some(name) => socket.connect_addr(&SocketAddr::from_abstract_name(name)?)?,
        None => socket.connect(path)?,
    }
    Ok(socket)
}
