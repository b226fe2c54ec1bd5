//! Child processes: what must be done between fork and exec, and handles on processes.
//!
//! Called by `cgi::children` for each script.

use std::io;
use std::os::fd::{FromRawFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::time::Duration;

use nix::libc;

use super::scheduling::ask_for_slice;

/// Makes `command` start its child with every signal at its default action and none blocked, with
/// `nice` added to the server's niceness, in time slices of the usual length, and with no descriptor
/// above standard error, whatever was left open in the server.
///
/// The server's threads block all signals; without this a script could not be ended but by KILL.
pub fn start_clean(command: &mut Command, nice: i32) {
    // SAFETY: the closure runs in the child between fork and exec, where other threads' locks may
    // be held for ever: it calls only system calls through libc's thinnest wrappers
    // (async-signal-safe, signal-safety(7)) and neither allocates nor takes a lock.
    unsafe {
        command.pre_exec(move || {
            default_signals();
            libc::nice(nice);
            ask_for_slice(Duration::ZERO);
            close_on_exec();
            Ok(())
        });
    }
}

/// Default action for all signals, and none blocked. Signals that have no action to set (KILL,
/// STOP, those libc keeps for itself) say so, which is nobody's concern.
fn default_signals() {
    // SAFETY: `set` is initialised by sigemptyset before it is read; SIG_DFL is a valid action for
    // every signal, and no handler of ours is lost, because exec resets handlers anyway.
    unsafe {
        for signal in 1..libc::SIGRTMIN() {
            libc::signal(signal, libc::SIG_DFL);
        }
        let mut set = std::mem::zeroed::<libc::sigset_t>();
        libc::sigemptyset(&raw mut set);
        libc::sigprocmask(libc::SIG_SETMASK, &raw const set, std::ptr::null_mut());
    }
}

/// Marks every descriptor above standard error close-on-exec. Ours all are from birth; this is for
/// those the server itself inherited. Kernels before 5.11 cannot do it; then those stay open.
fn close_on_exec() {
    let (first, last): (libc::c_long, libc::c_long) = (3, libc::c_long::from(i32::MAX));
    // SAFETY: close_range with CLOSE_RANGE_CLOEXEC only sets a flag on descriptors of this child.
    unsafe {
        libc::syscall(libc::SYS_close_range, first, last, libc::CLOSE_RANGE_CLOEXEC as libc::c_long);
    }
}

/// Lets ended children be waited for. A server started with SIGCHLD ignored would have the kernel
/// forget them at once, and then signal whoever was given their number next.
pub fn keep_ended_children() {
    // SAFETY: SIG_DFL is a valid action for SIGCHLD and runs no code of ours.
    unsafe {
        libc::signal(libc::SIGCHLD, libc::SIG_DFL);
    }
}

/// A descriptor that becomes readable when the child `pid` has ended (pidfd_open(2), Linux 5.3).
/// The child must not have been waited for yet.
///
/// # Errors
/// ENOSYS on older kernels; no descriptor left; no such process.
pub fn pidfd(pid: i32) -> io::Result<OwnedFd> {
    // SAFETY: pidfd_open takes two integers and returns a new descriptor or -1.
    let fd = unsafe { libc::syscall(libc::SYS_pidfd_open, libc::c_long::from(pid), 0 as libc::c_long) };
    match i32::try_from(fd) {
        // SAFETY: the kernel has just given us this descriptor (close-on-exec from birth); nobody
        // else knows of it.
        Ok(fd) if fd >= 0 => Ok(unsafe { OwnedFd::from_raw_fd(fd) }),
        _ => Err(io::Error::last_os_error()),
    }
}
