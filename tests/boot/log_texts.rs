//! Texts and times of the logs, as thttpd-differences(7) lists them.

use std::fs::File;
use std::process::Command;
use std::time::{Duration, Instant};

use super::syslogd::Syslogd;
use super::{run, stderr, thttpd};
use crate::support::server::free_port;
use crate::support::{Server, Tree};

#[test]
fn a_line_is_in_the_log_soon_after_its_response() {
    let tree = Tree::new();
    tree.file("a.txt", "hello");
    let server = Server::start(&tree, &[]);
    let mut client = server.connect();
    // The fastest of some, as others run on this machine.
    let fastest = (0..20).map(|number| {
        client.get(&format!("/a.txt?{number}"));
        let begin = Instant::now();
        server.logged(&format!("/a.txt?{number} "));
        begin.elapsed()
    });
    assert!(fastest.min().unwrap() < Duration::from_millis(100));
}

#[test]
fn a_fifo_that_nobody_reads_is_no_log() {
    let tree = Tree::new();
    let fifo = tree.dir().join("fifo");
    assert!(Command::new("mkfifo").arg(&fifo).status().unwrap().success());
    let mut command = thttpd();
    command.args(["-D", "-h", "127.0.0.1", "-p", &free_port().to_string(), "-d"]).arg(tree.www());
    let output = run(command.arg("-l").arg(&fifo));
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("fifo - "), "{}", stderr(&output));
}

#[test]
fn a_head_that_comes_too_slowly_is_told_in_thttpds_words() {
    let tree = Tree::new();
    let socket = tree.dir().join("syslog");
    let mut syslogd = Syslogd::bind(&socket);
    let server = Server::start_with(&tree, &["-o", "head_timeout=1"], |command| {
        command.env("THTTPD_SYSLOG_SOCKET", &socket);
    });
    let mut client = server.connect();
    client.send("GET / HTTP/1.1\r\nX");
    assert_eq!(client.answer("GET").status, 408);
    syslogd.until("127.0.0.1 connection timed out reading");
}

#[test]
fn a_file_that_became_shorter_is_told_with_its_url() {
    let tree = Tree::new();
    let large = tree.file("a b", vec![b'l'; 24 << 20]);
    let socket = tree.dir().join("syslog");
    let mut syslogd = Syslogd::bind(&socket);
    let server = Server::start_with(&tree, &[], |command| {
        command.env("THTTPD_SYSLOG_SOCKET", &socket);
    });
    let mut client = server.download("/a%20b?c");
    File::options().write(true).open(large).unwrap().set_len(1).unwrap();
    drop(client.rest());
    syslogd.until("127.0.0.1 URL \"/a%20b?c\": its file became shorter while it was sent");
}
