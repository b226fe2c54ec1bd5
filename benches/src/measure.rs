//! One measurement: one server, freshly started, under one workload.

use std::thread;
use std::time::{Duration, Instant};

use nix::sys::resource::{Resource, getrlimit};

use crate::Result;
use crate::held::Held;
use crate::load::{self, Moment, Plan};
use crate::record::Sample;
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
    let processes = running.processes()?;
    let holding = held.begin(running.address, &place.tree)?;
    if held != Held::Nothing {
        settle(&processes)?;
    }
    let plan = Plan {
        address: running.address,
        exchanges: &exchanges,
        connections: workload.connections,
        threads: manner.threads,
        lifetime: workload.lifetime,
        rate: workload.rate,
        warm_up: if workload.warm { manner.duration.mul_f64(WARM_UP) } else { Duration::ZERO },
        duration: manner.duration,
        most_requests: MOST_REQUESTS,
    };
    let mut clocks = Clocks::default();
    let mut memory = usage::Memory::default();
    let tally = load::run(&plan, |moment| {
        clocks = Clocks::read(&processes)?.since(&clocks);
        if moment == Moment::End {
            memory = usage::memory(&processes)?;
        }
        Ok(())
    })?;
    let requests = requests(workload, &place.tree, tally.responses, tally.body_bytes);
    let threads = manner.threads.min(workload.connections);
    let sample = Sample::new(&tally, requests, threads, clocks.server);
    Ok(Sample {
        memory,
        others: clocks.others(tally.cpu, manner.duration)?,
        held: held.count(),
        lost: holding.lost(),
        // Whoever keeps a pace looks at the clock all the time.
        client_busy: if workload.rate.is_some() { f64::NAN } else { sample.client_busy },
        ..sample
    })
}

/// Processor time used so far, or between two readings.
#[derive(Default)]
struct Clocks {
    server: Duration,
    machine: Duration,
}

impl Clocks {
    fn read(processes: &[i32]) -> Result<Self> {
        Ok(Self { server: usage::cpu(processes)?, machine: usage::machine_cpu()? })
    }

    fn since(&self, earlier: &Self) -> Self {
        Self {
            server: self.server.saturating_sub(earlier.server),
            machine: self.machine.saturating_sub(earlier.machine),
        }
    }

    /// The part of all processors' time that was neither the server's nor the generator's.
    fn others(&self, generator: Duration, elapsed: Duration) -> Result<f64> {
        let ours = self.server + generator;
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
