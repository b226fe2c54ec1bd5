//! Names → expanded names: symbolic links resolved, PATH_INFO split off [thttpd's `expand_symlinks`].

use std::collections::VecDeque;

use nix::errno::Errno;

use super::{DocRoot, Links};

/// Links followed for one name before we call it a loop (thttpd's MAX_LINKS).
const MOST_LINKS: usize = 32;

/// A name after expansion.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expanded {
    /// Relative to the root, no link in it (with the check on), no outer slashes; empty = the top.
    pub name: Vec<u8>,
    /// Rest behind the last existing component, no leading slash; empty = none.
    pub path_info: Vec<u8>,
}

/// Why a name could not be expanded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unexpandable {
    /// A link leads out of the tree.
    Outside,
    /// More than [`MOST_LINKS`] links.
    TooManyLinks,
    /// Anything else the system said.
    Io(Errno),
}

/// Expands `name` (relative, dots resolved, may end in a slash).
///
/// With `check`, every link is resolved here and must stay inside; without it the kernel follows
/// links as it likes, and only PATH_INFO is looked for (thttpd's `-nos`).
///
/// # Errors
/// See [`Unexpandable`].
pub fn expand(root: &DocRoot, name: &[u8], check: bool) -> Result<Expanded, Unexpandable> {
    let trimmed = name.strip_suffix(b"/").unwrap_or(name);
    if check { walk(root, trimmed) } else { longest_existing(root, trimmed) }
}

/// `name` by another name, with no link in it. For where the kernel is to follow links within the tree: to
/// it an absolute one leads out, even back into the tree.
///
/// # Errors
/// EXDEV when a link leads out, ELOOP when there are too many, else what the system said.
pub fn without_links(root: &DocRoot, name: &[u8]) -> nix::Result<Vec<u8>> {
    match expand(root, name, true) {
        Ok(Expanded { name, path_info }) if path_info.is_empty() => Ok(name),
        Ok(Expanded { name, path_info }) => Ok(join(&name, &path_info)),
        Err(Unexpandable::Outside) => Err(Errno::EXDEV),
        Err(Unexpandable::TooManyLinks) => Err(Errno::ELOOP),
        Err(Unexpandable::Io(errno)) => Err(errno),
    }
}

fn walk(root: &DocRoot, name: &[u8]) -> Result<Expanded, Unexpandable> {
    let mut out: Vec<u8> = Vec::with_capacity(name.len());
    let mut rest: VecDeque<Vec<u8>> = segments(name).map(<[u8]>::to_vec).collect();
    let mut links = 0;
    while let Some(segment) = rest.pop_front() {
        if segment == b".." {
            // Only link targets hold these; above the top they stay at the top.
            let keep = out.iter().rposition(|&b| b == b'/').unwrap_or(0);
            out.truncate(keep);
            continue;
        }
        let before = out.len();
        if !out.is_empty() {
            out.push(b'/');
        }
        out.extend_from_slice(&segment);
        match root.read_link(&out) {
            Err(Errno::EINVAL) => {}
            Err(Errno::ENOENT | Errno::ENOTDIR | Errno::EACCES) => {
                out.truncate(before);
                rest.push_front(segment);
                return Ok(Expanded { name: out, path_info: rest.make_contiguous().join(&b'/') });
            }
            Err(other) => return Err(Unexpandable::Io(other)),
            Ok(target) => {
                links += 1;
                if links > MOST_LINKS {
                    return Err(Unexpandable::TooManyLinks);
                }
                out.truncate(before);
                let target = if target.first() == Some(&b'/') {
                    out.clear();
                    inside(root, &target).ok_or(Unexpandable::Outside)?
                } else {
                    &target[..]
                };
                for segment in segments(target).rev() {
                    rest.push_front(segment.to_vec());
                }
            }
        }
    }
    Ok(Expanded { name: out, path_info: Vec::new() })
}

/// An absolute link target → what it is below the root, if it is.
fn inside<'t>(root: &DocRoot, target: &'t [u8]) -> Option<&'t [u8]> {
    let top = root.path();
    if target.get(..top.len()) == Some(top) {
        return Some(&target[top.len()..]);
    }
    (target == &top[..top.len() - 1]).then_some(b"")
}

fn segments(path: &[u8]) -> impl DoubleEndedIterator<Item = &[u8]> {
    path.split(|&b| b == b'/').filter(|s| !s.is_empty() && *s != b".")
}

