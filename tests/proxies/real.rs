//! Real proxies of the distribution in front of the server, with the lines of `thttpd-proxies(7)`.

use std::fs;
use std::net::TcpStream;
use std::os::fd::AsRawFd;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering::Relaxed};

use nix::sys::signal::Signal;
use nix::sys::socket::{AddressFamily, SockFlag, SockType, SockaddrIn, bind, connect, socket};

use crate::support::alone;
use crate::support::server::free_port;
use crate::support::{Client, Peer, Server, Tree, eventually};

/// A request of a client that claims to be another one, and its line in the log of `server`.
fn logged(proxy: &Peer, server: &Server, tag: &str) -> String {
    let mut client = Client::of(connect_from([127, 0, 0, 5], proxy.port));
    client.send(format!(
        "GET /a.txt?{tag} HTTP/1.1\r\nHost: localhost\r\nX-Forwarded-For: 198.51.100.66\r\n\
             X-Forwarded-Proto: https\r\nForwarded: for=198.51.100.66\r\nConnection: close\r\n\r\n"
    ));
    let answer = client.answer("GET");
    assert_eq!((answer.status, answer.text().as_str()), (200, "hello"));
    server.logged(&format!("?{tag}"))
}

/// A connection from another address than that of the proxies.
fn connect_from(source: [u8; 4], port: u16) -> TcpStream {
    let fd = socket(AddressFamily::Inet, SockType::Stream, SockFlag::SOCK_CLOEXEC, None).unwrap();
    let [a, b, c, d] = source;
    bind(fd.as_raw_fd(), &SockaddrIn::new(a, b, c, d, 0)).unwrap();
    connect(fd.as_raw_fd(), &SockaddrIn::new(127, 0, 0, 1, port)).unwrap();
    TcpStream::from(fd)
}

fn tree() -> Tree {
    let tree = Tree::new();
    tree.file("a.txt", "hello");
    tree
}

/// A part of the page, from its heading to the next, ports and addresses put in.
fn page(heading: &str, replacements: &[(&str, String)]) -> String {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("man/thttpd-proxies.7");
    let text = fs::read_to_string(path).unwrap();
    let section = text.split(&format!(".Sh {heading}\n")).nth(1).expect(heading);
    let literal = section.split(".Bd -literal -offset indent\n").nth(1).unwrap().split(".Ed").next().unwrap();
    replacements.iter().fold(literal.to_owned(), |text, (from, to)| {
        assert!(text.contains(from), "{from} in\n{text}");
        text.replace(from, to)
    })
}

/// The server's line of the page below a heading.
fn own_line(heading: &str, replacements: &[(&str, String)]) -> Vec<String> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("man/thttpd-proxies.7");
    let text = fs::read_to_string(path).unwrap();
    let section = text.split(&format!(".Sh {heading}\n")).nth(1).expect(heading);
    let line = section.lines().find_map(|line| line.strip_prefix(".Dl ")).unwrap();
    let line = replacements.iter().fold(line.to_owned(), |line, (from, to)| line.replace(from, to));
    line.split(' ').map(str::to_owned).collect()
}

/// A server with the words of `line`, and a listener of its own for the test to see it is up.
fn server(tree: &Tree, words: &[String], extra: &[&str]) -> Server {
    let port = free_port();
    let mut flags = Vec::new();
    for word in words {
        let word = match word.strip_prefix("listen=") {
            Some(list) => format!("listen=127.0.0.1:{port},{list}"),
            None => word.clone(),
        };
        flags.extend(["-o".to_owned(), word]);
    }
    flags.extend(extra.iter().map(|flag| (*flag).to_owned()));
    Server::start_on(port, tree, &flags.iter().map(String::as_str).collect::<Vec<_>>())
}

#[test]
fn behind_nginx_the_client_is_seen_and_cannot_pass_for_another() {
    let tree = tree();
    let (front, back) = (free_port(), free_port());
    let backend = ("127.0.0.1:8080", format!("127.0.0.1:{back}"));
    let words = own_line("NGINX", std::slice::from_ref(&backend));
    let server = server(&tree, &words, &["-o", "log_format=json"]);
    let text = page("NGINX", &[backend, ("listen 80;", format!("listen 127.0.0.1:{front};"))]);
    let Some(proxy) = Peer::nginx(&tree, &text, front) else { return };
    for n in 0..3 {
        let line = logged(&proxy, &server, &format!("nginx{n}"));
        assert!(line.contains("\"client\":\"127.0.0.5\"") && !line.contains("198.51.100.66"), "{line}");
    }
}

