//! Minimum rates: a client that only trickles is disconnected; a slow and steady one is not.

use std::io::{Read, Write};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};

use nix::sys::socket::{setsockopt, sockopt::RcvBuf};

use super::alone;
use super::slow_readers::slow_reader;
use crate::support::{Client, Done, Server, Tree, eventually};

fn tree() -> Tree {
    let tree = Tree::new();
    tree.file("large", vec![b'l'; 20 << 20]);
    tree.file("count.cgi", "#!/bin/sh\nprintf 'Content-Type: text/plain\\n\\n'; exec wc -c");
    tree.file("late.cgi", "#!/bin/sh\nprintf 'Content-Type: text/plain\\n\\n'; sleep 4; echo late");
    tree.mode("count.cgi", 0o755);
    tree.mode("late.cgi", 0o755);
    tree
}

fn upload(server: &Server, length: usize) -> Client {
    let mut client = server.connect();
    client.send(format!("POST /count.cgi HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\n\r\n"));
    client
}

#[test]
fn a_trickle_of_content_is_told_408_however_many_bytes_are_to_come() {
    let tree = tree();
    let flags = ["-c", "**.cgi", "-o", "body_min_rate=1000", "-o", "min_rate_window=1"];
    let server = Server::start(&tree, &flags);
    let mut client = upload(&server, 1_000_000);
    // A burst is no credit for what follows it.
    client.send("x".repeat(100_000));
    client.stream().set_read_timeout(Some(Duration::from_millis(100))).unwrap();
    let began = Instant::now();
    while client.stream().peek(&mut [0]).is_err() {
        let _ = client.stream().write_all(b"x");
        assert!(began.elapsed() < Duration::from_secs(8), "the trickle goes on");
    }
    assert_eq!(client.answer("POST").status, 408);
}

#[test]
fn readers_of_a_byte_now_and_then_do_not_keep_long_lists_from_others() {
    let _alone = alone();
    let tree = Tree::new();
    for n in 0..5000 {
        std::fs::write(tree.www().join(format!("{n}-{}", "x".repeat(240))), "").unwrap();
    }
    let server = Server::start(&tree, &["-o", "send_min_rate=1000", "-o", "min_rate_window=2"]);
    // More than the memory for long lists holds.
    let begin = |_| {
        let client = slow_reader(&server, "/");
        (&mut client.stream()).read_exact(&mut [0; 12]).unwrap();
        client
    };
    let crowd: Vec<Client> = (0..28).map(begin).collect();
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !over.load(Relaxed) {
                for client in &crowd {
                    client.stream().set_read_timeout(Some(Duration::from_millis(1))).unwrap();
                    let _ = (&mut client.stream()).read(&mut [0]);
                }
                std::thread::sleep(Duration::from_millis(300));
            }
        });
        let _done = Done(&over);
        eventually("the list is had", || server.connect().get("/").status == 200);
    });
}

/// Time of watching slow clients, and the server's flags: defaults if time allows.
fn patience() -> (Duration, &'static [&'static str]) {
    match std::env::var("THTTPD_SOAK_MINUTES").ok().map(|text| text.parse::<f64>().expect("minutes")) {
        Some(minutes) => (Duration::from_secs_f64(60.0 * minutes.min(10.0)), &[]),
        None => (
            Duration::from_secs(9),
            &["-o", "body_min_rate=500", "-o", "send_min_rate=500", "-o", "min_rate_window=3"],
        ),
    }
}

/// Bytes a second of a slow and steady client.
fn steady_rate() -> usize {
    if std::env::var_os("THTTPD_SOAK_MINUTES").is_some() { 2000 } else { 8000 }
}

#[test]
fn the_slow_and_steady_and_the_throttled_live() {
    let tree = tree();
    let (time, flags) = patience();
    let throttle = tree.beside("throttle", "large 200\n");
    let common = ["-c", "**.cgi", "-t", throttle.to_str().unwrap()];
    let throttled = Server::start(&tree, &[&common, flags].concat());
    let beside = Tree::new();
    beside.file("large", vec![b'l'; 20 << 20]);
    let free = Server::start(&beside, flags);
    std::thread::scope(|scope| {
        scope.spawn(|| steady_upload(&throttled, time));
        scope.spawn(|| steady_download(&free, time));
        scope.spawn(|| throttled_download(&throttled, time));
        scope.spawn(|| assert_eq!(throttled.connect().get("/late.cgi").text().trim(), "late"));
    });
}

fn steady_upload(server: &Server, time: Duration) {
    let step = steady_rate() / 10;
    let steps = usize::try_from(time.as_millis() / 100).unwrap();
    let mut client = upload(server, step * steps);
    for _ in 0..steps {
        client.send("x".repeat(step));
        std::thread::sleep(Duration::from_millis(100));
    }
    assert_eq!(client.answer("POST").text().trim(), (step * steps).to_string());
}

fn steady_download(server: &Server, time: Duration) {
    let mut client = server.connect();
    setsockopt(client.stream(), RcvBuf, &4096).unwrap();
    client.send("GET /large HTTP/1.1\r\nHost: x\r\n\r\n");
    let mut piece = vec![0; steady_rate() / 10];
    let end = Instant::now() + time;
    while Instant::now() < end {
        client.stream().read_exact(&mut piece).expect("the server goes on");
        std::thread::sleep(Duration::from_millis(100));
    }
    // Bytes sent before an end can still be read: the log tells whether there was an end.
    assert_eq!(server.log_lines(), [""; 0]);
}

fn throttled_download(server: &Server, time: Duration) {
    let mut client = server.connect();
    client.stream().set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    client.send("GET /large HTTP/1.1\r\nHost: x\r\n\r\n");
    let end = Instant::now() + time;
    while Instant::now() < end {
        assert!((&mut client.stream()).read(&mut [0; 4096]).expect("the server goes on") > 0);
    }
}
