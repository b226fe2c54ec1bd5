//! ConfigErrorKind one written option was refused, in words.

use std::fmt;

/// ConfigErrorKind one written option was refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ConfigErrorKind {
    /// No option has this name; the nearest one, if any is near.
    Unknown {
        /// Word that was probably meant, ready to be written in its place.
        nearest: Option<String>,
    },
    /// The command line holds a word that belongs to no flag.
    Stray,
    /// The option needs a value and has none.
    ValueRequired,
    /// The option takes no value and was given one.
    NoValue {
        /// The word that says what was probably meant.
        instead: Option<String>,
    },
    /// Several words of a config file that were meant to be this one.
    ToBeWritten(String),
    /// A value of a config file that goes on behind a blank.
    BlankInValue {
        /// The flag that takes such a value; empty where only `-o` does.
        flag: &'static str,
    },
    /// Not a decimal number.
    NotNumber {
        /// The number that was probably meant: `1h` is 3600.
        instead: Option<i64>,
    },
    /// Neither a decimal number of bytes nor one followed by K, M or G.
    NotSize,
    /// A number outside what the option allows, with that range in the option's own notation.
    OutOfRange {
        /// The smallest allowed value; `None` where there is no lower end.
        least: Option<String>,
        /// The largest allowed value.
        most: String,
    },
    /// A word that is none of those the option knows, which are these.
    NotOneOf(&'static [&'static str]),
    /// A value that must say something is empty.
    Empty,
    /// Not UTF-8, where text is needed.
    NotUtf8,
    /// Holds a control character, which could break a field line, a log line or a path.
    Control,
    /// A variable of the environment that is not set.
    Unset(String),
    /// A reference to a variable that is none.
    Variable(String),
    /// No media type.
    NotMedia,
    /// A name of a file in a list of names that holds a slash.
    Slash,
    /// Not in the form that the option has; the sentence says what is wrong.
    Malformed(String),
    /// The file could not be read, with the system's reason.
    Unreadable(String),
}

impl ConfigErrorKind {
    /// Whether the words themselves are wrong, rather than a value.
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
            ConfigErrorKind::Unreadable(reason) => f.write_str(reason),
        }
    }
}
