//! The access log as the whole server writes it.

use std::fs;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use nix::sys::signal::Signal;

use super::{Running, read, thttpd};
use crate::support::server::free_port;
use crate::support::{Client, Server, Tree, eventually};

#[test]
fn everything_that_was_answered_is_in_the_log_when_the_server_has_ended() {
    let tree = Tree::new();
    tree.file("a.txt", "hello");
    let mut server = Server::start(&tree, &[]);
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let server = &server;
            scope.spawn(move || {
                let mut client = server.connect();
                for number in 0..250 {
                    assert_eq!(client.get(&format!("/a.txt?{thread}.{number}")).status, 200);
                }
            });
        }
    });
    assert_eq!(server.end(Signal::SIGTERM).code(), Some(0));
    let lines = server.log_lines();
    assert_eq!(lines.iter().filter(|line| line.contains("GET /a.txt?")).count(), 1000);
}

#[test]
fn standard_output_and_standard_error_take_the_log_by_any_of_their_names() {
    let tree = Tree::new();
    tree.file("a.txt", "hello");
    for (name, stream) in [("-", 1), ("/dev/stdout", 1), ("/proc/self/fd/1", 1), ("/dev/stderr", 2)] {
        let (port, out) = (free_port(), tree.dir().join("out"));
        let file = || fs::File::options().append(true).create(true).open(&out).unwrap();
        fs::write(&out, "").unwrap();
        let mut command = thttpd();
        command.args(["-D", "-h", "127.0.0.1", "-p", &port.to_string(), "-l", name, "-d"]).arg(tree.www());
        if stream == 1 {
            command.stdout(file()).stderr(Stdio::null());
        } else {
            command.stdout(Stdio::null()).stderr(file());
        }
        let _server = Running::start(&mut command, port);
        Client::connect(([127, 0, 0, 1], port).into()).get("/a.txt");
        eventually(&format!("a line by way of {name}"), || {
            read(&out).contains("\"GET /a.txt HTTP/1.1\" 200 5")
        });
    }
}

/// A socket that keeps each write apart, and where a program's two streams write into it.
fn each_write_apart() -> (UnixDatagram, [OwnedFd; 2]) {
    let (reader, writer) = UnixDatagram::pair().unwrap();
    reader.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    let other = writer.try_clone().unwrap();
    (reader, [writer.into(), other.into()])
}

/// The next write; empty when none comes.
fn next_write(reader: &UnixDatagram) -> String {
    let mut bytes = [0; 65536];
    let count = reader.recv(&mut bytes).unwrap_or(0);
    String::from_utf8_lossy(&bytes[..count]).into_owned()
}

#[test]
fn a_message_on_the_stream_of_the_access_log_is_one_write() {
    let tree = Tree::new();
    tree.file("a.txt", "hello");
    let port = free_port();
    let (reader, [out, err]) = each_write_apart();
    let mut command = thttpd();
    command.args(["-D", "-h", "127.0.0.1", "-p", &port.to_string(), "-l", "-", "-d"]).arg(tree.www());
    let mut server = Running::start(command.stdout(out).stderr(err), port);
    drop(command);
    let mut client = Client::connect(([127, 0, 0, 1], port).into());
    // More than a pipe takes in one piece; each of these lines is long.
    for number in 0..60 {
        assert_eq!(client.get(&format!("/a.txt?{number}{}", "x".repeat(200))).status, 200);
    }
    server.signal(Signal::SIGUSR2);
    server.end(Signal::SIGTERM);
    let writes: Vec<String> =
        std::iter::from_fn(|| Some(next_write(&reader)).filter(|w| !w.is_empty())).collect();
    let all = writes.concat();
    assert!(all.contains("/a.txt?59x") && all.contains("thttpd: up ") && all.contains("exiting due to"));
    for write in &writes {
        assert!(write.ends_with('\n') && write.len() <= 4096, "{write:?} of {writes:?}");
        assert!(write.starts_with("thttpd: ") || write.starts_with("127.0.0.1 "), "{write:?}");
    }
}

