//! Bytes behind an error on one connection (RFC 9112 §9.3).
//!
//! After an error with doubtful framing they are ignored; after any other error they are the next request.

use super::{CONTENT, Case, Closes, End, Stays, run, several, tree};
use crate::support::Server;

const GOOD: &str = "GET /a.txt HTTP/1.1\r\nHost: x\r\n\r\n";

fn between(statuses: &[u16], end: End, bad: &str) -> Case {
    several(statuses, end, format!("{GOOD}{bad}{GOOD}"))
}

#[test]
fn after_an_error_that_keeps_the_framing_the_next_request_is_answered() {
    run(
        &tree(),
        &[
            between(&[200, 404, 200], Stays, "GET /none HTTP/1.1\r\nHost: x\r\n\r\n"),
            between(&[200, 403, 200], Stays, "GET /a.txt/x HTTP/1.1\r\nHost: x\r\n\r\n"),
            between(
                &[200, 405, 200],
                Stays,
                "POST /a.txt HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\nxx",
            ),
            between(&[200, 501, 200], Stays, "BREW /a.txt HTTP/1.1\r\nHost: x\r\n\r\n"),
            between(&[200, 416, 200], Stays, "GET /a.txt HTTP/1.1\r\nHost: x\r\nRange: bytes=999-\r\n\r\n"),
            between(&[200, 412, 200], Stays, "GET /a.txt HTTP/1.1\r\nHost: x\r\nIf-Match: \"x\"\r\n\r\n"),
            between(&[200, 204, 200], Stays, "OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n"),
            between(&[200, 200, 200], Stays, "GET /a.txt HTTP/1.0\r\nConnection: keep-alive\r\n\r\n"),
            between(&[200, 200, 200], Stays, "\r\nGET /a.txt HTTP/1.1\r\nHost: x\r\n\r\n"),
        ],
    );
}

#[test]
fn after_an_error_that_leaves_it_in_doubt_nothing_is_answered() {
    let head = "HTTP/1.1\r\nHost: x\r\n";
    run(
        &tree(),
        &[
            between(&[200, 400], Closes, "GARBAGE\r\n\r\n"),
            between(&[200, 400], Closes, "GET /a.txt HTTP/1.1\r\n\r\n"),
            between(&[200, 400], Closes, &format!("GET /a.txt {head}X : y\r\n\r\n")),
            between(&[200, 400], Closes, &format!("GET /a.txt {head}X: y\r\n z\r\n\r\n")),
            between(&[200, 400], Closes, &format!("POST /a.txt {head}Content-Length: x\r\n\r\n")),
            between(&[200, 400], Closes, &format!("GET //a.txt {head}\r\n")),
            between(&[200, 400], Closes, &format!("GET /%00 {head}\r\n")),
            between(&[200, 414], Closes, &format!("GET /{} {head}\r\n", "n".repeat(9000))),
            between(&[200, 417], Closes, &format!("GET /a.txt {head}Expect: x\r\n\r\n")),
            between(&[200, 431], Closes, &format!("GET /a.txt {head}{}\r\n", "X: y\r\n".repeat(200))),
            between(&[200, 431], Closes, &format!("GET /a.txt {head}X: {}\r\n\r\n", "y".repeat(20_000))),
            between(
                &[200, 501],
                Closes,
                &format!("POST /a.txt {head}Transfer-Encoding: gzip, chunked\r\n\r\n"),
            ),
            between(&[200, 505], Closes, "GET /a.txt HTTP/2.0\r\nHost: x\r\n\r\n"),
            between(
                &[200, 405],
                Closes,
                &format!("POST /a.txt {head}Transfer-Encoding: chunked\r\n\r\nx\r\n"),
            ),
        ],
    );
}

#[test]
fn after_a_request_that_ends_the_connection_nothing_is_answered() {
    run(
        &tree(),
        &[
            between(&[200, 200], Closes, "GET /a.txt HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"),
            between(&[200, 200], Closes, "GET /a.txt HTTP/1.1\r\nHost: x\r\nConnection: x, CLOSE ,y\r\n\r\n"),
            between(&[200, 200], Closes, "GET /a.txt HTTP/1.0\r\n\r\n"),
            between(&[200, 200], Closes, "GET /a.txt HTTP/1.0\r\nConnection: close, keep-alive\r\n\r\n"),
            between(&[200, 404], Closes, "GET /none HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"),
        ],
    );
}

#[test]
fn a_hundred_good_requests_before_a_bad_one_are_answered_first() {
    let mut statuses = vec![200; 100];
    statuses.push(400);
    run(&tree(), &[several(&statuses, Closes, format!("{}\x16\x03\x01{GOOD}", GOOD.repeat(100)))]);
}

#[test]
fn a_last_response_arrives_whole_though_the_client_goes_on_sending() {
    let tree = tree();
    let large = vec![b'b'; 5_000_000];
    tree.file("large", &large);
    let server = Server::start(&tree, &[]);
    // More than socket buffers hold: the server meets it unread, whenever it is done.
    let more = GOOD.repeat(100_000);
    for (path, content) in [("/a.txt", CONTENT.as_bytes()), ("/large", &large[..])] {
        for version in ["1.0", "1.1"] {
            let mut client = server.connect();
            let mut sender = client.stream().try_clone().unwrap();
            let request = format!("GET {path} HTTP/{version}\r\nHost: x\r\nConnection: close\r\n\r\n{more}");
            // The connection may be reset before all is sent; the response must not be lost.
            let sending =
                std::thread::spawn(move || std::io::Write::write_all(&mut sender, request.as_bytes()));
            let answer = client.try_answer("GET");
            assert_eq!(answer.map(|answer| answer.body.len()), Some(content.len()), "{path} on {version}");
            let _ = client.stream().shutdown(std::net::Shutdown::Both);
            let _ = sending.join();
        }
    }
}

#[test]
fn a_long_last_response_arrives_whole_though_more_is_sent_meanwhile() {
    let tree = tree();
    tree.file("large", vec![b'b'; 20_000_000]);
    let server = Server::start(&tree, &[]);
    let mut client = server.connect();
    client.send("GET /large HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    // The response has begun, and is far from its end, when the remaining bytes arrive.
    let mut start = [0; 1000];
    std::io::Read::read_exact(&mut client.stream(), &mut start).unwrap();
    client.send(GOOD.repeat(100));
    let head = start.windows(4).position(|window| window == b"\r\n\r\n").unwrap() + 4;
    let rest = client.rest().map(|rest| rest.len());
    assert_eq!(rest, Some(20_000_000 + head - start.len()));
}

#[test]
fn bytes_behind_a_request_without_version_do_not_cost_its_answer() {
    let tree = tree();
    let server = Server::start(&tree, &[]);
    for rest in ["Host: x\r\n\r\n", GOOD, &GOOD.repeat(20_000)] {
        let mut client = server.connect();
        client.send(format!("GET /a.txt\r\n{rest}"));
        assert_eq!(client.rest().as_deref(), Some(CONTENT.as_bytes()));
    }
}
