//! One measurement: one server, freshly started, under one workload.

use std::thread;
use std::time::{Duration, Instant};

use nix::sys::resource::{Resource, getrlimit};

use crate::Result;
use crate::held::Held;
use crate::load::{self, Moment, Plan};
use crate::record::Sample;
use crate::relay;
use crate::server::running::Running;
use crate::server::{Server, usage};
use crate::tree::Tree;
use crate::workload::Workload;
use crate::workplace::Workplace;

/// Requests before counting starts take this part of the measured time.
const WARM_UP: f64 = 0.25;
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
    /// Factor for the workload's rate.
    pub pace: f64,
}

/// Starts the server, puts it under the workload and stops it.
///
/// # Errors
/// The server does not start or ends, or the generator has no descriptors left.
pub fn measure(server: &Server, workload: &Workload, place: &Workplace, manner: Manner) -> Result<Sample> {
    let exchanges = workload.exchanges(&place.tree);
    let (descriptors, _) = getrlimit(Resource::RLIMIT_NOFILE)?;
    let held = workload.held.fitting(descriptors);
    let setting = place.setting(workload.connections + held.count());
    let running = Running::start(server, setting)?;
    let relay = workload.distance.map(|distance| start_relay(&running, distance, place)).transpose()?;
    let address = relay.as_ref().map_or(running.address, |relay| relay.address);
    let relays = relay.iter().map(Running::process).collect();
    let used_by = UsedBy { server: running.processes()?, relay: relays };
    let holding = held.begin(address, &place.tree)?;
    if held != Held::Nothing {
        settle(&used_by.server)?;
    }
    let plan = Plan {
        address,
        exchanges: &exchanges,
        connections: workload.connections,
        threads: manner.threads,
        lifetime: workload.lifetime,
        rate: workload.rate.map(|rate| rate * manner.pace),
        sleeps: workload.distance.is_some(),
        warm_up: warm_up(workload, manner.duration),
        duration: manner.duration,
        most_requests: MOST_REQUESTS,
    };
    let mut clocks = Clocks::default();
    let mut memory = usage::Memory::default();
    let tally = load::run(&plan, |moment| {
        clocks = Clocks::read(&used_by)?.since(&clocks);
        if moment == Moment::End {
            memory = usage::memory(&used_by.server)?;
        }
        Ok(())
    })?;
    let requests = requests(workload, &place.tree, tally.responses, tally.body_bytes);
    let threads = manner.threads.min(workload.connections);
    let sample = Sample::new(&tally, requests, threads, clocks.server);
    Ok(Sample {
        memory,
        sleeps: clocks.sleeps as f64 / requests,
        others: clocks.others(tally.cpu, manner.duration)?,
        held: held.count(),
        lost: holding.lost(),
        // A generator that polls until a request is due is always busy.
        client_busy: if plan.rate.is_some() && !plan.sleeps { f64::NAN } else { sample.client_busy },
        relay_busy: relay.map_or(f64::NAN, |_| clocks.relay.as_secs_f64() / tally.elapsed.as_secs_f64()),
        ..sample
    })
}

/// A relay in front of a running server.
///
/// # Errors
/// It does not start.
pub fn start_relay(running: &Running, distance: Duration, place: &Workplace) -> Result<Running> {
    Running::start(&relay::program(running.address, distance)?, place.setting(0))
}

/// Caches fill within the first requests; at a distance these take a while to come at all.
fn warm_up(workload: &Workload, duration: Duration) -> Duration {
    let least = workload.distance.map_or(Duration::ZERO, |distance| 4 * distance);
    if workload.warm { duration.mul_f64(WARM_UP).max(least) } else { Duration::ZERO }
}

/// The processes of a measurement.
struct UsedBy {
    server: Vec<i32>,
    relay: Vec<i32>,
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
    fn read(used_by: &UsedBy) -> Result<Self> {
        let (server, relay) = (usage::cpu(&used_by.server)?, usage::cpu(&used_by.relay)?);
        let sleeps = usage::sleeps(&used_by.server)?;
        Ok(Self { server, sleeps, relay, machine: usage::machine_cpu()? })
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
