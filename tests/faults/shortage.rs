//! Shortage of descriptors: requests of every kind wait, and get 503 in the end.

use std::process::Command;
use std::time::{Duration, Instant};

use super::alone;
use crate::support::{Client, Server, Tree};

/// Fewer descriptors than the server has open, so that no more can be had.
const FEW: usize = 4;

/// One request of each kind that needs a descriptor: a file, a list, a script, a script with content.
const REQUESTS: [&str; 4] = [
    "GET /large HTTP/1.1\r\nHost: x\r\n\r\n",
    "GET /dir/ HTTP/1.1\r\nHost: x\r\n\r\n",
    "GET /script.cgi HTTP/1.1\r\nHost: x\r\n\r\n",
    "POST /script.cgi HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\nhi",
];

fn tree() -> Tree {
    let tree = Tree::new();
    tree.file("a", "a");
    tree.file("large", vec![b'l'; 1_000_000]);
    tree.dir_in("dir");
    tree.file("script.cgi", "#!/bin/sh\necho Content-Type: text/plain\necho\necho said\n");
    tree.mode("script.cgi", 0o755);
    tree
}

/// Sets a resource limit of the server; `what` is a flag of prlimit. The server must run as the test's
/// user.
fn limit(server: &Server, what: &str, count: usize) {
    let limit = format!("--{what}={count}:");
    let status = Command::new("prlimit").args(["--pid", &server.pid().to_string(), &limit]).status();
    assert!(status.is_ok_and(|status| status.success()), "prlimit {limit}");
}

/// A client for each request, connected and served once.
fn clients(server: &Server) -> Vec<Client> {
    let connect = |_: &&str| {
        let mut client = server.connect();
        assert_eq!(client.get("/a").text(), "a");
        client
    };
    REQUESTS.iter().map(connect).collect()
}

fn ask(clients: &mut [Client]) {
    for (client, request) in clients.iter_mut().zip(REQUESTS) {
        client.send(request);
    }
}

fn is_silent(client: &Client) -> bool {
    client.stream().set_read_timeout(Some(Duration::from_millis(100))).unwrap();
    let silent = client.stream().peek(&mut [0]).is_err();
    client.stream().set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    silent
}

#[test]
fn requests_wait_for_descriptors_and_are_answered_when_there_are_some() {
    let _alone = alone();
    let tree = tree();
    let server = Server::start(&tree, &["-u", "root", "-c", "**.cgi"]);
    let mut clients = clients(&server);
    limit(&server, "nofile", FEW);
    ask(&mut clients);
    for (client, request) in clients.iter().zip(REQUESTS) {
        assert!(is_silent(client), "{request}");
    }
    limit(&server, "nofile", 1000);
    for (client, request) in clients.iter_mut().zip(REQUESTS) {
        assert_eq!(client.answer("GET").status, 200, "{request}");
    }
}

#[test]
fn requests_that_have_waited_long_enough_for_descriptors_are_503() {
    let _alone = alone();
    let tree = tree();
    let server = Server::start(&tree, &["-u", "root", "-c", "**.cgi", "-o", "head_timeout=1"]);
    let mut clients = clients(&server);
    limit(&server, "nofile", FEW);
    let begun = Instant::now();
    ask(&mut clients);
    for (client, request) in clients.iter_mut().zip(REQUESTS) {
        client.stream().set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        let answer = client.answer("GET");
        assert_eq!(answer.status, 503, "{request}");
        assert!(answer.field("Retry-After").is_some(), "{}", answer.head);
    }
    assert!(begun.elapsed() >= Duration::from_secs(1));
}

/// A script that counts its content.
fn tree_with_counter() -> Tree {
    let tree = tree();
    tree.file("count.cgi", "#!/bin/sh\necho Content-Type: text/plain\necho\nwc -c | tr -d ' \\n'\n");
    tree.mode("count.cgi", 0o755);
    tree
}

/// A client that has begun to send content of `length` bytes: the server has its head and `part`.
fn uploading(server: &Server, length: usize, part: &str) -> Client {
    let mut client = server.connect();
    client.send(format!("POST /count.cgi HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\n\r\n{part}"));
    assert!(is_silent(&client));
    client
}

/// So much content needs a file, and any content needs one when its script starts.
const UPLOADS: [usize; 2] = [200_000, 10];

#[test]
fn content_that_comes_while_descriptors_are_short_waits_for_them() {
    let _alone = alone();
    let tree = tree_with_counter();
    let server = Server::start(&tree, &["-u", "root", "-c", "**.cgi"]);
    let mut clients = UPLOADS.map(|length| uploading(&server, length, "part"));
    limit(&server, "nofile", FEW);
    for (client, length) in clients.iter_mut().zip(UPLOADS) {
        client.send("x".repeat(length - 4));
    }
    for client in &clients {
        assert!(is_silent(client));
    }
    limit(&server, "nofile", 1000);
    for (client, length) in clients.iter_mut().zip(UPLOADS) {
        let answer = client.answer("GET");
        assert_eq!((answer.status, answer.text()), (200, length.to_string()));
    }
}

#[test]
fn content_that_has_waited_long_enough_for_descriptors_is_503() {
    let _alone = alone();
    let tree = tree_with_counter();
    let server = Server::start(&tree, &["-u", "root", "-c", "**.cgi", "-o", "head_timeout=1"]);
    let mut clients = UPLOADS.map(|length| uploading(&server, length, "part"));
    limit(&server, "nofile", FEW);
    let begun = Instant::now();
    for (client, length) in clients.iter_mut().zip(UPLOADS) {
        client.send("x".repeat(length - 4));
    }
    for client in &mut clients {
        client.stream().set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        let answer = client.answer("POST");
        assert_eq!(answer.status, 503);
        assert!(answer.field("Retry-After").is_some(), "{}", answer.head);
    }
    assert!(begun.elapsed() >= Duration::from_secs(1));
}