#[test]
fn a_refusal_to_start_is_one_write() {
    let (reader, [out, err]) = each_write_apart();
    let mut command = thttpd();
    command.args(["-D", "-p", "none"]).stdout(out).stderr(err);
    assert_eq!(Running(command.spawn().unwrap()).wait().code(), Some(1));
    drop(command);
    assert!(next_write(&reader).ends_with('\n'));
    assert_eq!(next_write(&reader), "", "one write");
}

#[test]
fn a_log_nobody_reads_holds_up_no_request() {
    let tree = Tree::new();
    tree.file("a.txt", "hello");
    let port = free_port();
    let mut command = thttpd();
    command.args(["-D", "-h", "127.0.0.1", "-p", &port.to_string(), "-l", "-", "-d"]).arg(tree.www());
    // A pipe that is open and never read.
    let mut server = Running::start(command.stdout(Stdio::piped()).stderr(Stdio::null()), port);
    let mut client = Client::connect(([127, 0, 0, 1], port).into());
    for number in 0..2000 {
        assert_eq!(client.get(&format!("/a.txt?{number}")).status, 200);
    }
    server.end(Signal::SIGTERM);
}

/// Lays a small file system of the server's own over `DIR`, fills it, and becomes the server.
const ON_A_FULL_DISK: &str = "mount -t tmpfs -o size=256k,mode=777 none $DIR || exit 99
head -c 258048 /dev/zero >$DIR/ballast
exec \"$0\" \"$@\"";

/// Shell that runs `script` in a mount namespace of its own.
fn apart(script: &str) -> Command {
    let mut command = Command::new("unshare");
    command.args(["-m", "sh", "-c", script]).stdin(Stdio::null());
    command
}

/// Server with its log on a small disk that is nearly full.
struct FullDisk {
    server: Running,
    tree: Tree,
    port: u16,
    /// The disk as the server sees it.
    disk: PathBuf,
}

impl FullDisk {
    /// `None`: nothing can be mounted here.
    fn start() -> Option<FullDisk> {
        let tree = Tree::new();
        tree.file("a.txt", "hello");
        let (port, disk, stderr) = (free_port(), tree.dir().join("disk"), tree.beside("stderr", ""));
        fs::create_dir(&disk).unwrap();
        let trial = apart("mount -t tmpfs none \"$0\"").arg(&disk).output();
        if !trial.is_ok_and(|trial| trial.status.success()) {
            eprintln!("skipped: nothing can be mounted here");
            return None;
        }
        let mut command = apart(ON_A_FULL_DISK);
        command.env("DIR", &disk).env("THTTPD_SYSLOG_SOCKET", "/nonexistent/log");
        command.args([env!("CARGO_BIN_EXE_thttpd"), "-D", "-h", "127.0.0.1", "-p", &port.to_string(), "-d"]);
        command.arg(tree.www()).arg("-l").arg(disk.join("log")).stderr(fs::File::create(stderr).unwrap());
        let server = Running::start(&mut command, port);
        let disk = PathBuf::from(format!("/proc/{}/root{}", server.pid(), disk.display()));
        Some(FullDisk { server, tree, port, disk })
    }

    /// Requests a thousand numbered files, and waits for the warning to the administrator.
    fn overfill(&self) {
        let mut client = Client::connect(([127, 0, 0, 1], self.port).into());
        for number in 0..1000 {
            assert_eq!(client.get(&format!("/a.txt?{number}")).status, 200);
        }
        self.told("/log - No space left on device");
        assert!(self.lines("log").len() < 1000);
    }

    fn told(&self, what: &str) {
        eventually(what, || read(&self.tree.dir().join("stderr")).contains(what));
    }

    fn make_room(&self) {
        fs::remove_file(self.disk.join("ballast")).unwrap();
    }

