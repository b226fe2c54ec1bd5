//! Clients that close their sending side, and still read.

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
