//! The system log: exact messages, and a daemon that goes, comes back, or does not listen.

use std::fs;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::net::UnixStream;
use std::process::Command;
use std::time::{Duration, Instant};

use chrono::{Datelike, Local};
use nix::sys::signal::Signal;
use nix::sys::socket::{AddressFamily, Backlog, SockFlag, SockType, UnixAddr, bind, listen, socket};

use super::syslogd::Syslogd;
use super::{Running, thttpd};
use crate::support::server::free_port;
use crate::support::{Client, Server, Tree, is_root};

/// Serves `tree` with `flags` and talks to the daemon at `tree`'s socket.
fn start(tree: &Tree, flags: &[&str]) -> (Running, u16) {
    let port = free_port();
    let mut command = thttpd();
    command.args(["-D", "-h", "127.0.0.1", "-p", &port.to_string(), "-d"]).arg(tree.www()).args(flags);
    command
        .env("THTTPD_SYSLOG_SOCKET", tree.dir().join("socket"))
        .stderr(fs::File::create(tree.dir().join("stderr")).unwrap());
    (Running::start(&mut command, port), port)
}

/// A message without its time: priority, name and process, text.
fn parts(message: &str, pid: u32) -> (u8, &str) {
    let (priority, rest) = message.strip_prefix('<').and_then(|rest| rest.split_once('>')).expect(message);
    let now = Local::now();
    assert_eq!(&rest[..7], format!("{} {:2} ", now.format("%b"), now.day()), "{message}");
    let text = rest[16..].strip_prefix(&format!("thttpd[{pid}]: ")).expect(message);
    (priority.parse().unwrap(), text)
}

const WARNING: u8 = 3 * 8 + 4;
const NOTICE: u8 = 3 * 8 + 5;
const INFO: u8 = 3 * 8 + 6;

#[test]
fn a_servers_life_is_told_in_thttpds_words() {
    let tree = Tree::new();
    tree.file("a.txt", "hello");
    let mut syslogd = Syslogd::bind(&tree.dir().join("socket"));
    let log = tree.dir().join("log");
    let (mut server, port) = start(&tree, &["-l", log.to_str().unwrap(), "-o", "nolandlock"]);
    let pid = server.pid();
    let mut expected = vec![
        (INFO, "landlock is switched off".to_owned()),
        (NOTICE, format!("thttpd/3.0.0 starting on 127.0.0.1, port {port}")),
        (NOTICE, "re-opening logfile".to_owned()),
        (NOTICE, "exiting due to signal 15".to_owned()),
    ];
    if nix::unistd::geteuid().is_root() {
        expected.insert(0, (WARNING, "started as root without requesting chroot(), warning only".to_owned()));
        std::os::unix::fs::chown(tree.dir(), Some(65534), Some(65534)).unwrap();
    }
    Client::connect(([127, 0, 0, 1], port).into()).get("/a.txt");
    server.signal(Signal::SIGHUP);
    syslogd.until("re-opening");
    server.end(Signal::SIGTERM);
    let seen = syslogd.until("exiting").to_vec();
    let seen: Vec<_> = seen.iter().map(|message| parts(message, pid)).collect();
    let stats = seen.iter().position(|(_, text)| text.starts_with("up ")).expect("statistics at the end");
    let (_, block) = seen.split_at(stats);
    assert_eq!(block.len(), 4, "{block:?}");
    assert!(block.iter().all(|(priority, _)| *priority == NOTICE));
    assert!(block[0].1.contains(" seconds, stats for "), "{}", block[0].1);
    assert!(block[1].1.starts_with("  thttpd - "), "{}", block[1].1);
    assert!(block[1].1.contains(" max simultaneous, 5 bytes ("), "{}", block[1].1);
    let told: Vec<_> =
        seen[..stats].iter().chain(&seen[stats + 3..]).map(|&(p, text)| (p, text.to_owned())).collect();
    assert_eq!(told, expected);
}

#[test]
fn usr2_logs_the_statistics() {
    let tree = Tree::new();
    let mut syslogd = Syslogd::bind(&tree.dir().join("socket"));
    let (server, _) = start(&tree, &["-l", "/dev/null"]);
    server.signal(Signal::SIGUSR2);
    syslogd.until("  requests - ");
}

#[test]
fn a_restarted_daemon_gets_the_next_message() {
    let tree = Tree::new();
    let mut syslogd = Syslogd::bind(&tree.dir().join("socket"));
    let (server, _) = start(&tree, &["-l", "/dev/null"]);
    syslogd.until("starting on");
    let mut syslogd = syslogd.restart();
    server.signal(Signal::SIGUSR2);
    syslogd.until("  requests - ");
}

#[test]
fn a_restarted_daemon_gets_the_next_message_from_inside_a_new_root() {
    if !is_root() {
        return;
    }
    let tree = Tree::new();
    let mut syslogd = Syslogd::bind(&tree.dir().join("socket"));
    let (server, _) = start(&tree, &["-r", "-l", "/dev/null"]);
    syslogd.until("starting on");
    let mut syslogd = syslogd.restart();
    server.signal(Signal::SIGUSR2);
    syslogd.until("  requests - ");
}

