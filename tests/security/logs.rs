//! Logs: effects of client data, and permissions of the files.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};

use nix::sys::signal::Signal;

use super::{Server, Tree, get_with, is_root};

fn tree() -> Tree {
    let tree = Tree::new();
    tree.file("file", "content");
    tree
}

#[test]
fn cve_2009_4491_escape_sequences_reach_the_log_as_text() {
    let tree = tree();
    let server = Server::start(&tree, &[]);
    let fields = "Referer: \u{9b}2J\r\nUser-Agent: x\" 200 1 \"y\r\n";
    get_with(&server, "/\u{9b}31m%1b[2J", fields);
    let mut client = server.connect();
    client.send("GET /\x1b]2;title\x07 HTTP/1.1\r\nHost: x\r\n\r\n");
    client.answer("GET");
    let mut client = server.connect();
    client.send("GET /forged HTTP/1.1\r\nHost: x\r\nReferer: x\rGET\r\n\r\n");
    client.answer("GET");
    crate::support::eventually("three lines", || server.log_lines().len() == 3);
    for line in server.log_lines() {
        assert!(line.bytes().all(|b| (b' '..0x7f).contains(&b)), "{line:?}");
        assert_eq!(line.matches('"').count(), 6, "{line:?}");
    }
}

#[test]
fn cve_2013_0348_a_log_that_is_created_is_not_for_everyone_to_read() {
    let tree = tree();
    // A directory in which the server's own user may make files, too.
    let dir = tree.dir().join("logs");
    fs::create_dir(&dir).unwrap();
    fs::set_permissions(&dir, fs::Permissions::from_mode(0o777)).unwrap();
    let log = dir.join("fresh.log");
    let mut server = Server::start(&tree, &["-l", log.to_str().unwrap()]);
    get_with(&server, "/file?secret", "");
    let mode = |path| fs::metadata(path).unwrap().permissions().mode();
    assert_eq!(mode(&log) & 0o037, 0, "{:o}", mode(&log));
    // Nor is the one that is opened after it was moved away.
    fs::rename(&log, dir.join("old.log")).unwrap();
    server.signal(Signal::SIGHUP);
    crate::support::eventually("a new log", || log.exists());
    assert_eq!(mode(&log) & 0o037, 0, "{:o}", mode(&log));
    assert!(server.end(Signal::SIGTERM).success());
}

#[test]
fn root_follows_no_link_to_its_log_or_pid_file() {
    if !is_root() {
        return;
    }
    let tree = tree();
    let precious = tree.beside("precious", "precious");
    for (flag, name) in [("-l", "link.log"), ("-i", "link.pid")] {
        let link = tree.dir().join(name);
        std::os::unix::fs::symlink(&precious, &link).unwrap();
        let before = fs::metadata(&precious).unwrap().uid();
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_thttpd"));
        let port = crate::support::server::free_port().to_string();
        command.args(["-D", "-h", "127.0.0.1", "-p", &port, "-d"]).arg(tree.www());
        let output = command.args(["-l", "/dev/null"]).arg(flag).arg(&link).output().unwrap();
        assert!(!output.status.success(), "it started with {flag} {}", link.display());
        assert_eq!(fs::read_to_string(&precious).unwrap(), "precious");
        assert_eq!(fs::metadata(&precious).unwrap().uid(), before, "given away by {flag}");
    }
}
