//! The tree as `--check` finds it: files that the server would refuse, though something else may be meant.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use crate::auth::{self, crypt, htpasswd};
use crate::config::Config;
use crate::rules::Rules;
use crate::sys::read_regular_file;

/// Names looked at in all: the check of a large archive must end.
const MOST_NAMES: usize = 200_000;
/// Warnings of one kind that are spelled out.
const MOST_WARNINGS: usize = 10;
/// A larger password file is refused by the server too.
const MOST_FILE_BYTES: u64 = 1024 * 1024;

/// Warnings about what lies below `root`, the directory that is served: scripts that others may not
/// execute, passwords whose hashes the server does not understand, and pages that `rules` have caches keep for
/// good. Links are not followed.
pub fn warnings(config: &Config, root: &Path, rules: &Rules) -> Vec<String> {
    let (mut scripts, mut passwords) = (Vec::new(), Vec::new());
    let mut kept = KeptPages { config, rules, first: BTreeMap::new() };
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
    scripts.sort();
    passwords.sort();
    let scripts = scripts.iter().map(|path| {
        format!("{}: matches cgipat, but others may not execute it: 403 (chmod o+x)", path.display())
    });
    let mut warnings = bounded(scripts.collect());
    warnings.extend(bounded(passwords.iter().flat_map(|path| hashes(path.as_path())).collect()));
    warnings.extend(bounded(kept.warnings()));
    warnings
}

/// Names of pages that most sites have, by which a rule for all pages shows itself.
const USUAL_PAGES: [&str; 3] = ["index.html", "page.html", "dir/page.html"];

/// Pages that caches are told to keep for good.
struct KeptPages<'a> {
    config: &'a Config,
    rules: &'a Rules,
    /// Rules that say so, with the first of their pages.
    first: BTreeMap<String, PathBuf>,
}

impl KeptPages<'_> {
    /// Looks at the file called `name`.
    fn look(&mut self, name: &Path) {
        let is_page =
            name.extension().is_some_and(|ext| ["html", "htm", "xhtml"].iter().any(|own| ext == *own));
        let line = self.rules.keeps_for_good(name.as_os_str().as_bytes(), self.config.vhost);
        if let Some(line) = line.filter(|_| is_page) {
            let first = self.first.entry(line.to_string()).or_insert_with(|| name.into());
            if *name < **first {
                *first = name.into();
            }
        }
    }

    fn warnings(self) -> Vec<String> {
        let told = |(line, page): (String, PathBuf)| {
            format!("{line}: covers pages ({}), whose names do not change with their content", page.display())
        };
        self.first.into_iter().map(told).collect()
    }
}

/// Does the pattern say that the file is a script, while its permissions say that it is none?
fn is_refused_script(config: &Config, root: &Path, path: &Path) -> bool {
    let name = path.strip_prefix(root).unwrap_or(path).as_os_str().as_bytes();
    let is_meant = config.cgi_pattern.as_ref().is_some_and(|pattern| pattern.matches_by_name(name));
    is_meant && fs::metadata(path).is_ok_and(|meta| meta.permissions().mode() & 0o001 == 0)
}

/// The users of a password file who cannot log in, because of the form of their hash.
fn hashes(path: &Path) -> Vec<String> {
    let is_read = fs::metadata(path).is_ok_and(|meta| meta.is_file() && meta.len() <= MOST_FILE_BYTES);
    let text = if is_read { read_regular_file(path).unwrap_or_default() } else { Vec::new() };
    let users = htpasswd::users(&text).filter_map(|(user, hash)| {
        let trouble = crypt::trouble(hash)?;
        Some(format!("{}: {}: {trouble}", path.display(), user.escape_ascii()))
    });
    users.collect()
}

/// The first of many, and how many there are beside them.
fn bounded(mut warnings: Vec<String>) -> Vec<String> {
    let more = warnings.len().saturating_sub(MOST_WARNINGS);
    warnings.truncate(MOST_WARNINGS);
    if more > 0 {
        warnings.push(format!("{more} more like the last"));
    }
    warnings
}