#[test]
fn a_daemon_that_takes_nothing_holds_up_neither_requests_nor_the_end() {
    let tree = Tree::new();
    // A file that is refused with a message, far more often than socket and queue have room for.
    tree.file("program", "");
    tree.mode("program", 0o755);
    let mut syslogd = Syslogd::bind(&tree.dir().join("socket"));
    let (mut server, port) = start(&tree, &["-l", "/dev/null"]);
    syslogd.until("starting on");
    let begun = Instant::now();
    let mut client = Client::connect(([127, 0, 0, 1], port).into());
    for _ in 0..2000 {
        assert_eq!(client.get("/program").status, 403);
        // One message that waits takes half a second; all of them, a quarter of an hour.
        assert!(begun.elapsed() < Duration::from_secs(60));
    }
    assert_eq!(server.end(Signal::SIGTERM).code(), Some(0));
}

#[test]
fn without_a_log_file_access_lines_go_to_the_daemon_without_their_date() {
    let tree = Tree::new();
    tree.file("a.txt", "hello");
    let mut syslogd = Syslogd::bind(&tree.dir().join("socket"));
    let (server, port) = start(&tree, &[]);
    Client::connect(([127, 0, 0, 1], port).into()).get("/a.txt?q");
    let seen = syslogd.until("GET /a.txt").to_vec();
    let line = parts(seen.last().unwrap(), server.pid());
    assert_eq!(line, (INFO, "127.0.0.1 - - \"GET /a.txt?q HTTP/1.1\" 200 5 \"\" \"\""));
}

#[test]
fn the_lines_of_requests_come_before_the_message_of_the_end() {
    let tree = Tree::new();
    let mut syslogd = Syslogd::bind(&tree.dir().join("socket"));
    let (mut server, port) = start(&tree, &[]);
    Client::connect(([127, 0, 0, 1], port).into()).get("/a.txt");
    assert_eq!(server.end(Signal::SIGTERM).code(), Some(0));
    syslogd.until_all(&["GET /a.txt", "exiting due to signal 15"]);
    assert!(syslogd.now().last().unwrap().contains("exiting"), "{:?}", syslogd.now());
}

#[test]
fn client_data_cannot_begin_a_line_of_the_log() {
    let tree = Tree::new();
    let mut syslogd = Syslogd::bind(&tree.dir().join("socket"));
    let (_server, port) = start(&tree, &[]);
    let mut client = Client::connect(([127, 0, 0, 1], port).into());
    client.send("GET /x HTTP/1.1\r\nHost: x\r\nUser-Agent: a\x1b[2J\x7fb\"\r\n\r\n");
    for message in syslogd.until("GET /x") {
        assert!(!message.contains(|c: char| c.is_control()), "{message:?}");
    }
}

#[test]
fn without_a_daemon_the_foreground_tells_on_standard_error() {
    let tree = Tree::new();
    let mut server = Server::start_with(&tree, &["-l", "/dev/null"], |command: &mut Command| {
        command.env("THTTPD_SYSLOG_SOCKET", "/nonexistent/log");
    });
    server.end(Signal::SIGTERM);
    let text = fs::read_to_string(&server.stderr).unwrap();
    assert!(text.contains("thttpd: thttpd/3.0.0 starting on 127.0.0.1, port "), "{text}");
    assert!(text.ends_with("thttpd: exiting due to signal 15\n"), "{text}");
}

/// Standard error and log messages of a server with a warning, from start to end.
///
/// The warning comes from its throttle file. With `journal`, standard error is the journal's, as systemd
/// declares it.
fn told_at_start(tree: &Tree, journal: bool) -> (String, Vec<String>) {
    let mut syslogd = Syslogd::bind(&tree.dir().join("socket"));
    fs::write(tree.dir().join("throttles"), "no number\n").unwrap();
    let socket = tree.dir().join("socket");
    let throttles = tree.dir().join("throttles");
    let stderr = tree.dir().join("stderr");
    let mut server =
        Server::start_with(tree, &["-t", throttles.to_str().unwrap()], |command: &mut Command| {
            command.env("THTTPD_SYSLOG_SOCKET", &socket);
            if journal {
                let meta = fs::metadata(&stderr).unwrap();
                command.env("JOURNAL_STREAM", format!("{}:{}", meta.dev(), meta.ino()));
            }
        });
    let heard = syslogd.until("starting on").to_vec();
    server.end(Signal::SIGTERM);
    (fs::read_to_string(&server.stderr).unwrap(), heard)
}

#[test]
fn a_start_as_root_without_chroot_is_told_to_the_log_alone_and_once() {
    for journal in [false, true] {
        let (said, heard) = told_at_start(&Tree::new(), journal);
        assert!(!said.contains("without requesting chroot"), "{said}");
        let times = heard.iter().filter(|message| message.contains("without requesting chroot")).count();
        assert_eq!(times, usize::from(is_root()), "{heard:?}");
    }
}

