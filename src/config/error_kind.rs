//! Reasons for refusing an option, in words.

use std::fmt;
use std::io;

/// Reason for refusing a written option.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ConfigErrorKind {
    /// The option is unknown; a similar name is suggested if there is one.
    Unknown {
        /// Suggested word, ready to be written in its place.
        nearest: Option<String>,
    },
    /// The command line has a word that belongs to no flag.
    Stray,
    /// The option needs a value.
    ValueRequired,
    /// The option takes no value.
    NoValue {
        /// Suggested word.
        instead: Option<String>,
    },
    /// Several words of a config file were meant as this one.
    ToBeWritten(String),
    /// A value in a config file continues behind a blank.
    BlankInValue {
        /// Flag that accepts such a value; empty if only `-o` does.
        flag: &'static str,
    },
    /// The value is not a decimal number.
    NotNumber {
        /// Suggested number: 3600 for `1h`.
        instead: Option<i64>,
    },
    /// The value is not a number of bytes, with an optional suffix K, M or G.
    NotSize,
    /// The number is outside the range of the option, given in the option's notation.
    OutOfRange {
        /// Smallest allowed value; `None` if there is no lower limit.
        least: Option<String>,
        /// Largest allowed value.
        most: String,
    },
    /// The word is none of the listed ones.
    NotOneOf(&'static [&'static str]),
    /// The value is empty.
    Empty,
    /// The value is not UTF-8.
    NotUtf8,
    /// The value has a control character, which could break a field line, a log line or a path.
    Control,
    /// An environment variable is not set.
    Unset(String),
    /// A reference to an environment variable is malformed.
    Variable(String),
    /// The value is not a media type.
    NotMedia,
    /// A file name in a list has a slash.
    Slash,
    /// The value does not have the form of the option; the sentence describes the fault.
    Malformed(String),
    /// The file could not be read.
    Unreadable {
        /// The system's words.
        reason: String,
        /// Kind of the system's error.
        kind: io::ErrorKind,
    },
}

impl ConfigErrorKind {
    /// Tells whether the words are wrong, instead of a value.
    pub fn is_misuse(&self) -> bool {
        matches!(
            self,
            ConfigErrorKind::Unknown { .. }
                | ConfigErrorKind::Stray
                | ConfigErrorKind::ValueRequired
                | ConfigErrorKind::NoValue { .. }
        )
    }
}

impl fmt::Display for ConfigErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ConfigErrorKind::Unknown { nearest: None } => f.write_str("unknown option"),
            ConfigErrorKind::Unknown { nearest: Some(word) } => {
                write!(f, "unknown option; did you mean {word}?")
            }
            ConfigErrorKind::Stray => f.write_str("unexpected argument"),
            ConfigErrorKind::ValueRequired => f.write_str("value required"),
            ConfigErrorKind::NoValue { instead: None } => f.write_str("no value allowed"),
            ConfigErrorKind::NoValue { instead: Some(word) } => write!(f, "no value allowed; write {word}"),
            ConfigErrorKind::ToBeWritten(word) => write!(f, "write {word}, as one word without a blank"),
            ConfigErrorKind::BlankInValue { flag } => {
                let flag = if flag.is_empty() { "-o" } else { flag };
                write!(
                    f,
                    "a value ends at a blank and quotes are part of it; give this one with {flag} instead"
                )
            }
            ConfigErrorKind::NotNumber { instead: None } => f.write_str("not a number"),
            ConfigErrorKind::NotNumber { instead: Some(number) } => write!(f, "not a number; write {number}"),
            ConfigErrorKind::NotSize => {
                f.write_str("not a size (digits, with K, M or G behind them if wanted)")
            }
            ConfigErrorKind::OutOfRange { least: Some(least), most } => {
                write!(f, "must be from {least} to {most}")
            }
            ConfigErrorKind::OutOfRange { least: None, most } => write!(f, "must be at most {most}"),
            ConfigErrorKind::NotOneOf(words) => write!(f, "must be one of {}", words.join(", ")),
            ConfigErrorKind::Empty => f.write_str("must not be empty"),
            ConfigErrorKind::NotUtf8 => f.write_str("not valid UTF-8"),
            ConfigErrorKind::Control => f.write_str("control characters are not allowed"),
            ConfigErrorKind::Unset(name) => {
                write!(f, "the environment has no {name}; write ${{{name}:-text}} for a default")
            }
            ConfigErrorKind::Variable(text) => write!(f, "{text} is no variable; write $${{ for a plain ${{"),
            ConfigErrorKind::NotMedia => f.write_str("not a media type (type/subtype)"),
            ConfigErrorKind::Slash => f.write_str("a name in the list holds a slash"),
            ConfigErrorKind::Malformed(reason) => f.write_str(reason),
            ConfigErrorKind::Unreadable { reason, .. } => {
                write!(f, "{reason}; give a configuration file that can be read with -C")
            }
        }
    }
}
