//! The course of a run: servers found and proved, rounds measured, results reported.

use std::path::Path;
use std::time::Duration;

use nix::sys::resource::{Resource, getrlimit, setrlimit};

use crate::Result;
use crate::interrupt::Interrupt;
use crate::load::head::Exchange;
use crate::load::wrk;
use crate::measure::{Manner, measure};
use crate::options::Options;
use crate::record::{Calls, Sample, Series, Start};
use crate::relay;
use crate::report;
use crate::server::running::Running;
use crate::server::{Server, known};
use crate::startup;
use crate::syscalls;
use crate::tree::Pages;
use crate::workload::{Generator, WORKLOADS, Workload};
use crate::workplace::Workplace;

/// Descriptors that every process may have open.
const DESCRIPTORS: u64 = 32 * 1024;
/// Time for which a rate is tried with the relay in front of a server.
const TRIAL: Duration = Duration::from_millis(400);
/// Connections for the proof.
const FEW: usize = 64;

/// Everything that was measured.
pub struct Results {
    /// The servers; series are indexed by them.
    pub servers: Vec<Server>,
    /// Workloads as they were measured, at their real rates, with one series each.
    pub workloads: Vec<(Workload, Series<Sample>)>,
    /// Starts.
    pub starts: Series<Start>,
    /// Processor time of the relay in microseconds a request, if it was measured.
    pub relay: Option<f64>,
    /// System calls by workload; a single round.
    pub calls: Vec<(&'static Workload, Series<Calls>)>,
}

/// Measures what the options ask for and prints and writes the results.
///
/// # Errors
/// Nothing can be measured, or the results cannot be written. A server that fails is left out.
pub fn run(options: &Options) -> Result<()> {
    let interrupt = Interrupt::catch()?;
    raise_descriptor_limit()?;
    eprintln!("Writing the tree of files …");
    let place = Workplace::generate()?;
    let servers = proved(servers(options)?, &place);
    if servers.is_empty() {
        return Err("no server to measure".into());
    }
    let results = Course { options, place: &place, interrupt: &interrupt }.measure(servers)?;
    report::print(&results, options);
    report::write(&results, options)?;
    if options.markdown {
        report::print_markdown(&results, options.rounds);
    }
    Ok(())
}

/// Raises the limit for us and for the servers, which inherit it: as far as it goes, and as root to
/// what ten thousand held connections need (lighttpd wants two descriptors for each).
fn raise_descriptor_limit() -> Result<()> {
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
    let wanted = hard.max(DESCRIPTORS);
    if setrlimit(Resource::RLIMIT_NOFILE, wanted, wanted).is_err() {
        setrlimit(Resource::RLIMIT_NOFILE, hard, hard)?;
    }
    Ok(())
}

/// Ours (built unless given), the peers found, the limits and the guests, as far as they are wanted.
fn servers(options: &Options) -> Result<Vec<Server>> {
    let wants =
        |name: &str| options.servers.is_empty() || options.servers.iter().any(|wanted| wanted == name);
    let mut servers = Vec::new();
    let has_variant =
        known::RULES.iter().any(|(name, _)| options.servers.iter().any(|wanted| wanted == name));
    if wants(known::OURS) || has_variant {
        match options
            .program
            .clone()
            .map_or_else(known::build, Ok)
            .and_then(|program| own(&program, has_variant))
        {
            Ok(own) => servers.extend(own),
            Err(error) => eprintln!("{} is left out: {error}", known::OURS),
        }
    }
    servers.extend(known::peers());
    servers.extend(known::limits()?);
    for definition in &options.guests {
        servers.push(known::guest(definition)?);
    }
    let guests = options.guests.len();
    let first_guest = servers.len() - guests;
    let mut index = 0..;
    servers.retain(|server| index.next().is_some_and(|index| index >= first_guest) || wants(&server.name));
    Ok(servers)
}

/// Our server, and with `has_variant` also with rules, which a run measures only where they are named.
fn own(program: &Path, has_variant: bool) -> Result<Vec<Server>> {
    let mut servers = vec![known::ours(program)?];
    if has_variant {
        servers.extend(known::variants(program)?);
    }
    Ok(servers)
}

/// Servers of `servers` that start and send three files byte for byte.
fn proved(servers: Vec<Server>, place: &Workplace) -> Vec<Server> {
    let proof = |server: &Server| -> Result<()> {
        let running = Running::start(server, place.setting(FEW))?;
        for pages in [Pages::Kibibyte, Pages::TenThousand, Pages::Mebibyte] {
            let page = &place.tree.pages(pages)[0];
            if running.ask(&Exchange::of(page))? != std::fs::read(place.tree.path(page))? {
                return Err(format!("{} did not come as it is on disk", page.target).into());
            }
        }
        Ok(())
    };
    let mut servers = servers;
    servers.retain(|server| match proof(server) {
        Ok(()) => true,
        Err(error) => {
            eprintln!("{} is left out: {error}", server.name);
            false
        }
    });
    servers
}

/// Parts that all rounds share.
struct Course<'a> {
    options: &'a Options,
    place: &'a Workplace,
    interrupt: &'a Interrupt,
}

