//! Why one written option was refused, in words.

use std::fmt;

/// Why one written option was refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Why {
    /// No option has this name; the nearest one, if any is near.
    Unknown {
        /// What was probably meant, ready to be written in its place.
        nearest: Option<String>,
    },
    /// The command line holds a word that belongs to no flag.
    Stray,
    /// The option needs a value and has none.
    ValueRequired,
    /// The option takes no value and was given one.
    NoValue,
    /// Not a decimal number.
    NotNumber,
    /// Neither a decimal number of bytes nor one followed by K, M or G.
    NotSize,
    /// A number outside what the option allows, with that range in the option's own notation.
    OutOfRange {
        /// The smallest allowed value; `None` where there is no lower end.
        least: Option<String>,
        /// The largest allowed value.
        most: String,
    },
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
    /// The file could not be read, with the system's reason.
    Unreadable(String),
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Why::Unknown { nearest: None } => f.write_str("unknown option"),
            Why::Unknown { nearest: Some(word) } => write!(f, "unknown option; did you mean {word}?"),
            Why::Stray => f.write_str("unexpected argument"),
            Why::ValueRequired => f.write_str("value required"),
            Why::NoValue => f.write_str("no value allowed"),
            Why::NotNumber => f.write_str("not a number"),
            Why::NotSize => f.write_str("not a size (digits, with K, M or G behind them if wanted)"),
            Why::OutOfRange { least: Some(least), most } => write!(f, "must be from {least} to {most}"),
            Why::OutOfRange { least: None, most } => write!(f, "must be at most {most}"),
            Why::Empty => f.write_str("must not be empty"),
            Why::NotUtf8 => f.write_str("not valid UTF-8"),
            Why::Control => f.write_str("control characters are not allowed"),
            Why::Unset(name) => {
                write!(f, "the environment has no {name}; write ${{{name}:-text}} for a default")
            }
            Why::Variable(text) => write!(f, "{text} is no variable; write $${{ for a plain ${{"),
            Why::NotMedia => f.write_str("not a media type (type/subtype)"),
            Why::Slash => f.write_str("a name in the list holds a slash"),
            Why::Unreadable(reason) => f.write_str(reason),
        }
    }
}