#[test]
fn behind_caddy_on_a_socket_the_client_is_seen_and_cannot_pass_for_another() {
    let tree = tree();
    let (front, path) = (free_port(), tree.dir().join("sock"));
    let socket = ("/run/thttpd.sock", path.display().to_string());
    let words = own_line("CADDY", &[socket.clone(), (";group=caddy", ";mode=666".to_owned())]);
    let server = server(&tree, &words, &[]);
    let text = page("CADDY", &[socket, ("example.org", format!("http://localhost:{front}"))]);
    let Some(proxy) = Peer::caddy(&tree, &format!("{{\n admin off\n}}\n{text}"), front) else { return };
    let line = logged(&proxy, &server, "caddy");
    assert!(line.starts_with("127.0.0.5 "), "{line}");
}

#[test]
fn behind_haproxy_with_proxy_heads_the_client_is_seen_and_cannot_pass_for_another() {
    let tree = tree();
    let (front, back, status) = (free_port(), free_port(), free_port());
    let ports = [("8080", back.to_string()), ("9117", status.to_string())];
    let own = [&ports[..], &[("192.0.2.1", "127.0.0.1".to_owned())]].concat();
    let server = server(&tree, &own_line("HAPROXY", &own), &[]);
    let text = page(
        "HAPROXY",
        &[
            ("bind :80\n", format!("bind 127.0.0.1:{front}\n")),
            ("    server b 192.0.2.11:8080\n", String::new()),
            ("192.0.2.10:8080", format!("127.0.0.1:{back}")),
            ("port 9117", format!("port {status}")),
        ],
    );
    let Some(proxy) = Peer::haproxy(&tree, &text, front) else { return };
    let line = logged(&proxy, &server, "haproxy");
    assert!(line.starts_with("127.0.0.5 "), "{line}");
}

/// One of two replicas behind HAProxy.
fn replica(tree: &Tree, ports: (u16, u16)) -> Server {
    let listen = format!("listen=127.0.0.1:{},127.0.0.1:{};status", ports.0, ports.1);
    Server::start_on(ports.0, tree, &["-o", &listen, "-o", "trusted_proxies=127.0.0.1", "-o", "stop_delay=3"])
}

#[test]
fn a_rolling_restart_of_two_replicas_behind_haproxy_loses_no_request() {
    let _alone = alone();
    let trees = [tree(), tree()];
    let ports = [(free_port(), free_port()), (free_port(), free_port())];
    let front = free_port();
    let servers: String = ["a", "b"]
        .iter()
        .zip(ports)
        .map(|(name, (port, status))| {
            format!("    server {name} 127.0.0.1:{port} check port {status} inter 200ms fall 1 rise 1\n")
        })
        .collect();
    let text = format!(
        "defaults\n    mode http\n    timeout connect 5s\n    timeout client 60s\n    timeout server 60s\n\
         frontend web\n    bind 127.0.0.1:{front}\n    default_backend pages\n\
         backend pages\n    option httpchk GET /healthz\n    option redispatch\n    retries 3\n{servers}"
    );
    let mut replicas = [0, 1].map(|n| replica(&trees[n], ports[n]));
    let Some(_proxy) = Peer::haproxy(&trees[0], &text, front) else { return };
    let (stop, answered, failed) = (AtomicBool::new(false), AtomicU32::new(0), AtomicU32::new(0));
    let ask = || {
        let stream = TcpStream::connect(("127.0.0.1", front)).ok()?;
        let mut client = Client::of(stream);
        client.send("GET /a.txt HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
        client.try_answer("GET").filter(|answer| answer.status == 200)
    };
    eventually("the proxy has servers", || ask().is_some());
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                while !stop.load(Relaxed) {
                    let count = if ask().is_some() { &answered } else { &failed };
                    count.fetch_add(1, Relaxed);
                }
            });
        }
        for n in [0, 1] {
            replicas[n].signal(Signal::SIGTERM);
            assert_eq!(replicas[n].wait().code(), Some(0));
            replicas[n] = replica(&trees[n], ports[n]);
            // The next one goes when this one is served again.
            let before = replicas[n].log_lines().len();
            eventually("the replica is back", || replicas[n].log_lines().len() > before);
        }
        stop.store(true, Relaxed);
    });
    assert_eq!(failed.load(Relaxed), 0, "of {}", answered.load(Relaxed));
    assert!(answered.load(Relaxed) > 100);
}
