//! Survey of the served tree for `--check`: files that the server refuses, though probably meant to be
//! served.

use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use crate::auth::{self, LINK_TO_NO_FILE, MOST_FILE_BYTES, crypt, htpasswd};
use crate::config::Config;
use crate::rules::Rules;
use crate::sys::{read_lines, reason};

/// Maximum number of names visited, so that checking a large archive ends.
const MOST_NAMES: usize = 200_000;
/// Maximum number of warnings of one kind.
const MOST_WARNINGS: usize = 10;

/// Warnings about files below `root`, the served directory.
///
/// They concern scripts that others may not execute, unsupported password hashes, also those in password
/// files of rules, and pages with a rule `cache immutable`. Links are not followed.
pub fn warnings(config: &Config, root: &Path, rules: &Rules) -> Vec<String> {
    let mut scripts = Vec::new();
    let mut passwords: Vec<PathBuf> =
        rules.all_auth_files().iter().map(|(_, file)| file.path.clone()).collect();
    let mut kept = KeptPages { config, rules, first: Vec::new() };
    USUAL_PAGES.iter().for_each(|name| kept.look(Path::new(name)));
    let mut directories = vec![root.to_path_buf()];
    let mut seen = 0;
    while let Some(directory) = directories.pop() {
        let Ok(entries) = fs::read_dir(&directory) else { continue };
        for entry in entries.filter_map(Result::ok) {
            seen += 1;
            if seen > MOST_NAMES {
                directories.clear();
                break;
            }
            let Ok(kind) = entry.file_type() else { continue };
            let path = entry.path();
            if kind.is_file() {
                kept.look(path.strip_prefix(root).unwrap_or(&path));
            }
            match () {
                () if kind.is_dir() => directories.push(path),
                () if entry.file_name().as_bytes() == auth::FILE_NAME => passwords.push(path),
                () if kind.is_file() && is_refused_script(config, root, &path) => scripts.push(path),
                () => {}
            }
        }
    }
    // By bytes: the order by components would be code of its own.
    let in_order = |one: &PathBuf, other: &PathBuf| one.as_os_str().cmp(other.as_os_str());
    scripts.sort_unstable_by(in_order);
    passwords.sort_unstable_by(in_order);
    passwords.dedup();
    let (mut not_executable, mut outside, mut unreadable) = (Vec::new(), Vec::new(), Vec::new());
    for path in &scripts {
        let why = "matches cgipat, but others may not execute it: 403 (chmod o+x)";
        not_executable.push(format!("{}: {why}", path.display()));
    }
    for path in &passwords {
        if config.symlink_check && leads_out(root, path) {
            let advice = "all beside it is 403 (copy it, or name it in a rule with auth, or see -nos)";
            outside.push(format!("{}: {LINK_TO_NO_FILE}: {advice}", path.display()));
        } else {
            unreadable.extend(hashes(path));
        }
    }
    let mut warnings = bounded(not_executable);
    warnings.extend(bounded(outside));
    warnings.extend(bounded(unreadable));
    warnings.extend(bounded(kept.warnings()));
    let missing = config.vhost_default.iter().filter(|name| !root.join(name).is_dir());
    warnings.extend(missing.map(|name| format!("vhost_default={name}: there is no such directory")));
    warnings
}

/// Pages that most sites have, for checking rules that apply to all pages.
const USUAL_PAGES: [&str; 3] = ["index.html", "page.html", "dir/page.html"];

/// Pages that rules mark as immutable.
struct KeptPages<'a> {
    config: &'a Config,
    rules: &'a Rules,
    /// Rules with the first page that each covers, in order.
    first: Vec<(String, PathBuf)>,
}

impl KeptPages<'_> {
    /// Checks the file called `name`.
    fn look(&mut self, name: &Path) {
        let is_page =
            name.extension().is_some_and(|ext| ["html", "htm", "xhtml"].iter().any(|own| ext == *own));
        let line = self.rules.keeps_for_good(name.as_os_str().as_bytes(), self.config.vhost);
        let Some(line) = line.filter(|_| is_page).map(ToString::to_string) else { return };
        match self.first.binary_search_by(|(other, _)| other.cmp(&line)) {
            Ok(at) if *name.as_os_str() < *self.first[at].1.as_os_str() => self.first[at].1 = name.into(),
            Ok(_) => {}
            Err(at) => self.first.insert(at, (line, name.into())),
        }
    }

    fn warnings(self) -> Vec<String> {
        let told = |(line, page): (String, PathBuf)| {
            format!("{line}: covers pages ({}), whose names do not change with their content", page.display())
        };
        self.first.into_iter().map(told).collect()
    }
}

/// Tells whether the file is a script by the CGI pattern, but others may not execute it.
fn is_refused_script(config: &Config, root: &Path, path: &Path) -> bool {
    let name = path.strip_prefix(root).unwrap_or(path).as_os_str().as_bytes();
    let is_meant = config.cgi_pattern.as_ref().is_some_and(|pattern| pattern.matches_by_name(name));
    is_meant && fs::metadata(path).is_ok_and(|meta| meta.permissions().mode() & 0o001 == 0)
}

/// Tells whether the password file of a directory is a link that leads out of the tree, or to nothing.
fn leads_out(root: &Path, path: &Path) -> bool {
    let leads_within = || Some(fs::canonicalize(path).ok()?.starts_with(fs::canonicalize(root).ok()?));
    path.starts_with(root) && path.is_symlink() && leads_within() != Some(true)
}

/// Users of a password file who cannot log in, because their hash is not supported.
fn hashes(path: &Path) -> Vec<String> {
    let is_read = fs::metadata(path).is_ok_and(|meta| meta.is_file() && meta.len() <= MOST_FILE_BYTES);
    let text = match is_read.then(|| read_lines(path)) {
        Some(Ok(text)) => text,
        Some(Err(error)) => return vec![format!("{}: {}", path.display(), reason(&error))],
        None => return Vec::new(),
    };
    let users = htpasswd::users(&text).filter_map(|(user, hash)| {
        let trouble = crypt::trouble(hash)?;
        Some(format!("{}: {}: {trouble}", path.display(), user.escape_ascii()))
    });
    users.collect()
}

/// Truncates the list at the maximum, and adds the number of omitted warnings.
fn bounded(mut warnings: Vec<String>) -> Vec<String> {
    let more = warnings.len().saturating_sub(MOST_WARNINGS);
    warnings.truncate(MOST_WARNINGS);
    if more > 0 {
        warnings.push(format!("{more} more like the last"));
    }
    warnings
}
