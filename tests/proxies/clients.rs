//! `trusted_proxies` and `client_header`: the client in the log, in scripts and for limits.

use nix::sys::signal::Signal;

use crate::support::{Client, Server, Tree, eventually};

/// Tree with a script that prints its client's variables, and with a file.
fn tree() -> Tree {
    let tree = Tree::new();
    let variables = ["REMOTE_ADDR", "REMOTE_PORT", "HTTPS", "HTTP_X_FORWARDED_FOR", "HTTP_X_FORWARDED_PROTO"];
    let lines: String = variables.iter().map(|name| format!("echo \"{name}=${{{name}-unset}}\"\n")).collect();
    let script = format!("#!/bin/sh\nprintf 'Content-Type: text/plain\\n\\n'\n{lines}");
    tree.file("cgi-bin/env", script);
    tree.mode("cgi-bin/env", 0o755);
    tree.file("a.txt", "hello");
    tree
}

fn server(tree: &Tree, options: &[&str]) -> Server {
    let flags: Vec<&str> = options.iter().flat_map(|option| ["-o", option]).collect();
    Server::start(tree, &[&["-c", "/cgi-bin/*"][..], &flags].concat())
}

/// Output of the script for a request with `fields`, and the client in the log.
fn asked(server: &Server, fields: &str) -> (String, String) {
    let before = server.log_lines().len();
    let mut client = server.connect();
    client.send(format!("GET /cgi-bin/env HTTP/1.1\r\nHost: x\r\n{fields}Connection: close\r\n\r\n"));
    let said = client.answer("GET").text();
    eventually("a log line", || server.log_lines().len() > before);
    let line = server.log_lines().pop().unwrap();
    (said, line.split(' ').next().unwrap().to_owned())
}

#[test]
fn a_trusted_proxys_client_is_the_client_everywhere() {
    let tree = tree();
    let server = server(&tree, &["trusted_proxies=127.0.0.0/8"]);
    let fields = "X-Forwarded-For: 10.9.9.9, 203.0.113.9\r\nX-Forwarded-Proto: https\r\n";
    let (said, logged) = asked(&server, fields);
    assert_eq!(logged, "203.0.113.9");
    assert_eq!(
        said,
        "REMOTE_ADDR=203.0.113.9\nREMOTE_PORT=unset\nHTTPS=on\n\
         HTTP_X_FORWARDED_FOR=10.9.9.9, 203.0.113.9\nHTTP_X_FORWARDED_PROTO=https\n"
    );
    let (said, logged) = asked(&server, "");
    assert_eq!(logged, "127.0.0.1");
    assert!(
        said.starts_with("REMOTE_ADDR=127.0.0.1\nREMOTE_PORT=") && said.contains("HTTPS=unset"),
        "{said}"
    );
    assert!(!said.contains("REMOTE_PORT=unset"), "{said}");
}

#[test]
fn a_client_that_the_proxy_cannot_name_is_logged_as_the_proxy_and_hidden_from_scripts() {
    let tree = tree();
    let server = server(&tree, &["trusted_proxies=127.0.0.1"]);
    for broken in ["unknown", "", "203.0.113.9,", "203.0.113.9:x", "example.org", "203.0.113.9, _secret"] {
        let (said, logged) = asked(&server, &format!("X-Forwarded-For: {broken}\r\n"));
        assert_eq!(logged, "127.0.0.1", "{broken}");
        assert!(said.starts_with("REMOTE_ADDR=\nREMOTE_PORT=unset\n"), "{broken}: {said}");
    }
}

#[test]
fn a_peer_that_is_not_trusted_speaks_for_nobody() {
    let tree = tree();
    let server = server(&tree, &["trusted_proxies=192.0.2.1,unix,::1"]);
    let fields = "X-Forwarded-For: 203.0.113.9\r\nX-Forwarded-Proto: https\r\n";
    let (said, logged) = asked(&server, fields);
    assert_eq!(logged, "127.0.0.1");
    assert!(said.starts_with("REMOTE_ADDR=127.0.0.1\n") && !said.contains("203.0.113.9"), "{said}");
    assert!(said.contains("HTTPS=unset\n") && said.contains("HTTP_X_FORWARDED_PROTO=unset\n"), "{said}");
}

