//! Soak test with all kinds of load: `tests/soak --minutes N`. An ordinary run takes a few seconds.
//!
//! Memory and descriptors are counted after a warm-up, and again after the load has ended: an increase is a
//! leak.

use std::fs::{self, File};
use std::io::Read;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::Instant;

use nix::sys::signal::Signal;

use super::resets::reset;
use super::{Duration, alone, assert_serves, eventually};
use crate::support::{Server, Tree};
use crate::waiting::clients_that_sent;

/// KiB by which memory may differ: what an allocator keeps, and the pages that the kernel counts late.
const SLACK: u64 = 2048;

/// The server under load, and what was done to it.
struct Load<'s> {
    server: &'s Server,
    tree: &'s Tree,
    over: AtomicBool,
    exchanges: AtomicU64,
}

/// Kinds of clients, each repeated in a thread of its own. Each call returns its number of exchanges.
const KINDS: [fn(&Load<'_>) -> u64; 8] =
    [persistent, abandoned, half_heads, uploads, hostile, changing, slow_reader, signals];

#[test]
fn a_mixed_load_leaves_memory_and_descriptors_as_they_were() {
    let _alone = alone();
    let minutes: Option<f64> =
        std::env::var("THTTPD_SOAK_MINUTES").ok().map(|text| text.parse().expect("minutes"));
    let load = minutes.map_or(Duration::from_secs(5), |minutes| Duration::from_secs_f64(60.0 * minutes));
    let tree = tree();
    let server = Server::start(&tree, &["-c", "**.cgi"]);
    let bare = server.descriptors();
    let warm_up = (load / 5).clamp(Duration::from_secs(3), Duration::from_secs(60));
    run(&server, &tree, warm_up);
    let before = at_rest(&server, bare);
    let exchanges = run(&server, &tree, load);
    let after = at_rest(&server, bare);
    println!("{exchanges} exchanges in {load:?}: KiB of memory and descriptors {before:?}, then {after:?}");
    assert!(after.0 <= before.0 + SLACK, "memory grew from {} to {} KiB", before.0, after.0);
    assert!(after.1 <= before.1 + 1, "descriptors grew from {} to {}", before.1, after.1);
}

fn tree() -> Tree {
    let tree = super::tree();
    tree.file("sub/file", "content");
    tree.file("changing", "0");
    tree.file("echo.cgi", "#!/bin/sh\nprintf 'Content-Type: text/plain\\n\\n'; exec cat");
    tree.mode("echo.cgi", 0o755);
    tree
}

/// Memory and descriptors once every connection has gone; a few files may stay open.
fn at_rest(server: &Server, bare: usize) -> (u64, usize) {
    eventually("all connections have ended", || server.descriptors() <= bare + 8);
    assert_serves(server);
    (server.status_of_process("VmRSS"), server.descriptors())
}

/// Loads the server for `time`, or until something is wrong; the number of exchanges.
fn run(server: &Server, tree: &Tree, time: Duration) -> u64 {
    let load = Load { server, tree, over: AtomicBool::new(false), exchanges: AtomicU64::new(0) };
    let end = Instant::now() + time;
    std::thread::scope(|scope| {
        let work = |kind: fn(&Load<'_>) -> u64| {
            while !load.over.load(Relaxed) {
                load.exchanges.fetch_add(kind(&load), Relaxed);
            }
        };
        let threads = KINDS.map(|kind| scope.spawn(move || work(kind)));
        while Instant::now() < end && !threads.iter().any(|thread| thread.is_finished()) {
            std::thread::sleep(Duration::from_millis(50));
        }
        load.over.store(true, Relaxed);
    });
    load.exchanges.into_inner()
}

fn persistent(load: &Load<'_>) -> u64 {
    super::memory::ask(load.server, 1000);
    1000
}

fn abandoned(load: &Load<'_>) -> u64 {
    reset(load.server.download("/large"));
    drop(load.server.download("/large"));
    2
}

fn half_heads(load: &Load<'_>) -> u64 {
    drop(clients_that_sent(load.server, 50, "GET /a HTTP/1.1\r\nHost"));
    50
}

fn uploads(load: &Load<'_>) -> u64 {
    let mut client = load.server.connect();
    let content = "content ".repeat(2000);
    let head = format!("POST /echo.cgi HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n", content.len());
    client.send(head + &content);
    assert_eq!(client.answer("POST").text(), content);
    // And one that leaves its script alone.
    client.send("POST /echo.cgi HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nhalf");
    2
}

fn hostile(load: &Load<'_>) -> u64 {
    let long = format!("GET /{} HTTP/1.1\r\nHost: x\r\n\r\n", "n".repeat(20_000));
    for bytes in ["\x16\x03\x01\0\r\n\r\n", "GET / HTTP/9.9\r\n\r\n", "POST /a HTTP/1.1\r\n\r\n", &long] {
        let mut client = load.server.connect();
        client.send(bytes);
        let status = client.answer("GET").status;
        assert!(matches!(status, 400 | 414 | 505), "{status}");
    }
    4
}

fn changing(load: &Load<'_>) -> u64 {
    let mut client = load.server.connect();
    for size in [1, 1000, 100_000, 10] {
        let next = load.tree.file("next", vec![b'c'; size]);
        fs::rename(next, load.tree.www().join("changing")).unwrap();
        assert_eq!(client.get("/changing").body.len(), size);
    }
    4
}

fn slow_reader(load: &Load<'_>) -> u64 {
    let client = crate::waiting::slow_readers::slow_reader(load.server, "/large");
    for _ in 0..20 {
        client.stream().read_exact(&mut [0; 4096]).unwrap();
        std::thread::sleep(Duration::from_millis(5));
    }
    1
}

fn signals(load: &Load<'_>) -> u64 {
    load.server.signal(Signal::SIGHUP);
    std::thread::sleep(Duration::from_millis(100));
    // However long it takes, the log must not fill the disk.
    File::options().write(true).open(&load.server.log).unwrap().set_len(0).unwrap();
    0
}
