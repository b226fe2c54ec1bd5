//! `--check`: everything that a start would stumble over, found without starting anything.

use std::fs;
use std::path::{Path, PathBuf};

use nix::unistd::{AccessFlags, access, geteuid};

use crate::boot::names;
use crate::boot::privileges::Privileges;
use crate::config::args::Invocation;
use crate::config::{Config, LogTarget};
use crate::sys::reason;
use crate::throttle::Throttles;

/// Checks what the configuration names. The text says that all is well, with what may not be meant.
///
/// # Errors
///
/// Every problem, a line each.
pub fn check(invocation: &Invocation) -> Result<String, String> {
    let config = &invocation.config;
    let mut problems = Vec::new();
    problems.extend(
        names::addresses(config.host.as_deref(), config.port).err().map(|failure| failure.to_string()),
    );
    problems.extend(Privileges::of_process(&config.user).err().map(|failure| failure.to_string()));
    problems.extend(directories(config));
    problems.extend(throttles(config));
    problems.extend(log_file(config));
    problems.extend(config.pid_file.as_deref().and_then(|path| pid_file(&served(config).join(path))));
    if !problems.is_empty() {
        return Err(problems.join("\n"));
    }
    let warnings = invocation.warnings.iter().map(|warning| format!("warning: {warning}\n"));
    Ok(warnings.chain(["the configuration is sound\n".to_owned()]).collect())
}

/// The directory that `-d` leads to.
fn served(config: &Config) -> PathBuf {
    config.dir.clone().unwrap_or_else(|| PathBuf::from("."))
}

fn directories(config: &Config) -> Vec<String> {
    let served = served(config);
    let mut problems: Vec<String> = directory("dir", &served).into_iter().collect();
    if let (Some(data), true) = (&config.data_dir, problems.is_empty()) {
        // In a new root every path begins there.
        let inside = if config.chroot { data.strip_prefix("/").unwrap_or(data) } else { data };
        problems.extend(directory("data_dir", &served.join(inside)));
    }
    if config.chroot && !geteuid().is_root() {
        problems.push("chroot: only root can do that".into());
    }
    problems
}

fn directory(option: &str, path: &Path) -> Option<String> {
    let shown = path.display();
    match fs::metadata(path) {
        Err(error) => Some(format!("{option}: {shown} - {}", reason(&error))),
        Ok(meta) if !meta.is_dir() => Some(format!("{option}: {shown} - Not a directory")),
        Ok(_) => access(path, AccessFlags::X_OK)
            .err()
            .map(|errno| format!("{option}: {shown} - {}", reason(&errno.into()))),
    }
}

fn throttles(config: &Config) -> Vec<String> {
    match config.throttle_file.as_deref().map(|path| (path, Throttles::load(path))) {
        None => Vec::new(),
        Some((path, Err(error))) => vec![format!("throttles: {} - {}", path.display(), reason(&error))],
        Some((_, Ok((_, problems)))) => problems.iter().map(ToString::to_string).collect(),
    }
}

fn log_file(config: &Config) -> Option<String> {
    let LogTarget::File(path) = &config.log else { return None };
    if crate::log::access::is_standard_stream(path) {
        return None;
    }
    if geteuid().is_root() && path.is_symlink() {
        return Some(format!("logfile: {} - root follows no symbolic link to its log", path.display()));
    }
    appendable("logfile", path)
}

fn pid_file(path: &Path) -> Option<String> {
    if path.is_symlink() {
        return Some(format!("pidfile: {} - must not be a symbolic link", path.display()));
    }
    appendable("pidfile", path)
}

/// The file can be written, or else created.
fn appendable(option: &str, path: &Path) -> Option<String> {
    let said = |why: &str| Some(format!("{option}: {} - {why}", path.display()));
    if path.is_dir() {
        return said("Is a directory");
    }
    let parent = path.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let (asked, rights) = match path.exists() {
        true => (path, AccessFlags::W_OK),
        false => (parent, AccessFlags::W_OK | AccessFlags::X_OK),
    };
    access(asked, rights).err().and_then(|errno| said(&reason(&errno.into())))
}
