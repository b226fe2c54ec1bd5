//! TERM, INT, USR1, USR2, HUP: effects on clients.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use crate::support::{Server, Tree, eventually};

/// A tree with a file that no socket buffer swallows whole.
fn tree() -> (Tree, usize) {
    let tree = Tree::new();
    tree.file("a.txt", "hello");
    let size = 24 << 20;
    tree.file("big", vec![b'x'; size]);
    (tree, size)
}

/// A client in the middle of a large response.
fn in_the_middle(server: &Server) -> TcpStream {
    let mut stream = TcpStream::connect(server.address()).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(15))).unwrap();
    stream.write_all(b"GET /big HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
    stream.read_exact(&mut [0; 1000]).unwrap();
    stream
}

/// Bytes that still come.
fn rest(mut stream: TcpStream) -> usize {
    let mut bytes = Vec::new();
    let _ = stream.read_to_end(&mut bytes);
    bytes.len()
}

#[test]
fn term_and_int_end_an_idle_server_with_status_0() {
    for signal in [Signal::SIGTERM, Signal::SIGINT] {
        let (tree, _) = tree();
        let mut server = Server::start(&tree, &[]);
        let _idle = server.connect().get("/a.txt");
        let begun = Instant::now();
        assert_eq!(server.end(signal).code(), Some(0));
        assert!(begun.elapsed() < Duration::from_secs(4), "idle connections need no grace");
    }
}

#[test]
fn alrm_pipe_xfsz_and_winch_are_ignored() {
    let (tree, _) = tree();
    let mut server = Server::start(&tree, &[]);
    for signal in [Signal::SIGALRM, Signal::SIGPIPE, Signal::SIGXFSZ, Signal::SIGWINCH] {
        server.signal(signal);
        assert!(server.is_alive(), "{signal}");
        assert_eq!(server.connect().get("/a.txt").body, b"hello", "{signal}");
    }
    assert_eq!(server.end(Signal::SIGTERM).code(), Some(0));
}

#[test]
fn term_lets_a_response_end_within_its_grace() {
    let (tree, size) = tree();
    let mut server = Server::start(&tree, &["-o", "stop_grace=10"]);
    let client = in_the_middle(&server);
    server.signal(Signal::SIGTERM);
    eventually("no one else is let in", || TcpStream::connect(server.address()).is_err());
    assert!(rest(client) > size - 1000);
    assert_eq!(server.wait().code(), Some(0));
    server.logged(&format!("\"GET /big HTTP/1.1\" 200 {size} "));
}

#[test]
fn term_cuts_what_outlasts_its_grace_and_logs_it() {
    let (tree, size) = tree();
    tree.file("form.cgi", "#!/bin/sh\n");
    tree.mode("form.cgi", 0o755);
    let mut server =
        Server::start(&tree, &["-o", "stop_grace=1", "-o", "trusted_proxies=127.0.0.1", "-c", "*.cgi"]);
    let client = in_the_middle(&server);
    let (mut form, mut head) = (server.connect(), server.connect());
    form.send("POST /form.cgi HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\nExpect: 100-continue\r\n\r\n");
    assert_eq!(form.answer("POST").status, 100);
    head.send("GET /a.txt HTTP/1.1\r\nHost: x\r\nX-Forwarded-For: 192.0.2.9\r\n\r\n");
    assert_eq!(head.answer("GET").status, 200);
    head.send("GET /half HTTP/1.1\r\nUser-Agent: x\r\nHo");
    // The next connection is accepted after the half head was read.
    assert_eq!(server.connect().get("/a.txt").status, 200);
    let begun = Instant::now();
    assert_eq!(server.end(Signal::SIGTERM).code(), Some(0));
    assert!(begun.elapsed() >= Duration::from_secs(1));
    assert!(rest(client) < size - 1000);
    server.logged("\"GET /big HTTP/1.1\" 200 ");
    server.logged("\"POST /form.cgi HTTP/1.1\" 0 0 \"\" \"\"");
    let half = server.logged("\"GET /half HTTP/1.1\" 0 0 \"\" \"x\"");
    assert!(half.starts_with("127.0.0.1 "), "the client of the request before is logged: {half}");
}

#[test]
fn a_second_term_cuts_at_once() {
    let (tree, _) = tree();
    let mut server = Server::start(&tree, &["-o", "stop_grace=300"]);
    let _client = in_the_middle(&server);
    server.signal(Signal::SIGTERM);
    eventually("the first one has arrived", || TcpStream::connect(server.address()).is_err());
    assert_eq!(server.end(Signal::SIGTERM).code(), Some(0));
    server.logged("\"GET /big HTTP/1.1\" 200 ");
}

#[test]
fn usr1_ends_idle_connections_and_finishes_the_others() {
    let (tree, size) = tree();
    let mut server = Server::start(&tree, &[]);
    let mut idle = server.connect();
    idle.get("/a.txt");
    let busy = in_the_middle(&server);
    server.signal(Signal::SIGUSR1);
    assert_eq!(idle.stream().read(&mut [0; 1]).unwrap(), 0, "the idle one is closed");
    // Clients are still served until the listener closes, shortly after the signal.
    eventually("nobody is let in", || TcpStream::connect(server.address()).is_err());
    assert!(server.is_alive(), "a client is being served");
    assert!(rest(busy) > size - 1000);
    assert_eq!(server.wait().code(), Some(0));
}

