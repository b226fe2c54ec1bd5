//! Features for clusters: announced shutdown, JSON log, default host, options in the environment, probes.

use std::process::Command;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use serde_json::Value;

use crate::boot::thttpd;
use crate::support::server::free_port;
use crate::support::{Client, Server, Tree, eventually};

fn tree() -> Tree {
    let tree = Tree::new();
    tree.file("a.txt", "hello");
    tree
}

/// A server with a status listener at the second port.
fn probed(tree: &Tree, flags: &[&str]) -> (Server, u16) {
    let (port, status) = (free_port(), free_port());
    let listen = format!("listen=127.0.0.1:{port},127.0.0.1:{status};status");
    (Server::start_on(port, tree, &[&["-o", &listen][..], flags].concat()), status)
}

fn health(status: u16) -> u16 {
    Client::connect(([127, 0, 0, 1], status).into()).get("/healthz").status
}

/// Gives the directory to the server's user, who may remove files only from a directory of its own.
fn give_away(tree: &Tree) {
    if nix::unistd::geteuid().is_root() {
        std::os::unix::fs::chown(tree.dir(), Some(65534), None).unwrap();
    }
}

#[test]
fn after_term_the_server_says_so_and_serves_on_until_the_delay_is_over() {
    let tree = tree();
    let pid_file = tree.dir().join("pid");
    let (mut server, status) = probed(&tree, &["-o", "stop_delay=6", "-i", pid_file.to_str().unwrap()]);
    give_away(&tree);
    let mut idle = server.connect();
    assert_eq!(idle.get("/a.txt").field("Connection"), None);
    let signalled = Instant::now();
    server.signal(Signal::SIGTERM);
    eventually("the health has turned", || health(status) == 503);
    // New connections are accepted; every response announces the end of its connection.
    let fresh = server.connect().get("/a.txt");
    assert_eq!((fresh.status, fresh.field("Connection")), (200, Some("close")));
    assert!(pid_file.exists());
    // A proxy may have been about to use this one.
    let last = idle.get("/a.txt");
    assert_eq!((last.status, last.field("Connection")), (200, Some("close")));
    assert!(idle.is_closed());
    assert_eq!(server.wait().code(), Some(0));
    assert!(signalled.elapsed() >= Duration::from_secs(6), "{:?}", signalled.elapsed());
    assert!(!pid_file.exists());
}

#[test]
fn a_second_term_ends_the_delay_and_usr1_has_none() {
    for signals in
        [&[Signal::SIGTERM, Signal::SIGTERM][..], &[Signal::SIGTERM, Signal::SIGINT], &[Signal::SIGUSR1]]
    {
        let tree = tree();
        let (mut server, status) = probed(&tree, &["-o", "stop_delay=600"]);
        for (at, signal) in signals.iter().enumerate() {
            server.signal(*signal);
            if at + 1 < signals.len() {
                eventually("the first is obeyed", || health(status) == 503);
            }
        }
        assert_eq!(server.wait().code(), Some(0));
    }
}

#[test]
fn the_pid_file_goes_when_the_ports_close_not_when_the_last_download_ends() {
    let tree = tree();
    tree.file("big.bin", vec![b'x'; 60_000]);
    let throttles = tree.beside("throttles", "**.bin 20000\n");
    let pid_file = tree.dir().join("pid");
    let flags = ["-i", pid_file.to_str().unwrap(), "-t", throttles.to_str().unwrap(), "-o", "stop_grace=60"];
    let mut server = Server::start(&tree, &flags);
    give_away(&tree);
    let mut download = server.connect();
    download.send("GET /big.bin HTTP/1.1\r\nHost: x\r\n\r\n");
    std::io::Read::read_exact(&mut download.stream(), &mut [0; 1]).unwrap();
    server.signal(Signal::SIGTERM);
    eventually("the pid file is gone", || !pid_file.exists());
    assert!(server.is_alive(), "the download goes on");
    drop(download);
    assert_eq!(server.wait().code(), Some(0));
}

