//! Phase of the server's end, as its control thread tells the workers.

use std::sync::atomic::AtomicU8;
use std::sync::atomic::Ordering::Relaxed;

/// The phase of the server's end. Phases only advance.
#[derive(Debug, Default)]
pub struct StopPhase(AtomicU8);

/// Nothing was asked for.
const RUNNING: u8 = 0;
const ANNOUNCED: u8 = 1;
const STOPPING: u8 = 2;

impl StopPhase {
    /// Responses say that their connection closes; connections and listeners stay.
    pub fn announce(&self) {
        self.0.fetch_max(ANNOUNCED, Relaxed);
    }

    /// Idle connections are closed, others end with their response.
    pub fn stop(&self) {
        self.0.fetch_max(STOPPING, Relaxed);
    }

    /// Tells whether the end was announced, or has begun.
    pub fn is_announced(&self) -> bool {
        self.0.load(Relaxed) > RUNNING
    }

    /// Tells whether the end has begun.
    pub fn is_stopping(&self) -> bool {
        self.0.load(Relaxed) >= STOPPING
    }
}
