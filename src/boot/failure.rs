//! Why the server does not start: one line for the log, one for the operator.

use std::fmt;
use std::io;
use std::ops::Deref;

use crate::sys::reason;

/// A start that failed. Boxed, since each step of the start passes it on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure(Box<FailureText>);

/// Contents of [`Failure`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FailureText {
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
        let (message, advice) = (message.into(), advice.into());
        Failure(Box::new(FailureText { message, advice, logged: false }))
    }

    /// `message` that another process of ours has logged, and what to do.
    pub fn logged(message: impl Into<String>, advice: &str) -> Failure {
        let mut failure = Failure::new(message, advice);
        failure.0.logged = true;
        failure
    }

    /// `CALL - REASON` as thttpd words what the system refused, and what to do.
    pub fn from_call(
        call: impl fmt::Display,
        error: impl Into<io::Error>,
        advice: impl Into<String>,
    ) -> Failure {
        Failure::new(refused(&call, &error.into()), advice)
    }

    /// The description alone.
    pub fn into_message(self) -> String {
        self.0.message
    }
}

fn refused(call: &dyn fmt::Display, error: &io::Error) -> String {
    format!("{call} - {}", reason(error))
}

impl Deref for Failure {
    type Target = FailureText;

    fn deref(&self) -> &FailureText {
        &self.0
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
