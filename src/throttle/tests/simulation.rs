//! Simulation of the server and its clients around real pacers, with a clock of its own.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::rules::Name;
use crate::rules::Pattern;
use crate::throttle::{Allowance, Each, Pacer, Rate, Throttles};

/// Rate in thttpd's form without a minimum.
pub fn rule(pattern: &str, max: u64) -> Rate {
    Rate { pattern: Pattern::relative(pattern), each: Each::Rule, min: 0, max }
}

/// Address of client `n`, different for each.
pub fn peer(n: usize) -> SocketAddr {
    (Ipv4Addr::from_bits(0x0a00_0000 + n as u32), 40_000).into()
}

pub fn seconds(s: f64) -> Duration {
    Duration::from_secs_f64(s)
}

/// Download in the simulation.
#[derive(Debug, Clone, Copy)]
pub struct Download {
    pub name: &'static str,
    pub begins: f64,
    /// Time at which its client disconnects.
    pub ends: f64,
    /// Rate in bytes a second at which its client reads, through a socket buffer of `BUFFER` bytes.
    pub reads: f64,
}

impl Download {
    pub fn of(name: &'static str) -> Download {
        Download { name, begins: 0.0, ends: f64::INFINITY, reads: f64::INFINITY }
    }
}

const BUFFER: f64 = 4096.0;

/// Bytes sent with time and download, and the number of wake-ups.
#[derive(Debug, Default)]
pub struct Outcome {
    pub sends: Vec<(f64, usize, u64)>,
    pub wakes: usize,
}

impl Outcome {
    /// Bytes of download `who` in the seconds `from..to`.
    pub fn bytes(&self, who: usize, from: f64, to: f64) -> f64 {
        self.sum(from, to, |w| w == who)
    }

    /// Bytes of all downloads in the seconds `from..to`.
    pub fn total(&self, from: f64, to: f64) -> f64 {
        self.sum(from, to, |_| true)
    }

    fn sum(&self, from: f64, to: f64, counts: impl Fn(usize) -> bool) -> f64 {
        let within = self.sends.iter().filter(|&&(at, who, _)| at >= from && at < to && counts(who));
        within.map(|&(_, _, bytes)| bytes as f64).sum()
    }
}

/// Runs `downloads` for `length` seconds; `late` is the delay of the `n`th wake-up in seconds.
pub fn run(
    throttles: &Arc<Throttles>,
    downloads: &[Download],
    length: f64,
    mut late: impl FnMut(usize) -> f64,
) -> Outcome {
    let start = Instant::now();
    let at = |s: f64| start + seconds(s);
    let mut outcome = Outcome::default();
    let mut pacers: Vec<Option<Box<Pacer>>> = downloads.iter().map(|_| None).collect();
    let mut buffered: Vec<(f64, f64)> = downloads.iter().map(|d| (0.0, d.begins)).collect();
    let mut events: BinaryHeap<Reverse<(Duration, usize)>> = BinaryHeap::new();
    for (who, download) in downloads.iter().enumerate() {
        events.push(Reverse((seconds(download.begins), who)));
    }
    while let Some(Reverse((when, who))) = events.pop() {
        let now = when.as_secs_f64();
        let download = downloads[who];
        if now > length {
            break;
        }
        if now >= download.ends {
            pacers[who] = None;
            continue;
        }
        let pacer = pacers[who].get_or_insert_with(|| {
            throttles.admit(&Name::plain(download.name.as_bytes()), peer(who)).unwrap().unwrap()
        });
        outcome.wakes += 1;
        let next = loop {
            let n = match pacer.allowance(at(now)) {
                Allowance::Until(moment) => break (moment - start).as_secs_f64() + late(outcome.wakes),
                Allowance::Bytes(n) => n,
            };
            assert!(n > 0, "an allowance of nothing");
            let (held, since) = buffered[who];
            let held = (held - (now - since) * download.reads).max(0.0);
            let room = if download.reads.is_finite() { (BUFFER - held) as u64 } else { u64::MAX };
            let sent = n.min(room);
            buffered[who] = (held + sent as f64, now);
            pacer.sent(sent, at(now));
            if sent > 0 {
                outcome.sends.push((now, who, sent));
            }
            if sent < n {
                // A socket is writable again when a quarter of its buffer is free.
                break now + BUFFER / 4.0 / download.reads;
            }
        };
        events.push(Reverse((seconds(next.max(now).min(download.ends.max(now))), who)));
    }
    outcome
}

/// Maximum over all intervals of the bytes sent beyond `rate × t`.
pub fn excess(sends: impl IntoIterator<Item = (f64, u64)>, rate: f64) -> f64 {
    let (mut level, mut last, mut worst) = (0.0_f64, 0.0, 0.0_f64);
    for (at, bytes) in sends {
        level = (level - (at - last) * rate).max(0.0) + bytes as f64;
        last = at;
        worst = worst.max(level);
    }
    worst
}
