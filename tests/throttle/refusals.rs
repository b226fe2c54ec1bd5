//! Minimums and limits: refused requests and connections.

use std::io::{ErrorKind, Read};

use super::{Download, serve};
use crate::faults::resets::reset;
use crate::proxies::status::Site;
use crate::support::{Client, Server, Tree, eventually};

#[test]
fn a_minimum_refuses_with_503_and_retry_after_until_a_share_comes_free() {
    let (tree, server) = serve("**.bin 4000-10000\n", &["a.bin"]);
    tree.file("a.txt", "free");
    let downloads = [Download::begin(&server, "/a.bin"), Download::begin(&server, "/a.bin")];
    // The third asks when the two are known to be under way.
    for download in &downloads {
        download.stream.peek(&mut [0]).unwrap();
    }
    let mut third = server.connect();
    let refused = third.get("/a.bin");
    assert_eq!(refused.status, 503);
    assert!(refused.field("Retry-After").is_some_and(|after| after.parse::<u32>().is_ok()));
    assert_eq!(third.get("/a.txt").status, 200, "other names are served, on the same connection");
    drop(downloads);
    eventually("a share that came free is given away", || {
        let mut client = server.connect();
        client.send("GET /a.bin HTTP/1.1\r\nHost: localhost\r\nRange: bytes=0-0\r\n\r\n");
        client.answer("GET").status == 206
    });
}

#[test]
fn a_maximum_of_zero_refuses_everything_it_covers() {
    let (_tree, server) = serve("private/** 0\n", &["private/a.bin"]);
    assert_eq!(server.connect().get("/private/a.bin").status, 503);
}

#[test]
fn every_rule_that_covers_a_url_holds_however_many_there_are() {
    let rules = "**.bin 1000000\n".repeat(20) + "a.* 0\n";
    let (_tree, server) = serve(&rules, &["a.bin", "b.bin"]);
    assert_eq!(server.connect().get("/a.bin").status, 503);
    assert_eq!(server.connect().get("/b.bin").status, 200);
}

/// A connection of one who may have it; waits for one that is just being closed.
fn welcome(server: &Server) -> Client {
    let mut welcome = None;
    eventually("a connection is welcome", || {
        let mut client = server.connect();
        client.send("GET /a.txt HTTP/1.1\r\nHost: localhost\r\n\r\n");
        let answer = client.try_answer("GET");
        welcome = answer.filter(|answer| answer.status == 200).map(|_| client);
        welcome.is_some()
    });
    welcome.unwrap()
}

#[test]
fn an_address_with_too_many_connections_is_told_so_and_a_flood_is_cut_off() {
    let (tree, server) = serve("connections per-address 2\n", &[]);
    tree.file("a.txt", "free");
    let mut first = welcome(&server);
    let second = welcome(&server);
    // The kernel hands a connection over with its first byte.
    let begun = || {
        let mut client = server.connect();
        client.send("GET /a.txt HTTP/1.1\r\n");
        client
    };
    let finished = |client: &mut Client| {
        client.send("Host: x\r\n\r\n");
        client.answer("GET")
    };
    let mut surplus = [begun(), begun()];
    assert!(begun().try_answer("GET").is_none(), "the fifth is not answered");
    let refused = finished(&mut surplus[0]);
    assert_eq!((refused.status, refused.field("Connection")), (503, Some("close")));
    assert!(refused.field("Retry-After").is_some());
    assert_eq!(finished(&mut surplus[1]).status, 503);
    assert_eq!(first.get("/a.txt").status, 200, "those it has go on");
    drop((first, second, surplus));
    welcome(&server);
}

#[test]
fn a_client_that_is_gone_leaves_its_share_at_once_and_one_that_sends_no_more_keeps_it() {
    let tree = Tree::new();
    tree.file("a.bin", [b'x'; 1000]);
    // The last of so many waits for minutes.
    let rules = tree.beside("throttles", "** 1\n");
    tree.file("b.cgi", "#!/bin/sh\nprintf 'Content-Type: text/plain\\n\\nfrom a script'\n");
    tree.mode("b.cgi", 0o755);
    let site = Site::new(&tree, &["-t", rules.to_str().unwrap(), "-c", "**.cgi"]);
    let asking = |target: String| {
        let mut client = site.server.connect();
        client.send(format!("GET {target} HTTP/1.1\r\nHost: x\r\n\r\n"));
        client
    };
    let clients: Vec<Client> = (0..197).map(|n| asking(format!("/a.bin?{n}"))).collect();
    let half_closed = asking("/a.bin?half-closed".into());
    let gone = ["/a.bin?gone", "/b.cgi?gone"].map(|target| (target, asking(target.into())));
    let paused = "thttpd_connections{state=\"paused\"}";
    eventually("all wait for the throttle", || site.metrics().get(paused) == 200.0);
    half_closed.finish();
    for (target, client) in gone {
        reset(client);
        site.server.logged(target);
    }
    assert!(!site.server.log_lines().iter().any(|line| line.contains("half-closed")));
    let mut stream = half_closed.into_stream();
    stream.set_nonblocking(true).unwrap();
    let ended = stream.read_to_end(&mut Vec::new()).map_err(|error| error.kind());
    assert_eq!(ended, Err(ErrorKind::WouldBlock));
    drop(clients);
}
