//! `--check`: finds every error that would prevent a start, without starting.

use std::fs;
use std::path::{Path, PathBuf};

use nix::unistd::{AccessFlags, access, geteuid};

use super::survey;
use crate::boot::listen::{Wanted, try_bind};
use crate::boot::pid_file::PidFilePlace;
use crate::boot::privileges::Privileges;
use crate::boot::unix_socket::try_path;
use crate::boot::{
    Failure, listen, load_rules, load_types, lost_password_files, sockets, try_log, try_where_it_would_serve,
};
use crate::config::Config;
use crate::config::args::Invocation;
use crate::config::listen::{Address, Listen};
use crate::config::printable::shortened;
use crate::rules::Rules;
use crate::rules::check::Surroundings;
use crate::sys::reason;
use crate::throttle::Throttles;

/// Checks everything the configuration names. The text reports success, with warnings.
///
/// # Errors
/// All problems, a line each.
pub fn check(invocation: &Invocation) -> Result<String, String> {
    let config = &invocation.config;
    let mut found: Vec<CheckError> = Vec::new();
    found.extend(listeners(config));
    let user = Privileges::of_process(&config.user).err();
    found.extend(user.map(|failure| ("user", failure.to_string())));
    found.extend(directories(config));
    let loaded = load_rules(config, Path::new("."));
    let (unreadable, rules) = throttles(config);
    found.extend(unreadable);
    found.extend(load_types(config).err().map(|failure| ("mime_types", failure.into_message())));
    let log = try_log(config).err();
    found.extend(log.map(|failure| ("logfile", format!("logfile: {failure}"))));
    let pid_file =
        config.pid_file.as_deref().and_then(|path| PidFilePlace::find(&served(config).join(path)).err());
    found.extend(pid_file.map(|failure| ("pidfile", format!("pidfile: {failure}"))));
    let is_readable = found.is_empty() && rules.is_empty();
    let mut of_tree = loaded.as_ref().map(|loaded| rule_warnings(config, loaded)).unwrap_or_default();
    if let (true, Ok(loaded)) = (is_readable, &loaded) {
        of_tree.extend(survey::warnings(config, &tree(config), loaded));
    }
    if found.is_empty() {
        found.extend(serving(config));
        of_tree.extend(loaded.as_ref().map(lost_password_files).unwrap_or_default());
    }
    let placed = |(option, text)| format!("{}: {text}", invocation.origins.get(option));
    let mut lines: Vec<String> = found.into_iter().map(placed).collect();
    lines.extend(rules);
    if let Err(failure) = &loaded {
        lines.extend(failure.message.lines().map(str::to_owned));
    }
    let is_sound = lines.is_empty();
    let warnings = invocation.warnings.iter().chain(&of_tree);
    lines.extend(warnings.map(|warning| format!("warning: {warning}")));
    let lines: Vec<String> = lines.iter().flat_map(|text| text.lines()).map(shortened).collect();
    match is_sound {
        true => Ok(lines.iter().map(|line| line.clone() + "\n").collect::<String>() + SOUND),
        false => Err(lines.join("\n")),
    }
}

/// Faulty option, and a description of the error.
type CheckError = (&'static str, String);

const SOUND: &str = "the configuration is sound\n";

/// Reason why the server cannot listen on its addresses; ports of a running server are no problem.
fn addresses(config: &Config) -> Option<CheckError> {
    let addresses = match listen::wanted_addresses(config) {
        Err(failure) => return Some((failure.option, failure.to_string())),
        Ok(addresses) => addresses,
    };
    let failure = try_bind(&Wanted { addresses, dual: false, is_listed: false }).err()?;
    Some((failure.option, failure.to_string()))
}

/// Reason why the server's user cannot serve the directory.
///
/// This check comes last, as it changes directory, root and user.
fn serving(config: &Config) -> Option<CheckError> {
    let option = if config.data_dir.is_some() { "data_dir" } else { "dir" };
    try_where_it_would_serve(config).err().map(|failure| (option, failure.to_string()))
}

/// Errors of `listen=`: unknown names, and sockets that cannot be bound.
fn listeners(config: &Config) -> Vec<CheckError> {
    if config.listen.is_empty() {
        return addresses(config).into_iter().collect();
    }
    let mut found: Vec<Failure> = Vec::new();
    for entry in &config.listen {
        found.extend(try_listener(entry, config).err());
    }
    found.extend(sockets::faults(config));
    found.into_iter().map(|failure| ("listen", format!("listen: {failure}"))).collect()
}

/// Tells whether the server can listen at `entry`; a server that listens there is no problem.
fn try_listener(entry: &Listen, config: &Config) -> Result<(), Failure> {
    if let Address::Unix(path) = &entry.address {
        return try_path(path, entry);
    }
    sockets::wanted(entry, config)?.as_ref().map_or(Ok(()), try_bind)
}

/// Directory of `-d`.
fn served(config: &Config) -> PathBuf {
    config.dir.clone().unwrap_or_else(|| PathBuf::from("."))
}

/// Directory that is served: `-dd` within `-d`.
pub(super) fn tree(config: &Config) -> PathBuf {
    match &config.data_dir {
        Some(data) if config.chroot => served(config).join(data.strip_prefix("/").unwrap_or(data)),
        Some(data) => served(config).join(data),
        None => served(config),
    }
}

fn directories(config: &Config) -> Vec<CheckError> {
    let served = served(config);
    let mut problems: Vec<CheckError> = directory("dir", &served).into_iter().collect();
    if let (Some(data), true) = (&config.data_dir, problems.is_empty()) {
        // In a new root, absolute paths begin at that root.
        let inside = if config.chroot { data.strip_prefix("/").unwrap_or(data) } else { data };
        problems.extend(directory("data_dir", &served.join(inside)));
    }
    if config.chroot && !geteuid().is_root() {
        problems.push(("chroot", "chroot: only root can do that".into()));
    }
    problems
}

fn directory(option: &'static str, path: &Path) -> Option<CheckError> {
    let why = match fs::metadata(path) {
        Err(error) => reason(&error),
        Ok(meta) if !meta.is_dir() => "Not a directory; a configuration file is given with -C".into(),
        Ok(_) => reason(&access(path, AccessFlags::X_OK).err()?.into()),
    };
    Some((option, format!("{option}: {} - {why}", path.display())))
}

/// Error of reading the throttle file, or its faulty lines, which include their place.
fn throttles(config: &Config) -> (Option<CheckError>, Vec<String>) {
    match config.throttle_file.as_deref().map(|path| (path, Throttles::load(path))) {
        None => (None, Vec::new()),
        Some((path, Err(error))) => {
            (Some(("throttles", format!("throttles: {} - {}", path.display(), reason(&error)))), Vec::new())
        }
        Some((_, Ok((_, problems)))) => (None, problems.iter().map(ToString::to_string).collect()),
    }
}

/// Warnings about rules.
fn rule_warnings(config: &Config, rules: &Rules) -> Vec<String> {
    rules.warnings(&Surroundings {
        served: &tree(config),
        start: Path::new("."),
        vhost: config.vhost,
        has_proxies: config.proxies.trusts_any(),
    })
}
