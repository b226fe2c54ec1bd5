//! `ssi`: CGI program for server-side includes; see its manual page and [`thttpd::companion::ssi`].

use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments: Vec<_> = std::env::args_os().skip(1).collect();
    thttpd::companion::exit(thttpd::companion::ssi::run(&arguments))
}
