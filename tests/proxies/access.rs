//! Access rules behind proxies: all forms and places of a client's address, from trusted and other peers.

use std::os::unix::net::UnixStream;
use std::path::PathBuf;

use crate::support::server::free_port;
use crate::support::{Client, Server, Tree, eventually};

/// Only 203.0.113.0/24 and 2001:db8::/32 may have `open`, and all but they may have `shut`.
const RULES: &str = "open/** allow 203.0.113.0/24 2001:db8::/32\nshut/** deny 203.0.113.0/24 2001:db8::/32\n\
                     nobody/** allow 0.0.0.0/0 ::/0 unix\neverybody/** deny 192.0.2.255\n\
                     once/** requests per-address 1/h\n";

/// Client that a request is attributed to.
#[derive(Clone, Copy, PartialEq)]
enum Seen {
    /// One of the addresses of the rules.
    Listed,
    /// Another address.
    Other,
    /// A client that a trusted proxy could not name.
    Unknown,
}

struct Site {
    server: Server,
    proxied: u16,
    socket: PathBuf,
}

impl Site {
    fn new(tree: &Tree, options: &[&str]) -> Site {
        let (plain, proxied) = (free_port(), free_port());
        let socket = tree.dir().join("sock");
        let listen = format!("listen=127.0.0.1:{plain},127.0.0.1:{proxied};proxy,{}", socket.display());
        let rules = format!("rules={}", tree.beside("rules", RULES).display());
        let all = options.iter().copied().chain([listen.as_str(), rules.as_str(), "log_format=json"]);
        let flags: Vec<&str> = all.flat_map(|option| ["-o", option]).collect();
        Site { server: Server::start_on(plain, tree, &flags), proxied, socket }
    }

    /// The status of a request of `target` that comes by `way`, with `fields`.
    fn ask(&self, way: Way, target: &str, fields: &str) -> u16 {
        let request = format!("GET {target} HTTP/1.1\r\nHost: x\r\n{fields}Connection: close\r\n\r\n");
        if way == Way::Unix {
            let stream = UnixStream::connect(&self.socket).unwrap();
            let mut client = Client::of(std::os::fd::OwnedFd::from(stream).into());
            client.send(request);
            return client.answer("GET").status;
        }
        let mut client = match way {
            Way::Head(head) => {
                let mut client = Client::connect(([127, 0, 0, 1], self.proxied).into());
                client.send(head);
                client
            }
            _ => self.server.connect(),
        };
        client.send(request);
        client.answer("GET").status
    }

    fn is_seen(&self, sent: &Sent<'_>, seen: Seen, logged: &str) {
        let Sent { way, fields, told } = *sent;
        let want = match seen {
            Seen::Listed => [200, 403, 200, 200],
            Seen::Other => [403, 200, 200, 200],
            Seen::Unknown => [403, 403, 403, 403],
        };
        for (target, status) in ["/open/a", "/shut/a", "/nobody/a", "/everybody/a"].iter().zip(want) {
            for _ in 0..2 {
                assert_eq!(self.ask(way, target, fields), status, "{told}: {target}: {fields}");
            }
        }
        let before = self.server.log_lines().len();
        self.ask(way, "/everybody/a?log", fields);
        let client = format!("\"client\":\"{logged}\"");
        eventually(&format!("{told}: {client}: {fields}"), || {
            self.server
                .log_lines()
                .get(before..)
                .is_some_and(|new| new.iter().any(|line| line.contains("?log") && line.contains(&client)))
        });
    }
}

/// Way of sending a request, its fields, and text for failures.
struct Sent<'a> {
    way: Way,
    fields: &'a str,
    told: &'a str,
}

