//! Child processes: fork and exec without waiting for either, and handles on processes.
//!
//! `cgi::script` uses this for each script.

use std::ffi::CString;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;
use std::time::Duration;

use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::libc;

use super::scheduling::ask_for_slice;

/// Descriptor on which a child reports why exec failed.
const STATUS: libc::c_int = 3;

/// Descriptor of the program's directory in the child.
const DIRECTORY: libc::c_int = 4;

/// Program to execute, in the form of execve(2).
#[derive(Debug)]
pub struct Program<'fd> {
    /// Working directory of the process.
    pub directory: BorrowedFd<'fd>,
    /// File to execute, relative to that directory; PATH is not searched.
    pub file: CString,
    /// Arguments, the name of the program first.
    pub arguments: Vec<CString>,
    /// Environment, as `NAME=value`.
    pub variables: Vec<CString>,
    /// Added to the niceness of the process.
    pub nice: i32,
}

/// Descriptors that become a child's 0, 1 and 2.
#[derive(Debug)]
pub struct Streams<'fd> {
    /// Standard input.
    pub input: BorrowedFd<'fd>,
    /// Standard output.
    pub output: BorrowedFd<'fd>,
    /// Standard error.
    pub error: BorrowedFd<'fd>,
}

/// A child process that has been forked, and may not have executed its program yet.
#[derive(Debug)]
pub struct Forked {
    /// Process number, and that of its process group.
    pub pid: i32,
    /// Status pipe, non-blocking; read by [`exec_result`].
    pub status: OwnedFd,
}

/// Forks a process that executes `program` in a process group of its own.
///
/// Returns as soon as the process exists. Its directory and its file may lie on storage that does not
/// answer, and then only the child waits. [`exec_result`] returns the result of exec.
///
/// The child starts with default actions for all signals and none blocked (the server's threads block all),
/// with time slices of the usual length, and without descriptors above standard error, so that a hanging
/// child does not hold a listening port.
///
/// # Errors
/// The system lacks resources for another process or descriptor.
pub fn spawn(program: &Program<'_>, streams: Streams<'_>) -> io::Result<Forked> {
    let (status, told) = nix::unistd::pipe2(OFlag::O_CLOEXEC | OFlag::O_NONBLOCK)?;
    let pointers = |texts: &[CString]| -> Vec<*const libc::c_char> {
        texts.iter().map(|text| text.as_ptr()).chain([std::ptr::null()]).collect()
    };
    let arrays =
        ExecArrays { arguments: pointers(&program.arguments), variables: pointers(&program.variables) };
    // SAFETY: the child calls `become_program` alone, which neither allocates nor takes a lock that another
    // thread may have held; all that it reads was made above and lives in its copy of our memory.
    let pid = unsafe { libc::fork() };
    match pid {
        -1 => Err(io::Error::last_os_error()),
        0 => become_program(program, &streams, &told, &arrays),
        pid => {
            // SAFETY: setpgid takes two numbers. The child does the same; whichever is first, the group is
            // there before anybody signals it. It fails once the child has executed, which is fine.
            unsafe { libc::setpgid(pid, pid) };
            Ok(Forked { pid, status })
        }
    }
}

/// Arrays for execve(2), each with a null pointer at its end.
struct ExecArrays {
    arguments: Vec<*const libc::c_char>,
    variables: Vec<*const libc::c_char>,
}

/// Life of the child between fork and exec. Only system calls through the C library's thinnest wrappers
/// (async-signal-safe, signal-safety(7)).
fn become_program(program: &Program<'_>, streams: &Streams<'_>, told: &OwnedFd, arrays: &ExecArrays) -> ! {
    // SAFETY: the descriptors are open and above 2, since the runtime opens 0 to 2 at the start; the texts
    // end in NUL and the arrays in a null pointer; _exit runs nothing of the server's.
    unsafe {
        libc::setpgid(0, 0);
        default_signals();
        libc::dup2(streams.input.as_raw_fd(), 0);
        libc::dup2(streams.output.as_raw_fd(), 1);
        libc::dup2(streams.error.as_raw_fd(), 2);
        let (told, directory) = (above(told.as_raw_fd()), above(program.directory.as_raw_fd()));
        libc::dup3(told, STATUS, libc::O_CLOEXEC);
        libc::dup3(directory, DIRECTORY, libc::O_CLOEXEC);
        close_from(DIRECTORY + 1);
        libc::nice(program.nice);
        ask_for_slice(Duration::ZERO);
        if libc::fchdir(DIRECTORY) == 0 {
            libc::execve(program.file.as_ptr(), arrays.arguments.as_ptr(), arrays.variables.as_ptr());
        }
        let errno = Errno::last_raw().to_ne_bytes();
        libc::write(STATUS, errno.as_ptr().cast(), errno.len());
        libc::_exit(127)
    }
}

