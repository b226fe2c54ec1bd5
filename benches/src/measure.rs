//! One measurement: one server, freshly started, under one workload.

use std::net::SocketAddrV4;
use std::thread;
use std::time::{Duration, Instant};

use crate::Result;
use crate::held::Held;
use crate::load::tally::Tally;
use crate::load::{self, Moment, Plan, wrk};
use crate::record::Sample;
use crate::relay;
use crate::server::running::Running;
use crate::server::{Server, usage};
use crate::tree::{Pages, Tree};
use crate::workload::{Generator, Workload};
use crate::workplace::Workplace;

/// Requests before counting starts take this part of the measured time.
const WARM_UP: f64 = 0.25;
/// Least time of such requests where there are many files: most of them are asked for then.
const WARM_UP_OF_MANY: Duration = Duration::from_secs(1);
/// No machine answers more in the time we give it.
const MOST_REQUESTS: u64 = 50_000_000;

/// How long a server may be busy with held connections alone, and how often we look.
const PATIENCE: Duration = Duration::from_secs(10);
const GLANCE: Duration = Duration::from_millis(100);

/// How a measurement is taken.
#[derive(Clone, Copy)]
pub struct Manner {
    /// Time that counts.
    pub duration: Duration,
    /// Threads of the load generator.
    pub threads: usize,
}

/// Starts the server, puts it under the workload and stops it.
///
/// # Errors
/// The server does not start or ends, or the generator has no descriptors left.
pub fn measure(server: &Server, workload: &Workload, place: &Workplace, manner: Manner) -> Result<Sample> {
    let exchanges = workload.exchanges(&place.tree);
    let setting = place.setting(workload.connections + workload.held.count());
    let running = Running::start(server, setting)?;
    let relay = workload.distance.map(|distance| start_relay(&running, distance, place)).transpose()?;
    let address = relay.as_ref().map_or(running.address, |relay| relay.address);
    let relays = relay.iter().map(Running::process).collect();
    let mut watch = Watch::new(running.processes()?, relays);
    let holding = workload.held.begin(address, &place.tree)?;
    if workload.held != Held::Nothing {
        settle(&watch.server)?;
    }
    let plan = Plan {
        address,
        exchanges: &exchanges,
        connections: workload.connections,
        threads: if workload.generator == Generator::Wrk { 1 } else { manner.threads },
        lifetime: workload.lifetime,
        rate: workload.rate,
        sleeps: workload.distance.is_some(),
        warm_up: warm_up(workload, manner.duration),
        duration: manner.duration,
        most_requests: MOST_REQUESTS,
    };
    let tally = match workload.generator {
        Generator::Own => load::run(&plan, |moment| watch.look(moment))?,
        Generator::Wrk => run_wrk(plan, &wrk_job(workload, place, address, manner), &mut watch)?,
    };
    let clocks = &watch.clocks;
    let requests = requests(workload, &place.tree, tally.responses, tally.body_bytes);
    let threads = manner.threads.min(workload.connections);
    let sample = Sample::new(&tally, requests, threads, clocks.server);
    Ok(Sample {
        memory: watch.memory,
        sleeps: clocks.sleeps as f64 / requests,
        others: clocks.others(tally.cpu, tally.elapsed)?,
        held: workload.held.count(),
        lost: holding.lost(),
        // A generator that polls until a request is due is always busy.
        client_busy: if polls(workload) { f64::NAN } else { sample.client_busy },
        relay_busy: relay.map_or(f64::NAN, |_| clocks.relay.as_secs_f64() / tally.elapsed.as_secs_f64()),
        ..sample
    })
}

/// Whether the generator polls instead of sleeping.
fn polls(workload: &Workload) -> bool {
    workload.rate.is_some() && workload.distance.is_none()
}

fn wrk_job(workload: &Workload, place: &Workplace, address: SocketAddrV4, manner: Manner) -> wrk::Job {
    let page = &place.tree.pages(workload.pages)[0];
    wrk::Job {
        address,
        target: page.target.clone(),
        field: workload.condition(),
        body: if workload.conditional { 0 } else { page.size },
        connections: workload.connections,
        duration: manner.duration,
    }
}

/// Warms the server up with `plan`, which checks every answer as wrk does not, and lets wrk measure it. The
/// window includes wrk's start and end: some milliseconds without a request.
fn run_wrk(plan: Plan, job: &wrk::Job, watch: &mut Watch) -> Result<Tally> {
    let warm_up = Plan { warm_up: Duration::ZERO, duration: plan.warm_up, ..plan };
    let checked = load::run(&warm_up, |_| Ok(()))?;
    watch.look(Moment::Start)?;
    let mut tally = job.run()?;
    watch.look(Moment::End)?;
    tally.faults += checked.faults;
    tally.first_fault = tally.first_fault.or(checked.first_fault);
    Ok(tally)
}

