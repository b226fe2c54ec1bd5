//! System calls per request: a run of its own under `strace`, for tracing slows a server down.

use std::fs;
use std::path::Path;
use std::process::{Child, Command};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::Result;
use crate::interrupt;
use crate::load::head::Exchange;
use crate::load::{self, Plan};
use crate::record::Calls;
use crate::server::running::Running;
use crate::server::{Server, usage};
use crate::workload::Workload;
use crate::workplace::Workplace;

/// Which workloads are traced.
pub const TRACED: [&str; 6] = ["keep-1", "keep-64", "close", "files", "not-modified", "1m"];

const WARM_UP: Duration = Duration::from_millis(200);
const DURATION: Duration = Duration::from_secs(1);
/// How long `strace` may take to attach.
const PATIENCE: Duration = Duration::from_secs(5);
const MOST_REQUESTS: u64 = 100_000;

/// Counts the system calls of a server under a workload.
///
/// # Errors
/// `strace` is not installed or may not trace, or the server does not start.
pub fn count(server: &Server, workload: &Workload, place: &Workplace) -> Result<Calls> {
    let exchanges = workload.exchanges(&place.tree);
    let running = Running::start(server, place.setting(workload.connections))?;
    let mut plan = plan(&running, workload, &exchanges);
    // Untraced at first, so that opening 10 000 files for the first time does not count.
    load::run(&plan, |_| Ok(()))?;
    plan.warm_up = Duration::ZERO;
    plan.duration = DURATION;
    let summary = place.file("strace.txt");
    let tracer = Tracer::attach(&running.processes()?, &summary)?;
    let tally = load::run(&plan, |_| Ok(()))?;
    tracer.detach()?;
    if tally.faults > 0 {
        return Err(format!("{} faults: {}", tally.faults, tally.first_fault.unwrap_or_default()).into());
    }
    Ok(per_request(&fs::read_to_string(summary)?, tally.responses))
}

fn plan<'a>(running: &Running, workload: &Workload, exchanges: &'a [Exchange]) -> Plan<'a> {
    Plan {
        address: running.address,
        exchanges,
        connections: workload.connections,
        threads: 1,
        lifetime: workload.lifetime,
        rate: workload.rate,
        sleeps: workload.distance.is_some(),
        warm_up: WARM_UP,
        duration: WARM_UP,
        most_requests: MOST_REQUESTS,
    }
}

/// `strace` at work on a server's processes.
struct Tracer(Child);

impl Tracer {
    /// Returns once every thread of the processes is traced.
    fn attach(processes: &[i32], summary: &Path) -> Result<Self> {
        let mut command = Command::new("strace");
        command.args(["-f", "-qq", "-c", "-U", "name,calls", "-o"]).arg(summary);
        for process in processes {
            command.arg("-p").arg(process.to_string());
        }
        let child = interrupt::let_through(|| {
            command.spawn().map_err(|error| format!("strace (apt-get install strace): {error}").into())
        })?;
        let mut tracer = Self(child);
        let deadline = Instant::now() + PATIENCE;
        while !usage::all_traced(processes)? {
            if let Some(status) = tracer.0.try_wait()? {
                return Err(format!("strace ended with {status}").into());
            }
            if Instant::now() > deadline {
                tracer.detach()?;
                return Err("strace did not attach in time".into());
            }
            thread::sleep(Duration::from_millis(1));
        }
        Ok(tracer)
    }

    fn detach(mut self) -> Result<()> {
        kill(Pid::from_raw(self.0.id().cast_signed()), Signal::SIGINT)?;
        self.0.wait()?;
        Ok(())
    }
}

/// Reads the two columns of `strace -c -U name,calls`.
fn per_request(summary: &str, requests: u64) -> Calls {
    let mut by_name: Vec<_> = summary
        .lines()
        .filter_map(|line| {
            let (name, calls) = line.trim().split_once(char::is_whitespace)?;
            let calls: u64 = calls.trim().parse().ok()?;
            (name != "total").then(|| (name.to_owned(), calls as f64 / requests as f64))
        })
        .collect();
    by_name.sort_by(|one, other| other.1.total_cmp(&one.1));
    Calls { total: by_name.iter().map(|(_, calls)| calls).sum(), by_name }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_summary_of_strace_becomes_calls_per_request() {
        let summary = "syscall               calls\n---------------- ---------\n\
                       recvfrom              200\nsendto                100\n---------------- ---------\n\
                       total                 300\n";
        let calls = per_request(summary, 100);
        assert_eq!(calls.by_name, [("recvfrom".to_owned(), 2.0), ("sendto".to_owned(), 1.0)]);
        assert!((calls.total - 3.0).abs() < 1e-9);
    }
}
