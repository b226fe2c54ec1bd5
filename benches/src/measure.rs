//! One measurement: one server, freshly started, under one workload.

use std::time::Duration;

use crate::Result;
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
    let holding = workload.held.begin(running.address, &place.tree)?;
    let plan = Plan {
        address: running.address,
        exchanges: &exchanges,
        connections: workload.connections,
        threads: manner.threads,
        lifetime: workload.lifetime,
        warm_up: if workload.warm { manner.duration.mul_f64(WARM_UP) } else { Duration::ZERO },
        duration: manner.duration,
        most_requests: MOST_REQUESTS,
    };
    let processes = running.processes()?;
    let mut cpu = Duration::ZERO;
    let mut memory = usage::Memory::default();
    let tally = load::run(&plan, |moment| {
        cpu = usage::cpu(&processes)?.saturating_sub(cpu);
        if moment == Moment::End {
            memory = usage::memory(&processes)?;
        }
        Ok(())
    })?;
    let requests = requests(workload, &place.tree, tally.responses, tally.body_bytes);
    let threads = manner.threads.min(workload.connections);
    Ok(Sample { memory, lost: holding.lost(), ..Sample::new(&tally, requests, threads, cpu) })
}

/// Large bodies are counted by the byte, for only few of them end within the window.
fn requests(workload: &Workload, tree: &Tree, responses: u64, body_bytes: u64) -> f64 {
    if workload.is_bulk() {
        body_bytes as f64 / tree.pages(workload.pages)[0].size as f64
    } else {
        responses as f64
    }
}
