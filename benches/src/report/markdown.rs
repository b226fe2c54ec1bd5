//! The small table for people: ratios to each peer, in Markdown.

use std::process::Command;

use crate::bench::Results;
use crate::record::{Sample, Series};
use crate::report::machine::Machine;
use crate::report::show;
use crate::server::{Role, Server};
use crate::statistics::{median, paired_ratio};
use crate::workload::Workload;

/// Prints the table, or nothing if our server or every peer is missing.
pub fn print(results: &Results, rounds: usize) {
    let Some(ours) = results.servers.iter().position(|server| server.role == Role::Ours) else { return };
    let peers: Vec<_> =
        (0..results.servers.len()).filter(|&server| results.servers[server].role == Role::Peer).collect();
    if peers.is_empty() || results.workloads.is_empty() {
        return;
    }
    println!("\n{}\n", circumstances(results, rounds));
    println!("{}", head(&peers.iter().map(|&peer| &results.servers[peer]).collect::<Vec<_>>()));
    for (workload, series) in &results.workloads {
        println!("{}", Row { workload, series, ours, peers: &peers }.text());
    }
    let samples =
        || results.workloads.iter().flat_map(|(_, series)| series.values.iter().flatten().flatten());
    let overloaded = samples().filter(|sample| sample.relay_overloaded()).count();
    if overloaded > 0 {
        println!(
            "\n{MARK} in some rounds of this row, {overloaded} in all, the relay was more than half busy."
        );
    }
}

/// Mark of a row with rounds in which the relay was overloaded.
const MARK: char = '†';

/// When and where it was measured, with what, and how busy the machine was otherwise.
fn circumstances(results: &Results, rounds: usize) -> String {
    let machine = Machine::read();
    let versions: Vec<_> = results
        .servers
        .iter()
        .filter(|server| !server.version.is_empty())
        .map(|server| server.version.trim_start_matches("nginx version: ").to_owned())
        .collect();
    let samples = results.workloads.iter().flat_map(|(_, series)| series.values.iter().flatten().flatten());
    let others = median(samples.map(|sample| sample.others * 100.0));
    format!(
        "{}, {} × {}, Linux {}; {}; medians of {rounds} rounds; other programs took {} % of the processors.",
        today(),
        machine.processors,
        machine.processor,
        machine.release,
        versions.join(", "),
        show(others, 0),
    )
}

fn today() -> String {
    let output = Command::new("date").arg("+%F").output();
    output.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned()).unwrap_or_default()
}

fn head(peers: &[&Server]) -> String {
    let against =
        |what: &str| peers.iter().map(|peer| format!(" {what}/{} |", peer.name)).collect::<String>();
    format!(
        "| | requests/s |{} CPU µs/request |{} p99 ms |{} p999 ms |{}\n|---|{}",
        against(""),
        against(""),
        against(""),
        against(""),
        "--:|".repeat(4 * (1 + peers.len()))
    )
}

struct Row<'a> {
    workload: &'a Workload,
    series: &'a Series<Sample>,
    ours: usize,
    peers: &'a [usize],
}

impl Row<'_> {
    fn text(&self) -> String {
        let rate = self.figure(|sample| sample.requests_per_second, 0);
        let cpu = self.figure(|sample| sample.server_cpu, 1);
        let p99 = self.figure(|sample| sample.p99, 2);
        let p999 = self.figure(|sample| sample.p999, 2);
        let overloaded = self.series.values.iter().flatten().flatten().any(Sample::relay_overloaded);
        let mark = if overloaded { format!(" {MARK}") } else { String::new() };
        format!("| {}{mark} |{rate}{cpu}{p99}{p999}", self.workload.description())
    }

    /// Our median, and its paired ratio to each peer's.
    fn figure(&self, figure: impl Fn(&Sample) -> f64, digits: usize) -> String {
        let figures = |server: usize| self.series.figures(server, &figure);
        let ours = median(figures(self.ours).into_iter().flatten());
        let ratios = self.peers.iter().map(|&peer| paired_ratio(&figures(self.ours), &figures(peer)));
        let cells = std::iter::once(show(ours, digits)).chain(ratios.map(|ratio| show(ratio, 2)));
        cells.map(|cell| format!(" {cell} |")).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workload::WORKLOADS;

    fn sample(rate: f64) -> Option<Sample> {
        Some(Sample {
            requests_per_second: rate,
            server_cpu: 1e6 / rate,
            p99: 0.5,
            p999: rate / 1e5,
            relay_busy: rate / 5e5,
            ..Sample::default()
        })
    }

    #[test]
    fn a_row_holds_our_figures_and_their_ratios_to_each_peer() {
        let series = Series { values: vec![vec![sample(2e5)], vec![sample(1e5)], vec![sample(4e5)]] };
        let row = Row { workload: &WORKLOADS[0], series: &series, ours: 0, peers: &[1, 2] };
        let expected = format!(
            "| {} † | 200000 | 2.00 | 0.50 | 5.0 | 0.50 | 2.00 | 0.50 | 1.00 | 1.00 | 2.00 | 2.00 | 0.50 |",
            WORKLOADS[0].meaning
        );
        assert_eq!(row.text(), expected);
    }

    #[test]
    fn only_a_row_whose_relay_was_more_than_half_busy_is_marked() {
        let series = Series { values: vec![vec![sample(2e5)], vec![sample(2.4e5)]] };
        let row = Row { workload: &WORKLOADS[0], series: &series, ours: 0, peers: &[1] };
        assert!(!row.text().contains(MARK), "{}", row.text());
    }

    #[test]
    fn the_head_has_as_many_columns_as_a_row() {
        let peer = crate::server::known::guest("nginx=nginx {port}").unwrap();
        let head = head(&[&peer, &peer]);
        let columns: Vec<_> = head.lines().map(|line| line.matches('|').count()).collect();
        assert_eq!(columns, [14, 14], "{head}");
    }
}
