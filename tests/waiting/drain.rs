//! Shutdown with many waiting connections.

use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use super::slow_readers::slow_reader;
use super::{alone, clients_that_sent, idle_clients};
use crate::support::{Client, Server, Tree};

fn tree() -> Tree {
    let tree = Tree::new();
    tree.file("a", "a");
    tree.file("large", vec![b'l'; 20 << 20]);
    tree
}

#[test]
fn a_drain_with_a_thousand_parked_connections_ends_at_once() {
    let _alone = alone();
    let tree = tree();
    let mut server = Server::start(&tree, &["-o", "keepalive_timeout=600"]);
    let crowd = idle_clients(&server, 1000, "/a");
    let began = Instant::now();
    assert!(server.end(Signal::SIGUSR1).success());
    assert!(began.elapsed() < Duration::from_secs(3), "{:?}", began.elapsed());
    for stream in crowd {
        assert!(Client::of(stream).is_closed());
    }
}

#[test]
fn a_drain_answers_those_whose_connections_the_kernel_has_made_already() {
    let tree = tree();
    let mut server = Server::start(&tree, &[]);
    // The server is stopped and accepts no connection; the kernel completes the handshakes.
    server.signal(Signal::SIGSTOP);
    let mut clients: Vec<Client> = (0..400).map(|_| server.connect()).collect();
    clients.iter_mut().for_each(|client| client.send("GET /a HTTP/1.1\r\nHost: x\r\n\r\n"));
    server.signal(Signal::SIGUSR1);
    server.signal(Signal::SIGCONT);
    for client in &mut clients {
        assert_eq!(client.answer("GET").text(), "a");
    }
    assert!(server.wait().success());
}

#[test]
fn a_drain_lets_a_slow_reader_have_all_of_its_response() {
    let tree = tree();
    let mut server = Server::start(&tree, &[]);
    let mut reader = server.connect();
    reader.send("GET /large HTTP/1.1\r\nHost: x\r\n\r\n");
    // Once a piece is here, its response is certainly under way.
    std::io::Read::read_exact(&mut reader.stream(), &mut [0; 1000]).unwrap();
    let crowd = idle_clients(&server, 100, "/a");
    server.signal(Signal::SIGUSR1);
    for stream in crowd {
        assert!(Client::of(stream).is_closed());
    }
    assert!(server.is_alive(), "a response is under way");
    let rest = reader.rest().expect("no reset").len();
    assert!(rest > (20 << 20) - 1000, "{rest} bytes");
    assert!(server.wait().success());
}

#[test]
fn a_stop_with_a_thousand_half_heads_and_slow_readers_ends_with_its_grace() {
    let _alone = alone();
    let tree = tree();
    let mut server = Server::start(&tree, &["-o", "stop_grace=1"]);
    let heads = clients_that_sent(&server, 900, "GET /a HTTP/1.1\r\nHost");
    let readers: Vec<Client> = (0..100).map(|_| slow_reader(&server, "/large")).collect();
    assert_eq!(server.connect().get("/a").text(), "a");
    let began = Instant::now();
    assert!(server.end(Signal::SIGTERM).success());
    let took = began.elapsed();
    assert!((Duration::from_secs(1)..Duration::from_secs(4)).contains(&took), "{took:?}");
    let cut = server.log_lines().iter().filter(|line| line.contains("GET /large")).count();
    assert_eq!(cut, 100, "what was cut is logged");
    drop((heads, readers));
}
