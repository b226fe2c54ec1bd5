//! CGI/1.1 (RFC 3875): requests answered by programs.
//!
//! Enters: a request and the [`Script`](crate::resource::Script) it names. Leaves: a running child
//! whose output the connection reads ([`Running`]), and a [`Translation`](translate::Translation)
//! that makes a response of it. `conn` does both; it receives a request's whole content before the
//! script is started.
//!
//! ```text
//! Request ──env──► Job ──children──► Running ──bytes──► translate ──► response
//!                              │                          └─ head
//!                            watch: time limit, standard error, end ──note──► log
//! ```

use std::io;
use std::sync::Arc;

use nix::errno::Errno;

use crate::config::Config;
use crate::log;
use crate::request::Rejection;

pub mod children;
mod complaint;
pub mod env;
pub mod head;
pub mod note;
mod script;
pub mod translate;
mod watch;

use children::{Bounds, Children, Job, NotStarted, Running};
use env::Facts;
use note::{Level, Note};

/// What it takes to run scripts under one configuration.
#[derive(Debug)]
pub struct Cgi {
    children: Arc<Children>,
    bounds: Bounds,
    /// What scripts are told.
    pub facts: Facts,
    /// Bytes that one may write (`cgi_output_limit`); 0 = no bound.
    pub output_limit: u64,
}

impl Cgi {
    /// Scripts run as `config` says, beside those that run already. `root` is the document root's
    /// absolute path.
    pub fn new(children: Arc<Children>, config: &Config, root: &[u8]) -> Cgi {
        Cgi {
            children,
            bounds: Bounds { scripts: config.cgi_limit, time: config.timeouts.cgi },
            facts: Facts::new(config, root),
            output_limit: config.limits.cgi_output,
        }
    }

    /// The scripts that run, of this configuration and others.
    pub fn children(&self) -> Arc<Children> {
        Arc::clone(&self.children)
    }

    /// Starts `job`.
    ///
    /// # Errors
    /// 503 when there is no room for another script, 500 when this one cannot be run.
    pub fn start(&self, job: Job) -> Result<Running, Rejection> {
        self.children.run(job, self.bounds).map_err(|not| match not {
            NotStarted::Busy => Rejection::new(503, "Too many programs are running for other requests."),
            NotStarted::Failed(error) if is_shortage(&error) => {
                Rejection::new(503, "The server has no room to run the program of {url}.")
            }
            NotStarted::Failed(_) => Rejection::new(500, "The program of {url} could not be run."),
        })
    }
}

/// It may work later.
fn is_shortage(error: &io::Error) -> bool {
    const SHORTAGES: [Errno; 4] = [Errno::EAGAIN, Errno::ENOMEM, Errno::EMFILE, Errno::ENFILE];
    error.raw_os_error().is_some_and(|code| SHORTAGES.contains(&Errno::from_raw(code)))
}

/// All scripts of this process; what happens to them goes to the system log.
///
/// # Errors
/// As [`Children::new`].
pub fn children() -> io::Result<Children> {
    Children::new(Box::new(tell))
}

fn tell(note: &Note) {
    match note.level() {
        Level::Error => log::error!("{note}"),
        Level::Warning => log::warning!("{note}"),
        Level::Notice => log::notice!("{note}"),
        Level::Debug => log::debug!("{note}"),
    }
}