/// The lines of the log, each an object.
fn objects(server: &Server, count: usize) -> Vec<Value> {
    eventually("the log lines", || server.log_lines().len() >= count);
    let parse = |line: &String| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
    server.log_lines().iter().map(parse).collect()
}

#[test]
fn each_exchange_is_a_json_object_whatever_the_request_was() {
    let tree = tree();
    tree.file("sub/index.html", "page");
    tree.file("big.bin", vec![b'x'; 3_000_000]);
    let server = Server::start(&tree, &["-o", "log_format=json", "-o", "trusted_proxies=127.0.0.1"]);
    let requests: [&[u8]; 8] = [
        b"GET /a.txt?q HTTP/1.1\r\nHost: Example.org:80\r\nUser-Agent: t\r\nReferer: http://r/\r\n\
          X-Request-Id: id-7\r\nX-Forwarded-For: 203.0.113.9\r\n\r\n",
        b"GET /sub/ HTTP/1.0\r\n\r\n",
        b"GET /none\"\\x HTTP/1.1\r\nHost: x\r\nUser-Agent: \"\\\xff\t\x1b\r\n\r\n",
        b"GET /a\xff HTTP/1.1\r\nHost: x\r\n\r\n",
        b"\x16\x03\x01\x00\xa5\r\n\r\n",
        b"BREW /pot HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET /big.bin HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET /a.txt HTTP/1.1\r\nHost: x\r\nX-Forwarded-For: unknown\r\n\r\n",
    ];
    for request in requests {
        let mut client = server.connect();
        client.send(request);
        client.finish();
        let _ = client.rest();
    }
    let objects = objects(&server, requests.len());
    assert_eq!(objects.len(), requests.len());
    let first = &objects[0];
    for (name, want) in [
        ("client", "203.0.113.9"),
        ("peer", "127.0.0.1"),
        ("method", "GET"),
        ("host", "Example.org"),
        ("url", "/a.txt?q"),
        ("proto", "HTTP/1.1"),
        ("referrer", "http://r/"),
        ("agent", "t"),
        ("file", "a.txt"),
        ("id", "id-7"),
    ] {
        assert_eq!(first[name], want, "{name}");
    }
    assert_eq!((&first["status"], &first["bytes"], &first["user"]), (&200.into(), &5.into(), &Value::Null));
    assert!(first["us"].as_u64().unwrap() > 0);
    let time = first["time"].as_str().unwrap();
    assert!(time.len() == 24 && time.ends_with('Z') && time.as_bytes()[10] == b'T', "{time}");
    let big = objects.iter().find(|object| object["url"] == "/big.bin").unwrap();
    assert_eq!((&big["bytes"], &big["file"]), (&3_000_000.into(), &"big.bin".into()));
    assert!(objects.iter().any(|object| object["status"] == 400 && object["method"] == "UNKNOWN"));
    // An unknown client is logged as the proxy, and yet distinct from the proxy.
    let unknown = &objects[7];
    assert_eq!((&unknown["client"], &unknown["peer"]), (&"127.0.0.1".into(), &"127.0.0.1".into()));
    assert!(objects[1].get("peer").is_none());
    // The members are the same, in the same order, in each line.
    for line in server.log_lines() {
        let names: Vec<&str> = line.split('"').skip(1).step_by(2).collect();
        assert_eq!((names[0], names[2]), ("time", "client"), "{line}");
    }
}

#[test]
fn a_request_id_of_a_peer_that_is_not_trusted_is_not_logged() {
    let tree = tree();
    let server = Server::start(&tree, &["-o", "log_format=json"]);
    let mut client = server.connect();
    client.send("GET /a.txt HTTP/1.1\r\nHost: x\r\nX-Request-Id: forged\r\n\r\n");
    assert_eq!(client.answer("GET").status, 200);
    assert_eq!(objects(&server, 1)[0]["id"], Value::Null);
}

