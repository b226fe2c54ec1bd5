//! The table: medians over the rounds, ratios within a round.

use std::fmt::Write;

use crate::bench::Results;
use crate::goals::{self, Verdict};
use crate::options::Options;
use crate::record::{Sample, Series};
use crate::report::show;
use crate::statistics::{median, paired_ratio};
use crate::workload::Workload;

/// A generator that is this busy holds the server back more than the other way round.
const BOUND: f64 = 0.95;

/// A machine on which others are this busy is no place to measure rates.
const BUSY: f64 = 0.1;

/// Prints everything that was measured.
pub fn print(results: &Results, options: &Options) {
    println!(
        "\nMedians of {} rounds of {} s; ratios are medians of those within a round.",
        options.rounds,
        options.duration.as_secs_f64()
    );
    for server in results.servers.iter().filter(|server| !server.version.is_empty()) {
        println!("  {:<14} {}", server.name, server.version);
    }
    print_relay(results);
    for (workload, series) in &results.workloads {
        println!("\n{} — {}", workload.name, workload.description());
        print_circumstances(workload, series);
        print_workload(results, workload, series);
    }
    print_starts(results);
    print_calls(results);
    print_verdicts(&goals::judge(results));
}

/// Prints the relay's cost, and the number of requests a second that would keep the relay busy all the time.
fn print_relay(results: &Results) {
    let Some(cost) = results.relay else { return };
    println!(
        "\nrelay — {cost:.1} µs of processor time a request, in front of limit-loops: it carries {:.0} requests \
         a second, and workloads at a distance ask for no more than keeps it less than half busy",
        1e6 / cost
    );
}

/// Prints the circumstances that a reader must know before believing the rows.
fn print_circumstances(workload: &Workload, series: &Series<Sample>) {
    let samples = || series.values.iter().flatten().flatten();
    let held = samples().map(|sample| sample.held).min();
    if let Some(held) = held.filter(|held| *held < workload.held.count()) {
        println!("  (the descriptor limit allowed {held} of the held connections)");
    }
    let most = workload.listed().map_or(0, |listed| listed.connections);
    if workload.connections < most {
        println!("  (the descriptor limit allowed {} connections)", workload.connections);
    }
    if let Some(relay) = median(samples().map(|sample| sample.relay_busy)) {
        println!("  (the relay was busy {:.0} % of its time)", relay * 100.0);
    }
    let others = median(samples().map(|sample| sample.others));
    if let Some(others) = others.filter(|others| *others > BUSY) {
        println!("  (other programs took {:.0} % of the processors: rates mean little)", others * 100.0);
    }
}

fn print_workload(results: &Results, workload: &Workload, series: &Series<Sample>) {
    let rate_title = if workload.is_bulk() { "MB/s" } else { "req/s" };
    println!(
        "  {:<14} {rate_title:>9} {:>7} {:>7} {:>8} {:>8} {:>8} {:>8} {:>9} {:>7} {:>7} {:>8} {:>8} {:>8}",
        "server",
        "/nginx",
        "/best",
        "p50 ms",
        "p99 ms",
        "p999 ms",
        "max ms",
        "CPU ms/k",
        "/nginx",
        "sleeps",
        "RSS MiB",
        "PSS MiB",
        "client"
    );
    let nginx = results.servers.iter().position(|server| server.name == "nginx");
    let best = goals::best_peer(results, workload, series);
    for (index, server) in results.servers.iter().enumerate() {
        let mark = if best == Some(index) { "*" } else { "" };
        let row = Row { series, index, bulk: workload.is_bulk() };
        println!("  {:<14} {}", format!("{}{mark}", server.name), row.text(nginx, best));
        print_faults(&server.name, &series.values[index]);
    }
}

/// One server's row.
struct Row<'a> {
    series: &'a Series<Sample>,
    index: usize,
    bulk: bool,
}

