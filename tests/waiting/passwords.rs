//! Slow password hashes: many attempts of one client delay no other client.

use std::net::{Ipv4Addr, TcpStream};
use std::num::NonZero;
use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::socket::{AddressFamily, SockFlag, SockType, SockaddrIn, bind, connect, socket};

use super::alone;
use crate::support::{Client, Server, Tree};

/// Attempts of the honest client, each of which is to be next.
const ATTEMPTS: usize = 8;

/// The first password's last three bytes, of which none may be zero: `AAA`.
const FIRST: usize = 0x0041_4141;

/// A connection from another address of this machine.
fn connect_from(address: Ipv4Addr, server: &Server) -> Client {
    let fd: OwnedFd = socket(AddressFamily::Inet, SockType::Stream, SockFlag::SOCK_CLOEXEC, None).unwrap();
    let [a, b, c, d] = address.octets();
    bind(fd.as_raw_fd(), &SockaddrIn::new(a, b, c, d, 0)).unwrap();
    connect(fd.as_raw_fd(), &SockaddrIn::new(127, 0, 0, 1, server.port)).unwrap();
    Client::of(TcpStream::from(fd))
}

/// Attempt with an unknown result: user `u` and a unique password, in base64.
fn attempt(number: usize) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let letters = [18, 12, 6, 0].map(|shift| char::from(DIGITS[number >> shift & 63]));
    let password: String = letters.iter().collect();
    format!("GET /file HTTP/1.1\r\nHost: x\r\nAuthorization: Basic dTpw{password}\r\n\r\n")
}

/// Sends attempts until told to end, and counts each answer.
fn flood(client: &mut Client, next: &AtomicUsize, answered: &AtomicUsize, over: &AtomicBool) {
    client.stream().set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    while !over.load(SeqCst) {
        client.send(attempt(next.fetch_add(1, SeqCst)));
        let answer = client.answer("GET");
        assert!(matches!(answer.status, 401 | 503), "{}", answer.head);
        answered.fetch_add(1, SeqCst);
    }
}

#[test]
fn a_flood_of_attempts_from_one_address_lets_others_be_next() {
    let _alone = alone();
    let tree = Tree::new();
    tree.file("file", "content");
    tree.file(".htpasswd", format!("u:$6$rounds=30000$saltsalt${}\n", ".".repeat(86)));
    let server = Server::start(&tree, &[]);
    let slots = (thread::available_parallelism().map_or(2, NonZero::get) / 2).max(1);
    let (next, answered, over) = (AtomicUsize::new(FIRST), AtomicUsize::new(0), AtomicBool::new(false));
    let mut before_us = Vec::new();
    thread::scope(|scope| {
        for _ in 0..20 * slots {
            let mut client = connect_from(Ipv4Addr::new(127, 0, 0, 2), &server);
            let (next, answered, over) = (&next, &answered, &over);
            scope.spawn(move || flood(&mut client, next, answered, over));
        }
        let begun = Instant::now();
        while answered.load(SeqCst) < 2 * slots {
            assert!(begun.elapsed() < Duration::from_secs(60), "nobody is answered");
            thread::sleep(Duration::from_millis(5));
        }
        for _ in 0..ATTEMPTS {
            let mut honest = server.connect();
            honest.stream().set_read_timeout(Some(Duration::from_secs(120))).unwrap();
            let before = answered.load(SeqCst);
            honest.send(attempt(next.fetch_add(1, SeqCst)));
            assert_eq!(honest.answer("GET").status, 401);
            before_us.push(answered.load(SeqCst) - before);
        }
        over.store(true, SeqCst);
    });
    // In each slot, one attempt was in progress and one came first; another may have been answered and not
    // counted yet. Without a fair queue, a dozen would pass on average.
    let total: usize = before_us.iter().sum();
    let most = ATTEMPTS * (3 * slots + 1);
    assert!(total <= most, "{before_us:?} of the flood were answered before us, {most} in all are allowed");
}
