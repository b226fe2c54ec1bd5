//! Goals for our figures, beside those of the others, and whether they are met.

use crate::bench::Results;
use crate::record::{Sample, Series};
use crate::server::{Role, known};
use crate::statistics::{median, ratios};
use crate::workload::Workload;

/// Processor time that a request for a remembered file may cost with rules, in that of one without.
const COST_OF_RULES: f64 = 1.02;

/// A figure of ours, the yardstick, and the bound.
struct Goal {
    workload: &'static str,
    figure: Figure,
    against: Against,
    bound: f64,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Figure {
    Rate,
    Cpu,
    P99,
    ResidentMegabytes,
    SystemCalls,
}

#[derive(Clone, Copy)]
enum Against {
    /// The peer with the highest median rate under this workload.
    BestPeer,
    /// The server of that name.
    Named(&'static str),
    /// Nothing: the figure itself is bound.
    Nothing,
}

const fn goal(workload: &'static str, figure: Figure, against: Against, bound: f64) -> Goal {
    Goal { workload, figure, against, bound }
}

const GOALS: &[Goal] = &[
    goal("keep-1", Figure::Rate, Against::BestPeer, 1.15),
    goal("keep-4", Figure::Rate, Against::BestPeer, 1.0),
    goal("keep-64", Figure::Rate, Against::BestPeer, 1.05),
    goal("keep-64", Figure::Rate, Against::Named("nginx"), 1.4),
    goal("keep-512", Figure::Rate, Against::BestPeer, 1.1),
    goal("close", Figure::Rate, Against::BestPeer, 1.05),
    goal("files", Figure::Rate, Against::BestPeer, 1.15),
    goal("not-modified", Figure::Rate, Against::BestPeer, 1.05),
    goal("1m", Figure::Rate, Against::BestPeer, 1.0),
    goal("100m", Figure::Rate, Against::BestPeer, 1.0),
    goal("idle-10k", Figure::Rate, Against::BestPeer, 1.0),
    goal("idle-10k-close", Figure::Rate, Against::BestPeer, 1.0),
    goal("half-heads", Figure::Rate, Against::BestPeer, 1.0),
    goal("slow-readers", Figure::Rate, Against::BestPeer, 1.0),
    goal("keep-64", Figure::Cpu, Against::Named("nginx"), 0.7),
    goal("keep-64", Figure::Cpu, Against::Named("lighttpd"), 0.95),
    goal("keep-64", Figure::Cpu, Against::Named("limit-loops"), 1.05),
    goal("idle-10k", Figure::ResidentMegabytes, Against::Nothing, 8.0),
    goal("half-heads", Figure::ResidentMegabytes, Against::Nothing, 8.0),
    goal("keep-64", Figure::SystemCalls, Against::Nothing, 4.0),
    goal("files", Figure::SystemCalls, Against::Nothing, 4.0),
    goal("1m", Figure::SystemCalls, Against::Nothing, 5.0),
];

/// Goals of each workload at a distance.
const FAR: [(Figure, Against, f64); 2] =
    [(Figure::Cpu, Against::Named("lighttpd"), 1.0), (Figure::Cpu, Against::Named("limit-loops"), 1.2)];

/// A goal's line in the report.
pub struct Verdict {
    /// The workload.
    pub workload: &'static str,
    /// Goal, as a sentence.
    pub text: String,
    /// Measured value: the median of the rounds.
    pub measured: f64,
    /// The lowest and the highest round.
    pub range: (f64, f64),
    /// Whether it holds.
    pub reached: bool,
}

/// Judges the measured figures; goals without figures are left out. To the listed goals come those of
/// every distance, and one a workload: no worse 99th percentile than the best peer's.
pub fn judge(results: &Results) -> Vec<Verdict> {
    let Some(ours) = results.servers.iter().position(|server| server.role == Role::Ours) else {
        return Vec::new();
    };
    let p99 = results
        .workloads
        .iter()
        .map(|(workload, _)| goal(workload.name, Figure::P99, Against::BestPeer, 1.0));
    let far = results.workloads.iter().filter(|(workload, _)| workload.distance.is_some());
    let far = far.flat_map(|(workload, _)| {
        FAR.map(|(figure, against, bound)| goal(workload.name, figure, against, bound))
    });
    let more: Vec<_> = far.chain(p99).collect();
    let mut verdicts: Vec<Verdict> =
        GOALS.iter().chain(&more).filter_map(|goal| goal.judge(results, ours)).collect();
    let cost = goal("keep-64", Figure::Cpu, Against::Named(known::OURS), COST_OF_RULES);
    for (at, server) in results.servers.iter().enumerate().filter(|(_, server)| server.role == Role::Variant)
    {
        let verdict = cost.judge(results, at);
        verdicts.extend(verdict.map(|it| Verdict { text: format!("{} of {}", it.text, server.name), ..it }));
    }
    verdicts
}

/// The peer with the highest median rate; where the workload gives the rate, with the lowest latency.
pub fn best_peer(results: &Results, workload: &Workload, series: &Series<Sample>) -> Option<usize> {
    let merit =
        |sample: &Sample| if workload.rate.is_some() { -sample.p99 } else { sample.requests_per_second };
    let rate = |server: usize| median(series.figures(server, merit).into_iter().flatten());
    let peers = (0..results.servers.len()).filter(|&server| results.servers[server].role == Role::Peer);
    let rated = peers.filter_map(|server| Some((server, rate(server)?)));
    rated.max_by(|one, other| one.1.total_cmp(&other.1)).map(|(server, _)| server)
}

impl Goal {
    fn judge(&self, results: &Results, ours: usize) -> Option<Verdict> {
        let (figures, yardstick) = match self.figure {
            Figure::SystemCalls => (vec![self.system_calls(results, ours)?], String::new()),
            _ => self.compare(results, ours)?,
        };
        let measured = median(figures.iter().copied())?;
        let range = figures.iter().fold((measured, measured), |(low, high), &figure| {
            (f64::min(low, figure), f64::max(high, figure))
        });
        let least = self.figure == Figure::Rate;
        let reached = if least { measured >= self.bound } else { measured <= self.bound };
        let relation = if least { "≥" } else { "≤" };
        let text = format!("{} {relation} {}{yardstick}", self.figure.name(), self.bound);
        Some(Verdict { workload: self.workload, text, measured, range, reached })
    }

