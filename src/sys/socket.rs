//! Socket options and requests that nix lacks.

use std::ffi::c_int;
use std::io;
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use nix::errno::Errno;
use nix::libc;
use nix::sys::socket::{AddressFamily, SockFlag, SockType, UnixAddr, connect, socket};

/// Makes the kernel hold back connections without data from accept(2) for about `seconds`, tcp(7).
///
/// # Errors
/// `socket` is not a TCP socket.
pub fn defer_accept(socket: &impl AsFd, seconds: c_int) -> nix::Result<()> {
    let fd = socket.as_fd().as_raw_fd();
    let size = size_of::<c_int>() as libc::socklen_t;
    // SAFETY: the pointer is to an integer that lives through the call, and `size` is its size; the
    // kernel only reads it. The descriptor is open as long as `socket` is borrowed.
    let answer = unsafe {
        libc::setsockopt(fd, libc::IPPROTO_TCP, libc::TCP_DEFER_ACCEPT, (&raw const seconds).cast(), size)
    };
    Errno::result(answer).map(drop)
}

/// Number of sent bytes of a TCP `socket` that the peer has not acknowledged (`SIOCOUTQ`, tcp(7)).
///
/// Zero if the system does not tell.
pub fn unacknowledged(socket: &impl AsFd) -> usize {
    let mut count: c_int = 0;
    // SAFETY: the call writes one integer, which lives through it; the descriptor is open as long as
    // `socket` is borrowed.
    let answer = unsafe { libc::ioctl(socket.as_fd().as_raw_fd(), libc::TIOCOUTQ as _, &raw mut count) };
    if answer == 0 { usize::try_from(count).unwrap_or_default() } else { 0 }
}

/// Number of bytes in a pipe or a socket that can be read now (`FIONREAD`); zero if the system does not tell.
pub fn readable(fd: &impl AsFd) -> usize {
    let mut count: c_int = 0;
    // SAFETY: the call writes one integer, which lives through it; the descriptor is open as long as
    // `fd` is borrowed.
    let answer = unsafe { libc::ioctl(fd.as_fd().as_raw_fd(), libc::FIONREAD as _, &raw mut count) };
    if answer == 0 { usize::try_from(count).unwrap_or_default() } else { 0 }
}

/// Connects to the Unix-domain socket `path`, and limits connecting and sending to `timeout`.
///
/// The standard library's connect waits without end for a process that has stopped accepting.
///
/// # Errors
/// Those of connect(2); `WouldBlock` when the time is over.
pub fn connect_unix(path: &Path, timeout: Duration) -> io::Result<UnixStream> {
    let stream = socket(AddressFamily::Unix, SockType::Stream, SockFlag::SOCK_CLOEXEC, None)?;
    let stream = UnixStream::from(stream);
    // On Linux, the limit on sending applies to connect(2), too.
    stream.set_write_timeout(Some(timeout))?;
    connect(stream.as_raw_fd(), &UnixAddr::new(path)?)?;
    Ok(stream)
}

/// Index of the network interface called `name`, netdevice(7); `None` if there is none.
///
/// `if_nametoindex(3)` would link a resolver into a static program.
pub fn interface_index(name: &str) -> Option<u32> {
    let any = socket(AddressFamily::Unix, SockType::Datagram, SockFlag::SOCK_CLOEXEC, None).ok()?;
    // SAFETY: all-zero bytes are a value of each field of this plain structure.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    let room = request.ifr_name.len().checked_sub(1)?;
    if name.len() > room {
        return None;
    }
    for (to, byte) in request.ifr_name.iter_mut().zip(name.bytes()) {
        *to = byte as libc::c_char;
    }
    // SAFETY: the pointer is to a structure of the kind that this call reads and fills, which lives
    // through it; the name in it ends with a NUL, as its last byte was left at zero.
    let answer = unsafe { libc::ioctl(any.as_raw_fd(), libc::SIOCGIFINDEX as _, &raw mut request) };
    Errno::result(answer).ok()?;
    // SAFETY: the call succeeded, so this is the field of the union that the kernel has filled.
    u32::try_from(unsafe { request.ifr_ifru.ifru_ifindex }).ok()
}

#[cfg(test)]
mod tests {
    use nix::sys::socket::{Backlog, bind, listen};

    use super::*;
    use crate::testing::TempTree;

    #[test]
    fn a_listener_that_accepts_nothing_is_not_waited_for_without_end() {
        let tree = TempTree::new();
        let path = tree.path().join("socket");
        let listener = socket(AddressFamily::Unix, SockType::Stream, SockFlag::SOCK_CLOEXEC, None).unwrap();
        bind(listener.as_raw_fd(), &UnixAddr::new(&path).unwrap()).unwrap();
        listen(&listener, Backlog::new(0).unwrap()).unwrap();
        let short = Duration::from_millis(10);
        let _first = connect_unix(&path, short).unwrap();
        assert_eq!(connect_unix(&path, short).unwrap_err().kind(), io::ErrorKind::WouldBlock);
    }

    #[test]
    fn the_loopback_interface_has_a_number_and_no_other_name_does() {
        assert_eq!(interface_index("lo"), nix::net::if_::if_nametoindex("lo").ok());
        assert_eq!(interface_index("no-such-interface"), None);
        assert_eq!(interface_index("a-name-that-is-longer-than-any"), None);
        assert_eq!(interface_index(""), None);
    }
}
