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

/// Tells whether the thread is asleep, so that it holds no lock of the allocator while it is stopped.
fn is_asleep(thread: Pid) -> bool {
    let stat = read(std::path::Path::new(&format!("/proc/{thread}/stat")));
    stat.rsplit(") ").next().is_some_and(|rest| rest.starts_with('S'))
}

/// Threads that this thread holds still. The process cannot end before their end was taken notice of.
struct Held(Vec<Pid>);

impl Held {
    fn hold(&mut self, thread: Pid) -> nix::Result<()> {
        ptrace::seize(thread, ptrace::Options::empty())?;
        self.0.push(thread);
        ptrace::interrupt(thread)
    }

    /// Waits until all have ended with their process.
    fn wait(&self) {
        let flags = Some(WaitPidFlag::__WALL | WaitPidFlag::WNOHANG);
        let has_ended = |thread: &Pid| {
            matches!(waitpid(*thread, flags), Ok(WaitStatus::Exited(..) | WaitStatus::Signaled(..)) | Err(_))
        };
        for thread in &self.0 {
            eventually("a held thread ends with its process", || has_ended(thread));
        }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        for &thread in &self.0 {
            let _ = ptrace::detach(thread, None);
        }
    }
}

#[test]
fn a_server_whose_workers_stand_still_ends_with_sigabrt() {
    let tree = Tree::new();
    let mut server = Server::start_with(&tree, &["-o", "watchdog=2", "-o", "workers=3"], |command| {
        command.env("THTTPD_SYSLOG_SOCKET", "/nonexistent/log");
    });
    eventually("three workers wait for work", || {
        let workers = threads(&server, "worker");
        workers.len() == 3 && workers.into_iter().all(is_asleep)
    });
    let mut held = Held(Vec::new());
    for worker in threads(&server, "worker") {
        if let Err(errno) = held.hold(worker) {
            return eprintln!("skipped: threads cannot be held here: {errno}");
        }
    }
    held.wait();
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
