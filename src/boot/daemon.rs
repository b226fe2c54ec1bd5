//! Background start: the started process waits until the server is ready or has failed.
//!
//! Its exit status is then the outcome of the start. thttpd's started process exits with status 0 at once.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;

use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::unistd::{ForkResult, dup2_stderr, dup2_stdin, dup2_stdout, pipe2, setsid};

use super::failure::Failure;
use crate::sys::fork::fork_alone;

/// Side of the fork on which this process runs after [`detach`].
#[derive(Debug)]
pub enum ForkSide {
    /// Server process, which must report the outcome of its start.
    Server(StartOutcome),
    /// Started process; the server is ready.
    Starter,
}

/// Report of the server to the started process.
#[derive(Debug)]
pub struct StartOutcome(Option<File>);

/// Byte sent by a ready server; the text of a failure never begins with it.
const READY: &[u8] = b"\0";

impl StartOutcome {
    /// Report of a foreground server, which has no waiting parent.
    pub fn unneeded() -> StartOutcome {
        StartOutcome(None)
    }

    /// Reports that the server is ready.
    pub fn ready(self) {
        if let Some(mut pipe) = self.0 {
            // The parent may have ended already, and then needs no message.
            let _ = pipe.write_all(READY);
        }
    }

    /// Reports that the start has failed.
    pub fn failed(self, failure: &Failure) {
        if let Some(mut pipe) = self.0 {
            let _ = pipe.write_all(failure.to_string().as_bytes());
        }
    }
}

/// Forks; the child becomes the server, in its own session and with `/dev/null` as standard streams.
///
/// # Errors
/// In the started process: the server's failure, in its words.
pub fn detach() -> Result<ForkSide, Failure> {
    let failed = |errno| Failure::from_call("daemon", errno, advice(errno));
    // Opened before the fork: only one of the two processes then reports that it is missing.
    let null = File::options().read(true).write(true).open("/dev/null");
    let null = null.map_err(|error| {
        let advice = "a server in the background needs it: make it, or stay in the foreground with -D";
        Failure::from_call("/dev/null", error, advice)
    })?;
    let (read, write) = pipe2(OFlag::O_CLOEXEC).map_err(failed)?;
    match fork_alone().map_err(failed)? {
        ForkResult::Parent { .. } => {
            drop(write);
            wait(read)
        }
        ForkResult::Child => {
            drop(read);
            let outcome = StartOutcome(Some(File::from(write)));
            match leave_terminal(&null) {
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

/// Leaves the terminal's session in the foreground, as thttpd does, since job control would stop the
/// server.
///
/// A process group leader cannot leave, so that a server started by hand still receives ^C.
pub fn leave_job_control() {
    // setsid fails only for a process group leader.
    let _ = setsid();
}

/// Makes `null` descriptors 0–2, so that no socket gets one of these numbers.
fn leave_terminal(null: &File) -> Result<(), Failure> {
    let failed = |errno| Failure::from_call("daemon", errno, advice(errno));
    setsid().map_err(failed)?;
    dup2_stdin(null).and_then(|()| dup2_stdout(null)).and_then(|()| dup2_stderr(null)).map_err(failed)
}

fn advice(errno: Errno) -> &'static str {
    match errno {
        Errno::EAGAIN => "the system has no room for another process: see ulimit -u",
        Errno::EMFILE => "too few descriptors for a server: see ulimit -n",
        _ => "",
    }
}
