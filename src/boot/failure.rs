//! Why the server does not start: one line for the log, one for the operator.

use std::fmt;
use std::io;

use crate::sys::reason;

/// A start that failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// Description of the failure, in the words thttpd logs.
    pub message: String,
    /// Advice for the operator; empty when there is nothing to add.
    pub advice: String,
    /// Another process of ours has logged it.
    pub logged: bool,
}

impl Failure {
    /// `message`, and what to do.
    pub fn new(message: impl Into<String>, advice: impl Into<String>) -> Failure {
        Failure { message: message.into(), advice: advice.into(), logged: false }
    }

    /// `CALL - REASON` as thttpd words what the system refused, and what to do.
    pub fn of(call: impl fmt::Display, error: impl Into<io::Error>, advice: impl Into<String>) -> Failure {
        Failure::new(format!("{call} - {}", reason(&error.into())), advice)
    }
}

impl fmt::Display for Failure {
    /// `MESSAGE; ADVICE`
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        if !self.advice.is_empty() {
            write!(f, "; {}", self.advice)?;
        }
        Ok(())
    }
}

impl std::error::Error for Failure {}
