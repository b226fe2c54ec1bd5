//! Kinds of options: check a written value, set the field, and write it back.
//!
//! Input: a row's [`Kind`], which knows its field of [`Config`], and the words as written. Output: the
//! changed field, or the reason for leaving it unchanged ([`ConfigErrorKind`]).

use std::ffi::OsStr;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::PathBuf;
use std::time::Duration;

use getopts::HasArg;

use super::choice::Choice;
use super::error_kind::ConfigErrorKind;
use super::pattern::Pattern;
use super::{Config, LogTarget};

/// Accessor of the field that an option sets, for reading and writing.
pub type Field<T> = fn(&mut Config) -> &mut T;

/// Type of an option's value, and the field it sets.
#[derive(Clone, Copy)]
pub enum Kind {
    /// Switch without a value: one word turns it on, another may turn it off.
    Switch(Field<bool>),
    /// Decimal number.
    Number {
        /// Accessor of the field: any integer, or a time in seconds.
        field: fn(&mut Config) -> &mut dyn Number,
        /// Unit of the number.
        unit: Unit,
        /// Smallest allowed value.
        least: i64,
        /// Largest allowed value.
        most: i64,
    },
    /// Bytes without control characters, possibly empty, for clients to interpret.
    Text(Field<Vec<u8>>),
    /// Text, not empty.
    Name(Field<String>),
    /// Optional text, not empty.
    Host(Field<Option<String>>),
    /// File or directory.
    Path(Field<Option<PathBuf>>),
    /// Destination of log lines: `-`, `/dev/null` or a file.
    Log(Field<LogTarget>),
    /// Pattern, with the function that compiles it.
    Pattern(Field<Option<Pattern>>, fn(&[u8]) -> Pattern),
    /// Media type.
    Media(Field<String>),
    /// File names, separated by commas.
    Names(Field<Vec<String>>),
    /// One of a fixed set of words.
    Choice(fn(&mut Config) -> &mut dyn Choice),
    /// Lines of the rules file, one per word.
    Lines(Field<Vec<String>>),
    /// Text with a parser of its own.
    Parsed {
        /// Parses the text into its field.
        ///
        /// # Errors
        /// The fault of the value, as a sentence without subject or with the words it is about.
        read: fn(&mut Config, &str) -> Result<(), String>,
        /// Writes the field as text; `None` if it was never set.
        write: fn(&Config) -> Option<String>,
        /// Placeholder of the value in `--help`.
        noun: &'static str,
    },
    /// Action of the command line, without a config-file name.
    CliAction(CliAction),
}

/// Unit of an option's number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// Plain count.
    Count,
    /// Bytes, with an optional suffix K, M or G (powers of 1024).
    Bytes,
    /// Seconds.
    Seconds,
}

/// Actions of the command line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CliAction {
    /// `-C`: read a config file at this position.
    ReadFile,
    /// `-o`: one word in the form of a config file.
    Assign,
    /// `-V`, `--version`: print the version.
    ShowVersion,
    /// `--help`: print the help page.
    ShowHelp,
    /// `--check`: check the configuration.
    Check,
    /// `--dump-config`: print the configuration.
    DumpConfig,
    /// `--explain URL`: explain the answer for a URL.
    Explain,
    /// `--from ADDRESS`: client address for `--explain`.
    From,
    /// `--healthcheck [URL]`: request a URL of the running server.
    HealthCheck,
}

/// Numeric field of any type.
///
/// Values outside the type saturate; the range of the option has refused them before.
pub trait Number {
    /// Sets the field to `n`.
    fn put(&mut self, n: i64);
    /// Value of the field.
    fn get(&self) -> i64;
}

impl Number for u16 {
    fn put(&mut self, n: i64) {
        *self = u16::try_from(n).unwrap_or(u16::MAX);
    }
    fn get(&self) -> i64 {
        i64::from(*self)
    }
}

impl Number for usize {
    fn put(&mut self, n: i64) {
        *self = usize::try_from(n).unwrap_or(usize::MAX);
    }
    fn get(&self) -> i64 {
        i64::try_from(*self).unwrap_or(i64::MAX)
    }
}

impl Number for u64 {
    fn put(&mut self, n: i64) {
        *self = u64::try_from(n).unwrap_or(0);
    }
    fn get(&self) -> i64 {
        i64::try_from(*self).unwrap_or(i64::MAX)
    }
}

impl Number for Duration {
    fn put(&mut self, n: i64) {
        *self = Duration::from_secs(u64::try_from(n).unwrap_or(0));
    }
    fn get(&self) -> i64 {
        i64::try_from(self.as_secs()).unwrap_or(i64::MAX)
    }
}

/// `None` is −1, as is every negative number (`max_age`).
impl Number for Option<u32> {
    fn put(&mut self, n: i64) {
        *self = u32::try_from(n).ok();
    }
    fn get(&self) -> i64 {
        self.map_or(-1, i64::from)
    }
}

