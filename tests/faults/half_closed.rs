//! Clients that close their sending side, and still read.

use std::time::{Duration, Instant};

use super::{LARGE, tree};
use crate::support::Server;

#[test]
fn a_client_that_has_ended_its_side_gets_all_it_asked_for() {
    let tree = tree();
    let server = Server::start(&tree, &[]);
    let get = |target: &str| format!("GET {target} HTTP/1.1\r\nHost: x\r\n\r\n");
    for (requests, lengths) in [
        (get("/a"), &[1][..]),
        (get("/large"), &[LARGE]),
        (get("/a") + &get("/large") + &get("/a"), &[1, LARGE, 1]),
        (get("/a").repeat(200), &[1; 200]),
    ] {
        let mut client = server.connect();
        client.send(requests);
        client.finish();
        for &length in lengths {
            assert_eq!(client.answer("GET").body.len(), length);
        }
        assert!(client.is_closed());
    }
}

#[test]
fn a_client_that_ends_its_side_while_it_reads_gets_the_rest() {
    let tree = tree();
    let server = Server::start(&tree, &[]);
    let mut client = server.download("/large");
    client.finish();
    let rest = client.rest().expect("no reset").len();
    assert!(rest + 1000 > LARGE, "{rest} bytes");
}

#[test]
fn a_client_that_says_nothing_and_ends_costs_nothing() {
    let tree = tree();
    let server = Server::start(&tree, &[]);
    super::assert_serves(&server);
    let before = server.descriptors();
    for _ in 0..200 {
        let mut client = server.connect();
        client.finish();
        assert!(client.is_closed());
    }
    crate::support::eventually("descriptors are free again", || server.descriptors() <= before);
}

/// The server has no worker to wait in a read of this connection, which it would do for a client alone.
#[test]
fn a_last_request_during_a_response_is_answered_and_the_connection_closed_at_once() {
    let tree = tree();
    tree.file("paced", vec![b'x'; 60_000]);
    let throttles = tree.beside("throttles", "paced 50000\n");
    tree.file("slow.cgi", "#!/bin/sh\nprintf 'Content-Type: text/plain\\n\\n'; sleep 1\n");
    tree.mode("slow.cgi", 0o755);
    let flags = ["-t", throttles.to_str().unwrap(), "-c", "*.cgi"];
    let server = Server::start(&tree, &flags);
    let _others = [(); 8].map(|()| server.connect());
    for first in ["/large", "/paced", "/slow.cgi"] {
        let mut client = server.connect();
        client.send(format!("GET {first} HTTP/1.1\r\nHost: x\r\n\r\n"));
        std::thread::sleep(Duration::from_millis(300));
        client.send("GET /a HTTP/1.1\r\nHost: x\r\n\r\n");
        client.finish();
        assert_eq!(client.answer("GET").status, 200);
        assert_eq!(client.answer("GET").body.len(), 1);
        let began = Instant::now();
        assert!(client.is_closed());
        assert!(began.elapsed() < Duration::from_secs(10), "{first}: closed after the idle time");
    }
}