    /// The whole lines of a log, each by its number.
    fn lines(&self, name: &str) -> Vec<usize> {
        let text = read(&self.disk.join(name));
        let whole = text.split_inclusive('\n').filter(|line| line.ends_with('\n'));
        whole.map(|line| number_of(line).unwrap_or_else(|| panic!("{line:?}"))).collect()
    }
}

/// The number asked for, if the line is whole.
fn number_of(line: &str) -> Option<usize> {
    let (_, request) = line.strip_prefix("127.0.0.1 - - [")?.split_once("] \"GET /a.txt?")?;
    request.strip_suffix(" HTTP/1.1\" 200 5 \"\" \"\"\n")?.parse().ok()
}

#[test]
fn a_full_disk_costs_no_request_and_once_there_is_room_no_line() {
    let Some(mut full) = FullDisk::start() else { return };
    full.overfill();
    full.make_room();
    full.told("writing the access log again");
    eventually("every line is there", || full.lines("log").len() == 1000);
    assert_eq!(full.lines("log"), Vec::from_iter(0..1000));
    full.server.end(Signal::SIGTERM);
}

#[test]
fn a_log_that_is_renamed_while_the_disk_is_full_loses_no_line_and_joins_none() {
    let Some(mut full) = FullDisk::start() else { return };
    full.overfill();
    fs::rename(full.disk.join("log"), full.disk.join("old")).unwrap();
    full.server.signal(Signal::SIGHUP);
    full.told("re-opening logfile");
    full.make_room();
    eventually("every line is there", || full.lines("old").len() + full.lines("log").len() == 1000);
    assert_eq!([full.lines("old"), full.lines("log")].concat(), Vec::from_iter(0..1000));
    full.server.end(Signal::SIGTERM);
}

#[test]
fn with_virtual_hosts_a_line_begins_with_the_host_and_goes_on_with_the_path() {
    let tree = Tree::new();
    tree.file("a.example/a.txt", "a");
    let server = Server::start(&tree, &["-v"]);
    for (line, fields, logged) in [
        ("GET /a.txt?q HTTP/1.1", "Host: A.example:80", "\"GET /a.example/a.txt?q HTTP/1.1\" 200"),
        ("GET http://a.example:80/a.txt?q HTTP/1.1", "Host: b", "\"GET /a.example/a.txt?q HTTP/1.1\" 200"),
        ("GET http://a.example HTTP/1.0", "X: y", "\"GET /a.example/ HTTP/1.0\" 200"),
        ("OPTIONS * HTTP/1.1", "Host: a.example", "\"OPTIONS * HTTP/1.1\" 204"),
        // The virtual host of a malformed request is unknown.
        ("GET /a.txt HTTP/1.1", "X: y", "\"GET /127.0.0.1/a.txt HTTP/1.1\" 400"),
        ("GET a.txt HTTP/1.1", "Host: a.example", "\"GET a.txt HTTP/1.1\" 400"),
    ] {
        let mut client = server.connect();
        client.send(format!("{line}\r\n{fields}\r\n\r\n"));
        client.answer("GET");
        server.logged(logged);
    }
}

#[test]
fn without_virtual_hosts_a_target_that_names_a_host_is_logged_as_its_path() {
    let tree = Tree::new();
    tree.file("a.txt", "a");
    tree.file("closed/a.txt", "a");
    tree.mode("closed/a.txt", 0o600);
    let server = Server::start(&tree, &[]);
    for (line, logged) in [
        ("GET http://a.example:80/a.txt?q HTTP/1.1", "\"GET /a.txt?q HTTP/1.1\" 200"),
        ("GET HTTP://a.example HTTP/1.1", "\"GET / HTTP/1.1\" 200"),
        ("GET http://a.example/closed/a.txt HTTP/1.0", "\"GET /closed/a.txt HTTP/1.0\" 403"),
        ("GET http://a.example/%00 HTTP/1.1", "\"GET /%00 HTTP/1.1\" 400"),
        ("OPTIONS * HTTP/1.1", "\"OPTIONS * HTTP/1.1\" 204"),
    ] {
        let mut client = server.connect();
        client.send(format!("{line}\r\nHost: localhost\r\n\r\n"));
        client.answer(line.split(' ').next().unwrap());
        server.logged(logged);
    }
}

