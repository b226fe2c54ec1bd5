//! The load generator: a plan in, counts out.
//!
//! Non-blocking sockets and one edge-triggered epoll set per thread, requests built beforehand, no
//! pipelining: each connection has one request under way at a time. The next one follows the answer (a
//! closed loop), or comes when a pace says so (an open loop, whose latencies count from that moment).
//! Bodies that do not fit the buffer are discarded in the kernel, counted but not copied. The caller is
//! told when the measured window starts and ends, so that it can read the server's clocks at the same
//! moments.

mod connection;
mod driver;
pub mod head;
pub mod histogram;
mod pace;
pub mod tally;
pub mod wrk;

use std::net::SocketAddrV4;
use std::sync::{Barrier, OnceLock};
use std::thread;
use std::time::{Duration, Instant};

use driver::Driver;
use head::Exchange;
use tally::{Tally, Window};

use crate::Result;

/// How long a connection lives.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Lifetime {
    /// For the whole run, one request after the other.
    KeepAlive,
    /// For one request; it counts when the server has ended the connection.
    OneRequest,
}

/// Load: the requests, the server, the number of connections, the pace and the time.
pub struct Plan<'a> {
    /// The server.
    pub address: SocketAddrV4,
    /// Requests, chosen evenly at random.
    pub exchanges: &'a [Exchange],
    /// Connections open at a time.
    pub connections: usize,
    /// Threads that share them.
    pub threads: usize,
    /// Use of a connection after a response.
    pub lifetime: Lifetime,
    /// Requests a second, at random moments; without it each answer brings the next request.
    pub rate: Option<f64>,
    /// Whether a thread with a rate sleeps until the next request is due. Otherwise it polls all the
    /// time, which is more precise and takes a whole processor.
    pub sleeps: bool,
    /// Time before counting starts.
    pub warm_up: Duration,
    /// Time that counts.
    pub duration: Duration,
    /// Requests after which a thread stops before its time.
    pub most_requests: u64,
}

/// Which end of the measured window has come.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Moment {
    /// Counting starts now.
    Start,
    /// Counting has ended; all connections are still open.
    End,
}

/// The next of a row of random numbers; none of them is zero.
const fn xorshift(mut number: u64) -> u64 {
    number ^= number << 13;
    number ^= number >> 7;
    number ^ (number << 17)
}

/// Where the generator's threads and the observer meet.
struct Meeting {
    /// All connections are open.
    connected: Barrier,
    /// The window is set.
    agreed: Barrier,
    /// The observer has looked; connections may close.
    observed: Barrier,
    window: OnceLock<Window>,
}

impl Meeting {
    fn of(threads: usize) -> Self {
        let barrier = || Barrier::new(threads + 1);
        Self { connected: barrier(), agreed: barrier(), observed: barrier(), window: OnceLock::new() }
    }

    /// Measured window; the first thread that asks fixes it.
    fn window(&self, plan: &Plan) -> Window {
        *self.window.get_or_init(|| {
            let start = Instant::now() + plan.warm_up;
            Window { start, end: start + plan.duration }
        })
    }
}

/// Runs the plan and returns what all threads counted together.
///
/// # Errors
/// A thread could not open its connections, or `observe` failed.
pub fn run(plan: &Plan, observe: impl FnMut(Moment) -> Result<()>) -> Result<Tally> {
    let threads = plan.threads.clamp(1, plan.connections.max(1));
    let meeting = Meeting::of(threads);
    thread::scope(|scope| {
        let workers: Vec<_> = (0..threads)
            .map(|index| {
                let share = plan.connections / threads + usize::from(index < plan.connections % threads);
                let meeting = &meeting;
                scope.spawn(move || drive(plan, share, index, meeting))
            })
            .collect();
        let seen = watch(plan, &meeting, observe);
        let mut total = Tally::default();
        for worker in workers {
            total.merge(worker.join().map_err(|_| "a load thread panicked")??);
        }
        seen.map(|()| total)
    })
}

/// One thread's part. It keeps every appointment even if it failed, or the others would wait for ever.
fn drive(plan: &Plan, connections: usize, seed: usize, meeting: &Meeting) -> Result<Tally> {
    let opened = Driver::open(plan, connections, seed);
    meeting.connected.wait();
    meeting.agreed.wait();
    let done = opened.and_then(|mut driver| driver.run(meeting.window(plan)).map(|()| driver));
    meeting.observed.wait();
    done.map(Driver::into_tally)
}

/// The observer's part: fixes the window and looks at both of its ends.
fn watch(plan: &Plan, meeting: &Meeting, mut observe: impl FnMut(Moment) -> Result<()>) -> Result<()> {
    meeting.connected.wait();
    let window = meeting.window(plan);
    meeting.agreed.wait();
    let mut look = |at: Instant, moment| {
        thread::sleep(at.saturating_duration_since(Instant::now()));
        observe(moment)
    };
    let seen = look(window.start, Moment::Start).and_then(|()| look(window.end, Moment::End));
    meeting.observed.wait();
    seen
}

#[cfg(test)]
mod tests;