#[test]
fn hosts_without_a_directory_are_served_from_the_default_one() {
    let tree = Tree::new();
    tree.file("own.example/a.txt", "own");
    tree.file("fallback/a.txt", "default");
    tree.file(
        "fallback/cgi-bin/name",
        "#!/bin/sh\nprintf 'Content-Type: text/plain\\n\\n'\necho $SERVER_NAME\n",
    );
    tree.mode("fallback/cgi-bin/name", 0o755);
    let flags = ["-v", "-o", "vhost_default=fallback", "-c", "**/cgi-bin/*"];
    let server = Server::start(&tree, &flags);
    let get = |host: &str, target: &str| {
        let mut client = server.connect();
        client.send(format!("GET {target} HTTP/1.1\r\nHost: {host}\r\n\r\n"));
        client.answer("GET").text()
    };
    assert_eq!(get("own.example", "/a.txt"), "own");
    assert_eq!(get("OWN.example:80", "/a.txt"), "own");
    assert_eq!(get("other.example", "/a.txt"), "default");
    assert_eq!(get("127.0.0.1", "/a.txt"), "default", "as a probe asks");
    assert_eq!(get("other.example", "/cgi-bin/name"), "other.example\n");
    assert!(server.logged("\"GET /fallback/a.txt").contains(" 200 "));
    // A directory that comes later is found soon.
    tree.file("other.example/a.txt", "late");
    eventually("the new host", || get("other.example", "/a.txt") == "late");
    // One that may not be read is not passed over.
    let site = tree.www().join("closed.example");
    tree.file("closed.example/a.txt", "secret");
    std::fs::set_permissions(&site, std::os::unix::fs::PermissionsExt::from_mode(0o700)).unwrap();
    let said = get("closed.example", "/a.txt");
    assert!(said != "default" && said != "secret", "{said}");
}

#[test]
fn words_in_the_environment_come_before_all_flags() {
    let tree = tree();
    let dump = |words: &str, flags: &[&str]| {
        let output = thttpd().args(flags).arg("--dump-config").env("THTTPD_CONFIG", words).output().unwrap();
        let text = [output.stdout, output.stderr].concat();
        (output.status.success(), String::from_utf8(text).unwrap())
    };
    let (is_ok, said) = dump("port=${NONE_SUCH:-8081} nolisting # max_age=1\n\tcharset=latin1", &[]);
    assert!(is_ok, "{said}");
    for line in ["port=8081", "nolisting", "charset=latin1"] {
        let found = said.lines().find(|found| found.starts_with(line));
        assert!(found.is_some_and(|found| found.ends_with("# THTTPD_CONFIG")), "{line}\n{said}");
    }
    assert!(said.contains("#max_age=") || said.contains("max_age=-1"), "{said}");
    let (is_ok, said) = dump("port=8081", &["-p", "8082"]);
    assert!(is_ok && said.contains("port=8082"), "{said}");
    let (is_ok, said) = dump("port=abc\nnonsense", &[]);
    assert!(!is_ok && said.contains("THTTPD_CONFIG: port=abc: not a number"), "{said}");
    assert!(said.contains("THTTPD_CONFIG: nonsense: unknown option"), "{said}");
    let server = Server::start_with(&tree, &[], |command| {
        command.env("THTTPD_CONFIG", "charset=x-environment");
    });
    let answer = server.connect().get("/a.txt");
    assert_eq!(answer.field("Content-Type"), Some("text/plain; charset=x-environment"));
}

fn healthcheck(options: &[&str], url: Option<&str>) -> (bool, String) {
    let mut command: Command = thttpd();
    options.iter().for_each(|option| {
        command.args(["-o", option]);
    });
    let output = command.arg("--healthcheck").args(url).output().unwrap();
    let text = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8(text).unwrap())
}