/// Way of sending a request.
#[derive(Clone, Copy, PartialEq)]
enum Way {
    /// From 127.0.0.1.
    Plain,
    /// By the socket in the file system.
    Unix,
    /// Behind a PROXY head, from 127.0.0.1.
    Head(&'static [u8]),
}

fn tree() -> Tree {
    let tree = Tree::new();
    ["open/a", "shut/a", "nobody/a", "everybody/a", "once/a"].iter().for_each(|name| {
        tree.file(name, "x");
    });
    tree
}

/// Fields of a trusted proxy by `client_header`, who is seen, and the address in the log.
type Case = (&'static str, &'static str, Seen, &'static str);

const CASES: &[Case] = &[
    ("x-forwarded-for", "X-Forwarded-For: 203.0.113.9\r\n", Seen::Listed, "203.0.113.9"),
    ("x-forwarded-for", "X-Forwarded-For: 203.0.113.9:4711\r\n", Seen::Listed, "203.0.113.9"),
    ("x-forwarded-for", "X-Forwarded-For: ::ffff:203.0.113.9\r\n", Seen::Listed, "203.0.113.9"),
    ("x-forwarded-for", "X-Forwarded-For: 2001:db8::9\r\n", Seen::Listed, "2001:db8::9"),
    ("x-forwarded-for", "X-Forwarded-For: [2001:DB8:0::9]:80\r\n", Seen::Listed, "2001:db8::9"),
    ("x-forwarded-for", "X-Forwarded-For: \"[2001:db8::9]:80\"\r\n", Seen::Listed, "2001:db8::9"),
    ("x-forwarded-for", "X-Forwarded-For: 198.51.100.1\r\n", Seen::Other, "198.51.100.1"),
    ("x-forwarded-for", "", Seen::Other, "127.0.0.1"),
    // Elements that the client wrote are further left, or in a line above.
    ("x-forwarded-for", "X-Forwarded-For: 203.0.113.9, 198.51.100.1\r\n", Seen::Other, "198.51.100.1"),
    (
        "x-forwarded-for",
        "X-Forwarded-For: 203.0.113.9\r\nX-Forwarded-For: 198.51.100.1\r\n",
        Seen::Other,
        "198.51.100.1",
    ),
    ("x-forwarded-for", "x-forwarded-for: 203.0.113.9,198.51.100.1\r\n", Seen::Other, "198.51.100.1"),
    ("x-forwarded-for", "X-Forwarded-For: 203.0.113.9, 127.0.0.1\r\n", Seen::Listed, "203.0.113.9"),
    ("x-forwarded-for", "X-Forwarded-For: 127.0.0.1\r\n", Seen::Other, "127.0.0.1"),
    // Fields with other names are ignored.
    ("x-forwarded-for", "Forwarded: for=203.0.113.9\r\nX-Real-IP: 203.0.113.9\r\n", Seen::Other, "127.0.0.1"),
    ("x-forwarded-for", "X-Forwarded-For-: 203.0.113.9\r\n", Seen::Other, "127.0.0.1"),
    ("x-forwarded-for", "X_Forwarded_For: 203.0.113.9\r\n", Seen::Other, "127.0.0.1"),
    ("x-forwarded-for", "True-Client-IP: 203.0.113.9\r\nVia: 203.0.113.9\r\n", Seen::Other, "127.0.0.1"),
    // An invalid address makes the client unknown.
    ("x-forwarded-for", "X-Forwarded-For:\r\n", Seen::Unknown, "127.0.0.1"),
    ("x-forwarded-for", "X-Forwarded-For: unknown\r\n", Seen::Unknown, "127.0.0.1"),
    ("x-forwarded-for", "X-Forwarded-For: 203.0.113.9,\r\n", Seen::Unknown, "127.0.0.1"),
    ("x-forwarded-for", "X-Forwarded-For: 203.0.113.9, unknown\r\n", Seen::Unknown, "127.0.0.1"),
    ("x-forwarded-for", "X-Forwarded-For: 203.0.113.9 198.51.100.1\r\n", Seen::Unknown, "127.0.0.1"),
    ("x-forwarded-for", "X-Forwarded-For: 203.0.113.9%eth0\r\n", Seen::Unknown, "127.0.0.1"),
    ("x-forwarded-for", "X-Forwarded-For: 3405803785\r\n", Seen::Unknown, "127.0.0.1"),
    ("x-forwarded-for", "X-Forwarded-For: 0xcb007109\r\n", Seen::Unknown, "127.0.0.1"),
    ("x-forwarded-for", "X-Forwarded-For: 203.0.113.09\r\n", Seen::Unknown, "127.0.0.1"),
    ("x-forwarded-for", "X-Forwarded-For: 203.0.113.9\t198.51.100.1\r\n", Seen::Unknown, "127.0.0.1"),
    ("x-forwarded-for", "X-Forwarded-For: 203.0.113.\u{fc}\r\n", Seen::Unknown, "127.0.0.1"),
    ("x-forwarded-for", "X-Forwarded-For: localhost\r\n", Seen::Unknown, "127.0.0.1"),
    ("forwarded", "Forwarded: for=203.0.113.9\r\n", Seen::Listed, "203.0.113.9"),
    ("forwarded", "Forwarded: For=\"203.0.113.9:4711\";proto=https;by=_a\r\n", Seen::Listed, "203.0.113.9"),
    ("forwarded", "Forwarded: for=\"[2001:db8::9]\"\r\n", Seen::Listed, "2001:db8::9"),
    ("forwarded", "Forwarded: for=203.0.113.9, for=198.51.100.1\r\n", Seen::Other, "198.51.100.1"),
    ("forwarded", "Forwarded: for=\"203.0.113.9, for=198.51.100.1\r\n", Seen::Other, "198.51.100.1"),
    ("forwarded", "Forwarded: for=203.0.113.9;for=198.51.100.1\r\n", Seen::Unknown, "127.0.0.1"),
    ("forwarded", "Forwarded: for=_hidden\r\n", Seen::Unknown, "127.0.0.1"),
    ("forwarded", "Forwarded: by=203.0.113.9\r\n", Seen::Unknown, "127.0.0.1"),
    ("forwarded", "Forwarded: proto=https\r\n", Seen::Unknown, "127.0.0.1"),
    ("forwarded", "X-Forwarded-For: 203.0.113.9\r\n", Seen::Other, "127.0.0.1"),
    ("x-real-ip", "X-Real-IP: 203.0.113.9\r\n", Seen::Listed, "203.0.113.9"),
    ("x-real-ip", "X-Real-IP: 198.51.100.1\r\n", Seen::Other, "198.51.100.1"),
    ("x-real-ip", "X-Real-IP: 203.0.113.9\r\nX-Real-IP: 198.51.100.1\r\n", Seen::Unknown, "127.0.0.1"),
    ("x-real-ip", "X-Real-IP: 203.0.113.9, 198.51.100.1\r\n", Seen::Unknown, "127.0.0.1"),
    ("x-real-ip", "X-Forwarded-For: 203.0.113.9\r\n", Seen::Other, "127.0.0.1"),
];

#[test]
fn the_client_named_by_a_trusted_proxy_decides_over_access() {
    let tree = tree();
    for field in ["x-forwarded-for", "forwarded", "x-real-ip"] {
        let options = ["trusted_proxies=127.0.0.1,unix", &format!("client_header={field}")];
        let site = Site::new(&tree, &options);
        for (_, fields, seen, logged) in CASES.iter().filter(|(of, ..)| *of == field) {
            site.is_seen(&Sent { way: Way::Plain, fields, told: field }, *seen, logged);
            if *logged != "127.0.0.1" {
                site.is_seen(&Sent { way: Way::Unix, fields, told: "by a socket" }, *seen, logged);
            }
        }
    }
}

#[test]
fn a_peer_that_is_not_trusted_decides_nothing_whatever_it_says() {
    let tree = tree();
    for field in ["x-forwarded-for", "forwarded", "x-real-ip"] {
        for trusted in [None, Some("trusted_proxies=192.0.2.1,10.0.0.0/8,::1")] {
            let chosen = format!("client_header={field}");
            let options: Vec<&str> = trusted.into_iter().chain(trusted.map(|_| chosen.as_str())).collect();
            let (plain, rules) = (free_port(), format!("rules={}", tree.beside("rules", RULES).display()));
            let all = options.iter().copied().chain([rules.as_str(), "log_format=json"]);
            let flags: Vec<&str> = all.flat_map(|option| ["-o", option]).collect();
            let server = Server::start_on(plain, &tree, &flags);
            let site = Site { server, proxied: 0, socket: PathBuf::new() };
            for (_, fields, ..) in CASES {
                site.is_seen(
                    &Sent { way: Way::Plain, fields, told: "not trusted" },
                    Seen::Other,
                    "127.0.0.1",
                );
            }
        }
    }
}

#[test]
fn proxy_heads_decide_over_access_and_fields_go_on_from_there() {
    let tree = tree();
    let site = Site::new(&tree, &["trusted_proxies=127.0.0.1,10.0.0.0/8"]);
    let listed = "X-Forwarded-For: 203.0.113.9\r\n";
    const LISTED: &[u8] = b"PROXY TCP4 203.0.113.9 127.0.0.1 4096 80\r\n";
    const LISTED6: &[u8] = b"PROXY TCP6 2001:db8::9 ::1 4096 80\r\n";
    const OTHER: &[u8] = b"PROXY TCP4 198.51.100.1 127.0.0.1 4096 80\r\n";
    const TRUSTED: &[u8] = b"PROXY TCP4 10.0.0.7 127.0.0.1 4096 80\r\n";
    const NOBODY: &[u8] = b"PROXY UNKNOWN\r\n";
    const LOCAL: &[u8] = b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0";
    const BINARY: &[u8] = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\xcb\0\x71\x09\x7f\0\0\x01\x10\0\0\x50";
    for (head, fields, seen, logged) in [
        (LISTED, "", Seen::Listed, "203.0.113.9"),
        (LISTED6, "", Seen::Listed, "2001:db8::9"),
        (BINARY, "", Seen::Listed, "203.0.113.9"),
        (OTHER, "", Seen::Other, "198.51.100.1"),
        // A client that the head names is no proxy: its fields are its own words.
        (OTHER, listed, Seen::Other, "198.51.100.1"),
        (LISTED, "X-Forwarded-For: 198.51.100.1\r\n", Seen::Listed, "203.0.113.9"),
        (TRUSTED, listed, Seen::Listed, "203.0.113.9"),
        (TRUSTED, "X-Forwarded-For: unknown\r\n", Seen::Unknown, "10.0.0.7"),
        (TRUSTED, "", Seen::Other, "10.0.0.7"),
        (NOBODY, "", Seen::Other, "127.0.0.1"),
        (NOBODY, listed, Seen::Listed, "203.0.113.9"),
        (LOCAL, listed, Seen::Listed, "203.0.113.9"),
        (LOCAL, "", Seen::Other, "127.0.0.1"),
    ] {
        let told = head.escape_ascii().to_string();
        site.is_seen(&Sent { way: Way::Head(head), fields, told: &told }, seen, logged);
    }
}

#[test]
fn numbers_of_requests_are_those_of_the_client_that_the_proxy_names() {
    let tree = tree();
    let site = Site::new(&tree, &["trusted_proxies=127.0.0.1,unix"]);
    let ask = |fields: &str| site.ask(Way::Plain, "/once/a", fields);
    for client in ["203.0.113.1", "203.0.113.2", "2001:db8:1::1", "2001:db8:2::1"] {
        let fields = format!("X-Forwarded-For: {client}\r\n");
        assert_eq!([ask(&fields), ask(&fields)], [200, 429], "{client}");
    }
    // One IPv6 site is one client, and an unknown client shares no bucket with another.
    assert_eq!(ask("X-Forwarded-For: 2001:db8:1::2\r\n"), 429);
    assert_eq!(ask("X-Forwarded-For: 203.0.113.1, 203.0.113.3\r\n"), 200);
    let unknown = [ask("X-Forwarded-For: unknown\r\n"), ask("X-Forwarded-For: none\r\n")];
    assert_eq!(unknown, [200, 429]);
}
