//! Reload of the configuration on HUP: its start, and the new configuration put in force.

use std::io::ErrorKind;
use std::sync::Arc;
use std::time::Instant;

use super::controller::{Control, THROTTLE_TIME};
use super::file_task::{FileTask, TaskState};
use super::periodic::Periodic;
use super::reload::{LONG, Reload, Reloaded, read_again};
use crate::boot::{Failure, no_thread};
use crate::log;

/// Advice for a file that the server may not read any more.
///
/// The start reads with the rights of its user, often root, and before Landlock confines the process.
fn advice(kind: ErrorKind) -> &'static str {
    match kind {
        ErrorKind::PermissionDenied => {
            "; let this server read it, or restart: a start reads as its first user and in every directory"
        }
        _ => "",
    }
}

impl Control {
    /// Starts reading the configuration in a thread of its own, since the disk may hang.
    ///
    /// The old configuration stays until that is complete, and if there is any error.
    pub(super) fn reload(&mut self) {
        if self.reload.task.is_some() {
            self.reload.again = true;
            return;
        }
        self.running.notify.reloading();
        let (reader, old) = (Arc::clone(&self.reader), Arc::clone(&self.running.site));
        let children = self.running.children.clone();
        match FileTask::start(&self.running.commands, move || read_again(&reader, &old, children)) {
            Ok(task) => {
                let told_at = Some(Instant::now() + LONG);
                self.reload = Reload { task: Some(task), again: false, told_at };
            }
            Err(error) => self.end_reload(Err(no_thread(error))),
        }
    }

    /// Applies the new configuration, if reading is complete.
    pub(super) fn finish_reload(&mut self) {
        let Some(task) = &self.reload.task else { return };
        let outcome = match task.poll() {
            TaskState::Done(outcome) => outcome,
            TaskState::Failed => Err(Failure::new("an internal error", "")),
            TaskState::Pending => return self.report_long_reload(),
        };
        let again = std::mem::take(&mut self.reload).again;
        if self.shutdown.is_some() {
            return;
        }
        let outcome = outcome.map(|reloaded| self.put_in_force(reloaded));
        self.end_reload(outcome);
        if again {
            self.reload();
        }
    }

    fn report_long_reload(&mut self) {
        if self.reload.told_at.is_some_and(|at| Instant::now() >= at) {
            self.reload.told_at = None;
            log::warning!("reading the configuration again takes long; the old one stays in force meanwhile");
        }
    }

    fn end_reload(&self, outcome: Result<(), Failure>) {
        self.running.site.stats.reloaded(outcome.is_ok());
        match outcome {
            Ok(()) => log::notice!("configuration read again"),
            Err(failure) => {
                let advice = advice(failure.kind);
                log::critical!("configuration not read again, the old one stays - {failure}{advice}");
            }
        }
        self.running.notify.ready(&self.running.summary);
    }

    fn put_in_force(&mut self, Reloaded { site, children }: Reloaded) {
        self.running.server.replace_site(Arc::clone(&site));
        self.throttles = Periodic::new(THROTTLE_TIME).filter(|_| !site.throttles.is_empty());
        self.stats = Periodic::new(site.config.stats_interval);
        self.running.site = site;
        self.running.children = children;
    }
}