impl Row<'_> {
    fn text(&self, nginx: Option<usize>, best: Option<usize>) -> String {
        let rate = |sample: &Sample| {
            if self.bulk { sample.megabytes_per_second } else { sample.requests_per_second }
        };
        let busy = self.median(|sample| sample.client_busy);
        let mut text = format!("{:>9}", show(self.median(rate), 0));
        let cells = [
            (7, show(self.ratio(nginx, rate), 2)),
            (7, show(self.ratio(best, rate), 2)),
            (8, show(self.median(|sample| sample.p50), 2)),
            (8, show(self.median(|sample| sample.p99), 2)),
            (8, show(self.median(|sample| sample.p999), 2)),
            (8, show(self.median(|sample| sample.longest), 1)),
            (9, show(self.median(|sample| sample.server_cpu), if self.bulk { 0 } else { 2 })),
            (7, show(self.ratio(nginx, |sample| sample.server_cpu), 2)),
            (7, show(self.median(|sample| sample.sleeps), 2)),
            (8, show(self.median(|sample| sample.memory.resident as f64 / 1024.0), 1)),
            (8, show(self.median(|sample| sample.memory.proportional as f64 / 1024.0), 1)),
            (8, format!("{} %{}", show(busy.map(|busy| busy * 100.0), 0), bound_mark(busy))),
        ];
        for (width, cell) in cells {
            // Writing to a string cannot fail.
            let _ = write!(text, " {cell:>width$}");
        }
        text
    }

    fn median(&self, figure: impl Fn(&Sample) -> f64) -> Option<f64> {
        median(self.series.figures(self.index, figure).into_iter().flatten())
    }

    fn ratio(&self, other: Option<usize>, figure: impl Fn(&Sample) -> f64) -> Option<f64> {
        paired_ratio(&self.series.figures(self.index, &figure), &self.series.figures(other?, &figure))
    }
}

fn bound_mark(busy: Option<f64>) -> &'static str {
    if busy.is_some_and(|busy| busy > BOUND) { "!" } else { " " }
}

/// Prints the faults and the overloaded relays in the rounds of one server, if there are any.
fn print_faults(server: &str, samples: &[Option<Sample>]) {
    let samples = || samples.iter().flatten();
    let faults: u64 = samples().map(|sample| sample.faults).sum();
    let lost: usize = samples().map(|sample| sample.lost).sum();
    let reopened: u64 = samples().map(|sample| sample.reopened).sum();
    if faults > 0 {
        let first = samples().find_map(|sample| sample.first_fault.as_deref()).unwrap_or_default();
        println!("    {server}: {faults} faults, the first: {first}");
    }
    let overloaded = samples().filter(|sample| sample.relay_overloaded()).count();
    if overloaded > 0 {
        let all = samples().count();
        println!("    {server}: the relay was more than half busy in {overloaded} of {all} rounds");
    }
    if lost > 0 {
        println!("    {server}: ended {lost} held connections");
    }
    if reopened > 0 {
        println!("    {server}: ended {reopened} keep-alive connections between requests");
    }
}

fn print_starts(results: &Results) {
    if results.starts.values.iter().all(Vec::is_empty) {
        return;
    }
    println!("\nstartup — from exec to the first served request; memory after it");
    println!("  {:<14} {:>9} {:>8} {:>8}", "server", "ms", "RSS MiB", "PSS MiB");
    for (index, server) in results.servers.iter().enumerate() {
        let first = median(results.starts.figures(index, |start| start.first_answer).into_iter().flatten());
        let memory = |figure: fn(&crate::server::usage::Memory) -> u64| {
            let figures = results.starts.figures(index, |start| figure(&start.memory) as f64 / 1024.0);
            show(median(figures.into_iter().flatten()), 1)
        };
        let (resident, proportional) =
            (memory(|memory| memory.resident), memory(|memory| memory.proportional));
        println!("  {:<14} {:>9} {resident:>8} {proportional:>8}", server.name, show(first, 2));
    }
}

fn print_calls(results: &Results) {
    if !results.calls.is_empty() {
        println!("\nsyscalls — system calls per request, under strace");
    }
    for (workload, series) in &results.calls {
        println!("  {}", workload.name);
        for (server, values) in results.servers.iter().zip(&series.values) {
            let Some(calls) = values.iter().flatten().next() else { continue };
            let shown = calls.by_name.iter().filter(|(_, each)| *each >= 0.01);
            let names: Vec<_> = shown.map(|(name, each)| format!("{name} {each:.2}")).collect();
            println!("    {:<14} {:>7.2}  {}", server.name, calls.total, names.join(", "));
        }
    }
}

fn print_verdicts(verdicts: &[Verdict]) {
    if verdicts.is_empty() {
        return;
    }
    println!("\nGoals — medians, and the rounds they lie between");
    for verdict in verdicts {
        let mark = if verdict.reached { "ok  " } else { "MISS" };
        let (low, high) = verdict.range;
        let range = if low < high { format!("  ({low:.2} to {high:.2})") } else { String::new() };
        println!("  {mark} {:<15} {:<45} {:>7.2}{range}", verdict.workload, verdict.text, verdict.measured);
    }
}
