//! Command line: argument vector to [`Invocation`].
//!
//! thttpd compares each argument whole (`-dd`, `-nor`; never `-p80`, never `-rs` for `-r -s`), takes the
//! argument after a flag as its value in any form, and lets the last setting win. getopts would read one
//! dash as a cluster of letters. So `normalise` first converts the arguments to its notation, with each
//! value replaced by its index so that any bytes survive. getopts then matches them, and its positions
//! restore the order.

use std::ffi::{OsStr, OsString};
use std::iter::Peekable;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::slice;

use getopts::{HasArg, Occur};

use super::Config;
use super::error::{ConfigError, ConfigErrors};
use super::error_kind::ConfigErrorKind;
use super::file;
use super::kind::{CliAction, Kind};
use super::operand;
use super::options::{OPTIONS, OptionSpec};
use super::origin::{Origin, Origins};
use super::printable::printable;
use super::settings::Settings;
use super::suggest;
use super::warnings;
use crate::sys::reason;

/// Action of a command line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// No special action: start and serve.
    Serve,
    /// `-V`, `--version`: print the version, exit 0.
    ShowVersion,
    /// `--help`: print [`help::page`](super::help::page), exit 0.
    ShowHelp,
    /// `--check`: report whether the configuration is valid, exit.
    Check,
    /// `--dump-config`: print [`dump::render`](super::dump::render), exit 0.
    DumpConfig,
    /// `--explain URL`: report how the URL would be answered, exit.
    Explain(Vec<String>),
    /// `--healthcheck [URL]`: request a URL of the running server, by default of this configuration's
    /// server.
    HealthCheck(Option<String>),
}

/// Parsed command line.
#[derive(Debug, Clone)]
pub struct Invocation {
    /// Action that the command line asks for.
    pub action: Action,
    /// Configuration for the action.
    pub config: Config,
    /// Origin of each value.
    pub origins: Origins,
    /// Client address for `--explain`, from `--from`.
    pub from: Option<String>,
    /// Warnings about valid settings that are probably not meant, one line each, for `--check` and the log.
    pub warnings: Vec<String>,
}

/// Reads `argv` (without the program's name) and the config files it names, in order; prints nothing.
///
/// `program` is the name as invoked, for messages.
///
/// # Errors
/// All errors found. An invalid argument ends the reading; bad values and errors in files do not.
pub fn parse(argv: &[OsString], program: &str) -> Result<Invocation, ConfigErrors> {
    parse_in(Path::new(""), argv, program)
}

/// Reads `argv` with config files relative to `dir`, since the process may have changed its directory.
///
/// # Errors
/// Those of [`parse`].
pub fn parse_in(dir: &Path, argv: &[OsString], program: &str) -> Result<Invocation, ConfigErrors> {
    let mut line = normalise(argv);
    let mut settings = Settings { dir: dir.to_owned(), ..Settings::default() };
    let mut action = Action::Serve;
    if let Some(words) = std::env::var_os(file::VARIABLE) {
        file::parse_variable(words.as_bytes(), &mut settings);
    }
    match in_order(&line) {
        Ok(given) => {
            for given in given {
                let value = given.value.map(|place| line.values[place].as_os_str());
                obey(&given, value, &mut settings, &mut action);
            }
        }
        Err(problem) => line.fault = line.fault.or(Some(problem)),
    }
    if let Some(dir) = &line.directory {
        operand::serve(dir, &mut settings);
    }
    settings.problems.extend(line.fault);
    if let (Some(address), Action::Serve | Action::Check | Action::DumpConfig | Action::HealthCheck(_)) =
        (&settings.from, &action)
    {
        let why = ConfigErrorKind::Malformed("only with --explain URL".into());
        let written = format!("--from {address}");
        settings.problems.push(ConfigError::new(&Origin::Default, written.as_bytes(), why));
    }
    if settings.problems.is_empty() {
        let Settings { mut config, origins, from, .. } = settings;
        let warnings = warnings::collect(&mut config, &origins);
        return Ok(Invocation { action, config, origins, from, warnings });
    }
    Err(ConfigErrors { program: program.to_owned(), list: settings.problems, hint: settings.hint })
}

