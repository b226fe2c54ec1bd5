//! Closed connections: each is counted by the reason of its end.

use std::fs::File;
use std::net::TcpStream;
use std::process::Command;

use super::status::Site;
use crate::faults::LARGE;
use crate::support::{FuseMount, Tree, eventually, has_answer};

/// Waits until a connection has been closed for `reason`.
fn closed(site: &Site, reason: &str) {
    let name = format!("thttpd_connections_closed_total{{reason=\"{reason}\"}}");
    eventually(reason, || site.metrics().get(&name) == 1.0);
}

#[test]
fn each_is_counted_by_the_reason_of_its_end() {
    let tree = Tree::new();
    tree.file("a.txt", "hello");
    let site = Site::new(&tree, &["-o", "keepalive_timeout=1"]);
    let reasons = ["client_end", "idle_timeout", "not_kept_alive", "protocol_error"];
    let counts = || {
        let metrics = site.metrics();
        reasons.map(|one| metrics.get(&format!("thttpd_connections_closed_total{{reason=\"{one}\"}}")))
    };
    // The first connection asks whether the server is up.
    eventually("the first is counted", || site.metrics().sum("thttpd_connections_closed_total") == 1.0);
    let before = counts();
    let mut idle = site.server.connect();
    assert_eq!(idle.get("/a.txt").status, 200);
    let mut last = site.server.connect();
    last.send("GET /a.txt HTTP/1.0\r\n\r\n");
    assert_eq!(last.answer("GET").status, 200);
    let mut wrong = site.server.connect();
    wrong.send("nonsense\r\n\r\n");
    assert_eq!(wrong.answer("GET").status, 400);
    drop((site.server.connect(), wrong));
    eventually("each is counted", || counts() == before.map(|count| count + 1.0));
    assert_eq!(site.metrics().sum("thttpd_connections_closed_total"), 5.0);
}

#[test]
fn a_file_cut_while_it_is_sent_ends_its_connection() {
    let tree = Tree::new();
    let large = tree.file("large", vec![b'l'; LARGE]);
    let site = Site::new(&tree, &[]);
    let mut client = site.server.download("/large");
    File::options().write(true).open(large).unwrap().set_len(1).unwrap();
    assert!(client.rest().is_none_or(|rest| rest.len() < LARGE));
    closed(&site, "file_truncated");
}

#[test]
fn a_script_that_writes_less_than_it_announced_ends_its_connection() {
    let tree = Tree::new();
    tree.file("short.cgi", "#!/bin/sh\nprintf 'Content-Length: 30\\n\\nabc'\n");
    tree.mode("short.cgi", 0o755);
    let site = Site::new(&tree, &["-c", "**.cgi"]);
    let mut client = site.server.connect();
    client.send("GET /short.cgi HTTP/1.1\r\nHost: x\r\n\r\n");
    assert!(client.try_answer("GET").is_none());
    closed(&site, "script_failed");
}

#[test]
fn a_head_for_which_there_is_no_memory_ends_its_connection() {
    let tree = Tree::new();
    let site = Site::new(&tree, &["-o", "request_memory=20000"]);
    let half = format!("GET / HTTP/1.1\r\nHost: x\r\nX: {}", "x".repeat(9_000));
    let mut crowd: Vec<TcpStream> = Vec::new();
    eventually("no memory is left", || {
        let mut client = site.server.connect();
        client.send(&half);
        crowd.push(client.into_stream());
        crowd.iter().filter(|stream| has_answer(stream)).count() == 1
    });
    closed(&site, "no_memory");
}

#[test]
fn a_panic_ends_its_connection() {
    if !cfg!(debug_assertions) {
        return eprintln!("skipped: only debug builds panic on demand");
    }
    let tree = Tree::new();
    let boom = |command: &mut Command| {
        command.env("THTTPD_PANIC_AT", "/boom");
    };
    let site = Site::prepared(&tree, &[], boom);
    let mut client = site.server.connect();
    client.send("GET /boom HTTP/1.1\r\nHost: x\r\n\r\n");
    assert!(client.is_closed());
    closed(&site, "panic");
}

#[test]
fn a_download_whose_storage_does_not_answer_in_time_ends() {
    let tree = Tree::new();
    let large = vec![b'l'; LARGE];
    let Some(_far) = FuseMount::new(&tree.dir_in("far"), &[("large", &large)]) else { return };
    let Some(mount) = FuseMount::new(&tree.dir_in("hung"), &[("small", b"small")]) else { return };
    let site = Site::new(&tree, &["-o", "workers=2", "-o", "send_timeout=2"]);
    let mut reader = site.server.download("/far/large");
    let hang = mount.hang();
    // One of two workers may wait for such storage, and it does so for another client.
    let mut other = site.server.connect();
    other.send("GET /hung/small HTTP/1.1\r\nHost: x\r\n\r\n");
    mount.wait_until_asked();
    assert!(reader.rest().is_none_or(|rest| rest.len() < LARGE));
    closed(&site, "storage_timeout");
    drop(hang);
}
