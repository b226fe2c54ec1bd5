//! Failures of the access log. A full disk is tested with the log's other properties.

use std::fs::File;
use std::io::Read;
use std::time::Duration;

use nix::sys::signal::Signal;

use super::tree;
use crate::support::Server;

#[test]
fn a_log_that_may_not_grow_costs_lines_which_are_counted_and_no_request() {
    let tree = tree();
    // Half-KiB blocks: four KiB, a few dozen lines.
    let mut server = Server::start_after(&tree, "ulimit -f 8", &[]);
    let mut client = server.connect();
    for _ in 0..500 {
        assert_eq!(client.get("/a").text(), "a");
    }
    assert!(server.is_alive());
    assert!(server.end(Signal::SIGTERM).success());
    let written = server.log_lines().len();
    assert!(written < 500, "{written} lines");
    let said = std::fs::read_to_string(&server.stderr).unwrap();
    assert!(said.contains("File too large"), "{said}");
    assert!(said.contains("lines lost"), "{said}");
}

#[test]
fn a_pipe_whose_reader_has_stopped_wakes_an_idle_server_seldom() {
    let tree = tree();
    let fifo = tree.dir().join("fifo");
    nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRWXU | nix::sys::stat::Mode::S_IRWXO).unwrap();
    // For reading and writing, so that the open does not wait for the server.
    let mut reader = File::options().read(true).write(true).open(&fifo).unwrap();
    let server = Server::start(&tree, &["-l", fifo.to_str().unwrap()]);
    let mut client = server.connect();
    for number in 0..1000 {
        assert_eq!(client.get(&format!("/a?{number}")).text(), "a");
    }
    // More lines than a pipe holds; the pauses between two tries become longer.
    std::thread::sleep(Duration::from_secs(2));
    let before = server.sleeps();
    std::thread::sleep(Duration::from_secs(3));
    let sleeps = server.sleeps() - before;
    assert!(sleeps < 60, "{sleeps} times in three seconds");
    // Once it is read again, no line is missing.
    let mut text = Vec::new();
    let mut piece = [0; 4096];
    while text.iter().filter(|&&byte| byte == b'\n').count() < 1000 {
        let length = reader.read(&mut piece).unwrap();
        text.extend_from_slice(&piece[..length]);
    }
    assert!(String::from_utf8(text).unwrap().contains("/a?999 "));
}
