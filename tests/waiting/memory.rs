//! Memory of unfinished requests is bounded, and returned.

use std::io::{ErrorKind, Write};
use std::net::TcpStream;
use std::time::Duration;

use nix::errno::Errno;

use super::{affordable, alone};
use crate::support::{Server, Tree, eventually, has_answer, reason};

/// Request to a script with endless content: a head of 14 kB, and 65 kB of content.
fn unfinished() -> Vec<u8> {
    let field = format!("X-Field: {}\r\n", "x".repeat(986));
    let head =
        format!("POST /script.cgi HTTP/1.1\r\nHost: x\r\nContent-Length: 70000\r\n{}\r\n", field.repeat(14));
    [head.into_bytes(), vec![b'x'; 65_000]].concat()
}

/// The beginning of a head, of 14 kB.
fn half_a_head() -> Vec<u8> {
    format!("GET /a HTTP/1.1\r\nHost: x\r\nX-Field: {}", "x".repeat(14_000)).into_bytes()
}

/// Sends as much as the server takes; it may refuse the request meanwhile.
fn send(server: &Server, bytes: &[u8]) -> TcpStream {
    let mut stream = TcpStream::connect(server.address()).unwrap();
    stream.set_write_timeout(Some(Duration::from_secs(20))).unwrap();
    match stream.write_all(bytes) {
        Err(error) if error.kind() == ErrorKind::WouldBlock => panic!("the server does not read"),
        _ => stream,
    }
}

fn tree() -> Tree {
    let tree = Tree::new();
    tree.file("a", "a");
    tree.file("script.cgi", "#!/bin/sh\ncat >/dev/null; printf 'Content-Type: text/plain\\n\\nok'");
    tree.mode("script.cgi", 0o755);
    tree
}

#[test]
fn four_thousand_unfinished_requests_hold_a_bounded_memory_and_give_it_back() {
    let _alone = alone();
    let tree = tree();
    let server = Server::start(&tree, &["-l", "/dev/null", "-c", "**.cgi"]);
    for request in [unfinished(), half_a_head()] {
        let count = affordable(8000) / 2;
        let crowd: Vec<TcpStream> = (0..count).map(|_| send(&server, &request)).collect();
        let kib = server.status_of_process("VmRSS");
        assert!(kib < 128 * 1024, "{kib} KiB with {count} connections");
        assert_eq!(server.connect().get("/a").text(), "a");
        drop(crowd);
        eventually("memory is given back", || server.status_of_process("VmRSS") < 16 * 1024);
    }
    assert_eq!(server.connect().get("/script.cgi").text(), "ok");
}

#[test]
fn under_a_limit_on_memory_any_number_of_connections_is_survived() {
    let _alone = alone();
    let tree = tree();
    let mut server = Server::start_after(&tree, "ulimit -d 32768", &["-l", "/dev/null", "-c", "**.cgi"]);
    for request in [unfinished(), half_a_head(), b"GET /a HTTP/1.1\r\nHost: x\r\n\r\n".repeat(300)] {
        // Beyond the server's limit, connections wait in the backlog until others leave.
        let crowd: Vec<TcpStream> = (0..900).map(|_| send(&server, &request)).collect();
        assert!(server.is_alive());
        assert_eq!(server.connect().get("/a").text(), "a");
        drop(crowd);
    }
    eventually("scripts run again", || server.connect().get("/script.cgi").status == 200);
    assert!(server.is_alive());
}

