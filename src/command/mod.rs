//! Commands: carries out the action of the command line. `main` calls [`run`] and sets the exit status.

use crate::net::listen_socket::ListenerAddress;
use std::ffi::OsString;
use std::io::{ErrorKind, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use ::syslog::Severity;

use crate::boot::{Failure, load_rules, start};
use crate::config::args::{self, Action, Invocation};
use crate::config::error::ConfigError;
use crate::config::error_kind::ConfigErrorKind;
use crate::config::origin::Origin;
use crate::config::{Config, dump, help};
use crate::control::{ConfigReader, ReadFiles};
use crate::log;
use crate::log::syslog::{self, Echo};
use crate::response::SERVER;
use crate::sys::{memory, reason, stdio, systemd};

mod check;
mod explain;
mod healthcheck;
mod survey;

/// Environment variable with the path of the log daemon's socket, for other daemons and for tests.
///
/// A user who can set it could also start another program.
const SYSLOG_SOCKET: &str = "THTTPD_SYSLOG_SOCKET";

/// Carries out the action in `arguments`; `program` is the name as invoked.
///
/// Returns when the action is complete, which for a server is its end.
///
/// # Errors
/// Text for standard error, of one or more lines; the exit status is 1.
pub fn run(program: &str, arguments: &[OsString]) -> Result<(), String> {
    let mut invocation = args::parse(arguments, program).map_err(|problems| problems.to_string())?;
    match &invocation.action {
        Action::Serve => serve(program, arguments, invocation),
        Action::ShowVersion => print(program, &format!("{SERVER}\n")),
        Action::ShowHelp => print(program, &help::page(program)),
        Action::DumpConfig => dump(program, &mut invocation),
        Action::Check => check::check(&invocation).and_then(|text| print(program, &text)),
        Action::HealthCheck(url) => {
            healthcheck::probe(&invocation.config, url.as_deref()).and_then(|text| print(program, &text))
        }
        Action::Explain(url) => explain::explain(invocation.config, url, invocation.from.as_deref())
            .and_then(|text| print(program, &text)),
    }
}

/// The program's exit status; an error goes to standard error.
pub fn exit(outcome: Result<(), String>) -> ExitCode {
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(text) => {
            // Where standard error is closed, the status says it.
            let _ = stdio::error_line(text.trim_end());
            ExitCode::FAILURE
        }
    }
}

/// Prints the whole configuration, followed by the parsed rules.
fn dump(program: &str, invocation: &mut Invocation) -> Result<(), String> {
    let config = &mut invocation.config;
    let mut text = dump::render(config, &invocation.origins);
    let rules = load_rules(config, Path::new(".")).map_err(Failure::into_message)?.dump();
    if !rules.is_empty() {
        text.extend_from_slice(format!("\n# Rules\n{rules}").as_bytes());
    }
    // The text is printed raw: values may be any bytes but control characters.
    print_bytes(program, &text)
}

fn print(program: &str, text: &str) -> Result<(), String> {
    print_bytes(program, stdio::for_terminal(text).as_bytes())
}

/// Prints to standard output. A reader that has left is no error, as in `thttpd --help | head -1`.
fn print_bytes(program: &str, text: &[u8]) -> Result<(), String> {
    let mut out = std::io::stdout();
    match out.write_all(text).and_then(|()| out.flush()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            Err(format!("{program}: standard output: {}", reason(&error)))
        }
        _ => Ok(()),
    }
}

