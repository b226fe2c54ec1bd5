//! Measures this repository's server against nginx, lighttpd and what the kernel allows.
//!
//! # Layout
//!
//! - [`options`]: the command line.
//! - [`tree`]: the files that all servers serve; [`workload`]: what is asked of them;
//!   [`held`]: connections that hang on meanwhile; [`workplace`]: the directory of a run.
//! - [`server`]: the servers, their start, stop and use of the machine; [`limit`]: two of them,
//!   which live in this program, as does [`relay`], the distance between a server and its clients.
//! - [`load`]: the load generator.
//! - [`bench`]: rounds of measurements, interleaved; [`measure`], [`startup`] and [`syscalls`] take
//!   one measurement each; [`interrupt`] ends a run early and cleanly.
//! - [`record`]: what was measured; [`statistics`]: medians and paired ratios; [`goals`]: what
//!   the figures should be; [`report`]: table and JSON.

mod bench;
mod goals;
mod held;
mod interrupt;
mod limit;
mod load;
mod measure;
mod options;
mod record;
mod relay;
mod report;
mod server;
mod startup;
mod statistics;
mod syscalls;
mod tree;
mod workload;
mod workplace;

use std::env;
use std::error::Error;
use std::process::ExitCode;

use options::{Options, Task};

/// Failure in words; the benchmark handles none of them but by giving up what it was doing.
type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

fn main() -> ExitCode {
    let arguments: Vec<_> = env::args().skip(1).collect();
    match run(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("thttpd-bench: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &[String]) -> Result<()> {
    if arguments.first().is_some_and(|first| limit::KINDS.contains(&first.as_str())) {
        return limit::serve(arguments);
    }
    if arguments.first().is_some_and(|first| first == relay::KIND) {
        return relay::serve(arguments);
    }
    match Options::parse(arguments)? {
        Task::Print(text) => print!("{text}"),
        Task::Measure(options) => bench::run(&options)?,
    }
    Ok(())
}
