//! Limits of requests: values up to each limit are served, one above is refused, and others continue.
//!
//! Time limits are tested in `waiting`, limits on content in `scripts`.

use super::{CONTENT, tree, with_fields};
use crate::support::{Client, Server, eventually};

/// Sends `within` and `beyond` to a server with one `option`; the first is served, the second `status`.
fn holds(option: &str, within: &[u8], beyond: &[u8], status: u16) {
    let tree = tree();
    let mut server = Server::start(&tree, &["-o", option]);
    let mut client = server.connect();
    client.send(within);
    assert_eq!(client.answer("GET").status, 200, "{option}: {}", within.escape_ascii());
    client.send(beyond);
    let answer = client.answer("GET");
    assert_eq!(answer.status, status, "{option}: {}", answer.head);
    assert_eq!(answer.field("Connection"), Some("close"), "{option}");
    assert!(client.is_closed(), "{option}");
    assert_eq!(server.connect().get("/a.txt").text(), CONTENT, "{option}");
    assert!(server.is_alive());
}

/// A whole head of `bytes` bytes.
fn head_of(bytes: usize) -> Vec<u8> {
    let padded = |n: usize| with_fields(&format!("X: {}\r\n", "y".repeat(n)));
    padded(bytes - padded(0).len())
}

/// A target of `bytes` bytes.
fn target_of(bytes: usize) -> Vec<u8> {
    let target = format!("/a.txt?{}", "q".repeat(bytes - "/a.txt?".len()));
    format!("GET {target} HTTP/1.1\r\nHost: x\r\n\r\n").into_bytes()
}

/// A head of `lines` field lines.
fn lines(lines: usize) -> Vec<u8> {
    with_fields(&"X: y\r\n".repeat(lines - 1))
}

#[test]
fn the_size_of_a_head() {
    holds("head_limit=600", &head_of(600), &head_of(601), 431);
    holds("head_limit=32K", &head_of(32 * 1024), &head_of(32 * 1024 + 1), 431);
}

#[test]
fn the_number_of_field_lines() {
    holds("field_limit=5", &lines(5), &lines(6), 431);
    holds("field_limit=128", &lines(128), &lines(129), 431);
}

#[test]
fn the_size_of_a_target() {
    holds("target_limit=100", &target_of(100), &target_of(101), 414);
    holds("target_limit=9000", &target_of(9000), &target_of(9001), 414);
}

/// A connection that has been served; none where it is turned away.
fn served(server: &Server) -> Option<Client> {
    let mut client = server.connect();
    client.send(with_fields(""));
    client.try_answer("GET").filter(|answer| answer.status == 200).map(|_| client)
}

#[test]
fn connections_of_one_address() {
    let tree = tree();
    let server = Server::start(&tree, &["-o", "max_connections_per_address=2"]);
    // The one by which the test saw the server start may still be counted.
    let mut crowd = Vec::new();
    eventually("two connections are served", || {
        crowd.extend(served(&server));
        crowd.len() == 2
    });
    let mut third = server.connect();
    third.send(with_fields(""));
    let answer = third.answer("GET");
    assert_eq!((answer.status, answer.field("Connection")), (503, Some("close")));
    assert!(answer.field("Retry-After").is_some(), "{}", answer.head);
    for client in &mut crowd {
        assert_eq!(client.get("/a.txt").text(), CONTENT, "those that were there go on");
    }
    drop(crowd);
    eventually("there is room again", || served(&server).is_some());
}
