//! Several requests at once on one connection, and persistence by raw bytes.

use crate::support::{Server, Tree};

#[test]
fn pipelined_requests_are_answered_in_order() {
    let tree = Tree::new();
    let big = vec![b'b'; 200_000];
    tree.file("a", "first");
    tree.file("big", &big);
    let server = Server::start(&tree, &[]);
    let mut client = server.connect();
    let mut all = Vec::new();
    for _ in 0..50 {
        for path in ["/a", "/big", "/none"] {
            all.extend_from_slice(format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n").as_bytes());
        }
    }
    let mut sender = client.stream().try_clone().unwrap();
    let sending = std::thread::spawn(move || std::io::Write::write_all(&mut sender, &all).unwrap());
    for _ in 0..50 {
        assert_eq!(client.answer("GET").text(), "first");
        assert_eq!(client.answer("GET").body, big);
        assert_eq!(client.answer("GET").status, 404);
    }
    sending.join().unwrap();
}

#[test]
fn a_request_that_comes_during_a_long_response_is_answered() {
    let tree = Tree::new();
    tree.file("a", "first");
    let server = Server::start(&tree, &[]);
    // Among others no worker waits for one client alone.
    let mut others = [(); 3].map(|()| server.connect());
    others.iter_mut().for_each(|other| drop(other.get("/a")));
    // The socket's buffer takes the smaller one at once, and not the other.
    for size in [1 << 20, 20 << 20] {
        tree.file("big", vec![b'b'; size]);
        let mut client = server.connect();
        for _ in 0..20 {
            client.send("GET /big HTTP/1.1\r\nHost: x\r\n\r\n");
            client.stream().peek(&mut [0]).unwrap();
            client.send("GET /a HTTP/1.1\r\nHost: x\r\n\r\n");
            assert_eq!(client.answer("GET").body.len(), size);
            assert_eq!(client.answer("GET").text(), "first");
        }
        client.send("GET /big HTTP/1.1\r\nHost: x\r\n\r\n");
        client.stream().peek(&mut [0]).unwrap();
        client.finish();
        assert_eq!(client.answer("GET").body.len(), size);
        assert!(client.is_closed());
    }
}

#[test]
fn a_request_may_arrive_in_any_pieces() {
    let tree = Tree::new();
    tree.file("a", "first");
    let server = Server::start(&tree, &[]);
    let request = b"\r\nGET /a HTTP/1.1\r\nHost: x\r\nA: b\r\n\r\n";
    for size in [1, 2, 3, 7] {
        let mut client = server.connect();
        for piece in request.chunks(size) {
            client.send(piece);
            std::thread::yield_now();
        }
        assert_eq!(client.answer("GET").text(), "first");
    }
}

#[test]
fn content_between_two_requests_is_read_past() {
    let tree = Tree::new();
    tree.file("a", "first");
    let server = Server::start(&tree, &[]);
    let mut client = server.connect();
    client.send("POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 18\r\n\r\nGET /a HTTP/1.1\r\n\r");
    client.send("\nGET /a HTTP/1.1\r\nHost: x\r\n\r\n".trim_start());
    assert_eq!(client.answer("POST").status, 405);
    assert_eq!(client.answer("GET").text(), "first");
    client.send(
        "POST /a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3;x=y\r\nabc\r\n0\r\nT: v\r\n\r\n",
    );
    client.send("GET /a HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    assert_eq!(client.answer("POST").status, 405);
    let last = client.answer("GET");
    assert_eq!((last.text().as_str(), last.field("Connection")), ("first", Some("close")));
    assert!(client.is_closed());
}

#[test]
fn expect_continue_gets_a_final_answer_where_the_content_is_not_wanted() {
    let tree = Tree::new();
    tree.file("a", "first");
    let server = Server::start(&tree, &[]);
    let mut client = server.connect();
    client.send("POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n");
    let answer = client.answer("POST");
    assert_eq!((answer.status, answer.field("Connection")), (405, Some("close")));
    assert!(client.is_closed());
}

#[test]
fn head_has_the_head_of_get_and_no_content() {
    let tree = Tree::new();
    tree.file("a.txt", "first");
    tree.dir_in("empty");
    let server = Server::start(&tree, &[]);
    for path in ["/a.txt", "/none", "/empty/", "/empty"] {
        let mut client = server.connect();
        let get = client.get(path);
        client.send(format!("HEAD {path} HTTP/1.1\r\nHost: x\r\n\r\n"));
        let head = client.answer("HEAD");
        let without_date = |head: &str| -> Vec<String> {
            head.lines().filter(|line| !line.starts_with("Date:")).map(str::to_owned).collect()
        };
        assert_eq!(without_date(&head.head), without_date(&get.head), "{path}");
        assert_eq!(client.get("/a.txt").text(), "first", "after HEAD {path}");
    }
}

#[test]
fn http_0_9_gets_the_bare_content() {
    let tree = Tree::new();
    tree.file("a.txt", "first");
    let server = Server::start(&tree, &[]);
    let mut client = server.connect();
    client.send("GET /a.txt\r\n");
    assert_eq!(client.rest().as_deref(), Some(&b"first"[..]));
    assert!(server.logged("/a.txt").contains("\"GET /a.txt HTTP/0.9\" 200 5"));
}
