//! `thttpd DIR`: a directory served for a look, and what a terminal shows of it.

use std::fs::File;
use std::io::Read;
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::Signal;

use super::{Running, run, stderr, thttpd, thttpd_for_every_user};
use crate::support::server::free_port;
use crate::support::{Client, Tree, eventually, is_root, terminal};

/// Becomes the server in a network of its own, where `lo` alone is up and `localhost` is of both families.
const APART: &str = "mount --bind \"$HOSTS\" /etc/hosts && ip link set lo up && exec \"$@\"";
/// The server, a request to each of its addresses, and ^C.
const VISIT: &str = "\"$0\" \"$@\" & \
    for host in 127.0.0.1 '[::1]'; do \
        curl -gsf --retry 20 --retry-connrefused --retry-delay 1 http://$host:$PORT/a.txt; done; \
    kill -INT $!; wait $!";

/// A server with standard error on a terminal, and what that shows.
struct Screen {
    terminal: File,
    shown: String,
}

impl Screen {
    fn start(command: &mut Command) -> Option<(Screen, OwnedFd)> {
        let pty = terminal()?;
        command.stderr(Stdio::from(pty.slave.try_clone().unwrap()));
        Some((Screen { terminal: pty.master.into(), shown: String::new() }, pty.slave))
    }

    /// Waits until `part` is shown.
    fn wait_for(&mut self, part: &str) {
        eventually(part, || {
            self.look();
            self.shown.contains(part)
        });
    }

    fn look(&mut self) {
        let has_more = |terminal: &File| {
            let mut one = [PollFd::new(std::os::fd::AsFd::as_fd(terminal), PollFlags::POLLIN)];
            poll(&mut one, PollTimeout::from(10u8)).unwrap() > 0
        };
        while has_more(&self.terminal) {
            let mut piece = [0; 1024];
            let Ok(n) = self.terminal.read(&mut piece) else { return };
            self.shown.push_str(&String::from_utf8_lossy(&piece[..n]));
        }
    }
}

fn site() -> Tree {
    let tree = Tree::new();
    tree.file("a.txt", "hello");
    tree
}

/// `thttpd DIR` as `user` (number) in a network of its own: standard output, and what the terminal shows.
fn visited(tree: &Tree, user: &str, port: &str) -> Option<(String, String)> {
    let hosts = tree.beside("hosts", "127.0.0.1 localhost\n::1 localhost\n");
    let apart = || {
        let mut command = Command::new("unshare");
        command.args(["-nm", "sh", "-c", APART, "sh"]).env("HOSTS", &hosts);
        command
    };
    let trial = apart().arg("true").output();
    if !is_root() || !trial.is_ok_and(|trial| trial.status.success()) {
        eprintln!("skipped: no network of its own can be made here");
        return None;
    }
    let mut command = apart();
    command
        .args([
            "setpriv",
            "--reuid",
            user,
            "--regid",
            user,
            "--clear-groups",
            "sh",
            "-c",
            VISIT,
            env!("CARGO_BIN_EXE_thttpd"),
        ])
        .arg(tree.www());
    command.env("PORT", port).env("THTTPD_SYSLOG_SOCKET", "/nonexistent/log").stdin(Stdio::null());
    let (mut screen, _slave) = Screen::start(&mut command)?;
    let output = command.stdout(Stdio::piped()).spawn().unwrap().wait_with_output().unwrap();
    screen.look();
    assert!(output.status.success(), "{}", screen.shown);
    Some((String::from_utf8_lossy(&output.stdout).into_owned(), screen.shown))
}

fn assert_banner(shown: &str, www: &Path, urls: &str, port: u16) {
    let www = www.canonicalize().unwrap();
    let banner = format!(
        "thttpd/3.0.0 serves {} on {urls} (this machine alone; -p {port} opens it to everyone; ",
        www.display()
    );
    let end = shown.strip_prefix(&banner).unwrap_or_else(|| panic!("{shown:?} lacks {banner:?}"));
    // The terminal does not control the process here, so ^C would not reach it.
    assert!(end.starts_with("kill ") && end.ends_with(" ends it)\r\n"), "{shown}");
    assert_eq!(end.lines().count(), 1, "nothing else on the terminal, and no statistics at the end: {shown}");
}

