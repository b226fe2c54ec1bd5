//! Listeners with `;proxy`: real connections that begin with a PROXY protocol head.

use std::net::TcpStream;
use std::time::Duration;

use crate::support::alone;
use crate::support::server::free_port;
use crate::support::{Client, Server, Tree, eventually};
use crate::waiting::affordable;

const REQUEST: &str = "GET /a.txt HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";

/// A server with a plain listener and one that expects heads.
struct Site {
    server: Server,
    proxied: u16,
}

impl Site {
    fn new(tree: &Tree, options: &[&str]) -> Site {
        let (plain, proxied) = (free_port(), free_port());
        let listen = format!("listen=127.0.0.1:{plain},127.0.0.1:{proxied};proxy");
        let options = options.iter().copied().chain([listen.as_str()]);
        let flags: Vec<&str> = options.flat_map(|option| ["-o", option]).collect();
        Site { server: Server::start_on(plain, tree, &[&["-c", "/cgi-bin/*"][..], &flags].concat()), proxied }
    }

    fn connect(&self) -> Client {
        Client::connect(([127, 0, 0, 1], self.proxied).into())
    }

    /// The address in the log for a request behind `head`.
    fn logged(&self, head: &[u8], fields: &str) -> String {
        let before = self.server.log_lines().len();
        let mut proxy = self.connect();
        proxy.send(head);
        proxy.send(format!("GET /a.txt HTTP/1.1\r\nHost: x\r\n{fields}Connection: close\r\n\r\n"));
        assert_eq!(proxy.answer("GET").status, 200);
        eventually("a log line", || self.server.log_lines().len() > before);
        self.server.log_lines().pop().unwrap().split(' ').next().unwrap().to_owned()
    }
}

fn tree() -> Tree {
    let tree = Tree::new();
    tree.file("a.txt", "hello");
    tree.file(
        "cgi-bin/env",
        "#!/bin/sh\nprintf 'Content-Type: text/plain\\n\\n'\necho $REMOTE_ADDR $HTTPS\n",
    );
    tree.mode("cgi-bin/env", 0o755);
    tree
}

/// A head of version 2: TCP over IPv4 from `source`, with `values` behind it.
fn v2(source: [u8; 4], values: &[u8]) -> Vec<u8> {
    let length = u16::try_from(12 + values.len()).unwrap().to_be_bytes();
    let fixed: &[u8] = b"\r\n\r\n\0\r\nQUIT\n\x21\x11";
    [fixed, &length, &source, &[127, 0, 0, 1], &[0x10, 0, 0, 80], values].concat()
}

const TLS: &[u8] = &[0x20, 0, 5, 1, 0, 0, 0, 0];

#[test]
fn the_client_is_the_one_that_the_head_names() {
    let tree = tree();
    let site = Site::new(&tree, &["trusted_proxies=127.0.0.1,10.0.0.0/8"]);
    let line = |words: &str| format!("PROXY {words}\r\n").into_bytes();
    let xff = "X-Forwarded-For: 198.51.100.1\r\n";
    let local = b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0".to_vec();
    for (head, fields, want) in [
        (line("TCP4 203.0.113.9 127.0.0.1 4096 80"), "", "203.0.113.9"),
        (line("TCP6 2001:db8::9 ::1 4096 80"), "", "2001:db8::9"),
        (line("TCP6 ::ffff:203.0.113.9 ::1 4096 80"), "", "203.0.113.9"),
        (line("UNKNOWN"), "", "127.0.0.1"),
        (v2([203, 0, 113, 9], b""), "", "203.0.113.9"),
        (v2([203, 0, 113, 9], TLS), "", "203.0.113.9"),
        (local, "", "127.0.0.1"),
        // The walk goes on from where the head has led, and no further.
        (line("TCP4 203.0.113.9 127.0.0.1 4096 80"), xff, "203.0.113.9"),
        (line("TCP4 10.0.0.9 127.0.0.1 4096 80"), xff, "198.51.100.1"),
        (line("UNKNOWN"), xff, "198.51.100.1"),
    ] {
        assert_eq!(site.logged(&head, fields), want, "{} {fields}", head.escape_ascii());
    }
}

#[test]
fn a_head_may_come_in_any_pieces_and_says_whether_the_client_used_tls() {
    let tree = tree();
    let site = Site::new(&tree, &["trusted_proxies=127.0.0.1"]);
    let request =
        "GET /cgi-bin/env HTTP/1.1\r\nHost: x\r\nX-Forwarded-Proto: https\r\nConnection: close\r\n\r\n";
    let plain = b"PROXY TCP4 203.0.113.9 127.0.0.1 4096 80\r\n".to_vec();
    for (head, want) in [(plain, "203.0.113.9\n"), (v2([203, 0, 113, 9], TLS), "203.0.113.9 on\n")] {
        let whole = [&head[..], request.as_bytes()].concat();
        for piece in [1, 7, head.len() - 1, head.len(), head.len() + 1, whole.len()] {
            let mut proxy = site.connect();
            whole.chunks(piece).for_each(|piece| proxy.send(piece));
            assert_eq!(proxy.answer("GET").text(), want, "in pieces of {piece}");
        }
    }
}

