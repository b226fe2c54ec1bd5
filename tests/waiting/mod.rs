//! Waiting connections: each holds a descriptor and a little memory, but no worker.
//!
//! Latency is compared with that of the server without waiting connections, in one test on one machine.
//! Disturbances can only make the result worse, so that a failed comparison is repeated.

use std::net::TcpStream;
use std::time::{Duration, Instant};

use nix::sys::resource::{Resource, getrlimit, setrlimit};

use crate::support::{Client, Server, alone};

mod deadlines;
mod drain;
mod eager;
mod idle;
mod memory;
mod passwords;
mod rates;
pub mod slow_readers;
mod stalled;
mod trickled;

/// Number of connections, at most `wanted`, that this process may hold after raising its limit.
pub fn affordable(wanted: usize) -> usize {
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
    let _ = setrlimit(Resource::RLIMIT_NOFILE, hard, hard);
    let most = usize::try_from(hard).unwrap_or(usize::MAX);
    // The server needs its descriptors too, a sixteenth of them for files; we, some for other tests.
    let fit = (most - most / 16).saturating_sub(500);
    if fit < wanted {
        eprintln!("only {fit} connections of {wanted}: the descriptor limit is {hard}");
    }
    wanted.min(fit)
}

/// The slowest but a hundredth of 400 requests, each on a connection of its own.
fn p99(server: &Server, target: &str) -> Duration {
    let mut taken: Vec<Duration> = (0..400)
        .map(|_| {
            let began = Instant::now();
            let answer = server.connect().get(target);
            assert_eq!(answer.status, 200);
            began.elapsed()
        })
        .collect();
    taken.sort_unstable();
    taken[taken.len() - taken.len() / 100]
}

/// Latency with a crowd is within this factor of the unloaded one, and never worse than that of a
/// machine on which this little is noise.
const FACTOR: u32 = 4;
const NOISE: Duration = Duration::from_millis(3);

/// Measures small requests now against `unloaded`, a few times if need be.
fn assert_unhindered(server: &Server, target: &str, unloaded: Duration) {
    let bound = (unloaded * FACTOR).max(NOISE);
    let loaded: Vec<Duration> = (0..5).map(|_| p99(server, target)).collect();
    assert!(loaded.iter().any(|&p99| p99 <= bound), "p99 {unloaded:?} before, {loaded:?} now");
}

/// `count` connections that have each been served `target` and wait for nothing.
pub fn idle_clients(server: &Server, count: usize, target: &str) -> Vec<TcpStream> {
    let served = |_| {
        let mut client = server.connect();
        assert_eq!(client.get(target).status, 200);
        client.into_stream()
    };
    (0..count).map(served).collect()
}

/// `count` connections that have sent `head`, whole or not.
pub fn clients_that_sent(server: &Server, count: usize, head: &str) -> Vec<Client> {
    let sent = |_| {
        let mut client = server.connect();
        client.send(head);
        client
    };
    (0..count).map(sent).collect()
}
