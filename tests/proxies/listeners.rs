//! `listen=`: several addresses, IPv6, Unix sockets, and sockets handed over.

use std::fs;
use std::net::{Ipv6Addr, TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::process::{Command, Stdio};

use nix::errno::Errno;
use nix::sys::signal::Signal;

use crate::boot::{Running, thttpd};
use crate::support::server::free_port;
use crate::support::{Client, Server, Tree, eventually, reason};

fn tree() -> Tree {
    let tree = Tree::new();
    tree.file("a.txt", "hello");
    tree
}

/// A server on a port of its own and on the further listeners of `list`.
fn server(tree: &Tree, list: &str, flags: &[&str]) -> Server {
    let port = free_port();
    let listen = format!("listen=127.0.0.1:{port},{list}");
    Server::start_on(port, tree, &[&["-o", &listen][..], flags].concat())
}

/// A client of a socket in the file system.
fn through(path: &Path) -> Client {
    let stream = UnixStream::connect(path).unwrap();
    Client::of(TcpStream::from(OwnedFd::from(stream)))
}

/// Output of a server that does not start.
fn refusal(tree: &Tree, options: &[&str]) -> String {
    let mut command = thttpd();
    command.args(["-D", "-l", "/dev/null", "-d"]).arg(tree.www());
    options.iter().for_each(|option| {
        command.args(["-o", option]);
    });
    let output = command.output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn has_ipv6() -> bool {
    let has = TcpListener::bind((Ipv6Addr::LOCALHOST, 0)).is_ok();
    if !has {
        eprintln!("skipped: no IPv6 here");
    }
    has
}

#[test]
fn every_listener_of_the_list_is_served_and_port_binds_nothing() {
    let tree = tree();
    let (second, ignored) = (free_port(), free_port());
    let path = tree.dir().join("sock");
    let list = format!("127.0.0.2:{second},{}", path.display());
    let server = server(&tree, &list, &["-p", &ignored.to_string()]);
    assert_eq!(server.connect().get("/a.txt").text(), "hello");
    assert_eq!(Client::connect(([127, 0, 0, 2], second).into()).get("/a.txt").text(), "hello");
    assert_eq!(through(&path).get("/a.txt").text(), "hello");
    assert!(TcpStream::connect(("127.0.0.1", ignored)).is_err());
    assert!(TcpStream::connect(("127.0.0.1", second)).is_err());
}

#[test]
fn every_ipv6_address_takes_ipv4_too_unless_the_list_names_one() {
    if !has_ipv6() {
        return;
    }
    let tree = tree();
    let (shared, apart) = (free_port(), free_port());
    let _server = server(&tree, &format!("[::]:{shared},[::]:{apart},127.0.0.2:{apart}"), &[]);
    let text = |address: &str| Client::connect(address.parse().unwrap()).get("/a.txt").text();
    assert_eq!(text(&format!("127.0.0.1:{shared}")), "hello");
    assert_eq!(text(&format!("[::1]:{shared}")), "hello");
    assert_eq!(text(&format!("[::1]:{apart}")), "hello");
    assert_eq!(text(&format!("127.0.0.2:{apart}")), "hello");
    assert!(TcpStream::connect(("127.0.0.1", apart)).is_err());
}

#[test]
fn a_peer_of_a_socket_in_the_file_system_is_a_hyphen_in_the_log_and_may_be_trusted() {
    let tree = tree();
    tree.file(
        "cgi-bin/env",
        "#!/bin/sh\nprintf 'Content-Type: text/plain\\n\\n'\necho \"$REMOTE_ADDR:$SERVER_PORT\"\n",
    );
    tree.mode("cgi-bin/env", 0o755);
    let path = tree.dir().join("sock");
    let flags = ["-o", "trusted_proxies=unix", "-c", "/cgi-bin/*"];
    let server = server(&tree, &path.display().to_string(), &flags);
    assert_eq!(through(&path).get("/a.txt?own").status, 200);
    assert!(server.logged("?own").starts_with("- - - ["), "{}", server.logged("?own"));
    let mut proxy = through(&path);
    proxy.send("GET /cgi-bin/env HTTP/1.1\r\nHost: x\r\nX-Forwarded-For: 203.0.113.9\r\n\r\n");
    assert_eq!(proxy.answer("GET").text(), "203.0.113.9:80\n");
    assert!(server.logged("/env").starts_with("203.0.113.9 "));
    assert_eq!(through(&path).get("/cgi-bin/env?x").text(), ":80\n");
}

#[test]
fn a_large_file_goes_through_a_socket_in_the_file_system() {
    let tree = tree();
    let content: Vec<u8> = (0..3_000_000_u32).map(|n| (n % 251) as u8).collect();
    tree.file("big", &content);
    let path = tree.dir().join("sock");
    let _server = server(&tree, &path.display().to_string(), &[]);
    let mut client = through(&path);
    assert!(client.get("/big").body == content);
    assert_eq!(client.get("/a.txt").text(), "hello");
}

#[test]
fn a_socket_has_the_mode_and_group_that_are_asked_for_and_goes_with_its_server() {
    let tree = tree();
    let (plain, special) = (tree.dir().join("plain"), tree.dir().join("special"));
    let group = nix::unistd::getgid();
    let list = format!("{},{};mode=600;group={group}", plain.display(), special.display());
    let mut server = server(&tree, &list, &[]);
    let mode = |path: &Path| fs::symlink_metadata(path).unwrap().permissions().mode() & 0o7777;
    assert_eq!((mode(&plain), mode(&special)), (0o660, 0o600));
    assert_eq!(fs::symlink_metadata(&special).unwrap().gid(), group.as_raw());
    if nix::unistd::geteuid().is_root() {
        assert_ne!(fs::symlink_metadata(&plain).unwrap().uid(), 0, "it is the server's user's");
        // The user `nobody` may remove the socket only from a directory of its own.
        fs::set_permissions(tree.dir(), fs::Permissions::from_mode(0o777)).unwrap();
    }
    server.end(Signal::SIGTERM);
    assert!(!plain.exists() && !special.exists());
}

#[test]
fn a_stale_socket_is_replaced_and_nothing_else_is() {
    let tree = tree();
    let path = tree.dir().join("sock");
    // A stale socket, without a listening process.
    drop(UnixListener::bind(&path).unwrap());
    let first = server(&tree, &path.display().to_string(), &[]);
    assert_eq!(through(&path).get("/a.txt").text(), "hello");
    let listen = format!("listen={}", path.display());
    assert!(refusal(&tree, &[&listen]).contains(&reason(Errno::EADDRINUSE)));
    assert_eq!(through(&path).get("/a.txt").text(), "hello", "the first server still has it");
    drop(first);
    fs::remove_file(&path).unwrap();
    for make in [|path: &Path| fs::write(path, "precious"), |path: &Path| fs::create_dir(path)] {
        make(&path).unwrap();
        assert!(refusal(&tree, &[&listen]).contains("File exists"));
        assert!(path.exists() && !fs::symlink_metadata(&path).unwrap().file_type().is_socket());
        let _ = fs::remove_file(&path).or_else(|_| fs::remove_dir(&path));
    }
    // A link is not followed, wherever it leads.
    std::os::unix::fs::symlink(tree.dir().join("elsewhere"), &path).unwrap();
    assert!(refusal(&tree, &[&listen]).contains("File exists"));
}

#[test]
fn a_socket_that_another_server_has_bound_meanwhile_is_left_alone() {
    let tree = tree();
    fs::set_permissions(tree.dir(), fs::Permissions::from_mode(0o777)).unwrap();
    let path = tree.dir().join("sock");
    let mut first = server(&tree, &path.display().to_string(), &[]);
    fs::remove_file(&path).unwrap();
    let _second = server(&tree, &path.display().to_string(), &[]);
    first.end(Signal::SIGTERM);
    assert_eq!(through(&path).get("/a.txt").text(), "hello");
}

#[test]
fn lists_that_cannot_be_meant_stop_the_start() {
    let tree = tree();
    for (options, part) in [
        (&["listen=127.0.0.1:0;proxy"][..], "trusted_proxies="),
        (&["listen=127.0.0.1:0;status"], "no listener serves files"),
        (&["listen=127.0.0.1:0;tls"], "thttpd speaks no TLS"),
        (&["listen=no-such-host:0"], "Name or service not known"),
        (&["listen=/nonexistent/dir/sock"], "No such file or directory"),
        (&["listen=/tmp/x;group=no-such-group"], "unknown group"),
        (&["listen=192.0.2.1:1"], "192.0.2.1"),
    ] {
        let said = refusal(&tree, options);
        assert!(said.contains(part), "{}: {said}", options.join(" "));
    }
}

#[test]
fn a_check_tells_the_faults_of_listeners_in_the_words_of_a_start() {
    let tree = tree();
    let socket = tree.dir().join("sock");
    let long = tree.dir().join("x".repeat(120));
    for list in [
        "127.0.0.1:0;proxy",
        "127.0.0.1:0;status",
        "/nonexistent/sock",
        "/etc/hostname",
        "/tmp/x;group=no-such-group",
        "192.0.2.1:1",
        &long.display().to_string(),
        &format!("{};status", socket.display()),
    ] {
        let option = format!("listen={list}");
        let told = refusal(&tree, &[&option]);
        let (_, failure) = told.trim_end().split_once("thttpd: ").unwrap();
        let (failure, _) = failure.split_once(" (listen stands in ").unwrap_or((failure, ""));
        let mut command = thttpd();
        let output = command.arg("-d").arg(tree.www()).args(["-o", &option, "--check"]).output().unwrap();
        let checked = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(checked.contains(failure), "{list}: {told}: {checked}");
        assert!(!socket.exists(), "{list}: nothing is left behind");
    }
}

/// A server that is handed `socket` as systemd does it, under `name`.
fn activated(tree: &Tree, (socket, name): (OwnedFd, &str), flags: &[&str], port: u16) -> Running {
    let mut command = Command::new("sh");
    let script = "exec 3<&0 </dev/null; LISTEN_FDS=1 LISTEN_PID=$$ exec \"$0\" \"$@\"";
    command.args(["-c", script, env!("CARGO_BIN_EXE_thttpd"), "-D", "-l", "/dev/null", "-d"]).arg(tree.www());
    command.args(flags).env("LISTEN_FDNAMES", name).stdin(Stdio::from(socket));
    Running::start(command.env("THTTPD_SYSLOG_SOCKET", "/nonexistent/log"), port)
}

#[test]
fn a_handed_socket_in_the_file_system_is_served_and_stays() {
    let tree = tree();
    let path = tree.dir().join("sock");
    let socket = UnixListener::bind(&path).unwrap();
    let port = free_port();
    let listen = format!("listen={},127.0.0.1:{port}", path.display());
    let mut server = activated(&tree, (socket.into(), "any"), &["-o", &listen], port);
    assert_eq!(through(&path).get("/a.txt").text(), "hello");
    assert_eq!(
        Client::connect(([127, 0, 0, 1], port).into()).get("/a.txt").text(),
        "hello",
        "bound by itself"
    );
    server.end(Signal::SIGTERM);
    assert!(path.exists(), "systemd's socket is systemd's to remove");
}

#[test]
fn a_handed_socket_has_the_options_of_its_entry_or_of_its_name() {
    let tree = tree();
    let head = "PROXY TCP4 203.0.113.9 127.0.0.1 1 2\r\n";
    for by_name in [true, false] {
        let socket = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = socket.local_addr().unwrap().port();
        let listen = format!("listen=127.0.0.1:{port};proxy");
        let flags: Vec<&str> = if by_name { vec![] } else { vec!["-o", &listen] };
        let flags = [&["-o", "trusted_proxies=127.0.0.1"][..], &flags].concat();
        let _server = activated(&tree, (socket.into(), if by_name { "proxy" } else { "web" }), &flags, port);
        let mut proxy = Client::connect(([127, 0, 0, 1], port).into());
        proxy.send(head);
        assert_eq!(proxy.get("/a.txt").text(), "hello");
        let mut plain = Client::connect(([127, 0, 0, 1], port).into());
        plain.send("GET /a.txt HTTP/1.1\r\nHost: x\r\n\r\n");
        eventually("the end of a connection without a head", || plain.is_closed());
    }
}
