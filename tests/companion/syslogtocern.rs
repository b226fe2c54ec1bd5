//! `syslogtocern` with lines that the server has sent to the system log.

use std::fs;
use std::io::Write;
use std::net::SocketAddr;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::process::{Command, Output, Stdio};

use chrono::{Datelike, Local};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::{code, names_in, stderr};
use crate::boot::syslogd::Syslogd;
use crate::boot::{Running, thttpd};
use crate::support::server::free_port;
use crate::support::{Client, Server, Tree};

/// Two lines of the server and one of another program, as syslog daemons write them.
const LINES: &str = "\
Nov  3 04:05:06 www thttpd[12]: 10.0.0.1 - jef \"GET /a HTTP/1.1\" 200 5 \"\" \"x\"
Nov  3 04:05:07 www cron[7]: (root) CMD (thttpd)
2024-05-01T10:00:00.123456+02:00 www thttpd[12]: exiting due to signal 15
";

fn run(tree: &Tree, files: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_syslogtocern")).args(files).current_dir(tree.dir()).output().unwrap()
}

fn text(tree: &Tree, name: &str) -> String {
    fs::read_to_string(tree.dir().join(name)).unwrap()
}

/// A file that is served and one that is refused with a message.
fn site() -> Tree {
    let tree = Tree::new();
    tree.file("a.txt", "hello");
    tree.file("program", "");
    tree.mode("program", 0o755);
    tree
}

fn ask(address: SocketAddr) {
    let mut client = Client::connect(address);
    client.get("/a.txt?q=1");
    client.send("GET /none HTTP/1.1\r\nHost: x\r\nReferer: http://r/\r\nUser-Agent: A \"b\" (c; d)\r\n\r\n");
    client.answer("GET");
    client.get("/program");
}

/// File of a syslog daemon after requests to a server without an access log file.
fn filed_by_syslogd() -> String {
    let tree = site();
    let mut syslogd = Syslogd::bind(&tree.dir().join("socket"));
    let port = free_port();
    let mut command = thttpd();
    command.args(["-D", "-h", "127.0.0.1", "-p", &port.to_string(), "-d"]).arg(tree.www());
    command.env("THTTPD_SYSLOG_SOCKET", tree.dir().join("socket")).stderr(Stdio::null());
    let _server = Running::start(&mut command, port);
    ask(([127, 0, 0, 1], port).into());
    syslogd.until("GET /program").iter().map(|message| filed(message)).collect()
}

/// A message as the daemon files it: without the priority, with the host's name.
fn filed(message: &str) -> String {
    let (_, text) = message.split_once('>').unwrap();
    let (stamp, rest) = text.split_at(16);
    format!("{stamp}www {rest}\n")
}

/// The line without its date.
fn undated(line: &str) -> String {
    let (before, rest) = line.split_once('[').unwrap();
    let (_, after) = rest.split_once(']').unwrap();
    format!("{before}{after}")
}

#[test]
fn syslog_lines_become_the_log_that_the_server_would_have_written() {
    let server = site();
    let by_file = Server::start(&server, &[]);
    ask(by_file.address());
    by_file.logged("GET /program");
    let expected: Vec<String> = by_file.log_lines().iter().map(|line| undated(line)).collect();

    let tree = Tree::new();
    tree.beside("daemon.log", &filed_by_syslogd());
    let output = run(&tree, &["daemon.log"]);
    assert_eq!((code(&output), stderr(&output).as_str()), (Some(0), ""));
    let access = text(&tree, "access_log");
    assert_eq!(access.lines().map(undated).collect::<Vec<_>>(), expected);
    assert_eq!(expected.len(), 3);
    let year = Local::now().year();
    assert!(access.lines().all(|line| line.contains(&format!("/{year}:"))), "{access}");

    let errors = text(&tree, "error_log");
    assert!(errors.contains("] thttpd/3.0.0 starting on 127.0.0.1, port "), "{errors}");
    assert!(errors.contains("\"/program\" is executable") || errors.contains("/program"), "{errors}");
}

#[test]
fn both_forms_of_dates_are_read_and_other_programs_lines_are_left_out() {
    let tree = Tree::new();
    tree.beside("one", LINES);
    tree.beside("two", LINES);
    assert_eq!(code(&run(&tree, &["one", "two"])), Some(0));
    let access = text(&tree, "access_log");
    assert_eq!(access.lines().count(), 2);
    assert!(access.contains("10.0.0.1 - jef [03/Nov/") && !access.contains("CMD"), "{access}");
    let line = "[May 01 10:00:00 2024] exiting due to signal 15\n";
    assert_eq!(text(&tree, "error_log"), line.repeat(2));
}

#[test]
fn the_logs_take_the_place_of_older_ones_and_keep_their_mode() {
    let tree = Tree::new();
    tree.beside("log", LINES);
    let old = tree.beside("access_log", "old\n");
    fs::set_permissions(&old, fs::Permissions::from_mode(0o640)).unwrap();
    assert_eq!(code(&run(&tree, &["log"])), Some(0));
    assert!(!text(&tree, "access_log").contains("old"));
    assert_eq!(fs::metadata(&old).unwrap().mode() & 0o7777, 0o640);
    assert_eq!(names_in(tree.dir()), ["access_log", "error_log", "log", "www"]);
}

#[test]
fn a_file_that_cannot_be_read_leaves_the_older_logs_alone() {
    let tree = Tree::new();
    tree.beside("log", LINES);
    tree.beside("access_log", "old\n");
    let output = run(&tree, &["log", "none"]);
    assert_eq!((code(&output), stderr(&output).as_str()), (Some(1), "none: No such file or directory\n"));
    assert_eq!(text(&tree, "access_log"), "old\n");
    assert_eq!(names_in(tree.dir()), ["access_log", "log", "www"]);
}

#[test]
fn a_link_in_place_of_a_log_is_replaced_and_not_followed() {
    let tree = Tree::new();
    tree.beside("log", LINES);
    let victim = tree.beside("victim", "precious\n");
    std::os::unix::fs::symlink(&victim, tree.dir().join("access_log")).unwrap();
    assert_eq!(code(&run(&tree, &["log"])), Some(0));
    assert_eq!(text(&tree, "victim"), "precious\n");
    assert!(fs::symlink_metadata(tree.dir().join("access_log")).unwrap().is_file());
}

#[test]
fn without_a_file_or_with_a_flag_there_is_the_usage_and_no_log() {
    let tree = Tree::new();
    for files in [&[][..], &["-h"], &["--hlep"]] {
        let output = run(&tree, files);
        assert_eq!(code(&output), Some(1), "{files:?}");
        assert_eq!(stderr(&output), "usage:  syslogtocern logfile ...\n");
    }
    assert_eq!(names_in(tree.dir()), ["www"]);
}

#[test]
fn an_interrupted_run_leaves_nothing_behind() {
    let tree = Tree::new();
    let fifo = tree.dir().join("daemon.log");
    nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRWXU).unwrap();
    let before = names_in(tree.dir());
    let mut command = Command::new(env!("CARGO_BIN_EXE_syslogtocern"));
    let mut child = command.arg("daemon.log").current_dir(tree.dir()).spawn().unwrap();
    let mut log = fs::File::options().write(true).open(&fifo).unwrap();
    // More than a pipe holds: all but its end has been read and written.
    log.write_all(LINES.repeat(4000).as_bytes()).unwrap();
    kill(Pid::from_raw(child.id().cast_signed()), Signal::SIGINT).unwrap();
    child.wait().unwrap();
    assert_eq!(names_in(tree.dir()), before);
}
