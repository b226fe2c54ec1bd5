//! The server's program: its arguments, and its exit status.

use std::process::ExitCode;

fn main() -> ExitCode {
    let mut arguments = std::env::args_os();
    let program = arguments.next().map_or("thttpd".into(), |name| name.to_string_lossy().into_owned());
    let outcome = thttpd::command::run(&program, &arguments.collect::<Vec<_>>());
    thttpd::command::exit(outcome)
}
