//! One thread of the load generator: waits for its connections and moves each one on.

use std::collections::VecDeque;
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, ppoll};
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use nix::sys::prctl;
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::{TimeSpec, TimeValLike};

use super::connection::{Connection, Received, Stage};
use super::head::{Fault, Shape};
use super::pace::Pace;
use super::tally::{Tally, Window};
use super::{Lifetime, Plan};
use crate::Result;

/// Bytes received at a time; what is discarded costs no copy, so it may be large.
const BUFFER: usize = 256 * 1024;
/// Events taken at a time.
const EVENTS: usize = 256;
/// How often a thread without events looks at the clock.
const TICK: Duration = Duration::from_millis(20);
/// How late the kernel may wake a thread that sleeps until a request is due, in nanoseconds.
const TIMER_SLACK: u64 = 1;
/// After so many faults a run means nothing, and going on would only burn the machine.
const MOST_FAULTS: u64 = 10_000;

/// A thread's connections and counts.
pub struct Driver<'a> {
    plan: &'a Plan<'a>,
    epoll: Epoll,
    /// `None` where a connection broke and could not be made anew.
    connections: Vec<Option<Connection>>,
    /// Known form of each exchange's response head.
    shapes: Vec<Shape>,
    buffer: Vec<u8>,
    tally: Tally,
    /// When requests are due, and the connections that have none under way, the longest idle first.
    pace: Option<Pace>,
    free: VecDeque<usize>,
    random: u64,
    requests_left: u64,
}

impl<'a> Driver<'a> {
    /// Opens the connections; no request is sent yet.
    ///
    /// # Errors
    /// A connection could not be opened.
    pub fn open(plan: &'a Plan<'a>, connections: usize, seed: usize) -> Result<Self> {
        let random = 0x9E37_79B9_7F4A_7C15 ^ ((seed as u64 + 1) << 17);
        let mut driver = Self {
            plan,
            pace: None,
            free: VecDeque::new(),
            epoll: Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?,
            connections: Vec::with_capacity(connections),
            shapes: vec![Shape::default(); plan.exchanges.len()],
            buffer: vec![0; BUFFER],
            tally: Tally::default(),
            random,
            requests_left: plan.most_requests / plan.threads.max(1) as u64,
        };
        for _ in 0..connections {
            driver.connections.push(match plan.lifetime {
                Lifetime::OneRequest => None,
                Lifetime::KeepAlive if connections == 1 && plan.rate.is_none() => {
                    Some(Connection::open(plan.address, true)?)
                }
                Lifetime::KeepAlive => Some(Connection::open_and_wait(plan.address)?),
            });
        }
        Ok(driver)
    }

    /// Sends and receives until the window ends, and counts from its start.
    ///
    /// # Errors
    /// Waiting for events failed; faults of the server are counted instead.
    pub fn run(&mut self, window: Window) -> Result<()> {
        if self.plan.sleeps {
            prctl::set_timerslack(TIMER_SLACK)?;
        }
        // Not before all connections are open, or as many requests as that took time would be due at once.
        let share = self.connections.len() as f64 / self.plan.connections.max(1) as f64;
        self.pace = self.plan.rate.map(|rate| Pace::new(rate * share, self.random));
        for index in 0..self.connections.len() {
            self.begin(index);
        }
        let cpu_before_window = self.until(window.start)?;
        self.tally = Tally { first_fault: self.tally.first_fault.take(), ..Tally::default() };
        let cpu = self.until(window.end)?;
        self.tally.cpu = cpu.saturating_sub(cpu_before_window);
        self.tally.elapsed = Instant::now().min(window.end).saturating_duration_since(window.start);
        self.count_waiting(window.end);
        Ok(())
    }

    /// Gives up the connections and returns the counts.
    pub fn into_tally(self) -> Tally {
        self.tally
    }

    /// Serves events until `end` and returns the processor time this thread has used by then.
    fn until(&mut self, end: Instant) -> Result<Duration> {
        let mut events = [EpollEvent::empty(); EVENTS];
        while Instant::now() < end && self.requests_left > 0 && self.tally.faults < MOST_FAULTS {
            if let [Some(connection)] = self.connections.as_slice()
                && connection.is_blocking()
            {
                self.ready(0);
                continue;
            }
            self.send_due();
            let count = match self.wait(&mut events) {
                Ok(count) => count,
                Err(Errno::EINTR) => 0,
                Err(errno) => return Err(errno.into()),
            };
            for event in &events[..count] {
                self.ready(event.data() as usize);
            }
        }
        thread_cpu()
    }

