//! Goals for our figures, beside those of the others, and whether they are met.

use crate::bench::Results;
use crate::record::{Sample, Series};
use crate::server::{Role, known};
use crate::statistics::{lower_quartile, median, ratios};
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
    /// As `Cpu`, judged by the lower quartile of the paired ratios: what others on the machine do makes a
    /// request dearer, hardly ever cheaper.
    CpuLowerQuartile,
    P99,
    P999,
    ResidentMegabytes,
    SystemCalls,
}

#[derive(Clone, Copy)]
enum Against {
    /// The peer with the highest median rate under this workload.
    BestPeer,
    /// The peer with the lowest median of processor time a request.
    CheapestPeer,
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
    goal("slow-readers", Figure::P99, Against::Named("lighttpd"), 1.0),
    goal("slow-readers", Figure::P999, Against::Named("lighttpd"), 1.0),
    goal("idle-10k", Figure::ResidentMegabytes, Against::Nothing, 8.0),
    goal("half-heads", Figure::ResidentMegabytes, Against::Nothing, 8.0),
    goal("keep-64", Figure::SystemCalls, Against::Nothing, 4.0),
    goal("files", Figure::SystemCalls, Against::Nothing, 4.0),
    goal("1m", Figure::SystemCalls, Against::Nothing, 5.0),
];

/// Workloads whose requests cost our server no more than the cheapest peer's, at no lower rate than the best's.
const AS_CHEAP: [&str; 6] = ["keep-4", "keep-64", "not-modified", "wrk-4", "wrk-64", "wrk-304"];

/// Goals of each workload of [`AS_CHEAP`].
const CHEAP: [(Figure, Against, f64); 2] =
    [(Figure::Rate, Against::BestPeer, 1.0), (Figure::CpuLowerQuartile, Against::CheapestPeer, 1.0)];

/// Goals of each workload at a distance.
const FAR: [(Figure, Against, f64); 2] =
    [(Figure::Cpu, Against::Named("lighttpd"), 1.0), (Figure::Cpu, Against::Named("limit-loops"), 1.2)];

/// A goal's line in the report.
pub struct Verdict {
    /// The workload.
    pub workload: &'static str,
    /// Goal, as a sentence.
    pub text: String,
    /// Measured value: the median of the rounds, or their lower quartile where the goal says so.
    pub measured: f64,
    /// The lowest and the highest round.
    pub range: (f64, f64),
    /// Whether it holds.
    pub reached: bool,
}

/// Judges the measured figures; goals without figures are left out. To the listed goals come those of
/// [`AS_CHEAP`] and of every distance, and one a workload: no worse 99th percentile than the best peer's.
pub fn judge(results: &Results) -> Vec<Verdict> {
    let Some(ours) = results.servers.iter().position(|server| server.role == Role::Ours) else {
        return Vec::new();
    };
    let p99 = results
        .workloads
        .iter()
        .map(|(workload, _)| goal(workload.name, Figure::P99, Against::BestPeer, 1.0));
    let each = |name, goals: [(Figure, Against, f64); 2]| {
        goals.map(|(figure, against, bound)| goal(name, figure, against, bound))
    };
    let far = results.workloads.iter().filter(|(workload, _)| workload.distance.is_some());
    let far = far.flat_map(|(workload, _)| each(workload.name, FAR));
    let cheap = AS_CHEAP.iter().flat_map(|name| each(name, CHEAP));
    let more: Vec<_> = cheap.chain(far).chain(p99).collect();
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
    peer_with_most(results, series, merit)
}

/// The peer with the highest median of `merit`.
fn peer_with_most(
    results: &Results,
    series: &Series<Sample>,
    merit: impl Fn(&Sample) -> f64,
) -> Option<usize> {
    let rate = |server: usize| median(series.figures(server, &merit).into_iter().flatten());
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
        let measured = match self.figure {
            Figure::CpuLowerQuartile => lower_quartile(figures.iter().copied())?,
            _ => median(figures.iter().copied())?,
        };
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
            Against::CheapestPeer => peer_with_most(results, series, |sample| -sample.server_cpu)?,
            Against::Named(name) => results.servers.iter().position(|server| server.name == name)?,
        };
        Some((ratios(&figures(ours), &figures(other)), format!(" × {}", results.servers[other].name)))
    }
}

