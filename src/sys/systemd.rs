//! systemd's two small protocols, without its library: sockets handed over at start
//! (sd_listen_fds(3)) and messages about our state (sd_notify(3)).
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

use nix::fcntl::{FcntlArg, FdFlag, OFlag, fcntl};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::sockopt::{AcceptConn, SockType};
use nix::sys::socket::{
    AddressFamily, ControlMessage, MsgFlags, SockaddrLike, SockaddrStorage, getsockname, getsockopt, sendmsg,
};
use nix::sys::stat::fstat;
use nix::unistd::pipe2;

/// The first descriptor that is handed over.
const FIRST: i32 = 3;
/// More sockets than any unit file lists; a larger number is not meant seriously.
const MOST: i32 = 256;

/// The name under which systemd keeps our listening sockets from one process of the service to the next.
pub const STORED: &str = "thttpd-listener";
/// How long systemd may take to answer a barrier, in milliseconds. A manager that is too old to know of them never does.
const BARRIER_TIME: u16 = 5000;

/// A socket that was handed over.
#[derive(Debug)]
pub struct HandedSocket {
    /// It listens.
    pub fd: OwnedFd,
    /// Its `FileDescriptorName=` in the socket unit, or [`STORED`]; empty where `LISTEN_FDNAMES` has none.
    pub name: String,
}

/// The listening stream sockets that were handed to this process; empty when it was started without.
///
/// Call it once: it owns the descriptors. It must come before the process forks, since `LISTEN_PID`
/// names the process that was started, and before it opens anything.
///
/// # Errors
///
/// A descriptor is no listening stream socket.
pub fn listeners() -> io::Result<Vec<HandedSocket>> {
    let number = |name: &str| env::var(name).ok()?.parse::<i32>().ok();
    if number("LISTEN_PID").map(|pid| pid.cast_unsigned()) != Some(std::process::id()) {
        return Ok(Vec::new());
    }
    let count = number("LISTEN_FDS").unwrap_or(0).clamp(0, MOST);
    let names = env::var("LISTEN_FDNAMES").unwrap_or_default();
    let names = names.split(':').map(str::to_owned).chain(std::iter::repeat(String::new()));
    (FIRST..FIRST + count)
        .zip(names)
        .map(|(number, name)| Ok(HandedSocket { fd: take(number)?, name }))
        .collect()
}

fn take(number: i32) -> io::Result<OwnedFd> {
    // SAFETY: LISTEN_PID and LISTEN_FDS say that this descriptor was opened for us before we were
    // started; nothing of ours owns it, for `listeners` is called once and before anything is opened.
    // A wrong LISTEN_FDS is found by the checks below, which fail with EBADF.
    let fd = unsafe { OwnedFd::from_raw_fd(number) };
    match check(&fd) {
        Ok(()) => Ok(fd),
        Err(error) => {
            // Not ours to close: it may not even be open.
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
        self.send(&ready(status));
    }

    /// Ready to serve for the first time; systemd keeps `listeners` for the next process of the service, so
    /// that clients find them open while it is restarted (`FileDescriptorStoreMax=`).
    pub fn ready_and_store(&self, status: &str, listeners: &[TcpListener]) {
        if listeners.is_empty() {
            return self.ready(status);
        }
        self.send_with(&format!("{}\nFDSTORE=1\nFDNAME={STORED}", ready(status)), listeners);
    }

    /// Whether [`Notify::ready_and_store`] reaches anyone.
    pub fn is_connected(&self) -> bool {
        self.socket.is_some()
    }

    /// Has systemd close the listening sockets that it keeps; returns when they are closed.
    pub fn close_stored(&self) {
        self.send(&format!("FDSTOREREMOVE=1\nFDNAME={STORED}"));
        // systemd closes this descriptor when it has worked off what was sent before (sd_notify_barrier(3)).
        let Ok((answer, barrier)) = pipe2(OFlag::O_CLOEXEC) else { return };
        self.send_with("BARRIER=1", &[barrier]);
        let _ = poll(&mut [PollFd::new(answer.as_fd(), PollFlags::empty())], PollTimeout::from(BARRIER_TIME));
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

    fn send_with(&self, message: &str, descriptors: &[impl AsRawFd]) {
        let Some(socket) = &self.socket else { return };
        let descriptors: Vec<_> = descriptors.iter().map(AsRawFd::as_raw_fd).collect();
        let rights = [ControlMessage::ScmRights(&descriptors)];
        let text = [IoSlice::new(message.as_bytes())];
        let _ = sendmsg::<()>(socket.as_raw_fd(), &text, &rights, MsgFlags::MSG_NOSIGNAL, None);
    }

    fn send(&self, message: &str) {
        if let Some(socket) = &self.socket {
            // A service manager that does not listen needs no message.
            let _ = socket.send(message.as_bytes());
        }
    }
}

fn ready(status: &str) -> String {
    format!("READY=1\nSTATUS={status}\nMAINPID={}", std::process::id())
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
