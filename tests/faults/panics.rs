//! Panic in one request, which debug builds offer for this test.

use std::io::{PipeWriter, Write};

use nix::fcntl::{FcntlArg, OFlag, fcntl};

use super::{assert_serves, eventually, tree};
use crate::boot::syslogd::Syslogd;
use crate::support::Server;

#[test]
fn a_panic_costs_the_request_it_happens_in_and_no_other() {
    if !cfg!(debug_assertions) {
        return eprintln!("skipped: only debug builds panic on demand");
    }
    let tree = tree();
    let start = |command: &mut std::process::Command| {
        command.env("THTTPD_PANIC_AT", "/boom");
    };
    let mut server = Server::start_with(&tree, &["-o", "workers=2"], start);
    assert_serves(&server);
    let before = server.descriptors();
    let mut bystander = server.connect();
    assert_eq!(bystander.get("/a").text(), "a");
    let mut reader = server.download("/large");
    // More panics than there are workers, or places in the queue.
    for _ in 0..50 {
        let mut unlucky = server.connect();
        unlucky.send("GET /boom HTTP/1.1\r\nHost: x\r\n\r\nGET /a HTTP/1.1\r\nHost: x\r\n\r\n");
        assert!(unlucky.is_closed());
        assert_eq!(bystander.get("/a").text(), "a");
    }
    assert!(reader.rest().expect("no reset").len() + 1000 > super::LARGE);
    assert!(server.is_alive());
    let said = std::fs::read_to_string(&server.stderr).unwrap();
    assert_eq!(said.matches("a request made a worker panic").count(), 50, "{said}");
    drop(bystander);
    eventually("nothing of them is left", || server.descriptors() <= before + 1);
    assert_serves(&server);
}

#[test]
fn a_panic_is_told_in_the_log_and_waits_for_no_reader_of_standard_error() {
    if !cfg!(debug_assertions) {
        return eprintln!("skipped: only debug builds panic on demand");
    }
    let tree = tree();
    let mut syslogd = Syslogd::bind(&tree.dir().join("socket"));
    let (_unread, writer) = std::io::pipe().unwrap();
    let server = Server::start_with(&tree, &["-o", "workers=2"], |command| {
        command.env("THTTPD_PANIC_AT", "/boom").env("THTTPD_SYSLOG_SOCKET", tree.dir().join("socket"));
        command.stderr(writer.try_clone().unwrap());
    });
    fill(&writer);
    for _ in 0..10 {
        let mut unlucky = server.connect();
        unlucky.send("GET /boom HTTP/1.1\r\nHost: x\r\n\r\n");
        assert!(unlucky.is_closed());
        assert_serves(&server);
    }
    syslogd.until_all(&["panicked at src/", "a request made a worker panic"]);
}

/// Fills a pipe. The flag that this needs belongs to all its writers, and is taken back.
fn fill(mut pipe: &PipeWriter) {
    fcntl(pipe, FcntlArg::F_SETFL(OFlag::O_NONBLOCK)).unwrap();
    for size in [4096, 1] {
        while pipe.write(&vec![b'x'; size]).is_ok() {}
    }
    fcntl(pipe, FcntlArg::F_SETFL(OFlag::empty())).unwrap();
}
