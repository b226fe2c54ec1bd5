//! A server whose workers stand still ends itself.

use std::os::unix::process::ExitStatusExt;

use nix::sys::ptrace;
use nix::sys::signal::Signal;
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;

use super::read;
use crate::support::{Server, Tree, eventually};

/// The server's threads called `name`.
fn threads(server: &Server, name: &str) -> Vec<Pid> {
    let tasks = std::fs::read_dir(format!("/proc/{}/task", server.pid())).unwrap().flatten();
    let named = tasks.filter(|task| read(&task.path().join("comm")).trim() == name);
    named.map(|task| Pid::from_raw(task.file_name().to_str().unwrap().parse().unwrap())).collect()
}

#[test]
fn a_server_whose_workers_stand_still_ends_with_sigabrt() {
    let tree = Tree::new();
    let mut server = Server::start_with(&tree, &["-o", "watchdog=2", "-o", "workers=3"], |command| {
        command.env("THTTPD_SYSLOG_SOCKET", "/nonexistent/log");
    });
    eventually("the workers work", || threads(&server, "worker").len() == 3);
    let workers = threads(&server, "worker");
    for &worker in &workers {
        if let Err(errno) = ptrace::seize(worker, ptrace::Options::empty()) {
            return eprintln!("skipped: threads cannot be held here: {errno}");
        }
        ptrace::interrupt(worker).unwrap();
    }
    // Whoever holds threads must take notice of their end, or the process never ends.
    for worker in workers {
        eventually("a held thread ends with its process", || {
            !matches!(
                waitpid(worker, Some(WaitPidFlag::__WALL | WaitPidFlag::WNOHANG)),
                Ok(WaitStatus::StillAlive | WaitStatus::PtraceEvent(..) | WaitStatus::Stopped(..))
            )
        });
    }
    let status = server.wait();
    assert_eq!(status.signal(), Some(Signal::SIGABRT as i32));
    assert!(read(&server.stderr).contains("no progress in 2 seconds - aborting"));
}

#[test]
fn a_server_without_work_is_not_a_stuck_one() {
    let tree = Tree::new();
    let mut server = Server::start(&tree, &["-o", "watchdog=1"]);
    std::thread::sleep(std::time::Duration::from_secs(3));
    assert!(server.is_alive());
}
