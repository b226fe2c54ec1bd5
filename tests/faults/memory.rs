//! Memory after half a million requests of every kind.

use super::{Duration, alone, tree};
use crate::support::{Client, Server};

/// One round: what there is, what there is not, what is refused.
const ROUND: [(&str, u16); 10] = [
    ("GET /a HTTP/1.1\r\nHost: x\r\n\r\n", 200),
    ("GET /none HTTP/1.1\r\nHost: x\r\n\r\n", 404),
    ("GET /sub HTTP/1.1\r\nHost: x\r\n\r\n", 302),
    ("GET /sub/ HTTP/1.1\r\nHost: x\r\n\r\n", 200),
    ("GET /a?q=%20 HTTP/1.1\r\nHost: x\r\nRange: bytes=0-0\r\n\r\n", 206),
    ("GET /a HTTP/1.1\r\nHost: x\r\nIf-None-Match: *\r\n\r\n", 304),
    ("GET /a HTTP/1.1\r\nHost: x\r\nRange: bytes=9-\r\n\r\n", 416),
    ("POST /a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n", 405),
    ("BREW /a HTTP/1.1\r\nHost: x\r\n\r\n", 501),
    ("GET /.htpasswd HTTP/1.1\r\nHost: x\r\n\r\n", 404),
];

#[test]
fn half_a_million_requests_leave_memory_as_it_was() {
    let _alone = alone();
    let tree = tree();
    tree.file("sub/file", "content");
    let server = Server::start(&tree, &["-l", "/dev/null"]);
    ask(&server, 50_000);
    let before = server.status_of_process("VmRSS");
    ask(&server, 500_000);
    let after = server.status_of_process("VmRSS");
    assert!(after <= before + 512, "{before} KiB before, {after} KiB after");
}

/// Asks in rounds, several at once, on connections that last a thousand requests.
pub fn ask(server: &Server, requests: usize) {
    let rounds = 10;
    let together: String = ROUND.iter().map(|(request, _)| *request).collect::<String>().repeat(rounds);
    for _ in 0..requests / 1000 {
        let mut client = server.connect();
        for _ in 0..1000 / (rounds * ROUND.len()) {
            client.send(&together);
            (0..rounds).for_each(|_| read_round(&mut client));
        }
    }
}

fn read_round(client: &mut Client) {
    client.stream().set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    for (request, status) in ROUND {
        assert_eq!(client.answer("GET").status, status, "{request}");
    }
}