    /// Waits for events. A thread with a pace polls all the time, or sleeps until the next request is due:
    /// in ppoll(2), which knows shorter times than epoll_wait(2).
    fn wait(&self, events: &mut [EpollEvent]) -> nix::Result<usize> {
        let Some(pace) = &self.pace else {
            return self.epoll.wait(events, EpollTimeout::try_from(TICK).unwrap_or(EpollTimeout::ZERO));
        };
        if self.plan.sleeps {
            let until_due = pace.next().saturating_duration_since(Instant::now());
            // Without a free connection nothing can be sent, whatever is due.
            let timeout = if self.free.is_empty() { TICK } else { until_due.min(TICK) };
            let mut set = [PollFd::new(self.epoll.0.as_fd(), PollFlags::POLLIN)];
            if ppoll(&mut set, Some(TimeSpec::from_duration(timeout)), None)? == 0 {
                return Ok(0);
            }
        }
        self.epoll.wait(events, EpollTimeout::ZERO)
    }

    /// Sends the requests that are due, as long as there are free connections.
    fn send_due(&mut self) {
        let Some(mut pace) = self.pace.take() else { return };
        while let Some(index) = self.free.pop_front() {
            let Some(due) = pace.due(Instant::now()) else {
                self.free.push_front(index);
                break;
            };
            let Some(mut connection) = self.connections[index].take() else { continue };
            connection.begun = due;
            match self.send(&mut connection) {
                Ok(()) => self.connections[index] = Some(connection),
                Err(errno) => {
                    self.tally.fault(&Fault::Io(errno));
                    self.begin(index);
                }
            }
        }
        self.pace = Some(pace);
    }

    /// Moves a connection on as far as it goes without waiting.
    fn ready(&mut self, index: usize) {
        let Some(mut connection) = self.connections[index].take() else { return };
        match self.advance(&mut connection) {
            Ok(Outcome::Waits) => self.connections[index] = Some(connection),
            Ok(Outcome::Pauses) => {
                self.connections[index] = Some(connection);
                self.free.push_back(index);
            }
            Ok(Outcome::Ended) => {
                drop(connection);
                self.begin(index);
            }
            Err(fault) => {
                // A server may end a persistent connection between two requests (RFC 9112 §9.3).
                if self.plan.lifetime == Lifetime::KeepAlive && connection.is_between_requests() {
                    self.tally.reopened += 1;
                } else {
                    self.tally.fault(&fault);
                }
                drop(connection);
                self.free.retain(|free| *free != index);
                self.begin(index);
            }
        }
    }

    /// Sends the first request of a connection, which is opened if there is none.
    fn begin(&mut self, index: usize) {
        match self.first_request(index) {
            Ok(connection) => self.connections[index] = Some(connection),
            Err(errno) => self.tally.fault(&Fault::Io(errno)),
        }
    }

    fn first_request(&mut self, index: usize) -> nix::Result<Connection> {
        let mut connection = match self.connections[index].take() {
            Some(mut connection) => {
                connection.begun = Instant::now();
                connection
            }
            None => Connection::open(self.plan.address, false)?,
        };
        if self.pace.is_some() {
            connection.stage = Stage::Pause;
            self.free.push_back(index);
        } else {
            self.send(&mut connection)?;
        }
        if !connection.is_blocking() {
            let mut interest = EpollFlags::EPOLLIN | EpollFlags::EPOLLET;
            interest.set(EpollFlags::EPOLLOUT, connection.stage == Stage::Send);
            self.epoll.add(connection.socket(), EpollEvent::new(interest, index as u64))?;
        }
        Ok(connection)
    }

    fn send(&mut self, connection: &mut Connection) -> nix::Result<()> {
        connection.exchange = self.choose();
        connection.stage = Stage::Send;
        if connection.send(&self.plan.exchanges[connection.exchange].request)? {
            connection.stage = Stage::Head;
        }
        Ok(())
    }

