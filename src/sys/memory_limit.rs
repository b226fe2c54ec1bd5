//! Memory limit of the process: by its own limits, and by its control group.
//!
//! `command` calls this before chroot and Landlock hide the files.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use nix::sys::resource::{Resource, getrlimit};

use super::read_text;

/// Mount point of control groups.
const CONTROL_GROUPS: &str = "/sys/fs/cgroup";

/// File with the control group of the process.
const OWN_GROUPS: &str = "/proc/self/cgroup";

/// Smallest number that means "no limit" in version 1 of control groups.
const NO_LIMIT: u64 = 1 << 60;

static LIMIT: OnceLock<Option<usize>> = OnceLock::new();

/// Smallest of `RLIMIT_DATA`, `RLIMIT_AS` and the control groups' limits, in bytes; `None` without a limit.
///
/// The result of the first call is cached for the life of the process.
pub fn memory_limit() -> Option<usize> {
    *LIMIT.get_or_init(|| {
        let own = read_text(Path::new(OWN_GROUPS)).unwrap_or_default();
        let group = group_limit(Path::new(CONTROL_GROUPS), &own);
        let process = [Resource::RLIMIT_DATA, Resource::RLIMIT_AS].into_iter().filter_map(process_limit);
        process.chain(group).min()
    })
}

fn process_limit(resource: Resource) -> Option<usize> {
    let (soft, _) = getrlimit(resource).ok()?;
    real_limit(soft)
}

/// Limit of `bytes`, unless that stands for none or is more than there are addresses.
fn real_limit(bytes: impl Into<u64>) -> Option<usize> {
    Some(bytes.into()).filter(|bytes| *bytes < NO_LIMIT).and_then(|bytes| usize::try_from(bytes).ok())
}

/// Smallest limit of the control groups in `own` (proc_pid_cgroup(5)) and their parents.
fn group_limit(root: &Path, own: &str) -> Option<usize> {
    let limits = own.lines().filter_map(|line| {
        let (_, rest) = line.split_once(':')?;
        let (controllers, group) = rest.split_once(':')?;
        let group = group.trim_start_matches('/');
        match controllers {
            "" => smallest_above(root, group, "memory.max"),
            _ if controllers.split(',').any(|name| name == "memory") => {
                smallest_above(&root.join("memory"), group, "memory.limit_in_bytes")
            }
            _ => None,
        }
    });
    limits.min()
}

fn smallest_above(root: &Path, group: &str, file: &str) -> Option<usize> {
    let mut dir: PathBuf = root.join(group);
    let mut smallest: Option<usize> = None;
    loop {
        let text = read_text(&dir.join(file)).unwrap_or_default();
        let limit = text.trim().parse::<u64>().ok().and_then(real_limit);
        smallest = smallest.into_iter().chain(limit).min();
        if dir == root || !dir.pop() {
            return smallest;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::TempTree;

    #[test]
    fn the_smallest_limit_of_a_group_and_those_above_it_holds() {
        let tree = TempTree::new();
        tree.file("memory.max", "max\n");
        tree.file("a/memory.max", "1048576\n");
        tree.file("a/b/memory.max", "2097152\n");
        tree.file("a/b/c/memory.max", "max\n");
        assert_eq!(group_limit(tree.path(), "0::/a/b/c\n"), Some(1_048_576));
        assert_eq!(group_limit(tree.path(), "0::/\n"), None);
        // In a cgroup namespace, the path may begin at another root than the mounted one.
        assert_eq!(group_limit(tree.path(), "0::/a/not/shown\n"), Some(1_048_576));
    }

    #[test]
    fn version_one_has_its_own_file_and_its_own_word_for_none() {
        let tree = TempTree::new();
        tree.file("memory/memory.limit_in_bytes", "9223372036854771712\n");
        tree.file("memory/a/memory.limit_in_bytes", "33554432\n");
        let own = "5:cpu,cpuacct:/x\n4:memory:/a\n";
        assert_eq!(group_limit(tree.path(), own), Some(33_554_432));
        assert_eq!(group_limit(tree.path(), "4:memory:/\n"), None);
        assert_eq!(group_limit(tree.path(), ""), None);
    }
}
