//! Crash: the server is killed.

use nix::sys::signal::Signal;

use super::{assert_serves, tree};
use crate::support::Server;
use crate::waiting::{clients_that_sent, idle_clients};

#[test]
fn after_a_kill_another_server_takes_the_same_port_at_once() {
    let tree = tree();
    let mut server = Server::start(&tree, &[]);
    for _ in 0..5 {
        let idle = idle_clients(&server, 20, "/a");
        let half = clients_that_sent(&server, 20, "GET /a HT");
        let reader = server.download("/large");
        server.end(Signal::SIGKILL);
        server = Server::start_on(server.port, &tree, &[]);
        assert_serves(&server);
        drop((idle, half, reader));
    }
}
