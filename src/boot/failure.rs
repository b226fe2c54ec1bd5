//! Failure of a start: one line for the log, and one for the operator.

use std::fmt;
use std::io;
use std::ops::Deref;

use crate::config::origin::{Origin, Origins};
use crate::config::printable::shortened;
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
    /// Kind of the system's error behind the failure; `Other` if there is none.
    pub kind: io::ErrorKind,
    /// Option whose value was refused; empty if no single option is.
    pub option: &'static str,
    /// Set if another process of the server has logged the message.
    pub logged: bool,
}

impl Failure {
    /// Failure with `message` and advice.
    pub fn new(message: impl Into<String>, advice: impl Into<String>) -> Failure {
        // A value of the configuration may be of any length.
        let bounded = |text: String| text.lines().map(shortened).collect::<Vec<_>>().join("\n");
        let (message, advice) = (bounded(message.into()), bounded(advice.into()));
        let kind = io::ErrorKind::Other;
        Failure(Box::new(FailureText { message, advice, kind, option: "", logged: false }))
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
        let error = error.into();
        Failure::new(refused(&call, &error), advice).with_kind(error.kind())
    }

    /// Sets the kind of the system's error behind the failure.
    pub fn with_kind(mut self, kind: io::ErrorKind) -> Failure {
        self.0.kind = kind;
        self
    }

    /// Names the option whose value was refused, unless one is named already.
    pub fn with_option(mut self, option: &'static str) -> Failure {
        if self.0.option.is_empty() {
            self.0.option = option;
        }
        self
    }

    /// The failure with the file and line of its option in the advice.
    ///
    /// A flag needs no place, as the advice names it.
    pub fn located(mut self, origins: &Origins) -> Failure {
        let origin = origins.get(self.option);
        if matches!(origin, Origin::File { .. } | Origin::Variable) {
            let place = format!(" ({} stands in {origin})", self.option);
            self.0.advice.push_str(&place);
        }
        self
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
