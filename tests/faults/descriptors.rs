//! Shortage of descriptors: connections wait or get 503, and service resumes when some are free.

use std::time::Instant;

use super::{Duration, alone, assert_serves, eventually, rest, tree};
use crate::support::{Client, Server, Tree, sees_others};
use crate::waiting::{clients_that_sent, idle_clients};

const FEW: &str = "ulimit -n 100";

/// `count` files too large to be kept in memory.
fn large_files(count: usize) -> Tree {
    let tree = tree();
    for n in 0..count {
        tree.file(&format!("large{n}"), vec![b'l'; 1_000_000]);
    }
    tree
}

#[test]
fn files_kept_open_leave_room_for_connections() {
    let tree = large_files(300);
    let server = Server::start_after(&tree, FEW, &[]);
    rest(&server, "/large299");
    for n in 0..300 {
        assert_eq!(server.connect().get(&format!("/large{n}")).status, 200, "large{n}");
    }
    let crowd = idle_clients(&server, 40, "/a");
    assert!(server.descriptors() < 100);
    assert_serves(&server);
    drop(crowd);
}

#[test]
fn admitted_clients_get_their_file_however_slowly_others_read() {
    let _alone = alone();
    // So large that no socket's buffers take one whole; with holes, since their bytes do not matter.
    const SIZE: usize = 8 << 20;
    let tree = tree();
    for n in 0..90 {
        let path = tree.file(&format!("large{n}"), "");
        std::fs::File::options().write(true).open(path).unwrap().set_len(SIZE as u64).unwrap();
    }
    let server = Server::start_after(&tree, FEW, &[]);
    let crowd: Vec<Client> = (0..90)
        .map(|n| {
            let mut client = server.connect();
            client.send(format!("GET /large{n} HTTP/1.0\r\n\r\n"));
            client
        })
        .collect();
    // Time for all who are let in to have their files open.
    std::thread::sleep(Duration::from_millis(300));
    for mut client in crowd {
        client.stream().set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        let answer = client.answer("GET");
        assert_eq!((answer.status, answer.body.len()), (200, SIZE));
    }
    let said = std::fs::read_to_string(&server.stderr).unwrap();
    assert!(!said.contains("accept - "), "{said}");
}

/// Names of the large files that the server has open; deleted ones are marked.
fn open_files(server: &Server) -> Vec<String> {
    let entries = std::fs::read_dir(format!("/proc/{}/fd", server.pid())).unwrap();
    let targets = entries.filter_map(|entry| std::fs::read_link(entry.ok()?.path()).ok());
    let names = targets.map(|target| target.to_string_lossy().into_owned());
    names.filter(|name| name.contains("/large")).collect()
}

#[test]
fn a_file_asked_for_today_takes_the_place_of_one_of_yesterday_and_deleted_ones_are_given_up() {
    if !sees_others() {
        return;
    }
    let tree = large_files(300);
    let server = Server::start(&tree, &[]);
    rest(&server, "/large299");
    for n in 0..300 {
        assert_eq!(server.connect().get(&format!("/large{n}")).status, 200, "large{n}");
    }
    let open = open_files(&server);
    assert!(open.len() <= 256 && open.iter().any(|name| name.ends_with("/large299")), "{}", open.len());
    for n in 0..300 {
        std::fs::remove_file(tree.www().join(format!("large{n}"))).unwrap();
    }
    let deadline = Instant::now() + Duration::from_secs(30);
    while !open_files(&server).is_empty() {
        assert!(Instant::now() < deadline, "{} are still open", open_files(&server).len());
        std::thread::sleep(Duration::from_millis(100));
    }
}

#[test]
fn connections_beyond_the_limit_wait_for_their_turn() {
    let _alone = alone();
    let tree = tree();
    let server = Server::start_after(&tree, FEW, &["-o", "keepalive_timeout=1"]);
    let crowd = clients_that_sent(&server, 400, "GET /a HTTP/1.1\r\nHost: x\r\n\r\n");
    for mut client in crowd {
        client.stream().set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        assert_eq!(client.answer("GET").text(), "a");
    }
    // The shortage is logged, but not in a flood of messages.
    let said = std::fs::read_to_string(&server.stderr).unwrap();
    let lines = said.lines().filter(|line| line.contains("too many connections")).count();
    assert!((1..=3).contains(&lines), "{said}");
}

#[test]
fn a_flood_of_connections_ends_with_the_flood() {
    let _alone = alone();
    let tree = tree();
    let server = Server::start_after(&tree, FEW, &[]);
    assert_serves(&server);
    let before = server.descriptors();
    for _ in 0..5 {
        let flood = clients_that_sent(&server, 500, "GET /a HTTP/1.1\r\nHost");
        drop(flood);
        assert_serves(&server);
    }
    eventually("descriptors are free again", || server.descriptors() <= before);
}

#[test]
fn slow_readers_of_many_files_get_503_at_worst_and_nobody_afterwards() {
    let tree = large_files(80);
    let mut server = Server::start_after(&tree, FEW, &[]);
    let mut crowd: Vec<Client> = (0..80)
        .map(|n| {
            let mut client = server.connect();
            client.send(format!("GET /large{n} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"));
            client
        })
        .collect();
    for client in &mut crowd {
        client.stream().set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        let answer = client.answer("GET");
        assert!(matches!(answer.status, 200 | 503), "{}", answer.head);
        assert!(answer.status != 200 || answer.body.len() == 1_000_000);
    }
    drop(crowd);
    assert!(server.is_alive());
    for n in 0..80 {
        assert_eq!(server.connect().get(&format!("/large{n}")).status, 200);
    }
}

#[test]
fn a_limit_on_connections_is_kept_and_a_server_without_room_does_not_spin() {
    let tree = tree();
    let server = Server::start(&tree, &["-o", "max_connections=5"]);
    let crowd = idle_clients(&server, 5, "/a");
    let mut sixth = server.connect();
    sixth.send("GET /a HTTP/1.1\r\nHost: x\r\n\r\n");
    sixth.stream().set_read_timeout(Some(Duration::from_millis(300))).unwrap();
    let used = processor_time(&server);
    assert!(sixth.stream().peek(&mut [0]).is_err(), "a sixth connection is served");
    let used = processor_time(&server) - used;
    assert!(used <= 10, "{used} hundredths of a second while nothing could be done");
    drop(crowd);
    sixth.stream().set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    assert_eq!(sixth.answer("GET").text(), "a");
}

/// User and system time so far, in hundredths of a second.
fn processor_time(server: &Server) -> u64 {
    let text = std::fs::read_to_string(format!("/proc/{}/stat", server.pid())).unwrap();
    let fields: Vec<&str> = text.rsplit(')').next().unwrap().split_whitespace().collect();
    fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap()
}