#[test]
fn under_a_limit_on_memory_any_number_of_unread_responses_is_survived() {
    const FILES: usize = 900;
    let _alone = alone();
    let tree = Tree::new();
    tree.file("a", "a");
    std::fs::File::create(tree.www().join("large")).unwrap().set_len(20 << 20).unwrap();
    tree.file("errors/err404.html", vec![b'p'; 500_000]);
    for n in 0..FILES {
        tree.file(&format!("small/{n}"), vec![b's'; 65_000]);
        tree.file(&format!("list/file-with-a-name-of-some-length-{n}"), "");
    }
    let get = |target: &str| format!("GET {target} HTTP/1.1\r\nHost: x\r\n\r\n");
    let ranges: Vec<String> = (0..190).map(|n| format!("{}-{}", n * 100_000, n * 100_000 + 90_000)).collect();
    let ranges = format!("GET /large HTTP/1.1\r\nHost: x\r\nRange: bytes={}\r\n\r\n", ranges.join(","));
    // The responses before the last ones fill the buffers of both systems.
    let full = get("/small/0").repeat(70);
    let several = |target: &dyn Fn(usize) -> String, n: usize| {
        (0..30).map(|at| get(&target((n + 31 * at) % FILES))).collect::<String>()
    };
    let small = |n: usize| several(&|n| format!("/small/{n}"), n);
    let mut server = Server::start_after(&tree, "ulimit -d 32768", &["-l", "/dev/null"]);
    let requests: [(&str, &dyn Fn(usize) -> String); 4] = [
        ("many ranges", &|_| ranges.clone()),
        ("a small file each", &|n| full.clone() + &small(n)),
        ("a list", &|_| full.clone() + &get("/list/")),
        ("an error page", &|_| full.clone() + &get("/none")),
    ];
    for (what, request) in requests {
        let crowd: Vec<TcpStream> = (0..900).map(|n| send(&server, request(n).as_bytes())).collect();
        assert_eq!(server.connect().get("/a").text(), "a", "{what}");
        let mut client = server.connect();
        client.send("GET /large HTTP/1.1\r\nHost: x\r\nRange: bytes=0-4,9-13\r\n\r\n");
        assert_eq!(client.answer("GET").status, 206, "few ranges beside {what}");
        assert!(server.is_alive(), "{what}");
        drop(crowd);
    }
}

#[test]
fn a_request_that_finds_no_memory_is_refused_and_the_next_one_served() {
    let tree = tree();
    let server = Server::start(&tree, &["-c", "**.cgi", "-o", "request_memory=30000"]);
    let crowd: Vec<TcpStream> = (0..6).map(|_| send(&server, &half_a_head())).collect();
    eventually("no memory is left", || crowd.iter().filter(|stream| has_answer(stream)).count() == 4);
    let mut client = server.connect();
    client.send("POST /script.cgi HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\nx");
    let answer = client.answer("GET");
    assert_eq!((answer.status, answer.field("Retry-After").is_some()), (503, true));
    assert_eq!(server.connect().get("/a").text(), "a");
    drop(crowd);
    eventually("there is memory again", || server.connect().get("/script.cgi").status == 200);
}

#[test]
fn content_that_has_room_in_memory_stays_there() {
    let tree = tree();
    let server = Server::start(&tree, &["-c", "**.cgi", "-o", "request_memory=24000"]);
    let files = || {
        let fds = std::fs::read_dir(format!("/proc/{}/fd", server.pid())).unwrap();
        let targets = fds.filter_map(|fd| std::fs::read_link(fd.ok()?.path()).ok());
        targets.filter(|path| path.to_string_lossy().contains("(deleted)")).collect::<Vec<_>>()
    };
    let mut client = server.connect();
    let post =
        "POST /script.cgi HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 14002\r\n\r\n";
    client.send(post);
    assert_eq!(client.answer("POST").status, 100);
    // This content itself takes more than half of the memory.
    client.send("x".repeat(14_000));
    for _ in 0..20 {
        assert_eq!(server.connect().get("/a").text(), "a");
        assert!(files().is_empty(), "{:?}", files());
    }
    client.send("x");
    eventually("a file", || !files().is_empty());
    client.send("x");
    assert_eq!(client.answer("POST").status, 200);
}

#[test]
fn contents_on_disk_are_bounded_too() {
    let tree = tree();
    let server = Server::start(&tree, &["-c", "**.cgi", "-o", "request_spool=200000"]);
    let post = |length: usize| {
        format!(
            "POST /script.cgi HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\n\r\n{}",
            "x".repeat(length)
        )
    };
    let half: Vec<u8> = post(200_000).into_bytes()[..150_000].to_vec();
    let mut crowd = Vec::new();
    eventually("no disk is left", || {
        crowd.push(send(&server, &half));
        let mut client = server.connect();
        client.send(post(100_000));
        client.answer("GET").status == 503
    });
    eventually("the log says why", || {
        let told = std::fs::read_to_string(&server.stderr).unwrap();
        told.contains(&format!("(TMPDIR, request_spool) - {}", reason(Errno::EDQUOT)))
    });
    drop(crowd);
    eventually("there is again", || {
        let mut client = server.connect();
        client.send(post(100_000));
        client.answer("GET").status == 200
    });
}
