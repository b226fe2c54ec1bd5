//! Into the background, without losing what happens there: the process that was started stays until
//! the server serves or has failed, and ends with its outcome. (thttpd's ends at once, with status 0.)

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;

use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::unistd::{ForkResult, dup2_stderr, dup2_stdin, dup2_stdout, pipe2, setsid};

use super::failure::Failure;
use crate::sys::fork::fork_alone;

/// Side of the fork on which this process is after [`detach`].
#[derive(Debug)]
pub enum ForkSide {
    /// The server, which owes a report of how its start went.
    Server(StartOutcome),
    /// The process that was started; the server is ready.
    Starter,
}

/// The server's report to the process that was started.
#[derive(Debug)]
pub struct StartOutcome(Option<File>);

/// Byte that a ready server sends; a failure's text never begins with it.
const READY: &[u8] = b"\0";

impl StartOutcome {
    /// Outcome of a server in the foreground, for which no parent waits.
    pub fn unneeded() -> StartOutcome {
        StartOutcome(None)
    }

    /// The server serves.
    pub fn ready(self) {
        if let Some(mut pipe) = self.0 {
            // A parent that has gone needs no message.
            let _ = pipe.write_all(READY);
        }
    }

    /// The server does not start.
    pub fn failed(self, failure: &Failure) {
        if let Some(mut pipe) = self.0 {
            let _ = pipe.write_all(failure.to_string().as_bytes());
        }
    }
}

/// Forks; the child goes on as the server, in a session of its own and with `/dev/null` for standard
/// input, output and error.
///
/// # Errors
///
/// In the process that was started: the server failed, with its own words.
pub fn detach() -> Result<ForkSide, Failure> {
    let failed = |errno| Failure::from_call("daemon", errno, advice(errno));
    let (read, write) = pipe2(OFlag::O_CLOEXEC).map_err(failed)?;
    match fork_alone().map_err(failed)? {
        ForkResult::Parent { .. } => {
            drop(write);
            wait(read)
        }
        ForkResult::Child => {
            drop(read);
            let outcome = StartOutcome(Some(File::from(write)));
            match leave_terminal() {
                Ok(()) => Ok(ForkSide::Server(outcome)),
                Err(failure) => {
                    outcome.failed(&failure);
                    Err(failure)
                }
            }
        }
    }
}

fn wait(pipe: OwnedFd) -> Result<ForkSide, Failure> {
    let mut said = Vec::new();
    let _ = File::from(pipe).read_to_end(&mut said);
    match said.as_slice() {
        READY => Ok(ForkSide::Starter),
        [] => Err(Failure::logged("the server ended before it was ready", "see the system log")),
        text => Err(Failure::logged(String::from_utf8_lossy(text), "")),
    }
}

/// Leaves the session of the terminal that a foreground server was started from, as thttpd does: job control
/// would stop it. The leader of a process group has to stay, so that a server started by hand hears ^C.
pub fn leave_job_control() {
    // Fails for a leader alone.
    let _ = setsid();
}

/// Descriptors 0–2 stay taken, so that no socket ever is one of them.
fn leave_terminal() -> Result<(), Failure> {
    let failed = |errno| Failure::from_call("daemon", errno, advice(errno));
    setsid().map_err(failed)?;
    let null = File::options().read(true).write(true).open("/dev/null");
    let null = null.map_err(|error| {
        Failure::from_call("/dev/null", error, "a background server needs it; use -D without")
    })?;
    dup2_stdin(&null).and_then(|()| dup2_stdout(&null)).and_then(|()| dup2_stderr(&null)).map_err(failed)
}

fn advice(errno: Errno) -> &'static str {
    match errno {
        Errno::EAGAIN => "the system has no room for another process: see ulimit -u",
        _ => "",
    }
}
