//! Failures of the access log. A full disk is tested with the log's other properties.

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
