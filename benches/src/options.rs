//! The command line.

use std::fmt::Write;
use std::path::PathBuf;
use std::time::Duration;

use crate::Result;
use crate::workload::WORKLOADS;

/// Measurements that are no workload but have a name for `--only` too.
pub const EXTRAS: [(&str, &str); 3] = [
    (
        "relay",
        "what the relay of the far workloads costs, in front of limit-loops (always measured with them)",
    ),
    ("startup", "time from exec to the first served request, and memory when idle"),
    ("syscalls", "system calls per request, counted by strace"),
];

/// Task of this run.
pub enum Task {
    /// Print this and end.
    Print(String),
    /// Measure.
    Measure(Options),
}

/// How to measure.
#[derive(Debug, PartialEq)]
pub struct Options {
    /// Rounds; in each, every server has every workload once.
    pub rounds: usize,
    /// Measured time per server, workload and round.
    pub duration: Duration,
    /// Names of workloads and extras; all if empty.
    pub only: Vec<String>,
    /// Names of servers; all if empty.
    pub servers: Vec<String>,
    /// Our server's program; built if absent.
    pub program: Option<PathBuf>,
    /// Further servers, `NAME=COMMAND`.
    pub guests: Vec<String>,
    /// Threads of the load generator.
    pub threads: usize,
    /// Factor for the rates of workloads that have one, for a machine slower or faster than usual.
    pub pace: f64,
    /// Whether a Markdown table ends the report.
    pub markdown: bool,
}

const ROUNDS: usize = 7;
const SECONDS: f64 = 2.0;
const QUICK_SECONDS: f64 = 0.5;
const SHORT_SECONDS: f64 = 0.5;

/// Workloads that `--short` measures.
const SHORT: [&str; 13] = [
    "keep-1",
    "keep-4",
    "keep-64",
    "close",
    "files",
    "not-modified",
    "1m",
    "slow-readers",
    "wrk-4",
    "wrk-64",
    "wrk-304",
    "far-1ms-64",
    "far-20ms-4000",
];
/// With which servers.
const SHORT_SERVERS: [&str; 3] = ["thttpd", "nginx", "lighttpd"];

impl Options {
    /// Reads the arguments.
    ///
    /// # Errors
    /// An unknown option, name or number.
    pub fn parse(arguments: &[String]) -> Result<Task> {
        let accepted = accepted();
        let given = accepted.parse(arguments)?;
        if let Some(extra) = given.free.first() {
            return Err(format!("unexpected argument {extra}").into());
        }
        if given.opt_present("help") {
            return Ok(Task::Print(accepted.usage("Usage: benches/run [options]")));
        }
        if given.opt_present("list") {
            return Ok(Task::Print(list()));
        }
        let quick = given.opt_present("quick");
        let short = given.opt_present("short");
        let usual = if quick {
            QUICK_SECONDS
        } else if short {
            SHORT_SECONDS
        } else {
            SECONDS
        };
        let seconds = given.opt_get_default("seconds", usual)?;
        let only = names_or(&given.opt_strs("only"), if short { &SHORT } else { &[] });
        if let Some(unknown) = only.iter().find(|&name| !is_known(name)) {
            return Err(format!("no workload is called {unknown}; --list shows them").into());
        }
        Ok(Task::Measure(Self {
            rounds: given.opt_get_default("rounds", if quick { 1 } else { ROUNDS })?,
            duration: Duration::try_from_secs_f64(seconds)?,
            only,
            servers: names_or(&given.opt_strs("servers"), if short { &SHORT_SERVERS } else { &[] }),
            program: given.opt_str("server").map(PathBuf::from),
            guests: given.opt_strs("peer"),
            threads: given.opt_get_default("threads", 1)?,
            pace: given.opt_get_default("pace", 1.0)?,
            markdown: short,
        }))
    }

    /// Whether the workload or extra is to be measured.
    pub fn wants(&self, name: &str) -> bool {
        self.only.is_empty() || self.only.iter().any(|wanted| wanted == name)
    }
}

fn accepted() -> getopts::Options {
    let mut accepted = getopts::Options::new();
    accepted
        .optopt("", "rounds", &format!("rounds to take medians over ({ROUNDS})"), "N")
        .optopt("", "seconds", &format!("measured time per server, workload and round ({SECONDS})"), "S")
        .optflag("", "quick", &format!("one round of {QUICK_SECONDS} s: to see that all works"))
        .optflag(
            "",
            "short",
            &format!("{ROUNDS} rounds of {SHORT_SECONDS} s of what matters most, and a Markdown table"),
        )
        .optmulti("", "only", "measure these workloads, by name and comma", "NAMES")
        .optmulti("", "servers", "measure these servers, by name and comma", "NAMES")
        .optopt("", "server", "our server's program (built from this repository if not given)", "PATH")
        .optmulti("", "peer", "a further server; {port}, {root} and {work} are filled in", "NAME=COMMAND")
        .optopt("", "threads", "threads of the load generator (1)", "N")
        .optopt("", "pace", "factor for the rates of paced and far workloads (1); far ones may get less", "F")
        .optflag("", "list", "name the workloads")
        .optflag("", "help", "this text");
    accepted
}

fn names_or(given: &[String], usual: &[&str]) -> Vec<String> {
    if given.is_empty() {
        return usual.iter().map(|&name| name.to_owned()).collect();
    }
    given.iter().flat_map(|list| list.split(',')).map(str::to_owned).collect()
}

fn is_known(name: &str) -> bool {
    WORKLOADS.iter().any(|workload| workload.name == name) || EXTRAS.iter().any(|extra| extra.0 == name)
}

fn list() -> String {
    let workloads = WORKLOADS.iter().map(|workload| (workload.name, workload.description()));
    let extras = EXTRAS.iter().map(|&(name, meaning)| (name, meaning.to_owned()));
    workloads.chain(extras).fold(String::new(), |mut text, (name, meaning)| {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{name:16} {meaning}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Task> {
        Options::parse(&line.split_whitespace().map(str::to_owned).collect::<Vec<_>>())
    }

    #[test]
    fn names_may_be_repeated_or_joined_by_commas() {
        let Ok(Task::Measure(options)) = parse("--only close,files --only startup --quick") else {
            panic!("not understood")
        };
        assert_eq!(options.only, ["close", "files", "startup"]);
        assert_eq!(options.rounds, 1);
        assert!(options.wants("files") && !options.wants("keep-1"));
    }

    #[test]
    fn the_short_form_has_workloads_and_servers_of_its_own_that_others_replace() {
        let Ok(Task::Measure(options)) = parse("--short") else { panic!("not understood") };
        assert_eq!((options.only.len(), options.servers.len()), (SHORT.len(), SHORT_SERVERS.len()));
        assert!(options.markdown && options.only.iter().all(|name| is_known(name)));
        let Ok(Task::Measure(options)) = parse("--short --only keep-64 --servers nginx") else {
            panic!("not understood")
        };
        assert_eq!((options.only, options.servers), (vec!["keep-64".to_owned()], vec!["nginx".to_owned()]));
    }

    #[test]
    fn an_unknown_workload_is_refused() {
        assert!(parse("--only nonsense").is_err());
    }
}
