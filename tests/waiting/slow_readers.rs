//! Clients that read a large response slowly, or not at all.

use std::io::Read;

use nix::sys::socket::{setsockopt, sockopt::RcvBuf};

use super::{alone, assert_unhindered, p99};
use crate::support::{Client, Server, Tree};

#[test]
fn five_hundred_slow_readers_of_a_mebibyte_do_not_slow_small_requests() {
    let _alone = alone();
    let tree = Tree::new();
    tree.file("a", "a");
    tree.file("large", vec![b'l'; 1 << 20]);
    let server = Server::start(&tree, &[]);
    let unloaded = p99(&server, "/a");
    let mut crowd: Vec<Client> = (0..500).map(|_| slow_reader(&server, "/large")).collect();
    assert_unhindered(&server, "/a", unloaded);
    // Each takes a little, so that the server goes on sending to all of them.
    for client in &mut crowd {
        client.stream().read_exact(&mut [0; 16 * 1024]).unwrap();
    }
    assert_unhindered(&server, "/a", unloaded);
    // The rest arrives whole for a client that waits.
    let last = crowd.pop().unwrap();
    drop(crowd);
    let mut rest = Vec::new();
    last.finish();
    last.stream().read_to_end(&mut rest).unwrap();
    assert!(rest.len() + 16 * 1024 > 1 << 20, "{} bytes", rest.len());
}

/// Asks for `target` with a small receive buffer, and does not read.
pub fn slow_reader(server: &Server, target: &str) -> Client {
    let mut client = server.connect();
    setsockopt(client.stream(), RcvBuf, &8192).unwrap();
    client.send(format!("GET {target} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"));
    client
}

#[test]
fn long_lists_that_nobody_reads_do_not_fill_the_memory() {
    let _alone = alone();
    let tree = Tree::new();
    for n in 0..5000 {
        std::fs::write(tree.www().join(format!("{n}-{}", "x".repeat(240))), "").unwrap();
    }
    // A list that shows where a link leads is not kept: each reader has its own.
    tree.link("1", "link");
    tree.file("1", "");
    let server = Server::start(&tree, &[]);
    let page = server.connect().get("/").body.len();
    assert!(page > 2_000_000, "{page}");
    let before = server.status_of_process("VmRSS");
    let mut crowd: Vec<Client> = (0..60).map(|_| slow_reader(&server, "/")).collect();
    let mut refused = 0;
    for client in &mut crowd {
        let mut start = [0; 12];
        client.stream().read_exact(&mut start).unwrap();
        match &start {
            b"HTTP/1.1 200" => {}
            b"HTTP/1.1 503" => refused += 1,
            other => panic!("{}", other.escape_ascii()),
        }
    }
    assert!((10..60).contains(&refused), "{refused}");
    let grown = (server.status_of_process("VmRSS") - before) / 1024;
    assert!(grown < 100, "{grown} MiB");
    drop(crowd);
    crate::support::eventually("room for another", || server.connect().get("/").status == 200);
}

#[test]
fn readers_of_one_kept_list_share_its_memory() {
    let _alone = alone();
    let tree = Tree::new();
    for n in 0..5000 {
        std::fs::write(tree.www().join(format!("{n}-{}", "x".repeat(240))), "").unwrap();
    }
    // A directory that has just changed is not kept.
    std::thread::sleep(std::time::Duration::from_millis(100));
    let server = Server::start(&tree, &[]);
    assert!(server.connect().get("/").body.len() > 2_000_000);
    let before = server.status_of_process("VmRSS");
    let mut crowd: Vec<Client> = (0..60).map(|_| slow_reader(&server, "/")).collect();
    for client in &mut crowd {
        let mut start = [0; 12];
        client.stream().read_exact(&mut start).unwrap();
        assert_eq!(&start, b"HTTP/1.1 200", "{}", start.escape_ascii());
    }
    let grown = (server.status_of_process("VmRSS") - before) / 1024;
    assert!(grown < 70, "{grown} MiB");
}