#[test]
fn a_health_check_asks_the_status_listener_where_there_is_one() {
    let tree = tree();
    let (server, status) = probed(&tree, &["-o", "stop_delay=600"]);
    let listen = format!("listen=127.0.0.1:{},127.0.0.1:{status};status", server.port);
    let (is_well, said) = healthcheck(&[&listen], None);
    assert!(is_well && said.contains("/healthz"), "{said}");
    let (is_well, said) = healthcheck(&[&listen], Some("/a.txt"));
    assert!(is_well && said.contains("/a.txt answers 200"), "{said}");
    server.signal(Signal::SIGTERM);
    eventually("the check fails", || !healthcheck(&[&listen], None).0);
    assert!(healthcheck(&[&listen], Some("/a.txt")).0, "it still serves");
}

#[test]
fn a_health_check_goes_through_sockets_and_behind_proxy_heads() {
    let tree = tree();
    let port = free_port();
    let (path, proxied) = (tree.dir().join("sock"), free_port());
    let listen = format!("listen=127.0.0.1:{port},{},127.0.0.1:{proxied};proxy", path.display());
    let _server = Server::start_on(port, &tree, &["-o", &listen, "-o", "trusted_proxies=127.0.0.1,unix"]);
    let own = format!("listen={}", path.display());
    assert_eq!(healthcheck(&[&own], None), (true, format!("healthy: / of {} answers 200\n", path.display())));
    let own = format!("listen=127.0.0.1:{proxied};proxy");
    assert!(healthcheck(&[&own], Some("/a.txt")).0);
}

#[test]
fn a_proxy_socket_whose_peers_are_not_trusted_keeps_the_server_from_starting() {
    let tree = tree();
    let socket = tree.dir().join("sock");
    let listen = format!("listen=127.0.0.1:0,{};proxy", socket.display());
    let mut command = thttpd();
    command.arg("-D").arg("-d").arg(tree.www()).args(["-o", &listen, "-o", "trusted_proxies=127.0.0.1"]);
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("trusted_proxies does not name unix; add unix to trusted_proxies="), "{said}");
    assert!(!socket.exists());
}

#[test]
fn a_check_of_the_configuration_tells_what_is_wrong_with_listeners() {
    let tree = tree();
    let dir = tree.www();
    let check = |options: &[&str]| {
        let mut command = thttpd();
        command.arg("-d").arg(&dir);
        options.iter().for_each(|option| {
            command.args(["-o", option]);
        });
        let output = command.arg("--check").output().unwrap();
        String::from_utf8([output.stdout, output.stderr].concat()).unwrap()
    };
    for (options, part) in [
        (&["listen=no-such-host:80"][..], "-o: listen: getaddrinfo no-such-host"),
        (&["listen=80;proxy"], "-o: listen: a listener with ;proxy, but no trusted_proxies"),
        (
            &["listen=80,/tmp/sock;proxy", "trusted_proxies=10.0.0.0/8"],
            "-o: listen: a Unix-domain socket with ;proxy, but trusted_proxies does not name unix",
        ),
        (&["listen=80", "trusted_proxies=all"], "all is no address, network or unix; every address is"),
        (&["listen=/nonexistent/sock"], "-o: listen: bind /nonexistent/sock - No such file or directory"),
        (
            &["listen=/tmp/sock;group=no-such-group"],
            "-o: listen: unknown group - 'no-such-group'; name a group of /etc/group",
        ),
        (&["listen=127.0.0.1:0;status"], "-o: listen: no listener serves files"),
        (&["listen=192.0.2.1:8080"], "-o: listen: bind 192.0.2.1:8080 - "),
        (
            &["listen=/etc/hostname"],
            "-o: listen: bind /etc/hostname - File exists; something else has that name",
        ),
        (&["listen=8080,[::1]:8081", "trusted_proxies=10.0.0.0/8"], "the configuration is sound"),
    ] {
        let said = check(options);
        assert!(said.contains(part), "{}: {said}", options.join(" "));
    }
}
