//! Counts of one thread of the load generator within the measured window.

use std::time::{Duration, Instant};

use super::head::Fault;
use super::histogram::Histogram;

/// Counts of one thread, or of all of them after [`Tally::merge`].
#[derive(Clone, Default)]
pub struct Tally {
    /// Responses that came whole and right.
    pub responses: u64,
    /// Bytes of bodies, those of unfinished responses included.
    pub body_bytes: u64,
    /// Time from the request's first byte (or the connection's start) to the response's last.
    pub latency: Histogram,
    /// Answers that were wrong or did not come.
    pub faults: u64,
    /// The first of them in words.
    pub first_fault: Option<String>,
    /// Keep-alive connections that the server ended between two requests, and that were made anew.
    pub reopened: u64,
    /// Time counted in: the window, or less if the thread came to its last request before.
    pub elapsed: Duration,
    /// Processor time the generator itself took, user and system.
    pub cpu: Duration,
}

impl Tally {
    /// Counts a wrong answer.
    pub fn fault(&mut self, fault: &Fault) {
        self.faults += 1;
        self.first_fault.get_or_insert_with(|| fault.to_string());
    }

    /// Adds what another thread counted.
    pub fn merge(&mut self, other: Self) {
        self.responses += other.responses;
        self.body_bytes += other.body_bytes;
        self.latency.merge(&other.latency);
        self.faults += other.faults;
        self.first_fault = self.first_fault.take().or(other.first_fault);
        self.reopened += other.reopened;
        self.elapsed = self.elapsed.max(other.elapsed);
        self.cpu += other.cpu;
    }
}

/// The measured stretch of a run: what happens before it only warms up.
#[derive(Clone, Copy)]
pub struct Window {
    /// When counting begins.
    pub start: Instant,
    /// When everything ends.
    pub end: Instant,
}
