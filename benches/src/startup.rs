//! How soon a server answers after `exec`, and how much memory it holds when idle.

use crate::Result;
use crate::record::Start;
use crate::server::running::Running;
use crate::server::{Server, usage};
use crate::workplace::Workplace;

/// Connections a server must be able to hold for this: what nginx's and lighttpd's packages set up.
const CONNECTIONS: usize = 768;

/// Starts the server, waits for one answer, looks at its memory and stops it.
///
/// # Errors
/// The server does not start.
pub fn start(server: &Server, place: &Workplace) -> Result<Start> {
    let running = Running::start(server, place.setting(CONNECTIONS))?;
    let memory = usage::memory(&running.processes()?)?;
    Ok(Start { first_answer: running.first_answer.as_secs_f64() * 1e3, memory })
}
