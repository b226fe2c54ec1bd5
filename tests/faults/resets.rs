//! Clients that reset their connections, at every stage of an exchange.

use std::net::TcpStream;

use nix::libc::linger;
use nix::sys::socket::{setsockopt, sockopt::Linger};

use super::{assert_serves, eventually, tree};
use crate::support::{Client, Server};

/// Ends a connection with RST instead of FIN.
pub fn reset(client: Client) {
    setsockopt(client.stream(), Linger, &linger { l_onoff: 1, l_linger: 0 }).unwrap();
}

fn client_that_sent(server: &Server, bytes: &str) -> Client {
    let mut client = server.connect();
    client.send(bytes);
    client
}

#[test]
fn a_storm_of_resets_leaves_nothing_behind() {
    let tree = tree();
    let mut server = Server::start(&tree, &[]);
    assert_serves(&server);
    // Once the file has rested it is remembered, and stays open.
    eventually("the file has rested", || {
        server.connect().get("/large").field("ETag").is_some_and(|tag| tag.starts_with('"'))
    });
    eventually("only we are left", || server.descriptors() < 20);
    let before = server.descriptors();
    for _ in 0..300 {
        reset(server.connect());
        reset(client_that_sent(&server, "GET /a HT"));
        reset(client_that_sent(&server, "GET /a HTTP/1.1\r\nHost: x\r\n\r\n"));
        reset(client_that_sent(&server, "GET /large HTTP/1.1\r\nHost: x\r\n\r\n"));
        reset(client_that_sent(&server, "POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nhalf"));
        reset(client_that_sent(&server, "\x16\x03\x01"));
        let mut idle = server.connect();
        assert_eq!(idle.get("/a").status, 200);
        reset(idle);
        reset(server.download("/large"));
    }
    assert!(server.is_alive());
    assert_serves(&server);
    eventually("descriptors are free again", || server.descriptors() <= before);
}

#[test]
fn an_upload_that_is_reset_is_logged() {
    let tree = tree();
    tree.file("form.cgi", "#!/bin/sh\n");
    tree.mode("form.cgi", 0o755);
    let server = Server::start(&tree, &["-c", "*.cgi"]);
    let head = "POST /form.cgi HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\nExpect: 100-continue\r\n\r\n";
    let mut client = client_that_sent(&server, head);
    assert_eq!(client.answer("POST").status, 100);
    reset(client);
    server.logged("\"POST /form.cgi HTTP/1.1\" 0 0 ");
}

#[test]
fn connections_that_are_gone_before_they_are_accepted_are_passed_over() {
    let tree = tree();
    let server = Server::start(&tree, &[]);
    for _ in 0..20 {
        let gone: Vec<TcpStream> = (0..100).map(|_| server.connect().into_stream()).collect();
        gone.into_iter().for_each(|stream| reset(Client::of(stream)));
        assert_serves(&server);
    }
}
