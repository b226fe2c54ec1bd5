//! `syslogtocern`: turns syslog lines into access and error logs; see its manual page and [`thttpd::companion::syslogtocern`].

use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments: Vec<_> = std::env::args_os().skip(1).collect();
    thttpd::companion::exit(thttpd::companion::syslogtocern::run(&arguments))
}
