//! Control of a running server: actions of signals, and periodic tasks.
//!
//! The main thread runs [`run`], which does one thing at a time.

use std::sync::Arc;
use std::time::Duration;

use crate::boot::RunningServer;

mod controller;
mod file_task;
mod periodic;
mod put_in_force;
mod reload;
mod unread;
mod watchdog;

use controller::Control;
pub use reload::ConfigReader;
pub use unread::ReadFiles;

/// Controls `running` until it has ended; `read` are the files of its configuration.
pub fn run(running: RunningServer, reader: Arc<ConfigReader>, read: ReadFiles) {
    let commands = running.commands.clone();
    let mut control = Control::new(running, reader, read);
    while !control.is_over() {
        if let Some(command) = commands.next(control.pause()) {
            control.obey(command);
        }
        // Periodic tasks run after each action, so that many signals cannot delay them.
        control.look_round();
    }
    // A HUP before the TERM still reopens the log. The number is bounded, since signals may keep arriving.
    std::iter::from_fn(|| commands.next(Duration::ZERO)).take(4).for_each(|command| control.obey(command));
    control.finish();
}