#[test]
fn messages_of_the_log_daemon_do_not_go_to_the_journal_again() {
    for (journal, times) in [(false, 1), (true, 0)] {
        let (said, heard) = told_at_start(&Tree::new(), journal);
        assert_eq!(said.matches("throttles:1").count(), times, "{said}");
        assert!(heard.iter().any(|message| message.contains("throttles:1")), "{heard:?}");
    }
}

#[test]
fn a_start_that_fails_stands_in_the_journal_once_with_its_level() {
    let tree = Tree::new();
    let mut syslogd = Syslogd::bind(&tree.dir().join("socket"));
    let (path, port) = (tree.dir().join("stderr"), free_port().to_string());
    let stderr = fs::File::create(&path).unwrap();
    let meta = stderr.metadata().unwrap();
    let mut command = thttpd();
    command.args(["-D", "-p", &port, "-d", "/nonexistent", "-l", "/dev/null"]).stderr(stderr);
    command.env("THTTPD_SYSLOG_SOCKET", tree.dir().join("socket"));
    command.env("JOURNAL_STREAM", format!("{}:{}", meta.dev(), meta.ino()));
    assert_eq!(command.status().unwrap().code(), Some(1));
    let said = fs::read_to_string(path).unwrap();
    assert!(said.starts_with("<2>") && said.contains("/nonexistent") && said.lines().count() == 1, "{said}");
    assert_eq!(syslogd.now(), [""; 0]);
}

#[test]
fn refusals_are_told_in_thttpds_words() {
    let tree = Tree::new();
    tree.file("a.jpg", "picture");
    tree.file("shut/a.txt", "page");
    tree.link(tree.beside("elsewhere", "user:x"), "shut/.htpasswd");
    let mut syslogd = Syslogd::bind(&tree.dir().join("socket"));
    let (server, port) = start(&tree, &["-o", "urlpat=**.jpg"]);
    let pid = server.pid();
    for (target, fields, priority, told) in [
        (
            "/a.jpg?q",
            "Referer: http://evil.example/\"page\r\n",
            INFO,
            r#"127.0.0.1 non-local referrer "127.0.0.1/a.jpg?q" "http://evil.example/\"page""#,
        ),
        (
            "/shut/a.txt",
            "",
            3 * 8 + 3,
            "127.0.0.1 auth file shut/.htpasswd could not be opened - a symbolic link to no file of the tree",
        ),
    ] {
        let mut client = Client::connect(([127, 0, 0, 1], port).into());
        client.send(format!("GET {target} HTTP/1.1\r\nHost: x\r\n{fields}\r\n"));
        assert_eq!(client.answer("GET").status, 403, "{target}");
        let messages = syslogd.until(&told[..20]);
        assert_eq!(parts(messages.last().unwrap(), pid), (priority, told));
    }
}

#[test]
fn errors_of_scripts_are_shown_in_the_foreground_beside_the_daemon() {
    let tree = Tree::new();
    let script = tree.www().join("cgi-bin/script");
    crate::scripts::lay_script(&script, "#!/bin/sh\necho a complaint >&2\n");
    let mut syslogd = Syslogd::bind(&tree.dir().join("socket"));
    let (_server, port) = start(&tree, &["-c", "/cgi-bin/*"]);
    assert_eq!(Client::connect(([127, 0, 0, 1], port).into()).get("/cgi-bin/script").status, 502);
    // In either order: one is read from the script's errors, the other is the end of its output.
    let parts = ["CGI cgi-bin/script: a complaint", "CGI cgi-bin/script failed - it wrote nothing"];
    syslogd.until_all(&parts);
    for part in parts {
        crate::support::eventually(part, || {
            fs::read_to_string(tree.dir().join("stderr")).unwrap().contains(&format!("thttpd: {part}"))
        });
    }
    let told = fs::read_to_string(tree.dir().join("stderr")).unwrap();
    assert!(!told.contains("starting on"), "the rest is the daemon's: {told}");
}

/// A daemon that hangs, with its backlog full: one that listens for streams, as some do.
#[test]
fn a_daemon_that_accepts_no_connection_holds_up_neither_start_nor_end() {
    let tree = Tree::new();
    tree.file("a.txt", "hello");
    let path = tree.dir().join("socket");
    let daemon = socket(AddressFamily::Unix, SockType::Stream, SockFlag::SOCK_CLOEXEC, None).unwrap();
    bind(daemon.as_raw_fd(), &UnixAddr::new(&path).unwrap()).unwrap();
    listen(&daemon, Backlog::new(0).unwrap()).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o666)).unwrap();
    let _first = UnixStream::connect(&path).unwrap();
    let (mut server, port) = start(&tree, &[]);
    assert_eq!(Client::connect(([127, 0, 0, 1], port).into()).get("/a.txt").text(), "hello");
    server.end(Signal::SIGTERM);
}
