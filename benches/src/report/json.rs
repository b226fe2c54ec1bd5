//! The JSON file: every sample of every round, and where it was taken.

use std::fs;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

use crate::Result;
use crate::bench::Results;
use crate::goals;
use crate::options::Options;
use crate::record::{Calls, Start};
use crate::report::machine::Machine;

/// Writes the results to `benches/out/` under the second the run ended, and says so.
///
/// # Errors
/// The file system refuses.
pub fn write(results: &Results, options: &Options) -> Result<()> {
    let seconds = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("out");
    fs::create_dir_all(&folder)?;
    let path = folder.join(format!("{seconds}.json"));
    fs::write(&path, serde_json::to_string_pretty(&document(results, options, seconds))?)?;
    println!("\nEvery sample: {}", path.display());
    Ok(())
}

fn document(results: &Results, options: &Options, seconds: u64) -> Value {
    let machine = Machine::read();
    json!({
        "ended_at_unix": seconds,
        "machine": json!({
            "kernel": machine.version,
            "processor": machine.processor,
            "processors": machine.processors,
            "congestion_control": machine.congestion_control,
            "load_at_end": machine.load,
        }),
        "rounds": options.rounds,
        "seconds": options.duration.as_secs_f64(),
        "generator_threads": options.threads,
        "servers": results.servers.iter().map(|server| json!({
            "name": server.name,
            "version": server.version,
            "command": server.command.join(" "),
        })).collect::<Vec<_>>(),
        "workloads": results.workloads.iter().map(|(workload, series)| json!({
            "name": workload.name,
            "meaning": workload.description(),
            "connections": workload.connections,
            "requests_per_second_asked": workload.rate,
            "best_peer": goals::best_peer(results, workload, series).map(|best| &results.servers[best].name),
            "rounds_by_server": by_server(results, &series.values, |sample| sample.to_json()),
        })).collect::<Vec<_>>(),
        "relay_cpu_us_per_request": results.relay,
        "startup": by_server(results, &results.starts.values, start),
        "system_calls_per_request": results.calls.iter().map(|(workload, series)| json!({
            "name": workload.name,
            "by_server": by_server(results, &series.values, calls),
        })).collect::<Vec<_>>(),
        "goals": goals::judge(results).iter().map(|verdict| json!({
            "workload": verdict.workload,
            "goal": verdict.text,
            "measured": verdict.measured,
            "lowest_round": verdict.range.0,
            "highest_round": verdict.range.1,
            "reached": verdict.reached,
        })).collect::<Vec<_>>(),
    })
}

/// A server's name with what was measured of it, `null` where a round failed.
fn by_server<T>(results: &Results, values: &[Vec<Option<T>>], to_json: impl Fn(&T) -> Value) -> Value {
    let named = results.servers.iter().zip(values).map(|(server, rounds)| {
        let rounds: Vec<_> = rounds.iter().map(|value| value.as_ref().map(&to_json)).collect();
        (server.name.clone(), json!(rounds))
    });
    Value::Object(named.collect())
}

fn start(start: &Start) -> Value {
    json!({
        "first_answer_ms": start.first_answer,
        "rss_kib": start.memory.resident,
        "pss_kib": start.memory.proportional,
    })
}

fn calls(calls: &Calls) -> Value {
    let by_name = calls.by_name.iter().map(|(name, each)| (name.clone(), json!(each)));
    json!({ "total": calls.total, "by_name": Value::Object(by_name.collect()) })
}
