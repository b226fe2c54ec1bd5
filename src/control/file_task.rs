//! File operations for the control thread, which must handle signals even if the disk hangs.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::boot::Commands;
use crate::sys::latch::{Latch, latch};
use crate::sys::thread;

/// Stack size of a task's thread in bytes: enough to read a configuration with all its files.
const STACK: usize = 1 << 20;

/// Work in a thread of its own. A disk that hangs blocks only that thread.
#[derive(Debug)]
pub(super) struct FileTask<T> {
    result: Arc<Mutex<Option<T>>>,
    /// Set when the thread ends, also by a panic.
    end: Latch,
}

/// Progress of a [`FileTask`].
#[derive(Debug)]
pub(super) enum TaskState<T> {
    /// Result, returned once.
    Done(T),
    /// The work goes on.
    Pending,
    /// The thread panicked.
    Failed,
}

/// Guard that wakes the control thread when a task's thread ends, also by a panic.
struct WakeOnDrop(Commands);

impl Drop for WakeOnDrop {
    fn drop(&mut self) {
        self.0.wake();
    }
}

impl<T: Send + 'static> FileTask<T> {
    /// Starts `work`, and wakes the thread that waits for `commands` when the work is done.
    ///
    /// # Errors
    /// No thread can be started; the work is not done.
    pub(super) fn start(
        commands: &Commands,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> io::Result<FileTask<T>> {
        let result = Arc::<Mutex<Option<T>>>::default();
        let (setter, end) = latch();
        let (slot, waker) = (Arc::clone(&result), WakeOnDrop(commands.clone()));
        let run = move || {
            // Drop order matters: the latch is set first, and the waker runs afterwards.
            let _waker = waker;
            let _setter = setter;
            let done = work();
            *slot.lock().unwrap_or_else(PoisonError::into_inner) = Some(done);
        };
        thread::start("files", STACK, Box::new(run))?;
        Ok(FileTask { result, end })
    }

    /// Checks whether the work is done.
    pub(super) fn poll(&self) -> TaskState<T> {
        if !self.end.is_set() {
            return TaskState::Pending;
        }
        let result = self.result.lock().unwrap_or_else(PoisonError::into_inner).take();
        result.map_or(TaskState::Failed, TaskState::Done)
    }

    /// Waits for the end of the work, at most for `longest`.
    pub(super) fn wait(self, longest: Duration) {
        self.end.wait(longest);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc::channel;

    #[test]
    fn the_waiting_thread_is_woken_by_the_end_and_by_a_panic() {
        let commands = Commands::default();
        let long = Duration::from_secs(60);
        let (go, wait) = channel();
        let task = FileTask::start(&commands, move || wait.recv()).unwrap();
        assert!(matches!(task.poll(), TaskState::Pending));
        go.send(7).unwrap();
        assert_eq!(commands.next(long), None);
        assert!(matches!(task.poll(), TaskState::Done(Ok(7))));
        let task: FileTask<()> =
            FileTask::start(&commands, || std::panic::resume_unwind(Box::new(()))).unwrap();
        assert_eq!(commands.next(long), None);
        assert!(matches!(task.poll(), TaskState::Failed));
    }
}