/// The descriptor `fd` under a number that no other one is to be given.
fn above(fd: libc::c_int) -> libc::c_int {
    if fd > DIRECTORY {
        return fd;
    }
    // SAFETY: only called in a child between fork and exec; fcntl takes numbers and makes a descriptor.
    unsafe { libc::fcntl(fd, libc::F_DUPFD_CLOEXEC, DIRECTORY + 1) }
}

/// Closes all descriptors from `first` on.
fn close_from(first: libc::c_int) {
    // SAFETY: only called in a child between fork and exec, which uses none of these descriptors.
    unsafe {
        let (from, last) = (libc::c_long::from(first), libc::c_long::from(i32::MAX));
        if libc::syscall(libc::SYS_close_range, from, last, 0 as libc::c_long) == 0 {
            return;
        }
        // Before Linux 5.9, each descriptor is closed separately.
        let mut limit = std::mem::zeroed::<libc::rlimit>();
        libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit);
        for fd in first..libc::c_int::try_from(limit.rlim_cur).unwrap_or(MOST_CLOSED).min(MOST_CLOSED) {
            libc::close(fd);
        }
    }
}

/// Maximum number of descriptors closed one by one: the kernel's default limit (`fs.nr_open`).
const MOST_CLOSED: libc::c_int = 1 << 20;

/// Result of [`spawn`]: `None` until exec has succeeded or failed.
///
/// # Errors
/// The reason why exec or changing the directory failed.
pub fn exec_result(status: &OwnedFd) -> Option<io::Result<()>> {
    let mut errno = [0; size_of::<i32>()];
    loop {
        return match nix::unistd::read(status, &mut errno) {
            Ok(n) if n == errno.len() => Some(Err(io::Error::from_raw_os_error(i32::from_ne_bytes(errno)))),
            // A successful exec has closed the pipe.
            Ok(_) => Some(Ok(())),
            Err(Errno::EAGAIN) => None,
            Err(Errno::EINTR) => continue,
            Err(other) => Some(Err(other.into())),
        };
    }
}

/// Waits for the child `pid`, reaps it, and returns its exit status; `None` if there is no such child.
pub fn wait_for(pid: i32) -> Option<ExitStatus> {
    let mut status = 0;
    loop {
        // SAFETY: waitpid writes one integer, which lives here.
        let reaped = unsafe { libc::waitpid(pid, &raw mut status, 0) };
        match (reaped == pid, Errno::last()) {
            (true, _) => return Some(ExitStatus::from_raw(status)),
            (false, Errno::EINTR) => {}
            (false, _) => return None,
        }
    }
}

/// Sets the default action for all signals, and unblocks them.
///
/// The calls fail for KILL, STOP and signals reserved by libc, which does not matter.
fn default_signals() {
    // SAFETY: `set` is initialised by sigemptyset before it is read; SIG_DFL is a valid action for
    // every signal, and no handler of ours is lost, because exec resets handlers anyway.
    unsafe {
        for signal in 1..=libc::SIGRTMAX() {
            libc::signal(signal, libc::SIG_DFL);
        }
        let mut set = std::mem::zeroed::<libc::sigset_t>();
        libc::sigemptyset(&raw mut set);
        libc::sigprocmask(libc::SIG_SETMASK, &raw const set, std::ptr::null_mut());
    }
}

/// Makes the kernel keep ended children until they are reaped.
///
/// With SIGCHLD ignored by the parent process, the kernel would drop them at once, and a later signal could
/// hit another process with the reused number.
pub fn keep_ended_children() {
    // SAFETY: SIG_DFL is a valid action for SIGCHLD and runs no code of ours.
    unsafe {
        libc::signal(libc::SIGCHLD, libc::SIG_DFL);
    }
}

/// Opens a descriptor that is readable when the child `pid` has ended (pidfd_open(2), Linux 5.3).
///
/// The child must not have been reaped.
///
/// # Errors
/// ENOSYS on older kernels; no descriptor left; no such process.
pub fn pidfd(pid: i32) -> io::Result<OwnedFd> {
    // SAFETY: pidfd_open takes two integers and returns a new descriptor or -1.
    let fd = unsafe { libc::syscall(libc::SYS_pidfd_open, libc::c_long::from(pid), 0 as libc::c_long) };
    match i32::try_from(fd) {
        // SAFETY: the kernel has just given us this descriptor (close-on-exec from birth); no other
        // code knows of it.
        Ok(fd) if fd >= 0 => Ok(unsafe { OwnedFd::from_raw_fd(fd) }),
        _ => Err(io::Error::last_os_error()),
    }
}
