//! Threads of the server, all started in one way.

use std::io;
use std::num::NonZero;
use std::thread::{Builder, JoinHandle};

/// Starts a thread called `name` with `stack` bytes of stack. The work comes in a box, since a generic
/// function would add the code that starts a thread to the program once for each caller.
///
/// # Errors
/// The system has no thread for us.
pub fn start(name: &str, stack: usize, work: Box<dyn FnOnce() + Send>) -> io::Result<JoinHandle<()>> {
    Builder::new().name(name.to_owned()).stack_size(stack).spawn(work)
}

/// Processors that the process may use, two where that is unknown.
pub fn processors() -> usize {
    std::thread::available_parallelism().map_or(2, NonZero::get)
}