    fn system_calls(&self, results: &Results, ours: usize) -> Option<f64> {
        let (_, series) = results.calls.iter().find(|(workload, _)| workload.name == self.workload)?;
        series.values[ours].first()?.as_ref().map(|calls| calls.total)
    }

    /// The figure or its ratio by round, and what it was compared with.
    fn compare(&self, results: &Results, ours: usize) -> Option<(Vec<f64>, String)> {
        let (workload, series) = results.workloads.iter().find(|(one, _)| one.name == self.workload)?;
        let figures = |server: usize| series.figures(server, |sample| self.figure.of(sample));
        let other = match self.against {
            Against::Nothing => return Some((figures(ours).into_iter().flatten().collect(), String::new())),
            Against::BestPeer => best_peer(results, workload, series)?,
            Against::Named(name) => results.servers.iter().position(|server| server.name == name)?,
        };
        Some((ratios(&figures(ours), &figures(other)), format!(" × {}", results.servers[other].name)))
    }
}

impl Figure {
    fn of(self, sample: &Sample) -> f64 {
        match self {
            Self::Rate => sample.requests_per_second,
            Self::Cpu => sample.server_cpu,
            Self::P99 => sample.p99,
            Self::ResidentMegabytes => sample.memory.resident as f64 / 1024.0,
            Self::SystemCalls => f64::NAN,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Rate => "rate",
            Self::Cpu => "CPU per request",
            Self::P99 => "p99",
            Self::ResidentMegabytes => "resident MiB",
            Self::SystemCalls => "system calls per request",
        }
    }
}
