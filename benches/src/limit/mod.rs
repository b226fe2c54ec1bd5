//! The limit servers: what the kernel allows a server that does nothing but answer.
//!
//! No parser, no log, no check of the file after its first use: a request is a block of bytes that
//! ends with a blank line, and the answer to it was built before. A file of more than 64 KiB is sent
//! by `sendfile` after its head. `limit-threads` gives each connection a thread that blocks;
//! `limit-loops` runs two epoll loops.

mod answers;
mod loops;
mod threads;

use std::net::{Ipv4Addr, SocketAddrV4, TcpListener};
use std::os::fd::AsRawFd;
use std::path::Path;

use nix::libc;
use nix::sys::socket::{
    self, AddressFamily, Backlog, MsgFlags, SockFlag, SockType, SockaddrIn, setsockopt, sockopt,
};

use crate::Result;

/// The first argument with which this program is a limit server.
pub const KINDS: [&str; 2] = ["limit-threads", LOOPS];
/// The one with two epoll loops.
pub const LOOPS: &str = "limit-loops";

/// Holds a head back until the file's first bytes follow; nix has no name for it.
const MORE: MsgFlags = MsgFlags::from_bits_retain(libc::MSG_MORE);

/// Serves `root` on the loopback `port` until a signal ends the process.
///
/// # Errors
/// The arguments are not `KIND PORT ROOT`, or the port is taken.
pub fn serve(arguments: &[String]) -> Result<()> {
    let [kind, port, root] = arguments else { return Err("a limit server wants KIND PORT ROOT".into()) };
    let address = SocketAddrV4::new(Ipv4Addr::LOCALHOST, port.parse()?);
    let root = Path::new(root);
    if kind == KINDS[0] { threads::serve(address, root) } else { loops::serve(address, root) }
}

/// A listening socket; several may share the address, and the kernel deals connections out evenly.
///
/// # Errors
/// The port is taken.
pub fn listener(address: SocketAddrV4) -> Result<TcpListener> {
    let socket = socket::socket(AddressFamily::Inet, SockType::Stream, SockFlag::SOCK_CLOEXEC, None)?;
    setsockopt(&socket, sockopt::ReuseAddr, &true)?;
    setsockopt(&socket, sockopt::ReusePort, &true)?;
    socket::bind(socket.as_raw_fd(), &SockaddrIn::from(address))?;
    // As much as the peers get.
    socket::listen(&socket, Backlog::new(4096)?)?;
    Ok(TcpListener::from(socket))
}
