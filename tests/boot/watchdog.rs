//! A server whose workers stand still ends itself.

use std::os::unix::process::ExitStatusExt;
use std::path::Path;

use nix::libc;
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

/// Tells whether the stopped thread waits for work, so that it holds no lock that another thread needs.
fn waits_for_work(thread: Pid) -> bool {
    let call = read(Path::new(&format!("/proc/{thread}/syscall")));
    let number = call.split(' ').next().and_then(|number| number.parse().ok());
    [libc::SYS_epoll_pwait, libc::SYS_epoll_pwait2, libc::SYS_futex].map(Some).contains(&number)
        || cfg!(target_arch = "x86_64") && number == Some(EPOLL_WAIT)
}

/// Number of epoll_wait(2) on x86-64; other machines have epoll_pwait(2) alone.
const EPOLL_WAIT: i64 = 232;

/// Threads that this thread holds still. The process cannot end before their end was taken notice of.
struct Held(Vec<Pid>);

impl Held {
    /// Stops the thread while it waits for work.
    ///
    /// A thread that was asleep a moment ago may have woken up and taken a lock, of the allocator for one, which
    /// would hold up the watchdog itself.
    fn hold(&mut self, thread: Pid) -> nix::Result<()> {
        ptrace::seize(thread, ptrace::Options::empty())?;
        self.0.push(thread);
        eventually("a worker is stopped while it waits for work", || {
            ptrace::interrupt(thread).unwrap();
            eventually("the thread stops", || {
                matches!(waitpid(thread, flags()), Ok(WaitStatus::PtraceEvent(..) | WaitStatus::Stopped(..)))
            });
            let waits = waits_for_work(thread);
            if !waits {
                ptrace::cont(thread, None).unwrap();
            }
            waits
        });
        Ok(())
    }

    /// Waits until all have ended with their process.
    fn wait(&self) {
        let has_ended = |thread: &Pid| {
            matches!(
                waitpid(*thread, flags()),
                Ok(WaitStatus::Exited(..) | WaitStatus::Signaled(..)) | Err(_)
            )
        };
        for thread in &self.0 {
            eventually("a held thread ends with its process", || has_ended(thread));
        }
    }
}

fn flags() -> Option<WaitPidFlag> {
    Some(WaitPidFlag::__WALL | WaitPidFlag::WNOHANG)
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
    eventually("there are three workers", || threads(&server, "worker").len() == 3);
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
