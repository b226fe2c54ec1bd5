//! The generator against servers that answer rightly, wrongly, in pieces or not at all.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::thread;
use std::time::Duration;

use super::*;
use crate::tree::Page;

const RIGHT: &[&[u8]] = &[b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"];
const IN_PIECES: &[&[u8]] = &[b"HTTP/1.1 200 OK\r\nContent-Le", b"ngth: 5\r\n\r\nhe", b"llo"];
const TOO_SHORT: &[&[u8]] = &[b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nhell"];
const SURPLUS: &[&[u8]] = &[b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello, world"];
const NOT_FOUND: &[&[u8]] = &[b"HTTP/1.1 404 Not Found\r\nContent-Length: 5\r\n\r\nhello"];

/// A server that sends these pieces for every request, and after `closes_after` of them the end.
fn server(pieces: &'static [&'static [u8]], closes_after: usize) -> SocketAddrV4 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let SocketAddr::V4(address) = listener.local_addr().unwrap() else { panic!("not IPv4") };
    thread::spawn(move || {
        for stream in listener.incoming() {
            let stream = stream.unwrap();
            thread::spawn(move || converse(stream, pieces, closes_after));
        }
    });
    address
}

fn converse(mut stream: TcpStream, pieces: &[&[u8]], closes_after: usize) {
    stream.set_nodelay(true).unwrap();
    let mut request = [0; 1024];
    for _ in 0..closes_after {
        if !matches!(stream.read(&mut request), Ok(1..)) {
            return;
        }
        for piece in pieces {
            if stream.write_all(piece).is_err() {
                return;
            }
            thread::yield_now();
        }
    }
}

fn load(address: SocketAddrV4, connections: usize, lifetime: Lifetime) -> Tally {
    load_with(address, connections, lifetime, None)
}

/// 500 requests a second.
fn load_paced(address: SocketAddrV4, connections: usize, sleeps: bool) -> Tally {
    load_with(address, connections, Lifetime::KeepAlive, Some(sleeps))
}

fn load_with(address: SocketAddrV4, connections: usize, lifetime: Lifetime, pace: Option<bool>) -> Tally {
    let (rate, sleeps) = (pace.map(|_| 500.0), pace.unwrap_or_default());
    let exchange = Exchange::of(&Page { target: "/".to_owned(), size: 5 });
    let plan = Plan {
        address,
        exchanges: &[exchange],
        connections,
        threads: 2,
        lifetime,
        rate,
        sleeps,
        warm_up: Duration::ZERO,
        duration: Duration::from_millis(200),
        most_requests: 100_000,
    };
    run(&plan, |_| Ok(())).unwrap()
}

#[test]
fn right_answers_count_with_their_bytes_and_latencies() {
    for connections in [1, 2, 7] {
        let tally = load(server(RIGHT, usize::MAX), connections, Lifetime::KeepAlive);
        assert_eq!(tally.faults, 0, "{:?}", tally.first_fault);
        assert!(tally.responses > 0, "{}", tally.responses);
        assert_eq!(tally.body_bytes, tally.responses * 5);
        assert!(tally.latency.percentile(0.5) > Duration::ZERO);
        assert!(tally.cpu > Duration::ZERO);
    }
}

#[test]
fn a_pace_bounds_the_rate_and_idle_connections_count_for_nothing() {
    for (connections, sleeps) in [(1, false), (7, false), (1, true), (7, true)] {
        let tally = load_paced(server(RIGHT, usize::MAX), connections, sleeps);
        assert_eq!(tally.faults, 0, "{:?}", tally.first_fault);
        // A hundred in the fifth of a second that is measured, or fewer where the machine is busy.
        assert!((1..150).contains(&tally.responses), "{}", tally.responses);
        assert_eq!(tally.reopened, 0);
    }
}

#[test]
fn a_paced_thread_that_sleeps_leaves_the_processor_to_others() {
    let sleeping = load_paced(server(RIGHT, usize::MAX), 4, true);
    assert!(sleeping.cpu < sleeping.elapsed / 2, "{:?} of {:?}", sleeping.cpu, sleeping.elapsed);
}

#[test]
fn a_pace_goes_on_over_connections_that_end() {
    let tally = load_paced(server(RIGHT, 3), 4, false);
    assert_eq!(tally.faults, 0, "{:?}", tally.first_fault);
    assert!(tally.reopened > 0);
    assert!((1..150).contains(&tally.responses), "{}", tally.responses);
}

#[test]
fn answers_may_come_in_pieces() {
    let tally = load(server(IN_PIECES, usize::MAX), 4, Lifetime::KeepAlive);
    assert_eq!(tally.faults, 0, "{:?}", tally.first_fault);
    assert!(tally.responses > 0, "{}", tally.responses);
}

#[test]
fn a_connection_for_one_request_counts_at_its_end() {
    for pieces in [RIGHT, IN_PIECES] {
        let tally = load(server(pieces, 1), 4, Lifetime::OneRequest);
        assert_eq!(tally.faults, 0, "{:?}", tally.first_fault);
        assert!(tally.responses > 0, "{}", tally.responses);
    }
}

#[test]
fn a_server_that_keeps_a_connection_it_should_end_serves_nothing() {
    let tally = load(server(RIGHT, usize::MAX), 4, Lifetime::OneRequest);
    assert_eq!(tally.responses, 0);
    assert!(tally.latency.longest() >= Duration::from_millis(100));
}

#[test]
fn wrong_answers_are_faults_and_do_not_count() {
    for pieces in [TOO_SHORT, SURPLUS, NOT_FOUND] {
        let tally = load(server(pieces, usize::MAX), 4, Lifetime::KeepAlive);
        assert!(tally.faults > 0);
        assert_eq!(tally.responses, 0, "{:?}", tally.first_fault);
    }
}

#[test]
fn a_persistent_connection_ended_between_requests_is_made_anew() {
    let tally = load(server(RIGHT, 3), 2, Lifetime::KeepAlive);
    assert_eq!(tally.faults, 0, "{:?}", tally.first_fault);
    assert!(tally.reopened > 0);
    assert!(tally.responses > tally.reopened);
}

#[test]
fn a_thread_stops_at_the_most_requests_it_may_send() {
    let exchange = Exchange::of(&Page { target: "/".to_owned(), size: 5 });
    let plan = Plan {
        address: server(RIGHT, usize::MAX),
        exchanges: &[exchange],
        connections: 4,
        threads: 1,
        lifetime: Lifetime::KeepAlive,
        rate: None,
        sleeps: false,
        warm_up: Duration::ZERO,
        duration: Duration::from_millis(2000),
        most_requests: 50,
    };
    let tally = run(&plan, |_| Ok(())).unwrap();
    assert!((50..54).contains(&tally.responses), "{}", tally.responses);
    assert!(tally.elapsed < Duration::from_millis(2000));
}