impl Kind {
    /// Tells whether the option takes a value.
    pub fn takes(&self) -> HasArg {
        match self {
            Kind::CliAction(
                CliAction::ReadFile | CliAction::Assign | CliAction::Explain | CliAction::From,
            ) => HasArg::Yes,
            Kind::CliAction(CliAction::HealthCheck) => HasArg::Maybe,
            Kind::Switch(_) | Kind::CliAction(_) => HasArg::No,
            _ => HasArg::Yes,
        }
    }

    /// Placeholder of the value in `--help`; empty without a value.
    pub fn noun(&self) -> &'static str {
        match self {
            Kind::Switch(_) | Kind::CliAction(_) => "",
            Kind::Number { unit: Unit::Count, .. } => "number",
            Kind::Number { unit: Unit::Bytes, .. } => "size",
            Kind::Number { unit: Unit::Seconds, .. } => "seconds",
            Kind::Text(_) => "text",
            Kind::Lines(_) => "line",
            Kind::Media(_) => "type",
            Kind::Names(_) => "name,..",
            Kind::Name(_) | Kind::Host(_) => "name",
            Kind::Path(_) | Kind::Log(_) => "path",
            Kind::Pattern(..) => "pattern",
            Kind::Choice(_) => "word",
            Kind::Parsed { noun, .. } => noun,
        }
    }

    /// Checks `value` and sets its field of `config`; on an error the field is unchanged.
    ///
    /// Switches are set by [`Kind::turn`] instead.
    pub fn set(&self, config: &mut Config, value: &OsStr) -> Result<(), ConfigErrorKind> {
        match self {
            Kind::Switch(_) | Kind::CliAction(_) => return Err(ConfigErrorKind::NoValue { instead: None }),
            Kind::Number { field, unit, least, most } => {
                field(config).put(number(value, *unit, *least, *most)?);
            }
            Kind::Text(field) => *field(config) = printing(value)?.to_owned(),
            Kind::Name(field) => *field(config) = filled(text(value)?)?.to_owned(),
            Kind::Host(field) => *field(config) = Some(filled(text(value)?)?.to_owned()),
            Kind::Path(field) => *field(config) = Some(path(value)?),
            Kind::Log(field) => *field(config) = log(value)?,
            Kind::Lines(field) => field(config).push(text(value)?.to_owned()),
            Kind::Media(field) => *field(config) = media(text(value)?)?.to_owned(),
            Kind::Names(field) => *field(config) = names(text(value)?)?,
            Kind::Pattern(field, compile) => *field(config) = Some(compile(printing(value)?)),
            Kind::Choice(field) => {
                let field = field(config);
                if !field.choose(text(value)?) {
                    return Err(ConfigErrorKind::NotOneOf(field.words()));
                }
            }
            Kind::Parsed { read, .. } => read(config, text(value)?).map_err(ConfigErrorKind::Malformed)?,
        }
        Ok(())
    }

    /// Turns a switch on or off; other kinds are left unchanged.
    pub fn turn(&self, config: &mut Config, on: bool) {
        if let Kind::Switch(field) = self {
            *field(config) = on;
        }
    }

    /// Current value as it would be written behind the name; `None` if no value is set.
    ///
    /// The configuration stays the same; accessors take it as writable because they are for both.
    pub fn read(&self, config: &mut Config) -> Option<Vec<u8>> {
        match self {
            Kind::Switch(field) => field(config).then(Vec::new),
            Kind::Number { field, unit, .. } => Some(written(field(config).get(), *unit).into_bytes()),
            Kind::Text(field) => Some(field(config).clone()),
            Kind::Name(field) => Some(field(config).clone().into_bytes()),
            Kind::Host(field) => field(config).clone().map(String::into_bytes),
            Kind::Path(field) => field(config).clone().map(|path| path.into_os_string().into_vec()),
            Kind::Log(field) => match field(config) {
                LogTarget::Syslog => None,
                LogTarget::Off => Some(b"/dev/null".to_vec()),
                LogTarget::Stdout => Some(b"-".to_vec()),
                LogTarget::File(path) => Some(path.as_os_str().as_bytes().to_vec()),
            },
            Kind::Lines(field) => field(config).last().map(|line| line.clone().into_bytes()),
            Kind::Media(field) => Some(field(config).clone().into_bytes()),
            Kind::Names(field) => Some(field(config).join(",").into_bytes()).filter(|text| !text.is_empty()),
            Kind::Pattern(field, _) => field(config).as_ref().map(|pattern| pattern.as_bytes().into()),
            Kind::Choice(field) => Some(field(config).word().into()),
            Kind::Parsed { write, .. } => write(config).map(String::into_bytes),
            Kind::CliAction(_) => None,
        }
    }
}