impl Course<'_> {
    fn measure(&self, servers: Vec<Server>) -> Result<Results> {
        let count = servers.len();
        let mut workloads = self.workloads()?;
        let relay = self.relay(&servers, &mut workloads)?;
        let mut results = Results {
            workloads: workloads.into_iter().map(|workload| (workload, Series::of(count))).collect(),
            starts: Series::of(count),
            relay,
            calls: Vec::new(),
            servers,
        };
        for number in 0..self.options.rounds {
            eprintln!("Round {} of {}", number + 1, self.options.rounds);
            match self.round(number, &mut results) {
                // One whole round is worth its report.
                Err(error) if number > 0 => {
                    eprintln!("{error}: reporting what there is");
                    return Ok(results);
                }
                round => round?,
            }
        }
        if self.options.wants("syscalls") {
            eprintln!("System calls");
            results.calls = self.calls(&results.servers)?;
        }
        Ok(results)
    }

    /// Workloads that are wanted and that this machine can have.
    fn workloads(&self) -> Result<Vec<Workload>> {
        let (descriptors, _) = getrlimit(Resource::RLIMIT_NOFILE)?;
        let wanted = WORKLOADS.iter().filter(|workload| self.options.wants(workload.name));
        let mut workloads: Vec<_> = wanted
            .map(|workload| {
                let rate = workload.rate.map(|rate| rate * self.options.pace);
                Workload { rate, ..workload.fitting(descriptors) }
            })
            .collect();
        let all = workloads.len();
        workloads.retain(|workload| workload.generator != Generator::Wrk || wrk::installed().is_some());
        if workloads.len() < all {
            println!("Not installed, so its workloads are not measured: apt-get install {}", wrk::NAME);
        }
        Ok(workloads)
    }

    /// Measures the cost of the relay, if it is wanted, and lowers rates that would keep it too busy in front
    /// of one of the servers.
    fn relay(&self, servers: &[Server], workloads: &mut [Workload]) -> Result<Option<f64>> {
        let is_far = |workload: &Workload| workload.distance.is_some();
        if !self.options.wants("relay") && !workloads.iter().any(is_far) {
            return Ok(None);
        }
        eprintln!("The relay itself");
        let cost = relay::cost::measure(&known::limit_loops()?, self.place)?;
        let manner = Manner { duration: TRIAL, threads: self.options.threads };
        for workload in workloads.iter_mut().filter(|workload| is_far(workload)) {
            let Some(own) = workload.rate else { continue };
            eprintln!("  {}", workload.name);
            let rate = relay::cost::bearable_rate(own, cost, servers, |server, rate| {
                self.interrupt.check()?;
                let tried = Workload { rate: Some(rate), ..*workload };
                let sample = measure(server, &tried, self.place, manner)?;
                // A load that did not come up to its rate would have kept the relay busier.
                Ok(sample.relay_busy * f64::max(1.0, rate / sample.requests_per_second))
            })?;
            workload.rate = Some(rate);
        }
        Ok(Some(cost))
    }

    fn round(&self, number: usize, results: &mut Results) -> Result<()> {
        let Options { duration, threads, .. } = *self.options;
        let manner = Manner { duration, threads };
        let round = Round { number, servers: &results.servers, interrupt: self.interrupt };
        for (workload, series) in &mut results.workloads {
            round.each(workload.name, series, |server| measure(server, workload, self.place, manner))?;
        }
        if self.options.wants("startup") {
            round.each("startup", &mut results.starts, |server| startup::start(server, self.place))?;
        }
        Ok(())
    }

    fn calls(&self, servers: &[Server]) -> Result<Vec<(&'static Workload, Series<Calls>)>> {
        let round = Round { number: 0, servers, interrupt: self.interrupt };
        let traced = WORKLOADS.iter().filter(|workload| syscalls::TRACED.contains(&workload.name));
        let counted = traced.map(|workload| {
            let mut series = Series::of(servers.len());
            round.each(workload.name, &mut series, |server| syscalls::count(server, workload, self.place))?;
            Ok((workload, series))
        });
        counted.collect()
    }
}

/// One round over all servers.
struct Round<'a> {
    number: usize,
    servers: &'a [Server],
    interrupt: &'a Interrupt,
}

impl Round<'_> {
    /// Takes one measurement of each server, one right after the other so that they meet the same
    /// noise, and with another one first in every round.
    fn each<T>(
        &self,
        name: &str,
        series: &mut Series<T>,
        mut take: impl FnMut(&Server) -> Result<T>,
    ) -> Result<()> {
        eprintln!("  {name}");
        for step in 0..self.servers.len() {
            self.interrupt.check()?;
            let index = (step + self.number) % self.servers.len();
            let taken = take(&self.servers[index]);
            if let Err(error) = &taken {
                eprintln!("    {}: {error}", self.servers[index].name);
            }
            series.values[index].push(taken.ok());
        }
        Ok(())
    }
}
