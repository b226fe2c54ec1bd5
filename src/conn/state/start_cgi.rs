//! StartCgi: a script that the system has no descriptors or memory for is started a moment later.

use std::time::{Duration, Instant};

use crate::conn::context::Turn;
use crate::conn::transition::{Advance, Pause, Transition, Upload};
use crate::conn::wait::{On, Wait};

/// Time between two tries.
const PAUSE: Duration = Duration::from_millis(20);

/// A script's request that waits for what the system lacks.
#[derive(Debug)]
pub struct StartCgi {
    upload: Box<Upload>,
    until: Instant,
}

impl StartCgi {
    /// A start that just failed.
    pub fn new(upload: Box<Upload>) -> StartCgi {
        StartCgi { upload, until: Instant::now() + PAUSE }
    }

    /// The request.
    pub fn upload(&self) -> &Upload {
        &self.upload
    }

    /// Tries again once the pause is over.
    pub fn advance(self, _turn: &mut Turn<'_>) -> Advance<StartCgi> {
        if Instant::now() < self.until {
            let wait = Wait { on: On::Time, until: self.until };
            return Advance::Stay(self, Pause::Wait(wait));
        }
        Advance::Go(Transition::RunScript(self.upload))
    }
}
