//! Support for all end-to-end tests.

pub mod browser;
pub mod exclusive;
pub mod fuse;
pub mod peer;
pub mod server;
pub mod tree;
pub mod wire;

pub use browser::{Browser, dom_of};
pub use exclusive::alone;
pub use fuse::FuseMount;
pub use peer::Peer;
pub use server::Server;
pub use tree::Tree;
pub use wire::{Answer, Client};

use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};

/// Path of the server's program, by which a process of any user can start it.
///
/// The checkout may lie below a directory that is closed to others, such as `/root`. A child process looks the
/// program up in an open directory of this one.
pub fn program_for_every_user() -> std::path::PathBuf {
    use std::os::fd::AsRawFd;
    static DIRECTORY: std::sync::OnceLock<std::fs::File> = std::sync::OnceLock::new();
    let program = std::path::Path::new(env!("CARGO_BIN_EXE_thttpd"));
    let directory = DIRECTORY.get_or_init(|| std::fs::File::open(program.parent().unwrap()).unwrap());
    format!("/proc/self/fd/{}/thttpd", directory.as_raw_fd()).into()
}

/// Guard that makes other threads end when this one ends in any way.
pub struct Done<'a>(pub &'a AtomicBool);

impl Drop for Done<'_> {
    fn drop(&mut self) {
        self.0.store(true, Relaxed);
    }
}

/// Repeats `probe` until it returns true; panics with `what` after ten seconds.
pub fn eventually(what: &str, mut probe: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(10);
    while !probe() {
        assert!(Instant::now() < deadline, "never happened: {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Tells whether anything has come on `stream`, without waiting for it.
pub fn has_answer(stream: &TcpStream) -> bool {
    stream.set_nonblocking(true).unwrap();
    stream.peek(&mut [0]).is_ok()
}

/// Tells whether `strace` is there and may trace a server, which changes its user; says so if not.
pub fn can_trace() -> bool {
    let Some(probe) = run("strace", &["-o", "/dev/null", "true"]) else { return false };
    if !probe.status.success() {
        eprintln!("skipped: no process may trace another one here");
    }
    probe.status.success() && sees_others()
}

/// Tells whether a process of another user may be looked into, which containers seldom allow; says so if not.
pub fn sees_others() -> bool {
    const CAP_SYS_PTRACE: u32 = 19;
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let capabilities = status.lines().find_map(|line| line.strip_prefix("CapEff:")).unwrap();
    let capabilities = u64::from_str_radix(capabilities.trim(), 16).unwrap();
    let sees = !nix::unistd::geteuid().is_root() || capabilities >> CAP_SYS_PTRACE & 1 == 1;
    sees || skipped("root may not look into the processes of other users here")
}

/// A new terminal; `None`, with a message, where `/dev/pts` is not mounted.
pub fn terminal() -> Option<nix::pty::OpenptyResult> {
    let opened = nix::pty::openpty(None, None);
    opened.map_err(|errno| skipped(&format!("no terminal can be made here: {errno}"))).ok()
}

/// Tells whether unshare(1) makes namespaces by `flags`, which containers seldom allow; says so if not.
pub fn can_unshare(flags: &str) -> bool {
    let trial = run("unshare", &[flags, "true"]);
    trial
        .is_some_and(|trial| trial.status.success() || skipped("no namespaces of one's own may be made here"))
}

/// Says why a test is skipped, for which CI, where nothing may be, sets THTTPD_TESTS_SKIP=never.
pub fn skipped(why: &str) -> bool {
    assert!(std::env::var_os("THTTPD_TESTS_SKIP").is_none_or(|value| value != "never"), "{why}");
    eprintln!("skipped: {why}");
    false
}

/// Text of an error, which is another one in each C library.
pub fn reason(errno: nix::errno::Errno) -> String {
    thttpd::sys::reason(&errno.into())
}

/// Runs a real client; `None`, with a message, if it is not installed.
///
/// CI sets THTTPD_TESTS_SKIP=never.
pub fn run(program: &str, arguments: &[&str]) -> Option<std::process::Output> {
    match std::process::Command::new(program).args(arguments).output() {
        Ok(output) => Some(output),
        Err(error) if std::env::var_os("THTTPD_TESTS_SKIP").is_none_or(|v| v != "never") => {
            eprintln!("skipped: {program} is not here ({error}); tests/run installs it");
            None
        }
        Err(error) => panic!("{program}: {error}; tests/run installs it"),
    }
}

/// Tells whether the test runs as root, as changing users and chroot require; prints a message if not.
pub fn is_root() -> bool {
    let root = nix::unistd::geteuid().is_root();
    if !root {
        eprintln!("skipped: needs root");
    }
    root
}