#[test]
fn without_trusted_proxies_all_is_as_in_thttpd() {
    let tree = tree();
    let server = server(&tree, &[]);
    let (said, logged) = asked(&server, "X-Forwarded-For: 203.0.113.9\r\nX-Forwarded-Proto: https\r\n");
    assert_eq!(logged, "127.0.0.1");
    assert!(said.starts_with("REMOTE_ADDR=127.0.0.1\n") && said.contains("HTTPS=unset\n"), "{said}");
    assert!(said.contains("HTTP_X_FORWARDED_FOR=203.0.113.9\n"), "{said}");
}

#[test]
fn each_request_of_a_proxys_connection_has_its_own_client() {
    let tree = tree();
    let server = server(&tree, &["trusted_proxies=127.0.0.1", "client_header=forwarded"]);
    let mut proxy = server.connect();
    let mut ask = |target: &str, fields: &str| {
        proxy.send(format!("GET {target} HTTP/1.1\r\nHost: x\r\n{fields}\r\n"));
        assert_eq!(proxy.answer("GET").status, 200);
        let line = server.logged(&format!(" {target} "));
        line.split(' ').next().unwrap().to_owned()
    };
    assert_eq!(ask("/a.txt?1", "Forwarded: for=203.0.113.1\r\n"), "203.0.113.1");
    assert_eq!(ask("/a.txt?2", "Forwarded: for=\"[2001:db8::2]\"\r\n"), "2001:db8::2");
    assert_eq!(ask("/a.txt?3", ""), "127.0.0.1");
    assert_eq!(ask("/a.txt?4", "Forwarded: for=203.0.113.4\r\nX-Forwarded-For: 9.9.9.9\r\n"), "203.0.113.4");
    // Invalid bytes are attributed to the peer.
    proxy.send("G\u{1}T / HTTP/1.1\r\n\r\n");
    assert_eq!(proxy.answer("GET").status, 400);
    let last = || server.log_lines().pop().unwrap();
    eventually("the line of the bad request", || last().contains("\" 400 "));
    assert!(last().starts_with("127.0.0.1 "), "{}", last());
}

#[test]
fn the_bound_on_connections_of_an_address_does_not_count_those_of_a_trusted_proxy() {
    let tree = tree();
    let bound = "max_connections_per_address=2";
    let statuses = |server: &Server| -> Vec<u16> {
        let mut all: Vec<Client> = (0..4).map(|_| server.connect()).collect();
        all.iter_mut().map(|client| client.get("/a.txt").status).collect()
    };
    let open = server(&tree, &[bound]);
    assert!(statuses(&open).contains(&503));
    drop(open);
    let mut behind = server(&tree, &[bound, "trusted_proxies=127.0.0.1"]);
    assert_eq!(statuses(&behind), [200; 4]);
    assert_eq!(behind.end(Signal::SIGTERM).code(), Some(0));
}

#[test]
fn a_rate_of_each_address_is_that_of_the_client_behind_the_proxy() {
    let tree = tree();
    tree.file("big.bin", vec![b'x'; 60_000]);
    let throttles = tree.beside("throttles", "**.bin per-address 20000\n");
    let server =
        Server::start(&tree, &["-t", throttles.to_str().unwrap(), "-o", "trusted_proxies=127.0.0.1"]);
    let fetch = |client: &str| {
        let mut proxy = server.connect();
        proxy.send(format!(
            "GET /big.bin HTTP/1.1\r\nHost: x\r\nX-Forwarded-For: {client}\r\nConnection: close\r\n\r\n"
        ));
        proxy
    };
    let begun = std::time::Instant::now();
    let mut proxies: Vec<Client> = (1..=3).map(|n| fetch(&format!("203.0.113.{n}"))).collect();
    proxies.iter_mut().for_each(|proxy| assert_eq!(proxy.answer("GET").body.len(), 60_000));
    let apart = begun.elapsed();
    // One address for all three would need three times as long: nine seconds.
    assert!(apart.as_secs_f64() > 2.0, "{apart:?}: it was paced");
    assert!(apart.as_secs_f64() < 7.0, "{apart:?}: they share what is each one's own");
}
