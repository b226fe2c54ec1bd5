//! Threads of the server, started in one way.

use std::io;
use std::num::NonZero;
use std::thread::{Builder, JoinHandle};

/// Starts a thread called `name` with `stack` bytes of stack.
///
/// The work is boxed, as a generic function would add the code for starting a thread once for each caller.
///
/// # Errors
/// The system lacks resources for another thread.
pub fn start(name: &str, stack: usize, work: Box<dyn FnOnce() + Send>) -> io::Result<JoinHandle<()>> {
    Builder::new().name(name.to_owned()).stack_size(stack).spawn(work)
}

/// Number of processors that the process may use; two if unknown.
pub fn processors() -> usize {
    std::thread::available_parallelism().map_or(2, NonZero::get)
}
