//! Start without `-D`: the started process exits when the server is ready or has failed.

use std::fs;
use std::path::PathBuf;

use nix::errno::Errno;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::{is_running, read, run, stderr, thttpd};
use crate::support::server::free_port;
use crate::support::{Client, Server, Tree, eventually, reason, sees_others};

/// A server in the background; killed on drop.
struct Daemon {
    pid: i32,
    pid_file: PathBuf,
    port: u16,
}

impl Daemon {
    fn start(tree: &Tree, flags: &[&str]) -> Daemon {
        let (port, pid_file) = (free_port(), tree.dir().join("pid"));
        let mut command = thttpd();
        command.args(["-h", "127.0.0.1", "-p", &port.to_string(), "-d"]).arg(tree.www());
        command.arg("-i").arg(&pid_file).arg("-l").arg(tree.dir().join("log")).args(flags);
        let output = run(&mut command);
        assert!(output.status.success(), "{}", stderr(&output));
        let pid = read(&pid_file).trim().parse().expect("a process id in the pid file");
        Daemon { pid, pid_file, port }
    }

    fn client(&self) -> Client {
        Client::connect(([127, 0, 0, 1], self.port).into())
    }

    fn end(&self, signal: Signal) {
        kill(Pid::from_raw(self.pid), signal).unwrap();
        eventually("the server ends", || !is_running(self.pid));
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        if is_running(self.pid) {
            let _ = kill(Pid::from_raw(self.pid), Signal::SIGKILL);
        }
    }
}

#[test]
fn it_serves_as_soon_as_the_command_has_returned() {
    let tree = Tree::new();
    tree.file("a.txt", "hello");
    let daemon = Daemon::start(&tree, &[]);
    assert_eq!(daemon.client().get("/a.txt").text(), "hello");
    daemon.end(Signal::SIGTERM);
}

#[test]
fn it_has_left_the_terminal() {
    if !sees_others() {
        return;
    }
    let tree = Tree::new();
    let daemon = Daemon::start(&tree, &[]);
    for number in 0..3 {
        let open = fs::read_link(format!("/proc/{}/fd/{number}", daemon.pid)).unwrap();
        assert_eq!(open.to_str(), Some("/dev/null"), "descriptor {number}");
    }
    let stat = read(format!("/proc/{}/stat", daemon.pid).as_ref());
    let session = stat.rsplit_once(") ").unwrap().1.split(' ').nth(3).unwrap().to_owned();
    assert_eq!(session, daemon.pid.to_string(), "a session of its own");
}

#[test]
fn the_pid_file_says_nothing_any_more_when_it_has_ended() {
    let tree = Tree::new();
    let daemon = Daemon::start(&tree, &[]);
    daemon.end(Signal::SIGTERM);
    assert_eq!(read(&daemon.pid_file), "");
}

#[test]
fn a_second_server_on_the_same_port_does_not_start_and_leaves_the_pid_file_alone() {
    let tree = Tree::new();
    let daemon = Daemon::start(&tree, &[]);
    let mut command = thttpd();
    command.args(["-h", "127.0.0.1", "-p", &daemon.port.to_string(), "-d"]).arg(tree.www());
    let output = run(command.arg("-i").arg(&daemon.pid_file).args(["-l", "/dev/null"]));
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains(&reason(Errno::EADDRINUSE)), "{}", stderr(&output));
    assert_eq!(read(&daemon.pid_file), format!("{}\n", daemon.pid));
}

#[test]
fn a_second_server_on_another_port_takes_the_pid_file_over_for_good() {
    let tree = Tree::new();
    let first = Daemon::start(&tree, &[]);
    let second = Daemon::start(&tree, &[]);
    assert_ne!(first.pid, second.pid);
    first.end(Signal::SIGTERM);
    assert_eq!(read(&second.pid_file), format!("{}\n", second.pid), "the first one's end does not touch it");
    second.end(Signal::SIGTERM);
    assert_eq!(read(&second.pid_file), "");
}

#[test]
fn a_stale_pid_file_is_replaced() {
    let tree = Tree::new();
    tree.beside("pid", "4194304\nrubbish\n");
    let daemon = Daemon::start(&tree, &[]);
    assert_eq!(read(&daemon.pid_file), format!("{}\n", daemon.pid));
}

#[test]
fn dev_null_as_the_pid_file_is_none() {
    let tree = Tree::new();
    tree.file("a.txt", "hello");
    let server = Server::start(&tree, &["-i", "/dev/null"]);
    assert_eq!(server.connect().get("/a.txt").status, 200);
    let flags = ["--check", "-i", "/dev/null", "-l", "/dev/null", "-p", "0", "-d"];
    let output = run(thttpd().args(flags).arg(tree.www()));
    assert!(output.status.success(), "{}", stderr(&output));
}

#[test]
fn standard_output_as_the_log_survives_the_terminal() {
    let tree = Tree::new();
    tree.file("a.txt", "hello");
    let log = tree.beside("stdout", "");
    let (port, pid_file) = (free_port(), tree.dir().join("pid"));
    let mut command = thttpd();
    command.args(["-h", "127.0.0.1", "-p", &port.to_string(), "-l", "-", "-d"]).arg(tree.www());
    command.arg("-i").arg(&pid_file).stdout(fs::File::create(&log).unwrap());
    assert!(command.status().unwrap().success());
    let daemon = Daemon { pid: read(&pid_file).trim().parse().unwrap(), pid_file, port };
    daemon.client().get("/a.txt");
    eventually("the line is in what was standard output", || read(&log).contains("GET /a.txt"));
}