#[test]
fn a_directory_alone_is_served_to_this_machine_on_port_80() {
    let tree = site();
    let Some((out, shown)) = visited(&tree, "0", "80") else { return };
    assert_eq!(out.matches("hello").count(), 2, "{out}");
    assert_eq!(out.matches("\"GET /a.txt HTTP/1.1\" 200 5").count(), 2, "{out}");
    assert_banner(&shown, &tree.www(), "http://[::1]/ and http://127.0.0.1/", 80);
}

#[test]
fn where_port_80_is_not_permitted_8080_takes_its_place() {
    let tree = site();
    let Some((out, shown)) = visited(&tree, "65534", "8080") else { return };
    assert_eq!(out.matches("hello").count(), 2, "{out}");
    assert_banner(&shown, &tree.www(), "http://[::1]:8080/ and http://127.0.0.1:8080/", 8080);
}

#[test]
fn a_port_opens_it_to_everyone_and_the_terminal_is_told_every_address() {
    let tree = site();
    let port = free_port();
    let mut command = thttpd();
    command.arg(tree.www()).args(["-p", &port.to_string()]).stdout(Stdio::null());
    let Some((mut screen, slave)) = Screen::start(&mut command) else { return };
    let mut server = Running::start(&mut command, port);
    drop(slave);
    assert_eq!(Client::connect(([127, 0, 0, 1], port).into()).get("/a.txt").text(), "hello");
    screen.wait_for(" ends it)");
    assert!(screen.shown.contains(&format!("http://localhost:{port}/")), "{}", screen.shown);
    assert!(server.end(Signal::SIGINT).success());
    screen.look();
    assert_eq!(screen.shown.lines().count(), 1, "{}", screen.shown);
}

#[test]
fn statistics_are_told_at_the_end_where_no_terminal_is() {
    let tree = site();
    let (port, errors) = (free_port(), tree.beside("errors", ""));
    let mut command = thttpd();
    command.arg(tree.www()).args(["-p", &port.to_string(), "-h", "127.0.0.1"]).stdout(Stdio::null());
    command.stderr(File::create(&errors).unwrap());
    let mut server = Running::start(&mut command, port);
    assert!(server.end(Signal::SIGINT).success());
    let told = std::fs::read_to_string(errors).unwrap();
    assert!(told.contains("stats for") && told.contains("exiting due to signal 2"), "{told}");
}

#[test]
fn a_directory_that_the_user_may_not_enter_is_named() {
    if !is_root() {
        return;
    }
    let tree = site();
    let closed = tree.dir_in("closed");
    tree.dir_in("closed/site");
    tree.mode("closed", 0o700);
    let start = |dir: &Path| {
        let mut command = thttpd_for_every_user();
        command.arg(dir).args(["-h", "127.0.0.1", "-p", &free_port().to_string()]);
        command
    };
    let output = run(&mut start(&closed));
    assert_eq!(output.status.code(), Some(1));
    let want = format!("nobody may not enter {}: chmod o+x it", closed.display());
    assert!(stderr(&output).contains(&want), "{}", stderr(&output));
    let output = run(start(&closed.join("site")).uid(65534).gid(65534));
    let want = format!("chdir - Permission denied; this user may not enter {}: see chmod", closed.display());
    assert!(stderr(&output).contains(&want), "{}", stderr(&output));
}

#[test]
fn a_wrong_word_is_answered_in_one_line_with_the_nearest_and_where_all_are_listed() {
    for (argument, says) in [
        ("--prot", "--prot: unknown option; did you mean -p port? "),
        ("-x", "-x: unknown option; "),
        ("port=80", "port=80: unknown option; did you mean -o port=80? "),
    ] {
        let output = run(thttpd().arg(argument));
        let name = env!("CARGO_BIN_EXE_thttpd");
        assert_eq!(output.status.code(), Some(1));
        assert_eq!(stderr(&output), format!("{name}: {says}{name} --help lists them all\n"));
    }
}
