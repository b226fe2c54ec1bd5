//! Hostile requests, by class: statuses of RFC 9110 and RFC 9112, and a server that continues to work.
//!
//! A class is a table of [`Case`]s. [`run`] sends each on its own connection, checks every response for
//! invalid field lines and markup of the client's, and then requests a normal page.

use crate::support::{Answer, Client, Server, Tree};

mod fields;
mod framing;
mod limits;
mod line;
mod listed;
mod pipelined;
mod protocols;
mod ranges;
mod targets;

/// State of the connection after the last response.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// The server closes it; nothing else comes.
    Closes,
    /// The connection accepts another request.
    Stays,
    /// The server waits for more bytes; at the end of input, it sends 400 and closes.
    Waits,
}

pub use End::{Closes, Stays, Waits};

/// One hostile request, or several.
pub struct Case {
    /// The statuses of all responses, in order.
    statuses: Vec<u16>,
    end: End,
    bytes: Vec<u8>,
}

/// A case: one response.
pub fn case(status: u16, end: End, bytes: impl Into<Vec<u8>>) -> Case {
    Case { statuses: vec![status], end, bytes: bytes.into() }
}

/// A case: several responses.
pub fn several(statuses: &[u16], end: End, bytes: impl Into<Vec<u8>>) -> Case {
    Case { statuses: statuses.to_vec(), end, bytes: bytes.into() }
}

/// A case: incomplete; 400 once the client has ended.
pub fn unfinished(bytes: impl Into<Vec<u8>>) -> Case {
    case(400, Waits, bytes)
}

/// A GET of `/a.txt` with these field lines behind Host.
pub fn with_fields(fields: &str) -> Vec<u8> {
    format!("GET /a.txt HTTP/1.1\r\nHost: x\r\n{fields}\r\n").into_bytes()
}

/// Content of `/a.txt`.
pub const CONTENT: &str =
    "a hundred bytes, more or less: 0123456789 0123456789 0123456789 0123456789 0123456789\n";

/// A tree with one good page.
pub fn tree() -> Tree {
    let tree = Tree::new();
    tree.file("a.txt", CONTENT);
    tree
}

/// Sends each case to a server of `tree`.
pub fn run(tree: &Tree, cases: &[Case]) {
    let mut server = Server::start(tree, &[]);
    for case in cases {
        let shown = shown(&case.bytes);
        try_case(&server, case, &shown);
        let good = server.connect().get("/a.txt");
        assert_eq!((good.status, good.text().as_str()), (200, CONTENT), "a good request after {shown}");
        assert!(server.is_alive(), "the server ended after {shown}");
    }
    check_log(&server, cases);
}

fn try_case(server: &Server, case: &Case, shown: &str) {
    let mut client = server.connect();
    client.send(&case.bytes);
    if case.end == Waits {
        client.finish();
    }
    for (at, status) in case.statuses.iter().enumerate() {
        let Some(answer) = client.try_answer("GET") else {
            panic!("no response {at} to {shown}; expected {status}")
        };
        assert_eq!(answer.status, *status, "response {at} to {shown}: {}", answer.head);
        check_answer(&answer, shown);
    }
    match case.end {
        Closes | Waits => assert!(client.is_closed(), "more came after the answer to {shown}"),
        Stays => check_still_serving(&mut client, shown),
    }
}

fn check_still_serving(client: &mut Client, shown: &str) {
    let next = client.get("/a.txt");
    assert_eq!((next.status, next.text().as_str()), (200, CONTENT), "on the same connection, after {shown}");
}

/// Checks properties of every response, whatever the request.
fn check_answer(answer: &Answer, shown: &str) {
    assert!(answer.head.starts_with("HTTP/1.1 "), "{shown}: {}", answer.head);
    for line in answer.head.lines().skip(1) {
        let (name, value) = line.split_once(": ").unwrap_or_else(|| panic!("{shown}: field line {line:?}"));
        assert!(name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-'), "{shown}: {line:?}");
        assert!(!value.bytes().any(|b| b < b' ' || b == 0x7f), "{shown}: {line:?}");
    }
    assert_eq!(answer.fields("Server").count(), 1, "{shown}: {}", answer.head);
    assert_eq!(answer.field("Set-Cookie"), None, "{shown}: a field of the client's");
    assert!(!answer.text().contains("<script"), "{shown}: markup of the client's in {}", answer.text());
    assert!(!answer.text().contains("root:"), "{shown}: a file of the system's");
}

/// Every exchange has a line, and no client can write one of its own.
fn check_log(server: &Server, cases: &[Case]) {
    let responses: usize = cases.iter().map(|case| case.statuses.len()).sum();
    let stays = cases.iter().filter(|case| case.end == Stays).count();
    let expected = responses + stays + cases.len();
    crate::support::eventually(&format!("{expected} log lines"), || server.log_lines().len() >= expected);
    let lines = server.log_lines();
    assert_eq!(lines.len(), expected);
    for line in lines {
        assert!(line.starts_with("127.0.0.1 - - ["), "{line:?}");
        assert!(line.bytes().all(|b| (b' '..0x7f).contains(&b)), "{line:?}");
        assert_eq!(line.matches('"').count(), 6, "{line:?}");
    }
}

fn shown(bytes: &[u8]) -> String {
    let shown = bytes.escape_ascii().to_string();
    if shown.len() <= 300 {
        return shown;
    }
    format!("{} … ({} bytes)", &shown[..300], bytes.len())
}
