//! Failure of a start: one line for the log, and one for the operator.

use std::fmt;
use std::io;
use std::ops::Deref;

use crate::sys::reason;

/// Failure of a start, boxed to keep results small.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure(Box<FailureText>);

/// Contents of [`Failure`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FailureText {
    /// Description of the failure, in the words thttpd logs.
    pub message: String,
    /// Advice for the operator; may be empty.
    pub advice: String,
    /// Set if another process of the server has logged the message.
    pub logged: bool,
}

impl Failure {
    /// Failure with `message` and advice.
    pub fn new(message: impl Into<String>, advice: impl Into<String>) -> Failure {
        let (message, advice) = (message.into(), advice.into());
        Failure(Box::new(FailureText { message, advice, logged: false }))
    }

    /// Failure with a `message` that another process of the server has logged.
    pub fn logged(message: impl Into<String>, advice: &str) -> Failure {
        let mut failure = Failure::new(message, advice);
        failure.0.logged = true;
        failure
    }

    /// Failure of a system call, in thttpd's form `CALL - REASON`, with advice.
    pub fn from_call(
        call: impl fmt::Display,
        error: impl Into<io::Error>,
        advice: impl Into<String>,
    ) -> Failure {
        Failure::new(refused(&call, &error.into()), advice)
    }

    /// Description without the advice.
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
    /// Writes `MESSAGE; ADVICE`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        if !self.advice.is_empty() {
            write!(f, "; {}", self.advice)?;
        }
        Ok(())
    }
}

impl std::error::Error for Failure {}
