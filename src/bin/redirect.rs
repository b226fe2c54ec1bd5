//! `redirect`: CGI program for moved pages; see its manual page and [`thttpd::companion::redirect`].

use std::process::ExitCode;

fn main() -> ExitCode {
    thttpd::companion::exit(thttpd::companion::redirect::run())
}
