//! File operations for the control thread, which must handle signals even if the disk hangs.

use std::io;
use std::time::Duration;

use crossbeam_channel::{Receiver, TryRecvError, bounded};

use crate::boot::Commands;

/// Stack size of a task's thread in bytes: enough to read a configuration with all its files.
const STACK: usize = 1 << 20;

/// Work in a thread of its own. A disk that hangs blocks only that thread.
#[derive(Debug)]
pub(super) struct FileTask<T>(Receiver<T>);

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
        let (sender, receiver) = bounded(1);
        let waker = WakeOnDrop(commands.clone());
        let thread = std::thread::Builder::new().name("files".into()).stack_size(STACK);
        thread.spawn(move || {
            // Drop order matters: the result is sent first, and the waker runs afterwards.
            let _waker = waker;
            let sender = sender;
            let _ = sender.send(work());
        })?;
        Ok(FileTask(receiver))
    }

    /// Checks whether the work is done.
    pub(super) fn poll(&self) -> TaskState<T> {
        match self.0.try_recv() {
            Ok(result) => TaskState::Done(result),
            Err(TryRecvError::Empty) => TaskState::Pending,
            Err(TryRecvError::Disconnected) => TaskState::Failed,
        }
    }

    /// Waits for the end of the work, at most for `longest`.
    pub(super) fn wait(self, longest: Duration) {
        let _ = self.0.recv_timeout(longest);
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
