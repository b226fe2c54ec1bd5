//! The programs that come with the server: thttpd's companions, each a small binary of its own.
//!
//! `src/bin/NAME.rs` hands its arguments to the module of that name and ends with what
//! [`exit`] makes of the outcome. Nothing in the server calls anything here.

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

/// Why a companion does not do what it was asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// For standard error, without a line end.
    pub message: String,
    /// Exit status: 1, except where a program's manual says otherwise.
    pub status: u8,
}

impl Refusal {
    /// With exit status 1.
    pub fn new(message: impl Into<String>) -> Refusal {
        Refusal { message: message.into(), status: 1 }
    }
}

/// The end of a companion: what went wrong, if anything, on standard error, and the exit status.
pub fn exit(outcome: Result<(), Refusal>) -> ExitCode {
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(refusal) => {
            // Where standard error is closed, the status says it.
            let _ = stdio::error_line(&refusal.message);
            ExitCode::from(refusal.status)
        }
    }
}

/// Writes one line to standard output. A closed output does not stop the work.
fn say(line: &str) {
    let _ = stdio::write_line(&mut io::stdout(), &stdio::for_terminal(line));
}

/// Prints `usage` where `arguments` ask for it by `--help`; `true`: that is all there is to do.
fn helped(arguments: &[OsString], usage: &str) -> bool {
    let is_asked = arguments.first().is_some_and(|first| first == "--help");
    if is_asked {
        say(usage);
    }
    is_asked
}

/// Prints `usage` of a CGI program that a person runs with `--help`. A server's arguments come from
/// clients (RFC 3875 section 4.4), and are no question of that kind.
fn helped_by_hand(arguments: &[OsString], usage: &str) -> bool {
    std::env::var_os("GATEWAY_INTERFACE").is_none() && helped(arguments, usage)
}

/// Unpredictable bytes from the kernel's generator.
///
/// # Errors
/// There is no `/dev/urandom`.
fn random<const N: usize>() -> io::Result<[u8; N]> {
    let mut bytes = [0; N];
    File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    Ok(bytes)
}
