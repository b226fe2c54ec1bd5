//! Companion programs of the server, each a small binary of its own.
//!
//! `src/bin/NAME.rs` passes its arguments to the module of that name, and its result to [`exit`]. The
//! server uses nothing from here.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read};
use std::process::ExitCode;

mod cgi_page;
pub mod makeweb;
pub mod redirect;
mod replacement;
pub mod ssi;
pub mod syslogtocern;
pub mod thtpasswd;

use crate::sys::stdio;

pub use crate::sys::reason;

/// Failure of a companion.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// Message for standard error, without a line end.
    pub message: String,
    /// Exit status: 1, unless the program's manual specifies another.
    pub status: u8,
}

impl Refusal {
    /// Refusal with exit status 1.
    pub fn new(message: impl Into<String>) -> Refusal {
        Refusal { message: message.into(), status: 1 }
    }
}

/// Prints the failure, if any, on standard error, and returns the exit status.
pub fn exit(outcome: Result<(), Refusal>) -> ExitCode {
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(refusal) => {
            // With standard error closed, only the exit status reports the failure.
            let _ = stdio::error_line(&refusal.message);
            ExitCode::from(refusal.status)
        }
    }
}

/// Writes one line to standard output; a closed output is ignored.
fn say(line: &str) {
    let _ = stdio::write_line(&mut io::stdout(), &stdio::for_terminal(line));
}

/// Prints `usage` if `arguments` contain `--help`; true if that was done.
fn helped(arguments: &[OsString], usage: &str) -> bool {
    let is_asked = arguments.first().is_some_and(|first| first == "--help");
    if is_asked {
        say(usage);
    }
    is_asked
}

/// Prints `usage` of a CGI program for `--help` on a terminal.
///
/// A server takes the arguments from clients (RFC 3875 §4.4), so that they must be ignored under CGI.
fn helped_by_hand(arguments: &[OsString], usage: &str) -> bool {
    std::env::var_os("GATEWAY_INTERFACE").is_none() && helped(arguments, usage)
}

/// Random bytes from the kernel's generator.
///
/// # Errors
/// `/dev/urandom` cannot be read.
fn random<const N: usize>() -> io::Result<[u8; N]> {
    let mut bytes = [0; N];
    File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    Ok(bytes)
}