/// Parses decimal digits with an optional sign, with no other text around them.
///
/// thttpd's `atoi` takes `80x` for 80 and `abc` for 0; both are refused here.
fn number(value: &OsStr, unit: Unit, least: i64, most: i64) -> Result<i64, ConfigErrorKind> {
    let Some(text) = value.to_str() else { return Err(ConfigErrorKind::NotNumber { instead: None }) };
    let text = filled(text)?;
    // Quotes and a semicolon belong to a number in other servers' files.
    let bare = text.trim_matches(['"', '\'', ';', ',']);
    let flawed = match unit {
        Unit::Bytes => ConfigErrorKind::NotSize,
        Unit::Count => ConfigErrorKind::NotNumber { instead: bare.parse().ok() },
        Unit::Seconds => ConfigErrorKind::NotNumber { instead: in_seconds(bare) },
    };
    let (digits, factor) = match text.chars().next_back() {
        Some(suffix) if unit == Unit::Bytes && suffix.is_ascii_alphabetic() => {
            let Some(shift) = "KMG".find(suffix.to_ascii_uppercase()) else { return Err(flawed) };
            (&text[..text.len() - 1], 1024_i64.pow(shift as u32 + 1))
        }
        _ => (text, 1),
    };
    let unsigned = digits.strip_prefix(['-', '+']).unwrap_or(digits);
    if unsigned.is_empty() || !unsigned.bytes().all(|b| b.is_ascii_digit()) {
        return Err(flawed);
    }
    // Parsing fails only for numbers beyond the type, which are out of every range.
    let n = digits.parse::<i64>().ok().and_then(|n| n.checked_mul(factor));
    n.filter(|n| (least..=most).contains(n)).ok_or_else(|| ConfigErrorKind::OutOfRange {
        least: (least > i64::MIN).then(|| written(least, unit)),
        most: written(most, unit),
    })
}

/// Parses a time with a unit, as in other servers' files: `1h`, `90s`, `2 days`.
fn in_seconds(text: &str) -> Option<i64> {
    let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let factor = match text[digits..].trim_start().to_ascii_lowercase().as_str() {
        "" | "s" | "sec" | "secs" | "second" | "seconds" => 1,
        "m" | "min" | "mins" | "minute" | "minutes" => 60,
        "h" | "hr" | "hour" | "hours" => 3600,
        "d" | "day" | "days" => 86400,
        "w" | "week" | "weeks" => 7 * 86400,
        _ => return None,
    };
    text[..digits].parse::<i64>().ok()?.checked_mul(factor)
}

/// Formats a number as an operator would write it: `16K` instead of 16384, if exact.
fn written(n: i64, unit: Unit) -> String {
    if unit == Unit::Bytes && n != 0 {
        for (suffix, shift) in [('G', 30), ('M', 20), ('K', 10)] {
            if n % (1 << shift) == 0 {
                return format!("{}{suffix}", n >> shift);
            }
        }
    }
    n.to_string()
}

/// Accepts any bytes but control characters, as the value may become part of a field line or a log line.
fn printing(value: &OsStr) -> Result<&[u8], ConfigErrorKind> {
    let bytes = value.as_bytes();
    if bytes.iter().any(u8::is_ascii_control) { Err(ConfigErrorKind::Control) } else { Ok(bytes) }
}

/// Accepts UTF-8 without control characters, for names that are compared with text.
fn text(value: &OsStr) -> Result<&str, ConfigErrorKind> {
    str::from_utf8(printing(value)?).map_err(|_| ConfigErrorKind::NotUtf8)
}

/// Refuses an empty name, which would fail later with a less clear error.
fn filled(text: &str) -> Result<&str, ConfigErrorKind> {
    if text.is_empty() { Err(ConfigErrorKind::Empty) } else { Ok(text) }
}

/// Accepts `type/subtype`, with optional parameters (RFC 9110 §8.3.1).
pub fn media(text: &str) -> Result<&str, ConfigErrorKind> {
    let is_token = |word: &str| {
        !word.is_empty() && word.bytes().all(|b| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b))
    };
    let essence = text.split(';').next().unwrap_or_default().trim_end();
    let is_media = essence.split_once('/').is_some_and(|(kind, subtype)| is_token(kind) && is_token(subtype));
    if is_media { Ok(text) } else { Err(ConfigErrorKind::NotMedia) }
}

/// Parses file names without directories.
fn names(text: &str) -> Result<Vec<String>, ConfigErrorKind> {
    if text.contains('/') {
        return Err(ConfigErrorKind::Slash);
    }
    let names: Vec<String> = text.split(',').map(str::to_owned).collect();
    if names.iter().any(|name| name.is_empty() || name == "." || name == "..") {
        return Err(ConfigErrorKind::Empty);
    }
    Ok(names)
}

/// Accepts any bytes without NUL as a path.
fn path(value: &OsStr) -> Result<PathBuf, ConfigErrorKind> {
    match value.as_bytes() {
        [] => Err(ConfigErrorKind::Empty),
        bytes if bytes.contains(&0) => Err(ConfigErrorKind::Control),
        _ => Ok(PathBuf::from(value)),
    }
}

/// Parses a log destination: `-`, `/dev/null` or a file.
fn log(value: &OsStr) -> Result<LogTarget, ConfigErrorKind> {
    match value.as_bytes() {
        b"-" => Ok(LogTarget::Stdout),
        b"/dev/null" => Ok(LogTarget::Off),
        _ => path(value).map(LogTarget::File),
    }
}
