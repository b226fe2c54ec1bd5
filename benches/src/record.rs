//! Measured values as they came, before any median.

use std::time::Duration;

use serde_json::{Value, json};

use crate::load::tally::Tally;
use crate::server::usage::Memory;

/// A relay that is this busy holds requests back longer than it should.
const HALF: f64 = 0.5;

/// One server under one workload in one round.
#[derive(Clone, Debug, Default)]
pub struct Sample {
    /// Requests per second; in bulk workloads, bodies' worth of bytes.
    pub requests_per_second: f64,
    /// 10^6 bytes of bodies per second.
    pub megabytes_per_second: f64,
    /// Half of the requests took no longer, in milliseconds.
    pub p50: f64,
    /// 99 of 100 requests took no longer, in milliseconds.
    pub p99: f64,
    /// 999 of 1000 requests took no longer, in milliseconds.
    pub p999: f64,
    /// The longest request, in milliseconds.
    pub longest: f64,
    /// Processor time of the server's processes in microseconds a request (milliseconds a thousand).
    pub server_cpu: f64,
    /// How often one of the server's threads went to sleep, a request.
    pub sleeps: f64,
    /// Processor time of the load generator in microseconds a request.
    pub client_cpu: f64,
    /// Which part of its threads' time the load generator was busy, 0 to 1.
    pub client_busy: f64,
    /// Which part of its processor's time the relay was busy, 0 to 1; no number without a relay.
    pub relay_busy: f64,
    /// Which part of the machine's processor time others took, 0 to 1.
    pub others: f64,
    /// The server's memory at the end of the window, all connections open.
    pub memory: Memory,
    /// Answers that were wrong or did not come.
    pub faults: u64,
    /// The first of them in words.
    pub first_fault: Option<String>,
    /// Keep-alive connections the server ended early.
    pub reopened: u64,
    /// Connections that were held: as the workload says, or what the descriptor limit allows.
    pub held: usize,
    /// Held connections the server ended.
    pub lost: usize,
}

impl Sample {
    /// From the generator's counts and the server's processor time in the window. `requests` are
    /// those counted, or what the bytes amount to.
    pub fn new(tally: &Tally, requests: f64, threads: usize, server_cpu: Duration) -> Self {
        let elapsed = tally.elapsed.as_secs_f64();
        let milliseconds = |duration: Duration| duration.as_secs_f64() * 1e3;
        let each = |cpu: Duration| cpu.as_secs_f64() * 1e6 / requests;
        Self {
            requests_per_second: requests / elapsed,
            megabytes_per_second: tally.body_bytes as f64 / 1e6 / elapsed,
            p50: milliseconds(tally.latency.percentile(0.5)),
            p99: milliseconds(tally.latency.percentile(0.99)),
            p999: milliseconds(tally.latency.percentile(0.999)),
            longest: milliseconds(tally.latency.longest()),
            server_cpu: each(server_cpu),
            sleeps: f64::NAN,
            client_cpu: each(tally.cpu),
            client_busy: tally.cpu.as_secs_f64() / elapsed / threads as f64,
            relay_busy: f64::NAN,
            others: f64::NAN,
            memory: Memory::default(),
            faults: tally.faults,
            first_fault: tally.first_fault.clone(),
            reopened: tally.reopened,
            held: 0,
            lost: 0,
        }
    }

    /// Whether the relay was so busy that it held requests back longer than it should.
    pub fn relay_overloaded(&self) -> bool {
        self.relay_busy > HALF
    }

    /// For the JSON file.
    pub fn to_json(&self) -> Value {
        json!({
            "requests_per_second": self.requests_per_second,
            "megabytes_per_second": self.megabytes_per_second,
            "p50_ms": self.p50,
            "p99_ms": self.p99,
            "p999_ms": self.p999,
            "max_ms": self.longest,
            "server_cpu_ms_per_1000": self.server_cpu,
            "server_sleeps_per_request": self.sleeps,
            "client_cpu_ms_per_1000": self.client_cpu,
            "client_busy": self.client_busy,
            "relay_busy": self.relay_busy,
            "relay_overloaded": self.relay_overloaded(),
            "others_busy": self.others,
            "rss_kib": self.memory.resident,
            "pss_kib": self.memory.proportional,
            "faults": self.faults,
            "first_fault": self.first_fault,
            "reopened": self.reopened,
            "held": self.held,
            "held_lost": self.lost,
        })
    }
}

/// A start of one server in one round.
#[derive(Clone, Debug, Default)]
pub struct Start {
    /// From before `exec` to the last byte of the first answer, in milliseconds.
    pub first_answer: f64,
    /// Memory after that one request.
    pub memory: Memory,
}

/// System calls of one server under one workload, each per request.
#[derive(Clone, Debug, Default)]
pub struct Calls {
    /// All together.
    pub total: f64,
    /// By name, most frequent first.
    pub by_name: Vec<(String, f64)>,
}

/// Measurements of one kind: of each server, by round, `None` where one failed.
#[derive(Clone, Debug)]
pub struct Series<T> {
    /// Indexed by server, then by round.
    pub values: Vec<Vec<Option<T>>>,
}

impl<T> Series<T> {
    /// Nothing yet, of so many servers.
    pub fn of(servers: usize) -> Self {
        Self { values: (0..servers).map(|_| Vec::new()).collect() }
    }

    /// One figure of a server, by round.
    pub fn figures(&self, server: usize, figure: impl Fn(&T) -> f64) -> Vec<Option<f64>> {
        self.values[server].iter().map(|value| value.as_ref().map(&figure)).collect()
    }
}
