//! Panic in one request, which debug builds offer for this test.

use super::{assert_serves, eventually, tree};
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