#[test]
fn a_connection_that_persists_keeps_its_client() {
    let tree = tree();
    let site = Site::new(&tree, &["trusted_proxies=127.0.0.1"]);
    let mut proxy = site.connect();
    proxy.send("PROXY TCP4 203.0.113.9 127.0.0.1 4096 80\r\n");
    for n in 0..3 {
        assert_eq!(proxy.get(&format!("/a.txt?{n}")).text(), "hello");
        let line = site.server.logged(&format!("?{n} "));
        assert!(line.starts_with("203.0.113.9 "), "{line}");
    }
    // A second head is no request.
    proxy.send("PROXY TCP4 198.51.100.1 127.0.0.1 4096 80\r\n\r\n");
    assert_eq!(proxy.answer("GET").status, 400);
}

#[test]
fn invalid_heads_end_the_connection_without_a_response() {
    let tree = tree();
    let site = Site::new(&tree, &["trusted_proxies=127.0.0.1"]);
    let mut datagram = v2([203, 0, 113, 9], b"");
    datagram[13] = 0x12;
    let long = format!("PROXY UNKNOWN {}\r\n", "x".repeat(100));
    let broken: [&[u8]; 8] = [
        b"",
        b"\r\n",
        b"proxy TCP4 203.0.113.9 127.0.0.1 1 2\r\n",
        b"PROXY TCP4 203.0.113.9\r\n",
        b"PROXY TCP4 203.0.113.999 127.0.0.1 1 2\r\n",
        b"PROXY TCP4 203.0.113.9 127.0.0.1 1 2\n",
        long.as_bytes(),
        &datagram,
    ];
    for head in broken {
        let mut proxy = site.connect();
        proxy.send(head);
        proxy.send(REQUEST);
        // A reset is as good: the request was not read.
        let said = proxy.rest().unwrap_or_default();
        assert!(said.is_empty(), "{}: {}", head.escape_ascii(), said.escape_ascii());
    }
    assert_eq!(site.server.log_lines(), [""; 0]);
    assert_eq!(site.server.connect().get("/a.txt").text(), "hello", "the plain listener takes requests");
}

#[test]
fn a_peer_that_is_not_trusted_is_closed_before_a_byte_is_read() {
    let tree = tree();
    let site = Site::new(&tree, &["trusted_proxies=192.0.2.1,unix", "head_timeout=600"]);
    let mut stranger = site.connect();
    stranger.send("P");
    assert!(stranger.is_closed());
    let mut stranger = site.connect();
    stranger.send("PROXY TCP4 192.0.2.1 127.0.0.1 1 2\r\n");
    stranger.send(REQUEST);
    assert!(stranger.rest().unwrap_or_default().is_empty());
    assert_eq!(site.server.log_lines(), [""; 0]);
}

#[test]
fn a_head_that_does_not_come_in_time_ends_the_connection() {
    let tree = tree();
    let site = Site::new(&tree, &["trusted_proxies=127.0.0.1", "head_timeout=1"]);
    for begun in ["", "PROXY TCP4 203.0.113.9", "\r\n\r\n\0\r\nQUIT\n\u{21}"] {
        let mut proxy = site.connect();
        proxy.send(begun);
        assert!(proxy.rest().unwrap_or_default().is_empty());
    }
    // A trickle does not move the deadline.
    let mut proxy = site.connect();
    let begun = std::time::Instant::now();
    let line = b"PROXY TCP4 203.0.113.9 127.0.0.1 4096 80\r\n";
    for byte in line.chunks(1).cycle().take(200) {
        proxy.send(byte);
        std::thread::sleep(Duration::from_millis(50));
        if begun.elapsed() > Duration::from_secs(2) {
            break;
        }
    }
    assert!(proxy.rest().unwrap_or_default().is_empty());
}

#[test]
fn five_thousand_half_heads_hold_no_worker_and_little_memory() {
    let _alone = alone();
    let tree = tree();
    let site = Site::new(&tree, &["trusted_proxies=127.0.0.1", "head_timeout=600"]);
    let memory = site.server.status_of_process("VmRSS");
    let count = affordable(5000);
    let half: Vec<TcpStream> = (0..count)
        .map(|_| {
            let mut proxy = site.connect();
            proxy.send("PROXY TCP4 203.0.113.9 127.0.0.1");
            proxy.into_stream()
        })
        .collect();
    assert_eq!(site.server.connect().get("/a.txt").text(), "hello");
    assert_eq!(site.logged(b"PROXY TCP4 203.0.113.9 127.0.0.1 1 2\r\n", ""), "203.0.113.9");
    let grown = site.server.status_of_process("VmRSS").saturating_sub(memory) * 1024;
    assert!(grown < 2048 * count as u64, "{} bytes for each of {count} connections", grown / count as u64);
    for stream in half.iter().step_by(97) {
        let mut proxy = Client::of(stream.try_clone().unwrap());
        proxy.send(" 4096 80\r\n");
        assert_eq!(proxy.get("/a.txt").text(), "hello");
    }
}
