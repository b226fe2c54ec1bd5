//! `ssi`: CGI program for server-side includes; see its manual page and [`thttpd::companion::ssi`].

use std::process::ExitCode;

fn main() -> ExitCode {
    thttpd::companion::exit(thttpd::companion::ssi::run())
}
