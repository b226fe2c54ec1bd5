//! Thousands of throttled downloads hold no worker.

use std::io::{ErrorKind, Read};
use std::time::{Duration, Instant};

use nix::sys::resource::{Resource, getrlimit, setrlimit};

use super::{Download, patiently, seconds, serve, within};
use crate::support::{Server, alone, eventually};

const CROWD: usize = 2000;

/// Times of `count` requests for a small file, each on a connection of its own.
fn times(server: &Server, count: usize) -> Vec<Duration> {
    let request = || {
        let begin = Instant::now();
        let answer = server.connect().get("/small.txt");
        assert_eq!(answer.body, b"small");
        begin.elapsed()
    };
    (0..count).map(|_| request()).collect()
}

/// Median and 99th percentile, in seconds.
fn marks(mut times: Vec<Duration>) -> (f64, f64) {
    times.sort();
    (times[times.len() / 2].as_secs_f64(), times[times.len() * 99 / 100].as_secs_f64())
}

/// Bytes that have arrived so far.
fn arrived(download: &mut Download) -> usize {
    let mut bytes = 0;
    let mut buffer = [0; 64 * 1024];
    download.stream.set_nonblocking(true).unwrap();
    loop {
        match download.stream.read(&mut buffer) {
            Ok(0) => panic!("a download of the crowd was cut off"),
            Ok(n) => bytes += n,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return bytes,
            Err(error) => panic!("{error}"),
        }
    }
}

/// Requests beside a crowd, and the same without one before and after.
///
/// A crowd of an earlier try has left first: the server hears of a closed download at that one's next turn.
fn compare(server: &Server, rate: f64) -> Result<(), String> {
    eventually("an earlier crowd has left", || server.descriptors() < 100);
    let mut alone = times(server, 2000);
    let begin = Instant::now();
    let mut crowd: Vec<_> = (0..CROWD).map(|_| Download::begin(server, "/a.bin")).collect();
    // At 500 B/s each a turn takes 2 s to come round: everyone has had one, and waits for the next.
    std::thread::sleep((begin + seconds(4.5)).saturating_duration_since(Instant::now()));
    let beside = times(server, 2000);
    let bytes: Vec<usize> = crowd.iter_mut().map(arrived).collect();
    let length = begin.elapsed().as_secs_f64();
    drop(crowd);
    alone.extend(times(server, 2000));

    let total = bytes.iter().sum::<usize>() as f64;
    assert!(total <= rate * (length + 0.25), "{total} bytes in {length} s");
    let starved = bytes.iter().filter(|&&n| n == 0).count();
    assert_eq!(starved, 0, "downloads of {CROWD} got nothing in {length:.1} s");
    within(total, rate * length, 5.0)?;

    // One paused download that held a worker would cost the others seconds, not parts.
    let (alone, beside) = (marks(alone), marks(beside));
    if beside.0 > alone.0 * 1.5 || beside.1 > alone.1 * 3.0 {
        return Err(format!("median and 99 of 100 in {beside:.6?} s instead of {alone:.6?} s"));
    }
    Ok(())
}

#[test]
fn two_thousand_throttled_downloads_do_not_slow_down_other_requests() {
    let _alone = alone();
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
    setrlimit(Resource::RLIMIT_NOFILE, soft.max(hard.min(8192)), hard).unwrap();
    let (tree, server) = serve("**.bin 1000000\n", &["a.bin"]);
    tree.file("small.txt", "small");
    times(&server, 200);
    patiently(|| compare(&server, 1_000_000.0));
}
