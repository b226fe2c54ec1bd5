//! Work on files for the control thread, which must obey signals whatever the disk does.

use std::io;
use std::time::Duration;

use crossbeam_channel::{Receiver, TryRecvError, bounded};

use crate::boot::Commands;

/// Stack of a task's thread, in bytes: enough to read a configuration with all its files.
const STACK: usize = 1 << 20;

/// Work in a thread of its own. A disk that hangs holds that thread, and nothing else.
#[derive(Debug)]
pub(super) struct FileTask<T>(Receiver<T>);

/// Outcome of a look at a [`FileTask`].
#[derive(Debug)]
pub(super) enum Progress<T> {
    /// The result, given once.
    Done(T),
    /// The work goes on.
    Pending,
    /// The thread panicked.
    Failed,
}

/// Wakes the control thread when a task's thread ends, by a panic too.
struct WakeOnDrop(Commands);

impl Drop for WakeOnDrop {
    fn drop(&mut self) {
        self.0.wake();
    }
}

impl<T: Send + 'static> FileTask<T> {
    /// Starts `work`. The thread that waits for `commands` is woken when it is done.
    ///
    /// # Errors
    ///
    /// The system has no thread left; the work is not done.
    pub(super) fn start(
        commands: &Commands,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> io::Result<FileTask<T>> {
        let (sender, receiver) = bounded(1);
        let waker = WakeOnDrop(commands.clone());
        let thread = std::thread::Builder::new().name("files".into()).stack_size(STACK);
        thread.spawn(move || {
            // Dropped in this order: the result first, then the waker.
            let _waker = waker;
            let sender = sender;
            let _ = sender.send(work());
        })?;
        Ok(FileTask(receiver))
    }

    /// Looks whether the work is done.
    pub(super) fn poll(&self) -> Progress<T> {
        match self.0.try_recv() {
            Ok(result) => Progress::Done(result),
            Err(TryRecvError::Empty) => Progress::Pending,
            Err(TryRecvError::Disconnected) => Progress::Failed,
        }
    }

    /// Waits for the end of the work, for `longest` at most.
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
        assert!(matches!(task.poll(), Progress::Pending));
        go.send(7).unwrap();
        assert_eq!(commands.next(long), None);
        assert!(matches!(task.poll(), Progress::Done(Ok(7))));
        let task: FileTask<()> =
            FileTask::start(&commands, || std::panic::resume_unwind(Box::new(()))).unwrap();
        assert_eq!(commands.next(long), None);
        assert!(matches!(task.poll(), Progress::Failed));
    }
}
