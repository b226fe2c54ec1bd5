//! CGI/1.1 (RFC 3875): requests answered by programs.
//!
//! Input: a request and the [`Script`](crate::resource::Script) it names. Output: a running child
//! whose output the connection reads ([`RunningScript`]), and a [`OutputParser`](output_parser::OutputParser)
//! that makes a response of it. `conn` does both; it receives a request's whole content before the
//! script is started.
//!
//! ```text
//! Request ──env──► Job ──children──► RunningScript ──bytes──► translate ──► response
//!                              │                          └─ head
//!                            watch: time limit, standard error, end ──note──► log
//! ```

use std::io;
use std::sync::Arc;

use crate::config::Config;
use crate::log;
use crate::request::Rejection;

pub mod children;
pub mod env;
pub mod event;
pub mod head;
pub mod job;
pub mod output_parser;
mod script;
mod stderr_lines;
mod supervisor;
mod supervisor_thread;

use children::{Children, RunningScript, ScriptReservation};
use env::CgiConstants;
use event::ScriptEvent;
use job::{Job, ScriptBounds, StartError};

/// Script runner of one configuration.
#[derive(Debug)]
pub struct Cgi {
    children: Arc<Children>,
    bounds: ScriptBounds,
    /// Variables that all scripts get.
    pub constants: CgiConstants,
    /// Bytes that one may write (`cgi_output_limit`); 0 = no bound.
    pub output_limit: u64,
}

impl Cgi {
    /// Scripts run as `config` says, beside those that run already. `root` is the document root's
    /// absolute path.
    pub fn new(children: Arc<Children>, config: &Config, root: &[u8]) -> Cgi {
        Cgi {
            children,
            bounds: ScriptBounds {
                scripts: config.cgi_limit,
                time: config.timeouts.cgi,
                room: config.timeouts.head,
            },
            constants: CgiConstants::new(config, root),
            output_limit: config.limits.cgi_output,
        }
    }

    /// The scripts that run, of this configuration and others.
    pub fn children(&self) -> Arc<Children> {
        Arc::clone(&self.children)
    }

    /// Takes a slot and descriptors for a script.
    ///
    /// # Errors
    /// 503: there is none; one that [may pass](Rejection::may_pass) where the system lacks descriptors.
    pub fn reserve(&self) -> Result<ScriptReservation, Rejection> {
        self.children.reserve(self.bounds).map_err(rejection)
    }

    /// Has `job` started. Should that fail after all, its output ends, and its
    /// [end](RunningScript::end) tells.
    pub fn start(&self, job: Job, reservation: ScriptReservation) -> RunningScript {
        self.children.run(job, reservation)
    }
}

/// Response for a script that was not started: 503 when there was no room for it, 504 when its
/// start took longer than `cgi_timeout`, 500 when it cannot be run.
pub fn rejection(not: StartError) -> Rejection {
    match not {
        StartError::Busy => Rejection::new(503, "Too many programs are running for other requests."),
        StartError::NoRoom => Rejection {
            may_pass: true,
            ..Rejection::new(503, "The server has no room to run the program of {url}.")
        },
        StartError::TooSlow => Rejection::new(504, "The program of {url} could not be started in time."),
        StartError::Unrunnable => Rejection::new(500, "The program of {url} could not be run."),
    }
}

/// All scripts of this process; what happens to them goes to the system log.
///
/// # Errors
/// As [`Children::new`].
pub fn children() -> io::Result<Children> {
    Children::new(Box::new(tell))
}

/// Also to standard error in the foreground: a script's author watches that.
fn tell(event: &ScriptEvent) {
    log::send_shown(event.level(), format_args!("{event}"));
}