fn serve(program: &str, arguments: &[OsString], invocation: Invocation) -> Result<(), String> {
    memory::share_one_arena();
    let ident =
        Path::new(program).file_name().map_or("thttpd".into(), |name| name.to_string_lossy().into_owned());
    let socket = std::env::var_os(SYSLOG_SOCKET).map(PathBuf::from);
    // With standard error in the journal, messages of the log daemon would appear twice.
    let echo = if systemd::has_standard_error() { Echo::WithoutDaemon } else { Echo::Warnings };
    syslog::open_log(syslog::SyslogOptions { ident, socket, echo });
    for warning in &invocation.warnings {
        log::warning!("{warning}");
    }
    let is_private = *invocation.origins.get("host") == Origin::Operand;
    let config = Arc::new(invocation.config);
    // Names on the command line are relative to the directory of the start.
    let here = std::env::current_dir().unwrap_or_default();
    let files = files_read(&here, &config, arguments);
    let read = ReadFiles::look(&files);
    // Below a new root, files with these names may belong to any user.
    let is_reread = config.reload_on_hup && !config.chroot;
    let running = match start(&config, &invocation.origins, if is_reread { &files } else { &[] }) {
        Ok(None) => return Ok(()),
        Ok(Some(running)) => running,
        Err(failure) => return Err(report(program, &failure)),
    };
    if config.foreground && std::io::stderr().is_terminal() {
        // The server has left the terminal's session, unless it leads a process group there.
        let hears_terminal = nix::unistd::tcgetpgrp(std::io::stderr()) == Ok(nix::unistd::getpgrp());
        let pid = std::process::id();
        let end = if hears_terminal { "^C ends it".to_owned() } else { format!("kill {pid} ends it") };
        let port = running.addresses.iter().find_map(ListenerAddress::port).unwrap_or(config.port);
        let reach = if is_private {
            format!("this machine alone; -p {port} opens it to everyone; ")
        } else {
            String::new()
        };
        let _ = stdio::error_line(&format!("{} ({reach}{end})", running.summary));
    }
    let (program, arguments) = (program.to_owned(), arguments.to_vec());
    let read_config = move |here: &Path| reread(here, &program, &arguments);
    let reader = ConfigReader { start: here, read: Box::new(read_config) };
    crate::control::run(running, Arc::new(reader), read);
    Ok(())
}

/// Logs a failed start, and returns its text for standard error.
fn report(program: &str, failure: &Failure) -> String {
    if systemd::has_standard_error() {
        // systemd reads the number as the level of the line.
        return format!("<{}>{program}: {failure}", Severity::LOG_CRIT as u8);
    }
    if !failure.logged {
        syslog::set_echo(Echo::Never);
        log::critical!("{}", failure.message);
        syslog::flush(std::time::Duration::from_secs(1));
    }
    format!("{program}: {failure}")
}

/// Configuration by the same command line, read again relative to `here`.
fn reread(here: &Path, program: &str, arguments: &[OsString]) -> Result<Config, Failure> {
    match args::parse_in(here, arguments, program) {
        Ok(Invocation { config, .. }) => {
            let at_start = |file: PathBuf| here.join(file);
            let throttle_file = config.throttle_file.map(at_start);
            let mime_types = config.mime_types.map(at_start);
            let rules_file = config.rules_file.map(at_start);
            Ok(Config { throttle_file, mime_types, rules_file, ..config })
        }
        // The log gets one line, with the first error.
        Err(problems) => Err(problems.list.first().map_or_else(|| Failure::new("", ""), failure_of)),
    }
}

/// Failure of a reload by the first error of the configuration.
fn failure_of(problem: &ConfigError) -> Failure {
    let kind = match problem.why {
        ConfigErrorKind::Unreadable { kind, .. } => kind,
        _ => ErrorKind::InvalidInput,
    };
    Failure::new(problem.to_string(), "").with_kind(kind)
}

/// Files of a configuration: config files, the throttle file, the media types, the rules.
fn files_read(here: &Path, config: &Config, arguments: &[OsString]) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for pair in arguments.windows(2).filter(|pair| pair[0] == "-C") {
        files.push(here.join(&pair[1]));
    }
    for file in [&config.throttle_file, &config.mime_types, &config.rules_file].into_iter().flatten() {
        files.push(here.join(file));
    }
    files
}