/// The command line in getopts' notation.
struct Line {
    /// Words such as `-p`, `0`, `--nor`, `--dd`, `1`: a flag's value is its index in `values`.
    words: Vec<String>,
    values: Vec<OsString>,
    /// Directory given without a flag.
    directory: Option<OsString>,
    /// Error that stopped the reading.
    fault: Option<ConfigError>,
}

/// Flag found by getopts: index of its row in the table, and whether it sets or turns off.
struct Given {
    place: usize,
    on: bool,
    value: Option<usize>,
}

/// Converts thttpd's notation to getopts'.
///
/// The conversion stops at the first argument that is not a flag, and after a flag that answers at once
/// (`-V`: later arguments do not matter).
fn normalise(argv: &[OsString]) -> Line {
    let mut line = Line { words: Vec::new(), values: Vec::new(), directory: None, fault: None };
    let mut rest = argv.iter().peekable();
    let mut is_explain = false;
    while let Some(argument) = rest.next() {
        if is_explain && !argument.as_bytes().starts_with(b"-") {
            // Additional URLs.
            line.push("--explain", Some(argument.clone()));
            continue;
        }
        match take(argument, &mut rest) {
            Ok((flag, kind, value)) => {
                line.push(flag, value);
                is_explain = matches!(kind, Kind::CliAction(CliAction::Explain));
                if matches!(kind, Kind::CliAction(CliAction::ShowVersion | CliAction::ShowHelp)) {
                    break;
                }
            }
            Err(ConfigErrorKind::Stray) if line.directory.is_none() && operand::is_directory(argument) => {
                line.directory = Some(argument.clone());
            }
            Err(why) => {
                line.fault = Some(ConfigError::new(&Origin::Default, argument.as_bytes(), why));
                break;
            }
        }
    }
    line
}

/// Flag as in the table, its kind, and its value if there is one.
type Taken = (&'static str, &'static Kind, Option<OsString>);

/// Finds the flag for `argument`, and takes its value from `rest`.
///
/// A required value is the next argument in any form. An optional value is the next argument unless that
/// looks like a flag.
fn take(argument: &OsStr, rest: &mut Peekable<slice::Iter<OsString>>) -> Result<Taken, ConfigErrorKind> {
    let (word, glued) = split_long(argument);
    let (row, flag) = find_flag(word).ok_or_else(|| stranger(argument))?;
    let value = match (row.kind.takes(), glued) {
        (HasArg::No, Some(_)) => return Err(ConfigErrorKind::NoValue { instead: None }),
        (HasArg::No, None) => None,
        (HasArg::Yes | HasArg::Maybe, Some(value)) => Some(value.to_owned()),
        (HasArg::Maybe, None) => rest.next_if(|next| !next.as_bytes().starts_with(b"-")).cloned(),
        (HasArg::Yes, None) => Some(rest.next().ok_or(ConfigErrorKind::ValueRequired)?.clone()),
    };
    Ok((flag, &row.kind, value))
}

impl Line {
    fn push(&mut self, flag: &'static str, value: Option<OsString>) {
        let bare = flag.trim_start_matches('-');
        let mut word = if bare.len() == 1 { format!("-{bare}") } else { format!("--{bare}") };
        if let Some(value) = value {
            word.push_str(if bare.len() == 1 { "" } else { "=" });
            word.push_str(&self.values.len().to_string());
            self.values.push(value);
        }
        self.words.push(word);
    }
}

/// Splits `--explain=URL`; thttpd's own flags, with one dash, are never split.
fn split_long(argument: &OsStr) -> (&OsStr, Option<&OsStr>) {
    let bytes = argument.as_bytes();
    match bytes.iter().position(|&b| b == b'=') {
        Some(at) if bytes.starts_with(b"--") => {
            (OsStr::from_bytes(&bytes[..at]), Some(OsStr::from_bytes(&bytes[at + 1..])))
        }
        _ => (argument, None),
    }
}

/// Row of the table with the flag `word`, and that flag.
fn find_flag(word: &OsStr) -> Option<(&'static OptionSpec, &'static str)> {
    let mut flags = OPTIONS.iter().flat_map(|row| row.flags().map(move |(flag, _)| (row, flag)));
    flags.find(|(_, flag)| word == *flag)
}

