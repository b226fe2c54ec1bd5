//! Slowloris: heads and content that arrive byte by byte, or stop in the middle.

use std::time::{Duration, Instant};

use super::{affordable, alone, assert_unhindered, clients_that_sent, p99};
use crate::support::{Server, Tree};

#[test]
fn five_thousand_half_heads_do_not_slow_anybody_and_are_told_so_in_the_end() {
    let _alone = alone();
    let tree = Tree::new();
    tree.file("a", "a");
    let server = Server::start(&tree, &["-o", "head_timeout=8"]);
    let unloaded = p99(&server, "/a");
    let count = affordable(5000);
    let began = Instant::now();
    let mut crowd = clients_that_sent(&server, count, "GET /a HTTP/1.1\r\nHost: x\r\nX-a: ");
    assert_unhindered(&server, "/a", unloaded);
    // One byte more for each does not win them time.
    for client in &mut crowd {
        client.send("b");
    }
    assert_unhindered(&server, "/a", unloaded);
    for mut client in crowd {
        client.stream().set_read_timeout(Some(Duration::from_secs(40))).unwrap();
        assert_eq!(client.answer("GET").status, 408);
        assert!(client.is_closed());
    }
    let took = began.elapsed();
    assert!((Duration::from_secs(8)..Duration::from_secs(30)).contains(&took), "{took:?}");
}

#[test]
fn a_trickled_head_ends_with_the_deadline_of_its_first_byte() {
    let tree = Tree::new();
    tree.file("a", "a");
    let server = Server::start(&tree, &["-o", "head_timeout=1"]);
    let mut client = server.connect();
    let began = Instant::now();
    client.send("GET /a HTTP/1.1\r\nX: ");
    client.stream().set_nonblocking(true).unwrap();
    let mut first = [0; 1];
    // One byte every 50 ms, until the server responds.
    while client.stream().peek(&mut first).is_err() {
        client.send("y");
        std::thread::sleep(Duration::from_millis(50));
        assert!(began.elapsed() < Duration::from_secs(5), "the trickle keeps it waiting");
    }
    assert!(began.elapsed() >= Duration::from_secs(1));
    client.stream().set_nonblocking(false).unwrap();
    assert_eq!(client.answer("GET").status, 408);
}

#[test]
fn a_head_that_is_trickled_in_time_is_answered() {
    let tree = Tree::new();
    tree.file("a", "a");
    let server = Server::start(&tree, &[]);
    let mut client = server.connect();
    for byte in b"GET /a HTTP/1.1\r\nHost: x\r\n\r\n" {
        client.send([*byte]);
        std::thread::sleep(Duration::from_millis(2));
    }
    assert_eq!(client.answer("GET").text(), "a");
}

#[test]
fn a_thousand_uploads_that_trickle_do_not_slow_anybody_and_are_told_so_in_the_end() {
    let _alone = alone();
    let tree = Tree::new();
    tree.file("a", "a");
    tree.file("script.cgi", "#!/bin/sh\ncat >/dev/null; printf 'Content-Type: text/plain\\n\\nok'");
    tree.mode("script.cgi", 0o755);
    let server = Server::start(&tree, &["-c", "**.cgi", "-o", "body_timeout=8"]);
    let unloaded = p99(&server, "/a");
    let half = "POST /script.cgi HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\nhalf";
    let mut crowd = clients_that_sent(&server, 1000, half);
    assert_unhindered(&server, "/a", unloaded);
    for client in &mut crowd {
        client.send("more");
    }
    assert_unhindered(&server, "/a", unloaded);
    for mut client in crowd {
        client.stream().set_read_timeout(Some(Duration::from_secs(40))).unwrap();
        assert_eq!(client.answer("POST").status, 408);
        assert!(client.is_closed());
    }
}