/// Directory and last component of a name; the directory is empty at the top.
pub fn split(name: &[u8]) -> (&[u8], &[u8]) {
    match name.iter().rposition(|&b| b == b'/') {
        Some(at) => (&name[..at], &name[at + 1..]),
        None => (b"", name),
    }
}

fn longest_existing(root: &DocRoot, name: &[u8]) -> Result<Expanded, Unexpandable> {
    let mut end = name.len();
    loop {
        match root.stat(&name[..end], Links::Follow) {
            Ok(_) => {
                let path_info = name[end..].strip_prefix(b"/").unwrap_or(&name[end..]).to_vec();
                return Ok(Expanded { name: name[..end].to_vec(), path_info });
            }
            Err(Errno::ELOOP) => return Err(Unexpandable::TooManyLinks),
            Err(Errno::ENOENT | Errno::ENOTDIR | Errno::EACCES | Errno::ENAMETOOLONG) if end > 0 => {
                end = name[..end].iter().rposition(|&b| b == b'/').unwrap_or(0);
            }
            Err(other) => return Err(Unexpandable::Io(other)),
        }
    }
}

/// `dir/name`, or `name` at the top.
pub fn join(dir: &[u8], name: &[u8]) -> Vec<u8> {
    let mut whole = Vec::with_capacity(dir.len() + 1 + name.len());
    whole.extend_from_slice(dir);
    if !dir.is_empty() {
        whole.push(b'/');
    }
    whole.extend_from_slice(name);
    whole
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::TempTree;
    use proptest::prelude::*;
    use std::os::unix::{ffi::OsStrExt, fs::symlink};

    fn rooted(tree: &TempTree) -> DocRoot {
        DocRoot::open(tree.path(), tree.path().as_os_str().as_bytes()).expect("root")
    }

    fn shown(expanded: Result<Expanded, Unexpandable>) -> Result<(String, String), Unexpandable> {
        let text = |b: Vec<u8>| String::from_utf8_lossy(&b).into_owned();
        expanded.map(|e| (text(e.name), text(e.path_info)))
    }

    #[test]
    fn links_are_resolved_inside_and_refused_outside() {
        let tree = TempTree::new();
        tree.file("sub/a.txt", "a");
        let link = |target: &str, name: &str| symlink(target, tree.path().join(name)).expect("link");
        link("sub", "dir");
        link("../dir/a.txt", "sub/up");
        link("../../../../sub/a.txt", "climb");
        link("/etc/passwd", "out");
        link("loop", "loop");
        link("gone", "dangling");
        link(&format!("{}/sub", tree.path().display()), "absolute");
        let root = rooted(&tree);
        let ok = |name: &str, info: &str| Ok((name.to_owned(), info.to_owned()));
        for (name, want) in [
            ("sub/a.txt", ok("sub/a.txt", "")),
            ("dir/a.txt", ok("sub/a.txt", "")),
            ("sub/up", ok("sub/a.txt", "")),
            ("climb", ok("sub/a.txt", "")),
            ("absolute/a.txt", ok("sub/a.txt", "")),
            ("sub/a.txt/x/y", ok("sub/a.txt", "x/y")),
            ("none/deeper", ok("", "none/deeper")),
            ("dangling", ok("", "gone")),
            ("", ok("", "")),
            ("sub/", ok("sub", "")),
            ("out", Err(Unexpandable::Outside)),
            ("loop", Err(Unexpandable::TooManyLinks)),
        ] {
            assert_eq!(shown(expand(&root, name.as_bytes(), true)), want, "{name}");
        }
        assert_eq!(shown(expand(&root, b"dir/a.txt", false)), ok("dir/a.txt", ""));
        assert_eq!(shown(expand(&root, b"dir/a.txt/x", false)), ok("dir/a.txt", "x"));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn whatever_links_a_tree_holds_the_name_stays_inside(
            targets in proptest::collection::vec("(\\.\\./|/|a/|l0|l1|l2|f|/etc){1,5}", 3),
            name in "(l0|l1|l2|a|f)(/(l0|l1|l2|f)){0,3}",
        ) {
            let tree = TempTree::new();
            tree.file("a/f", "inside");
            for (n, target) in targets.iter().enumerate() {
                symlink(target, tree.path().join(format!("l{n}"))).expect("link");
            }
            let root = rooted(&tree);
            if let Ok(expanded) = expand(&root, name.as_bytes(), true)
                && let Ok(real) = tree.path().join(std::ffi::OsStr::from_bytes(&expanded.name)).canonicalize()
            {
                prop_assert!(real.starts_with(tree.path().canonicalize().expect("real")), "{}", real.display());
            }
        }
    }
}
