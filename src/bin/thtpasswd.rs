//! `thtpasswd`: keeps password files; see its manual page and [`thttpd::companion::thtpasswd`].

use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments: Vec<_> = std::env::args_os().skip(1).collect();
    thttpd::companion::exit(thttpd::companion::thtpasswd::run(&arguments))
}
