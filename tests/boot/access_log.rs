//! The access log as the whole server writes it.

use std::fs;
use std::process::Stdio;

use nix::sys::signal::Signal;

use super::{Running, thttpd};
use crate::support::server::free_port;
use crate::support::{Client, Server, Tree, eventually};

#[test]
fn everything_that_was_answered_is_in_the_log_when_the_server_has_ended() {
    let tree = Tree::new();
    tree.file("a.txt", "hello");
    let mut server = Server::start(&tree, &[]);
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let server = &server;
            scope.spawn(move || {
                let mut client = server.connect();
                for number in 0..250 {
                    assert_eq!(client.get(&format!("/a.txt?{thread}.{number}")).status, 200);
                }
            });
        }
    });
    assert_eq!(server.end(Signal::SIGTERM).code(), Some(0));
    let lines = server.log_lines();
    assert_eq!(lines.iter().filter(|line| line.contains("GET /a.txt?")).count(), 1000);
}

#[test]
fn standard_output_and_standard_error_take_the_log_by_any_of_their_names() {
    let tree = Tree::new();
    tree.file("a.txt", "hello");
    for (name, stream) in [("-", 1), ("/dev/stdout", 1), ("/proc/self/fd/1", 1), ("/dev/stderr", 2)] {
        let (port, out) = (free_port(), tree.dir().join("out"));
        let file = || fs::File::options().append(true).create(true).open(&out).unwrap();
        fs::write(&out, "").unwrap();
        let mut command = thttpd();
        command.args(["-D", "-h", "127.0.0.1", "-p", &port.to_string(), "-l", name, "-d"]).arg(tree.www());
        if stream == 1 {
            command.stdout(file()).stderr(Stdio::null());
        } else {
            command.stdout(Stdio::null()).stderr(file());
        }
        let _server = Running::start(&mut command, port);
        Client::connect(([127, 0, 0, 1], port).into()).get("/a.txt");
        eventually(&format!("a line by way of {name}"), || {
            super::read(&out).contains("\"GET /a.txt HTTP/1.1\" 200 5")
        });
    }
}

#[test]
fn a_log_nobody_reads_holds_up_no_request() {
    let tree = Tree::new();
    tree.file("a.txt", "hello");
    let port = free_port();
    let mut command = thttpd();
    command.args(["-D", "-h", "127.0.0.1", "-p", &port.to_string(), "-l", "-", "-d"]).arg(tree.www());
    // A pipe that is open and never read.
    let mut server = Running::start(command.stdout(Stdio::piped()).stderr(Stdio::null()), port);
    let mut client = Client::connect(([127, 0, 0, 1], port).into());
    for number in 0..2000 {
        assert_eq!(client.get(&format!("/a.txt?{number}")).status, 200);
    }
    server.end(Signal::SIGTERM);
}
