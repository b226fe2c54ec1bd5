//! `makeweb`: makes a web directory; see its manual page and [`thttpd::companion::makeweb`].

use std::process::ExitCode;

fn main() -> ExitCode {
    let mut arguments = std::env::args_os();
    let program = arguments.next().map_or("makeweb".into(), |name| name.to_string_lossy().into_owned());
    let arguments: Vec<_> = arguments.collect();
    thttpd::companion::exit(thttpd::companion::makeweb::run(&program, &arguments))
}
