//! Socket options that nix has no name for.

use std::ffi::c_int;
use std::os::fd::{AsFd, AsRawFd};

use nix::errno::Errno;
use nix::libc;

/// Lets the kernel keep a connection that has sent nothing from accept(2) for about `seconds`, tcp(7).
///
/// # Errors
///
/// `socket` is no TCP socket.
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