/// One request on its own connection: `Some(whole)` when a response began.
fn fetch(server: &Server, size: usize) -> Option<bool> {
    let mut stream = TcpStream::connect(server.address()).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(15))).unwrap();
    stream.write_all(b"GET /page HTTP/1.0\r\n\r\n").ok()?;
    let _ = stream.shutdown(Shutdown::Write);
    let mut bytes = Vec::new();
    let _ = stream.read_to_end(&mut bytes);
    let head = bytes.windows(4).position(|four| four == b"\r\n\r\n").map(|at| at + 4);
    (!bytes.is_empty()).then(|| head.is_some_and(|head| bytes.len() - head == size))
}

#[test]
fn usr1_under_load_cuts_no_response() {
    let tree = Tree::new();
    let size = 300_000;
    tree.file("page", vec![b'x'; size]);
    let mut server = Server::start(&tree, &[]);
    let (whole, cut, refused) = (AtomicUsize::new(0), AtomicUsize::new(0), AtomicBool::new(false));
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                while !refused.load(Ordering::Relaxed) {
                    match fetch(&server, size) {
                        Some(true) => whole.fetch_add(1, Ordering::Relaxed),
                        Some(false) => cut.fetch_add(1, Ordering::Relaxed),
                        None => {
                            refused.store(true, Ordering::Relaxed);
                            0
                        }
                    };
                }
            });
        }
        eventually("the load is there", || whole.load(Ordering::Relaxed) > 50);
        server.signal(Signal::SIGUSR1);
    });
    assert_eq!(cut.into_inner(), 0, "of {whole:?}");
    assert_eq!(server.wait().code(), Some(0));
}

#[test]
fn every_one_of_fifty_hups_under_load_keeps_every_line() {
    let tree = Tree::new();
    tree.file("a.txt", "hello");
    let log = tree.dir().join("logs/log");
    std::fs::create_dir(log.parent().unwrap()).unwrap();
    if nix::unistd::geteuid().is_root() {
        std::os::unix::fs::chown(log.parent().unwrap(), Some(65534), Some(65534)).unwrap();
    }
    let mut server = Server::start(&tree, &["-l", log.to_str().unwrap()]);
    let (sent, ended) = (AtomicUsize::new(0), AtomicBool::new(false));
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let (server, sent, ended) = (&server, &sent, &ended);
            scope.spawn(move || {
                let mut client = server.connect();
                for number in 0.. {
                    if ended.load(Ordering::Relaxed) {
                        return;
                    }
                    assert_eq!(client.get(&format!("/a.txt?{thread}.{number}")).status, 200);
                    sent.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        for number in 0..50 {
            let before = sent.load(Ordering::Relaxed);
            eventually("requests go on", || sent.load(Ordering::Relaxed) > before + 10);
            std::fs::rename(&log, log.with_extension(number.to_string())).unwrap();
            server.signal(Signal::SIGHUP);
            eventually("there is a new file", || log.exists());
        }
        ended.store(true, Ordering::Relaxed);
    });
    assert_eq!(server.end(Signal::SIGTERM).code(), Some(0));
    let mut targets = Vec::new();
    for file in std::fs::read_dir(log.parent().unwrap()).unwrap() {
        let text = std::fs::read_to_string(file.unwrap().path()).unwrap();
        targets.extend(text.lines().map(|line| line.split(' ').nth(6).unwrap().to_owned()));
    }
    let lines = targets.len();
    targets.sort_unstable();
    targets.dedup();
    assert_eq!((lines, targets.len()), (sent.load(Ordering::Relaxed), sent.load(Ordering::Relaxed)));
}

#[test]
fn usr1_during_a_grace_and_term_during_a_drain_do_no_harm() {
    let (tree, _) = tree();
    let mut server = Server::start(&tree, &["-o", "stop_grace=1"]);
    let _client = in_the_middle(&server);
    server.signal(Signal::SIGUSR1);
    eventually("the drain has begun", || TcpStream::connect(server.address()).is_err());
    server.signal(Signal::SIGUSR1);
    assert!(server.is_alive());
    assert_eq!(server.end(Signal::SIGTERM).code(), Some(0));
}

#[test]
fn term_is_obeyed_at_once_behind_a_thousand_hups() {
    let (tree, _) = tree();
    let config = tree.beside("conf", "reload_on_hup");
    let mut server = Server::start(&tree, &["-C", config.to_str().unwrap()]);
    for _ in 0..1000 {
        server.signal(Signal::SIGHUP);
        std::thread::sleep(Duration::from_millis(1));
    }
    let begun = Instant::now();
    assert_eq!(server.end(Signal::SIGTERM).code(), Some(0));
    let took = begun.elapsed();
    assert!(took < Duration::from_secs(4), "{took:?}");
}