/// Error for an argument that is not a flag, with a suggestion.
fn stranger(argument: &OsStr) -> ConfigErrorKind {
    let text = argument.to_string_lossy();
    if text.starts_with('-') && text.len() > 1 {
        ConfigErrorKind::Unknown { nearest: suggest::flag(&text) }
    } else if operand::is_assignment(&text) {
        ConfigErrorKind::Unknown { nearest: Some(format!("-o {}", printable(argument.as_bytes()))) }
    } else {
        ConfigErrorKind::Stray
    }
}

/// Lets getopts match the words, and restores their order.
fn in_order(line: &Line) -> Result<Vec<Given>, ConfigError> {
    let matches = matcher().parse(&line.words).map_err(|fail| {
        ConfigError::new(
            &Origin::Default,
            fail.to_string().as_bytes(),
            ConfigErrorKind::Unknown { nearest: None },
        )
    })?;
    let mut found: Vec<(usize, Given)> = Vec::new();
    for (place, row) in OPTIONS.iter().enumerate() {
        for (flag, on) in row.flags() {
            let bare = flag.trim_start_matches('-');
            let values = matches.opt_strs_pos(bare);
            for position in matches.opt_positions(bare) {
                let value = values.iter().find(|(at, _)| *at == position);
                let value = value.and_then(|(_, place)| place.parse().ok());
                let at = found.partition_point(|&(before, _)| before <= position);
                found.insert(at, (position, Given { place, on, value }));
            }
        }
    }
    Ok(found.into_iter().map(|(_, given)| given).collect())
}

/// All flags of the table for getopts: one letter is a short flag, more are a long one.
fn matcher() -> getopts::Options {
    let mut matcher = getopts::Options::new();
    for row in OPTIONS {
        for (flag, _) in row.flags() {
            let bare = flag.trim_start_matches('-');
            let (short, long) = if bare.len() == 1 { (bare, "") } else { ("", bare) };
            matcher.opt(short, long, row.help, row.value, row.kind.takes(), Occur::Multi);
        }
    }
    matcher
}

/// Applies one flag.
fn obey(given: &Given, value: Option<&OsStr>, settings: &mut Settings, action: &mut Action) {
    let row = &OPTIONS[given.place];
    let flag = if given.on { row.flag } else { row.off_flag };
    if let Kind::CliAction(act) = row.kind {
        return perform(act, value, settings, action);
    }
    let origin = Origin::Flag(flag);
    if let Err(why) = settings.set(given.place, given.on, value, &origin) {
        let value = value.map(OsStr::as_bytes).filter(|value| !value.is_empty()).unwrap_or(b"''");
        let written = [flag.as_bytes(), b" ", value].concat();
        settings.problems.push(ConfigError::new(&origin, &written, why));
    }
}

/// Applies a flag that is not a setting.
fn perform(act: CliAction, value: Option<&OsStr>, settings: &mut Settings, action: &mut Action) {
    let text = || value.map(|value| value.to_string_lossy().into_owned());
    match act {
        CliAction::ReadFile => read_file(Path::new(value.unwrap_or_default()), settings),
        CliAction::Assign => settings.word(value.unwrap_or_default().as_bytes(), Origin::Assignment),
        CliAction::ShowVersion => *action = Action::ShowVersion,
        CliAction::ShowHelp => *action = Action::ShowHelp,
        CliAction::Check => *action = Action::Check,
        CliAction::DumpConfig => *action = Action::DumpConfig,
        CliAction::Explain => match action {
            Action::Explain(urls) => urls.extend(text()),
            _ => *action = Action::Explain(text().into_iter().collect()),
        },
        CliAction::From => settings.from = text(),
        CliAction::HealthCheck => *action = Action::HealthCheck(text()),
    }
}

fn read_file(path: &Path, settings: &mut Settings) {
    if let Err(error) = file::read(path, settings) {
        let name = path.as_os_str().as_bytes();
        settings.problems.push(ConfigError::new(
            &Origin::Flag("-C"),
            name,
            ConfigErrorKind::Unreadable { reason: reason(&error), kind: error.kind() },
        ));
    }
}

#[cfg(test)]
mod tests;