impl Figure {
    fn of(self, sample: &Sample) -> f64 {
        match self {
            Self::Rate => sample.requests_per_second,
            Self::Cpu | Self::CpuLowerQuartile => sample.server_cpu,
            Self::P99 => sample.p99,
            Self::P999 => sample.p999,
            Self::ResidentMegabytes => sample.memory.resident as f64 / 1024.0,
            Self::SystemCalls => f64::NAN,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Rate => "rate",
            Self::Cpu => "CPU per request",
            Self::CpuLowerQuartile => "CPU per request, lower quartile",
            Self::P99 => "p99",
            Self::P999 => "p999",
            Self::ResidentMegabytes => "resident MiB",
            Self::SystemCalls => "system calls per request",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::server::Server;
    use crate::workload::WORKLOADS;

    fn server(name: &str, role: Role) -> Server {
        Server { name: name.to_owned(), role, ..known::guest("any=any {port}").unwrap() }
    }

    /// Samples of processor time and 999th permille, by round.
    fn samples(rounds: &[(f64, f64)]) -> Vec<Option<Sample>> {
        let sample = |&(server_cpu, p999): &(f64, f64)| Sample {
            requests_per_second: 1e5,
            server_cpu,
            p99: 1.0,
            p999,
            ..Sample::default()
        };
        rounds.iter().map(|round| Some(sample(round))).collect()
    }

    /// Verdicts for one workload of ours, of nginx, which is dear, and of lighttpd, which is cheap.
    fn verdicts(name: &str, ours: &[(f64, f64)]) -> Vec<Verdict> {
        let workload = *WORKLOADS.iter().find(|workload| workload.name == name).unwrap();
        let (nginx, lighttpd) = (samples(&[(20.0, 0.5); 4]), samples(&[(10.0, 2.0); 4]));
        judge(&Results {
            servers: vec![
                server(known::OURS, Role::Ours),
                server("nginx", Role::Peer),
                server("lighttpd", Role::Peer),
            ],
            workloads: vec![(workload, Series { values: vec![samples(ours), nginx, lighttpd] })],
            starts: Series::of(3),
            relay: None,
            calls: Vec::new(),
        })
    }

    fn find<'a>(verdicts: &'a [Verdict], beginning: &str) -> &'a Verdict {
        verdicts.iter().find(|verdict| verdict.text.starts_with(beginning)).unwrap()
    }

    #[test]
    fn processor_time_is_judged_by_the_lower_quartile_beside_the_cheapest_peer() {
        for name in AS_CHEAP {
            let noisy = verdicts(name, &[(9.0, 1.0), (9.0, 1.0), (14.0, 1.0), (15.0, 1.0)]);
            let verdict = find(&noisy, "CPU per request, lower quartile ≤ 1 × lighttpd");
            assert!(verdict.reached && (verdict.measured - 0.9).abs() < 1e-9, "{}", verdict.measured);
            let dear = verdicts(name, &[(11.0, 1.0), (12.0, 1.0), (11.0, 1.0), (11.0, 1.0)]);
            assert!(!find(&dear, "CPU per request, lower quartile").reached);
            assert!(find(&dear, "rate ≥ 1 ×").reached);
        }
    }

    #[test]
    fn slow_readers_are_judged_by_both_percentiles_beside_lighttpd() {
        let verdicts = verdicts("slow-readers", &[(9.0, 2.5); 4]);
        assert!(find(&verdicts, "p99 ≤ 1 × lighttpd").reached);
        let verdict = find(&verdicts, "p999 ≤ 1 × lighttpd");
        assert!(!verdict.reached && (verdict.measured - 1.25).abs() < 1e-9, "{}", verdict.measured);
    }
}
