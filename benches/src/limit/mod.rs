//! The limit servers: what the kernel allows a server that does nothing but answer.
//!
//! No parser, no log, no check of the file after its first use: a request is a block of bytes that
//! ends with a blank line, and the answer to it was built before. A file of more than 64 KiB is sent
//! by `sendfile` after its head. `limit-threads` gives each connection a thread that blocks;
//! `limit-loops` runs two epoll loops.

mod answers;
mod loops;
mod threads;

use std::net::{Ipv4Addr, TcpListener};
use std::path::Path;

use nix::libc;
use nix::sys::socket::{Backlog, MsgFlags, listen};

use crate::Result;

/// The first argument with which this program is a limit server.
pub const KINDS: [&str; 2] = ["limit-threads", "limit-loops"];

/// Holds a head back until the file's first bytes follow; nix has no name for it.
const MORE: MsgFlags = MsgFlags::from_bits_retain(libc::MSG_MORE);

/// Serves `root` on the loopback `port` until a signal ends the process.
///
/// # Errors
/// The arguments are not `KIND PORT ROOT`, or the port is taken.
pub fn serve(arguments: &[String]) -> Result<()> {
    let [kind, port, root] = arguments else { return Err("a limit server wants KIND PORT ROOT".into()) };
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port.parse()?))?;
    // The standard library asks for a backlog of 128; the peers get this one.
    listen(&listener, Backlog::new(4096)?)?;
    let root = Path::new(root);
    if kind == KINDS[0] { threads::serve(&listener, root) } else { loops::serve(&listener, root) }
}
