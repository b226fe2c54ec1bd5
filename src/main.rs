//! The server's front door: the exit status, and the one place that speaks on standard error.

use std::process::ExitCode;

fn main() -> ExitCode {
    let mut arguments = std::env::args_os();
    let program = arguments.next().map_or("thttpd".into(), |name| name.to_string_lossy().into_owned());
    match thttpd::command::run(&program, &arguments.collect::<Vec<_>>()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(text) => {
            // Where standard error is closed, the status says it.
            let _ = thttpd::sys::stdio::error_line(text.trim_end());
            ExitCode::FAILURE
        }
    }
}
