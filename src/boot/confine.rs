//! Confinement by the kernel: Landlock (which files may be opened, and no outgoing connection) and
//! no_new_privs. Called when root is given up and before threads are started, which inherit it.
//!
//! Scripts would inherit it too, and their needs are unknown; with CGI neither is used.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use landlock::{
    ABI, Access, AccessFs, AccessNet, BitFlags, PathBeneath, PathFd, Ruleset, RulesetAttr, RulesetCreated,
    RulesetCreatedAttr, RulesetError, RulesetStatus,
};

use nix::sys::resource::{Resource, getrlimit};

use crate::config::Config;
use crate::log;
use crate::sys::filesystem::OpenDirectory;
use crate::sys::reason;

/// Newest Landlock interface that is used; older kernels enforce a part of it.
const KNOWN: ABI = ABI::V5;

/// The files a server still needs to open once it serves.
#[derive(Debug, Default)]
pub struct SandboxNeeds {
    /// Trees to read.
    pub read: Vec<PathBuf>,
    /// Directories to read that are open already.
    pub dirs: Vec<Arc<OpenDirectory>>,
    /// The log's directory, where HUP creates the file anew.
    pub log: Option<OwnedFd>,
    /// Directories of the pid file and of sockets, which are removed there.
    pub removal: Vec<OwnedFd>,
}

impl SandboxNeeds {
    /// Files that `config` makes necessary, seen from the final root and working directory. Where symbolic
    /// links may lead anywhere, everything may be read.
    pub fn from_config(config: &Config) -> SandboxNeeds {
        let read = vec![PathBuf::from(if config.chroot || !config.symlink_check { "/" } else { "." })];
        SandboxNeeds { read, dirs: Vec::new(), log: None, removal: Vec::new() }
    }
}

/// Confines the process, if it is wanted and can be done, and logs which.
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
    let mut rules = Ruleset::default()
        .handle_access(AccessFs::from_all(KNOWN))?
        .handle_access(AccessNet::from_all(KNOWN))?
        .create()?;
    for path in &needs.read {
        rules = allow_path(rules, path, AccessFs::ReadFile | AccessFs::ReadDir)?;
    }
    for dir in &needs.dirs {
        rules = allow(rules, dir.file.as_fd(), AccessFs::ReadFile | AccessFs::ReadDir)?;
    }
    if let Some(dir) = core_directory() {
        rules = allow_path(rules, &dir, AccessFs::WriteFile | AccessFs::MakeReg)?;
    }
    if let Some(dir) = &needs.log {
        rules = allow(rules, dir.as_fd(), AccessFs::WriteFile | AccessFs::MakeReg)?;
    }
    for dir in &needs.removal {
        rules = allow(rules, dir.as_fd(), AccessFs::RemoveFile.into())?;
    }
    Ok(rules.restrict_self()?.ruleset)
}

/// Where the kernel would write the core of a stuck server (see `control`), if it would at all: it does
/// so with our rights, unless it feeds the core to a program.
fn core_directory() -> Option<PathBuf> {
    let (limit, _) = getrlimit(Resource::RLIMIT_CORE).ok()?;
    let pattern = std::fs::read_to_string("/proc/sys/kernel/core_pattern").ok()?;
    match pattern.trim() {
        _ if limit == 0 => None,
        piped if piped.starts_with('|') => None,
        path if path.starts_with('/') => Path::new(path).parent().map(Path::to_owned),
        _ => Some(PathBuf::from("/tmp")),
    }
}

/// Allows `path`; a missing file needs no permission.
fn allow_path(
    rules: RulesetCreated,
    path: &Path,
    access: BitFlags<AccessFs>,
) -> Result<RulesetCreated, RulesetError> {
    match PathFd::new(path) {
        Ok(dir) => allow(rules, dir.as_fd(), access),
        Err(_) => Ok(rules),
    }
}

fn allow(
    rules: RulesetCreated,
    dir: BorrowedFd<'_>,
    access: BitFlags<AccessFs>,
) -> Result<RulesetCreated, RulesetError> {
    rules.add_rule(PathBeneath::new(dir, access))
}
