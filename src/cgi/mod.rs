//! CGI/1.1 (RFC 3875): requests answered by programs.
//!
//! Input: a request and its [`Script`](crate::resource::Script). Output: a running child
//! ([`RunningScript`]) whose output the connection reads, and an
//! [`OutputParser`](output_parser::OutputParser) that makes a response of the output. `conn` connects both.
//! It receives the whole content of a request before starting the script.
//!
//! ```text
//! Request ──env──► Job ──children──► RunningScript ──bytes──► output_parser ──► response
//!                         │                                     └─ head
//!                         supervisor_thread: time limit, standard error, exit ──event──► log
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
    /// Variables for all scripts.
    pub constants: CgiConstants,
    /// Maximum output of a script in bytes (`cgi_output_limit`); 0 = no limit.
    pub output_limit: u64,
}

impl Cgi {
    /// Script runner with the settings of `config`; scripts that already run keep theirs.
    ///
    /// `root` is the document root's absolute path.
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

    /// Running scripts, of this and earlier configurations.
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

/// Response for a script that was not started.
///
/// 503 for a shortage, 504 if the start took longer than `cgi_timeout`, 500 for a script that cannot be
/// run.
pub fn rejection(error: StartError) -> Rejection {
    match error {
        StartError::Busy => Rejection::new(503, "Too many programs are running for other requests."),
        StartError::NoRoom => Rejection {
            may_pass: true,
            ..Rejection::new(503, "The server has no room to run the program of {url}.")
        },
        StartError::TooSlow => Rejection::new(504, "The program of {url} could not be started in time."),
        StartError::Unrunnable => Rejection::new(500, "The program of {url} could not be run."),
    }
}

/// Starts the supervisor of all scripts; events go to the system log.
///
/// # Errors
/// Those of [`Children::new`].
pub fn children() -> io::Result<Children> {
    Children::new(Box::new(log_event))
}

/// Logs an event, in the foreground also to standard error, which a script's author can watch.
fn log_event(event: &ScriptEvent) {
    log::send_shown(event.level(), format_args!("{event}"));
}
