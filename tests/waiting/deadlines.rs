//! Time limits of all waits, and the responses at their end.

use std::time::{Duration, Instant};

use super::slow_readers::slow_reader;
use crate::support::{Answer, Client, Server, Tree};

fn tree() -> Tree {
    let tree = Tree::new();
    tree.file("a", "a");
    tree.file("large", vec![b'l'; 20 << 20]);
    tree.file("script.cgi", "#!/bin/sh\ncat >/dev/null; printf 'Content-Type: text/plain\\n\\nok'");
    tree.mode("script.cgi", 0o755);
    tree
}

/// Runs `wait`, which must take about a second: the limit that is set.
fn takes_a_second(wait: impl FnOnce()) {
    let began = Instant::now();
    wait();
    let took = began.elapsed();
    assert!((Duration::from_millis(950)..Duration::from_secs(5)).contains(&took), "{took:?}");
}

#[test]
fn an_idle_connection_is_closed_without_a_word() {
    let tree = tree();
    let server = Server::start(&tree, &["-o", "keepalive_timeout=1"]);
    let mut client = server.connect();
    assert_eq!(client.get("/a").status, 200);
    takes_a_second(|| assert!(client.is_closed()));
    assert_eq!(server.log_lines().len(), 1);
}

#[test]
fn half_a_head_is_told_408() {
    let tree = tree();
    let server = Server::start(&tree, &["-o", "head_timeout=1"]);
    for already_served in [false, true] {
        let mut client = server.connect();
        if already_served {
            assert_eq!(client.get("/a").status, 200);
        }
        client.send("GET /a HTTP");
        takes_a_second(|| assert_eq!(client.answer("GET").status, 408));
        assert!(client.is_closed());
    }
}

#[test]
fn half_an_upload_is_told_408() {
    let tree = tree();
    let server = Server::start(&tree, &["-o", "body_timeout=1", "-c", "**.cgi"]);
    let mut client = server.connect();
    client.send("POST /script.cgi HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nhalf");
    takes_a_second(|| assert_eq!(client.answer("POST").status, 408));
    assert!(client.is_closed());
}

#[test]
fn content_that_nobody_wants_is_waited_for_once_however_it_trickles() {
    let tree = tree();
    let server = Server::start(&tree, &["-o", "body_timeout=1"]);
    let mut client = server.connect();
    client.send("POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n");
    assert_eq!(client.answer("POST").status, 405);
    client.stream().set_read_timeout(Some(Duration::from_millis(50))).unwrap();
    takes_a_second(|| {
        let began = Instant::now();
        while client.stream().peek(&mut [0]).is_err() {
            client.send("x");
            assert!(began.elapsed() < Duration::from_secs(5), "the trickle keeps it waiting");
        }
    });
}

#[test]
fn a_reader_that_takes_nothing_is_given_up() {
    let tree = tree();
    let server = Server::start(&tree, &["-o", "send_timeout=1"]);
    // Once the file has rested it is remembered, and stays open.
    crate::support::eventually("the file has rested", || {
        server.connect().get("/large").field("ETag").is_some_and(|tag| tag.starts_with('"'))
    });
    let before = server.descriptors();
    let reader = slow_reader(&server, "/large?read=slowly");
    takes_a_second(|| {
        server.logged("read=slowly");
    });
    crate::support::eventually("its descriptor is free", || server.descriptors() <= before);
    drop(reader);
}

#[test]
fn a_connection_has_its_time_and_its_requests() {
    let tree = tree();
    let server = Server::start(&tree, &["-o", "keepalive_requests=3"]);
    let mut client = server.connect();
    let closes = |client: &mut Client| client.get("/a").field("Connection") == Some("close");
    assert_eq!([(); 3].map(|()| closes(&mut client)), [false, false, true]);
    assert!(client.is_closed());

    let server = Server::start(&tree, &["-o", "keepalive_max_time=1"]);
    let mut client = server.connect();
    takes_a_second(|| {
        let began = Instant::now();
        // The connection ends with a response, or between two.
        while let Some(answer) = try_get(&mut client)
            && answer.field("Connection").is_none()
        {
            assert!(began.elapsed() < Duration::from_secs(5), "it goes on for ever");
        }
    });
    assert!(client.is_closed());
    let mut idle = server.connect();
    takes_a_second(|| {
        assert_eq!(idle.get("/a").status, 200);
        assert!(idle.is_closed());
    });
}

fn try_get(client: &mut Client) -> Option<Answer> {
    client.send("GET /a HTTP/1.1\r\nHost: x\r\n\r\n");
    client.try_answer("GET")
}