    fn advance(&mut self, connection: &mut Connection) -> std::result::Result<Outcome, Fault> {
        if connection.stage == Stage::Send {
            if connection.send(&self.plan.exchanges[connection.exchange].request)? {
                connection.stage = Stage::Head;
            }
            return Ok(Outcome::Waits);
        }
        loop {
            let (wanted, discard) = match connection.stage {
                Stage::Body(left) => (left.min(BUFFER as u64) as usize, true),
                _ => (BUFFER, false),
            };
            let bytes = match connection.receive(&mut self.buffer[..wanted], discard)? {
                Received::Bytes(bytes) => bytes,
                Received::Nothing => return Ok(Outcome::Waits),
                Received::End if connection.stage == Stage::End => {
                    self.finish(connection);
                    return Ok(Outcome::Ended);
                }
                Received::End => return Err(Fault::Truncated),
            };
            self.take(connection, bytes)?;
            if connection.stage == Stage::End && self.plan.lifetime == Lifetime::KeepAlive {
                self.finish(connection);
                if self.pace.is_some() {
                    connection.stage = Stage::Pause;
                    return Ok(Outcome::Pauses);
                }
                self.send(connection)?;
                return Ok(Outcome::Waits);
            }
            // With an edge-triggered set a short receive has drained the socket, but only the end
            // itself tells that the other side has closed.
            if bytes < wanted && connection.stage != Stage::End {
                return Ok(Outcome::Waits);
            }
        }
    }

    /// Accounts for bytes that were received.
    fn take(&mut self, connection: &mut Connection, bytes: usize) -> std::result::Result<(), Fault> {
        let body = match connection.stage {
            Stage::Pause | Stage::Send | Stage::End => return Err(Fault::Surplus),
            Stage::Body(left) => {
                self.tally.body_bytes += bytes as u64;
                left - bytes as u64
            }
            Stage::Head => match self.take_head(connection, bytes)? {
                None => return Ok(()),
                Some(left) => left,
            },
        };
        connection.stage = if body == 0 { Stage::End } else { Stage::Body(body) };
        Ok(())
    }

    /// Reads the head, and whatever of the body came with it: how much of the body is missing.
    fn take_head(
        &mut self,
        connection: &mut Connection,
        bytes: usize,
    ) -> std::result::Result<Option<u64>, Fault> {
        let exchange = &self.plan.exchanges[connection.exchange];
        let shape = &mut self.shapes[connection.exchange];
        let received = &self.buffer[..bytes];
        let (head, held) = if connection.partial.is_empty() {
            (shape.read(received, exchange)?, bytes)
        } else {
            connection.partial.extend_from_slice(received);
            (shape.read(&connection.partial, exchange)?, connection.partial.len())
        };
        let Some(head) = head else {
            if connection.partial.is_empty() {
                connection.partial.extend_from_slice(received);
            }
            return Ok(None);
        };
        connection.partial.clear();
        let body = (held - head) as u64;
        self.tally.body_bytes += body;
        exchange.body.checked_sub(body).map(Some).ok_or(Fault::Surplus)
    }

    /// Counts a response that is whole.
    fn finish(&mut self, connection: &mut Connection) {
        let now = Instant::now();
        self.tally.latency.record(now - connection.begun);
        self.tally.responses += 1;
        self.requests_left = self.requests_left.saturating_sub(1);
        connection.begun = now;
        connection.served += 1;
    }

    /// Lets requests that got no answer count in the maximum, which else would look too good.
    fn count_waiting(&mut self, end: Instant) {
        for connection in self.connections.iter().flatten().filter(|one| one.stage != Stage::Pause) {
            self.tally.latency.raise_longest(end.saturating_duration_since(connection.begun));
        }
    }

    /// The next exchange, by xorshift: even enough, and nothing against a request's cost.
    fn choose(&mut self) -> usize {
        if self.plan.exchanges.len() == 1 {
            return 0;
        }
        self.random = super::xorshift(self.random);
        (self.random % self.plan.exchanges.len() as u64) as usize
    }
}

/// State of a connection after its events were handled.
enum Outcome {
    /// The connection waits for the server.
    Waits,
    /// The answer is complete, and the next request is not due yet.
    Pauses,
    /// The server has ended it after the response, as asked.
    Ended,
}

fn thread_cpu() -> Result<Duration> {
    let usage = getrusage(UsageWho::RUSAGE_THREAD)?;
    let microseconds = (usage.user_time() + usage.system_time()).num_microseconds();
    Ok(Duration::from_micros(microseconds.unsigned_abs()))
}