#[test]
fn the_line_of_a_refused_request_says_what_was_read_of_it() {
    let tree = Tree::new();
    tree.file("a.txt", "a");
    let server =
        Server::start(&tree, &["-o", "head_limit=600", "-o", "target_limit=100", "-o", "field_limit=4"]);
    let agent = "Referer: http://r/\r\nUser-Agent: curl/8 x\r\n";
    let (long, many) = ("a".repeat(700), "X: y\r\n".repeat(5));
    let seen = "\"http://r/\" \"curl/8 x\"";
    for (head, line) in [
        (format!("GET /a.txt HTTP/1.1\r\n{agent}\r\n"), format!("\"GET /a.txt HTTP/1.1\" 400 N {seen}")),
        (format!("GET /1 HTTP/1.1\r\nHost: a/b\r\n{agent}\r\n"), format!("\"GET /1 HTTP/1.1\" 400 N {seen}")),
        (format!("GET /2 HTTP/1.1\r\nno field\r\n{agent}\r\n"), format!("\"GET /2 HTTP/1.1\" 400 N {seen}")),
        (format!("GET /3 HTTP/2.0\r\n{agent}\r\n"), format!("\"GET /3 HTTP/2.0\" 505 N {seen}")),
        (format!("GET  /4 HTTP/1.1\r\n{agent}\r\n"), format!("\"GET /4 HTTP/1.1\" 400 N {seen}")),
        (
            format!("GET /5 HTTP/1.1\r\n{agent}Host: x\r\n{many}\r\n"),
            format!("\"GET /5 HTTP/1.1\" 431 N {seen}"),
        ),
        (format!("GET /6 HTTP/1.1\r\n{agent}X: {long}\r\n\r\n"), format!("\"GET /6 HTTP/1.1\" 431 N {seen}")),
        (
            format!("GET /7 HTTP/1.1\r\n{agent}Host: x\r\nExpect: x\r\n\r\n"),
            format!("\"GET /7 HTTP/1.1\" 417 N {seen}"),
        ),
        (
            format!("GET https://x/8 HTTP/1.1\r\n{agent}Host: x\r\n\r\n"),
            format!("\"GET https://x/8 HTTP/1.1\" 421 N {seen}"),
        ),
        (
            format!("POST /9 HTTP/1.1\r\n{agent}Host: x\r\nContent-Length: x\r\n\r\n"),
            format!("\"POST /9 HTTP/1.1\" 400 N {seen}"),
        ),
        // The client ends in the middle.
        (format!("GET /half HTTP/1.1\r\n{agent}"), format!("\"GET /half HTTP/1.1\" 400 N {seen}")),
        (format!("GET /{long} HTTP/1.1\r\n{agent}\r\n"), format!("\"GET /{} ", &long[..199])),
        ("GET /nothing".to_owned(), "\"UNKNOWN  UNKNOWN\" 400 N \"\" \"\"".to_owned()),
    ] {
        let mut client = server.connect();
        client.send(&head);
        client.finish();
        let length = client.answer("GET").body.len();
        server.logged(&line.replace(" N ", &format!(" {length} ")));
    }
}

#[test]
fn a_head_that_never_ends_is_logged_with_what_came_of_it() {
    let tree = Tree::new();
    let server = Server::start(&tree, &["-o", "head_timeout=1"]);
    let mut client = server.connect();
    client.send("GET /slow HTTP/1.1\r\nUser-Agent: me\r\nX: ");
    assert_eq!(client.answer("GET").status, 408);
    server.logged("\"GET /slow HTTP/1.1\" 408 ");
    server.logged("\"\" \"me\"");
}
