//! Confinement of the process by Landlock (files to open, no outgoing connections) and no_new_privs.
//!
//! Applied after dropping root and before starting threads, which inherit the confinement. Scripts would
//! inherit it too, and their needs are unknown, so with CGI neither is used.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use landlock::{
    ABI, Access, AccessFs, AccessNet, BitFlags, PathBeneath, PathFd, Ruleset, RulesetAttr,
    RulesetCreatedAttr, RulesetError, RulesetStatus,
};

use nix::sys::resource::{Resource, getrlimit};

use crate::config::Config;
use crate::log;
use crate::sys::filesystem::OpenDirectory;
use crate::sys::{read_text, reason};

/// Newest Landlock version in use; older kernels enforce a part of it.
const KNOWN: ABI = ABI::V5;

/// Files that the server must open while serving.
#[derive(Debug, Default)]
pub struct SandboxNeeds {
    /// Trees to read.
    pub read: Vec<PathBuf>,
    /// Open directories to read files from.
    pub dirs: Vec<Arc<OpenDirectory>>,
    /// Directories of the log, where HUP creates a new file.
    pub log: Vec<OwnedFd>,
    /// Directories of the pid file and of Unix sockets, for their removal.
    pub removal: Vec<OwnedFd>,
}

impl SandboxNeeds {
    /// Files that `config` requires, seen from the final root and working directory.
    ///
    /// If symbolic links may lead anywhere, all files may be read.
    pub fn from_config(config: &Config) -> SandboxNeeds {
        let read = vec![PathBuf::from(if config.chroot || !config.symlink_check { "/" } else { "." })];
        SandboxNeeds { read, dirs: Vec::new(), log: Vec::new(), removal: Vec::new() }
    }
}

/// Confines the process if configured and supported, and logs the result.
pub fn confine(config: &Config, needs: &SandboxNeeds) {
    if !config.landlock {
        return log::info!("landlock is switched off");
    }
    if config.cgi_pattern.is_some() {
        return log::info!("landlock and no_new_privs are not used: scripts would be bound by them");
    }
    if let Err(errno) = nix::sys::prctl::set_no_new_privs() {
        log::warning!("no_new_privs - {}", reason(&errno.into()));
    }
    match enforce(needs) {
        Ok(RulesetStatus::FullyEnforced) => log::info!("landlock confines the process to its files"),
        Ok(RulesetStatus::PartiallyEnforced) => {
            log::info!("landlock confines the process to its files, as far as this kernel can");
        }
        Ok(RulesetStatus::NotEnforced) => log::info!("this kernel has no landlock"),
        Err(error) => log::warning!("landlock - {error}"),
    }
}

fn enforce(needs: &SandboxNeeds) -> Result<RulesetStatus, RulesetError> {
    let (read, make) = (AccessFs::ReadFile | AccessFs::ReadDir, AccessFs::WriteFile | AccessFs::MakeReg);
    // A missing file needs no permission.
    let read_files: Vec<PathFd> = needs.read.iter().filter_map(|path| PathFd::new(path).ok()).collect();
    let core = core_directory().and_then(|dir| PathFd::new(dir).ok());
    let mut allowed: Vec<(BorrowedFd<'_>, BitFlags<AccessFs>)> = Vec::new();
    read_files.iter().for_each(|dir| allowed.push((dir.as_fd(), read)));
    needs.dirs.iter().for_each(|dir| allowed.push((dir.file.as_fd(), read)));
    core.iter().for_each(|dir| allowed.push((dir.as_fd(), make)));
    needs.log.iter().for_each(|dir| allowed.push((dir.as_fd(), make)));
    needs.removal.iter().for_each(|dir| allowed.push((dir.as_fd(), AccessFs::RemoveFile.into())));
    let mut rules = Ruleset::default()
        .handle_access(AccessFs::from_all(KNOWN))?
        .handle_access(AccessNet::from_all(KNOWN))?
        .create()?;
    for (dir, access) in allowed {
        rules = rules.add_rule(PathBeneath::new(dir, access))?;
    }
    Ok(rules.restrict_self()?.ruleset)
}

/// Directory where the kernel would write a core file of a hung server (see `control`).
///
/// The kernel writes with the process's rights, unless it pipes the core to a program.
fn core_directory() -> Option<PathBuf> {
    let (limit, _) = getrlimit(Resource::RLIMIT_CORE).ok()?;
    let pattern = read_text(Path::new("/proc/sys/kernel/core_pattern")).ok()?;
    match pattern.trim() {
        _ if limit == 0 => None,
        piped if piped.starts_with('|') => None,
        path if path.starts_with('/') => Path::new(path).parent().map(Path::to_owned),
        _ => Some(PathBuf::from("/tmp")),
    }
}
