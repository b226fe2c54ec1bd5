//! Ten thousand idle persistent connections.

use super::{affordable, alone, assert_unhindered, idle_clients, p99};
use crate::support::{Server, Tree};

#[test]
fn ten_thousand_idle_connections_neither_slow_nor_fatten_the_server() {
    let _alone = alone();
    let tree = Tree::new();
    tree.file("a", "a");
    let server = Server::start(&tree, &["-o", "keepalive_timeout=600"]);
    let unloaded = p99(&server, "/a");
    let memory = server.status_of_process("VmRSS");
    let count = affordable(10_000);
    let crowd = idle_clients(&server, count, "/a");
    assert_unhindered(&server, "/a", unloaded);
    let grown = server.status_of_process("VmRSS").saturating_sub(memory) * 1024;
    assert!(grown < 2048 * count as u64, "{} bytes for each of {count} connections", grown / count as u64);
    // None of them was given up for the measurement.
    for stream in crowd.iter().step_by(97) {
        let mut client = crate::support::Client::of(stream.try_clone().unwrap());
        assert_eq!(client.get("/a").text(), "a");
    }
}
