//! `redirect`: CGI program for moved pages; see its manual page and [`thttpd::companion::redirect`].

use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments: Vec<_> = std::env::args_os().skip(1).collect();
    thttpd::companion::exit(thttpd::companion::redirect::run(&arguments))
}