/// A relay in front of a running server.
///
/// # Errors
/// It does not start.
pub fn start_relay(running: &Running, distance: Duration, place: &Workplace) -> Result<Running> {
    Running::start(&relay::program(running.address, distance)?, place.setting(0))
}

/// Caches fill within the first requests. At a rate each connection has its first request in this time, and
/// at a distance these take a while to come at all.
fn warm_up(workload: &Workload, duration: Duration) -> Duration {
    if !workload.warm {
        return Duration::ZERO;
    }
    let once_each = workload.rate.map_or(0.0, |rate| workload.connections as f64 / rate);
    let distance = workload.distance.map_or(Duration::ZERO, |distance| 4 * distance);
    let least = match workload.pages {
        Pages::TenThousand => WARM_UP_OF_MANY,
        _ => Duration::from_secs_f64(once_each) + distance,
    };
    duration.mul_f64(WARM_UP).max(least)
}

/// The processes of a measurement, and what they use between two looks.
struct Watch {
    server: Vec<i32>,
    relay: Vec<i32>,
    clocks: Clocks,
    memory: usage::Memory,
}

impl Watch {
    fn new(server: Vec<i32>, relay: Vec<i32>) -> Self {
        Self { server, relay, clocks: Clocks::default(), memory: usage::Memory::default() }
    }

    /// Reads the clocks, and at the end the memory too.
    fn look(&mut self, moment: Moment) -> Result<()> {
        self.clocks = Clocks::read(&self.server, &self.relay)?.since(&self.clocks);
        if moment == Moment::End {
            self.memory = usage::memory(&self.server)?;
        }
        Ok(())
    }
}

/// Processor time used so far, or between two readings.
#[derive(Default)]
struct Clocks {
    server: Duration,
    sleeps: u64,
    relay: Duration,
    machine: Duration,
}

impl Clocks {
    fn read(server: &[i32], relay: &[i32]) -> Result<Self> {
        let (sleeps, machine) = (usage::sleeps(server)?, usage::machine_cpu()?);
        Ok(Self { server: usage::cpu(server)?, sleeps, relay: usage::cpu(relay)?, machine })
    }

    fn since(&self, earlier: &Self) -> Self {
        Self {
            server: self.server.saturating_sub(earlier.server),
            sleeps: self.sleeps.saturating_sub(earlier.sleeps),
            relay: self.relay.saturating_sub(earlier.relay),
            machine: self.machine.saturating_sub(earlier.machine),
        }
    }

    /// The part of all processors' time that was neither the server's nor the benchmark's.
    fn others(&self, generator: Duration, elapsed: Duration) -> Result<f64> {
        let ours = self.server + self.relay + generator;
        let all = elapsed.as_secs_f64() * thread::available_parallelism()?.get() as f64;
        Ok(self.machine.saturating_sub(ours).as_secs_f64() / all)
    }
}

/// Waits until the server has done what the held connections asked of it: 500 MiB take a while.
fn settle(processes: &[i32]) -> Result<()> {
    let deadline = Instant::now() + PATIENCE;
    let mut before = usage::cpu(processes)?;
    while Instant::now() < deadline {
        thread::sleep(GLANCE);
        let now = usage::cpu(processes)?;
        if now.saturating_sub(before) < GLANCE / 5 {
            return Ok(());
        }
        before = now;
    }
    Ok(())
}

/// Large bodies are counted by the byte, for only few of them end within the window.
fn requests(workload: &Workload, tree: &Tree, responses: u64, body_bytes: u64) -> f64 {
    if workload.is_bulk() {
        body_bytes as f64 / tree.pages(workload.pages)[0].size as f64
    } else {
        responses as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workload::WORKLOADS;

    #[test]
    fn each_distant_connection_has_a_request_before_counting_starts() {
        let farthest = WORKLOADS.iter().find(|workload| workload.name == "far-100ms-10000").unwrap();
        let slow = Workload { rate: Some(5_000.0), ..*farthest };
        assert_eq!(warm_up(&slow, Duration::from_secs(1)), Duration::from_millis(2400));
        assert_eq!(warm_up(&WORKLOADS[0], Duration::from_secs(1)), Duration::from_millis(250));
    }
}
