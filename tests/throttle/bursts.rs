//! Bursts: a rule lets through at most its rate, plus the bytes of a quarter second.
//!
//! Times are the kernel's, taken on the arrival of each packet, so that a late reader measures exactly too.

use std::io::{IoSliceMut, Write};
use std::net::{TcpStream, UdpSocket};
use std::os::fd::{AsFd, AsRawFd};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::sockopt::ReceiveTimestampns;
use nix::sys::socket::{ControlMessageOwned, MsgFlags, RecvMsg, recvmsg, setsockopt};
use nix::sys::time::TimeSpec;

use super::{seconds, serve_with};
use crate::support::{Server, alone, eventually};

const RATE: f64 = 40_000.0;
const CLIENTS: usize = 200;

/// A socket that keeps the kernel's stamping of packets switched on, which begins some time after the first
/// socket has asked for that.
fn stamping() -> UdpSocket {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.connect(socket.local_addr().unwrap()).unwrap();
    setsockopt(&socket, ReceiveTimestampns, &true).unwrap();
    eventually("packets are stamped", || {
        socket.send(b"x").unwrap();
        let mut control = nix::cmsg_space!(TimeSpec);
        let mut byte = [0];
        let mut pieces = [IoSliceMut::new(&mut byte)];
        let got = recvmsg::<()>(socket.as_raw_fd(), &mut pieces, Some(&mut control), MsgFlags::empty());
        stamp(&got.unwrap()).is_some()
    });
    socket
}

/// Moment at which the kernel has received a packet.
fn stamp<S>(message: &RecvMsg<'_, '_, S>) -> Option<Duration> {
    message.cmsgs().unwrap().find_map(|one| match one {
        ControlMessageOwned::ScmTimestampns(moment) => Some(Duration::from(moment)),
        _ => None,
    })
}

/// Moment and bytes of each packet that arrives, for `CLIENTS` connections that send `requests` at once.
fn packets(server: &Server, requests: &str, length: f64) -> Vec<(Duration, usize)> {
    let connect = |_| {
        let stream = TcpStream::connect(server.address()).unwrap();
        setsockopt(&stream, ReceiveTimestampns, &true).unwrap();
        stream.set_nonblocking(true).unwrap();
        stream
    };
    let mut clients: Vec<TcpStream> = (0..CLIENTS).map(connect).collect();
    clients.iter_mut().for_each(|client| client.write_all(requests.as_bytes()).unwrap());
    let end = Instant::now() + seconds(length);
    let mut packets = Vec::new();
    while Instant::now() < end && !clients.is_empty() {
        let mut ready: Vec<_> =
            clients.iter().map(|one| PollFd::new(one.as_fd(), PollFlags::POLLIN)).collect();
        poll(&mut ready, PollTimeout::from(100_u8)).unwrap();
        let ready: Vec<bool> = ready.iter().map(|one| one.any() == Some(true)).collect();
        let mut at = 0;
        clients.retain(|client| {
            at += 1;
            !ready[at - 1] || receive(client, &mut packets)
        });
    }
    packets.sort_unstable();
    packets
}

/// Notes what has arrived; false at the end of the connection.
fn receive(client: &TcpStream, packets: &mut Vec<(Duration, usize)>) -> bool {
    let mut bytes = [0; 16 * 1024];
    let mut control = nix::cmsg_space!(TimeSpec);
    let mut pieces = [IoSliceMut::new(&mut bytes)];
    match recvmsg::<()>(client.as_raw_fd(), &mut pieces, Some(&mut control), MsgFlags::empty()) {
        Err(Errno::EAGAIN) => true,
        Err(error) => panic!("{error}"),
        Ok(message) if message.bytes == 0 => false,
        Ok(message) => {
            packets.push((stamp(&message).expect("a packet's moment"), message.bytes));
            true
        }
    }
}

/// The most bytes by which any stretch of time carried more than the rate.
fn excess(packets: &[(Duration, usize)]) -> f64 {
    let (mut level, mut last, mut worst) = (0.0_f64, packets[0].0, 0.0_f64);
    for &(at, bytes) in packets {
        level = (level - (at - last).as_secs_f64() * RATE).max(0.0) + bytes as f64;
        last = at;
        worst = worst.max(level);
    }
    worst
}

/// All of `requests` on each of the connections: no burst, and responses all the same.
fn keeps_to_the_rule(requests: &str, length: f64) {
    let _alone = alone();
    let (tree, server) = serve_with(&["-c", "**.cgi"], "** 40000\n", &["a.bin"]);
    tree.file("small.txt", "small");
    tree.file("broken.cgi", "#!/bin/sh\nexit 1\n");
    tree.mode("broken.cgi", 0o755);
    let _stamping = stamping();
    let packets = packets(&server, requests, length);
    let total: usize = packets.iter().map(|&(_, bytes)| bytes).sum();
    assert!(total as f64 > RATE, "only {total} bytes");
    // A packet is stamped some microseconds after it left.
    let worst = excess(&packets);
    assert!(worst <= RATE / 4.0 * 1.02, "{worst:.0} bytes more than the rate, {} are allowed", RATE / 4.0);
}

/// `count` requests for `target` in a row.
fn requests(method: &str, target: &str, field: &str, count: usize) -> String {
    format!("{method} {target} HTTP/1.1\r\nHost: x\r\n{field}\r\n").repeat(count)
}

#[test]
fn downloads_that_start_at_once() {
    keeps_to_the_rule(&requests("GET", "/a.bin", "", 1), 5.0);
}

#[test]
fn small_files_that_are_sent_with_their_heads() {
    keeps_to_the_rule(&requests("GET", "/small.txt", "", 20), 4.0);
}

#[test]
fn heads_without_content() {
    keeps_to_the_rule(&requests("HEAD", "/a.bin", "", 20), 4.0);
    keeps_to_the_rule(&requests("GET", "/a.bin", "If-None-Match: *\r\n", 20), 4.0);
}

#[test]
fn pages_that_say_that_there_is_nothing() {
    keeps_to_the_rule(&requests("GET", "/none", "", 20), 4.0);
}

#[test]
fn pages_that_say_that_a_script_failed() {
    keeps_to_the_rule(&requests("GET", "/broken.cgi", "", 1), 4.0);
}
