//! Name expansion: resolves symbolic links and splits PATH_INFO off (thttpd's `expand_symlinks`).

use std::collections::VecDeque;

use nix::errno::Errno;
use nix::sys::stat::SFlag;

use super::{DocRoot, Links, View};
use crate::sys::stat::FileStat;

/// Maximum number of links followed for one name; more count as a loop (thttpd's MAX_LINKS).
const MOST_LINKS: usize = 32;

/// Name after expansion.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expanded {
    /// Path relative to the root without outer slashes; empty = the top. Free of links if links are
    /// checked.
    pub name: Vec<u8>,
    /// Rest behind the last existing component, without leading slash; empty = none.
    pub path_info: Vec<u8>,
}

/// Reason why a name could not be expanded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unexpandable {
    /// A link leads out of the tree.
    Outside,
    /// More than [`MOST_LINKS`] links.
    TooManyLinks,
    /// Another system error.
    Io(Errno),
}

/// Expands `name` (relative, dots resolved, may end in a slash).
///
/// With `check`, every link is resolved here and must stay inside the tree. Otherwise the kernel follows
/// all links, and only PATH_INFO is split off (thttpd's `-nos`).
///
/// # Errors
/// Those of [`Unexpandable`].
pub fn expand(view: &View<'_>, name: &[u8], check: bool) -> Result<Expanded, Unexpandable> {
    let trimmed = name.strip_suffix(b"/").unwrap_or(name);
    if check { walk(view, trimmed) } else { longest_existing(view, trimmed) }
}

/// Expands a name that has no links and is a file or a directory: one look shows that and its facts.
///
/// # Errors
/// ELOOP for a link, or a file of another type; else those of [`View::stat_beneath`].
pub fn expand_plain(view: &View<'_>, name: &[u8]) -> nix::Result<(Expanded, FileStat)> {
    let trimmed = name.strip_suffix(b"/").unwrap_or(name);
    let meta = view.stat_beneath(trimmed, Links::Refuse)?;
    match SFlag::from_bits_truncate(meta.st_mode & SFlag::S_IFMT.bits()) {
        SFlag::S_IFREG | SFlag::S_IFDIR => {
            Ok((Expanded { name: trimmed.to_vec(), path_info: Vec::new() }, meta))
        }
        _ => Err(Errno::ELOOP),
    }
}

/// Expands all links in `name`, for callers that let the kernel follow links within the tree.
///
/// The kernel treats every absolute link as leaving the tree, so those must be expanded here.
///
/// # Errors
/// EXDEV if a link leads out, ELOOP if there are too many, else the system's error.
pub fn without_links(view: &View<'_>, name: &[u8]) -> nix::Result<Vec<u8>> {
    match expand(view, name, true) {
        Ok(Expanded { name, path_info }) if path_info.is_empty() => Ok(name),
        Ok(Expanded { name, path_info }) => Ok(join(&name, &path_info)),
        Err(Unexpandable::Outside) => Err(Errno::EXDEV),
        Err(Unexpandable::TooManyLinks) => Err(Errno::ELOOP),
        Err(Unexpandable::Io(errno)) => Err(errno),
    }
}

fn walk(view: &View<'_>, name: &[u8]) -> Result<Expanded, Unexpandable> {
    let mut out: Vec<u8> = Vec::with_capacity(name.len());
    let mut way = Way { rest: segments(name).map(<[u8]>::to_vec).collect(), links: 0 };
    while let Some(first) = way.rest.front() {
        if first == b".." {
            way.rest.pop_front();
            out = way.above(view, out);
            continue;
        }
        let (plain, end) = plain_part(view, &out, way.rest.make_contiguous());
        for _ in 0..plain {
            push(&mut out, &way.rest.pop_front().unwrap_or_default());
        }
        match end {
            None => {}
            Some(Errno::ELOOP) => way.follow_link(view, &mut out)?,
            Some(Errno::ENOENT | Errno::ENOTDIR | Errno::EACCES) => {
                return Ok(Expanded { name: out, path_info: way.rest.make_contiguous().join(&b'/') });
            }
            Some(other) => return Err(Unexpandable::Io(other)),
        }
    }
    Ok(Expanded { name: out, path_info: Vec::new() })
}

/// Number of `segments` that exist below `dir` without a link, and the error of the next one.
///
/// Binary search over the depth: asking for one segment after another would take quadratic time in a deep
/// tree.
fn plain_part(view: &View<'_>, dir: &[u8], segments: &[Vec<u8>]) -> (usize, Option<Errno>) {
    let whole = segments.iter().take_while(|segment| *segment != b"..").count();
    let ask = |count: usize| {
        let mut name = dir.to_vec();
        segments[..count].iter().for_each(|segment| push(&mut name, segment));
        match view.stat_beneath(&name, Links::Refuse) {
            Ok(meta) if meta.st_mode & SFlag::S_IFMT.bits() == SFlag::S_IFLNK.bits() => Err(Errno::ELOOP),
            answer => answer.map(|_| ()),
        }
    };
    longest(whole, ask)
}

/// Largest count up to `most` that `ask` accepts, found by bisection, and the error for the next one.
///
/// `ask` must accept zero, and every count below an accepted one.
fn longest(most: usize, ask: impl Fn(usize) -> nix::Result<()>) -> (usize, Option<Errno>) {
    let Err(mut why) = ask(most) else { return (most, None) };
    let (mut good, mut bad) = (0, most);
    while bad - good > 1 {
        let middle = good.midpoint(bad);
        match ask(middle) {
            Ok(()) => good = middle,
            Err(errno) => (bad, why) = (middle, errno),
        }
    }
    (good, Some(why))
}

/// Remaining part of a name during expansion.
#[derive(Clone)]
struct Way {
    rest: VecDeque<Vec<u8>>,
    /// Number of links followed so far.
    links: usize,
}

impl Way {
    /// Follows the next link, from the directory `out`.
    fn follow_link(&mut self, view: &View<'_>, out: &mut Vec<u8>) -> Result<(), Unexpandable> {
        let Some(link) = self.rest.pop_front() else { return Ok(()) };
        match view.read_link(&join(out, &link)) {
            Ok(target) => {
                let (is_absolute, inside) = (target.first() == Some(&b'/'), inside(view.root(), &target));
                self.follow(inside.unwrap_or(&target))?;
                if is_absolute {
                    *out = if inside.is_some() { Vec::new() } else { self.back_inside(view, Vec::new())? };
                }
                Ok(())
            }
            // The link was replaced or deleted at this moment.
            Err(Errno::EINVAL | Errno::ENOENT) => {
                self.follow(b"")?;
                self.rest.push_front(link);
                Ok(())
            }
            Err(errno) => Err(Unexpandable::Io(errno)),
        }
    }

    /// Inserts the segments of a link's `target` before the rest.
    fn follow(&mut self, target: &[u8]) -> Result<(), Unexpandable> {
        self.links += 1;
        if self.links > MOST_LINKS {
            return Err(Unexpandable::TooManyLinks);
        }
        for segment in segments(target).rev() {
            self.rest.push_front(segment.to_vec());
        }
        Ok(())
    }

    /// Parent of `dir`, both relative to the root; only `..` in link targets leads here.
    ///
    /// A target that leaves the top and comes back into the tree is followed. Any other stays at the top,
    /// as in thttpd.
    fn above(&mut self, view: &View<'_>, mut dir: Vec<u8>) -> Vec<u8> {
        if dir.is_empty() {
            let top = view.root().path().strip_suffix(b"/").unwrap_or(view.root().path());
            let parent = split(top).0.to_vec();
            let mut outside = self.clone();
            return match outside.back_inside(view, parent) {
                Ok(inside) => {
                    *self = outside;
                    inside
                }
                Err(_) => dir,
            };
        }
        dir.truncate(dir.iter().rposition(|&b| b == b'/').unwrap_or(0));
        dir
    }

    /// Follows a link target outside the tree from `here`, until it comes back into the tree.
    ///
    /// Absolute links through /etc/alternatives or a data disk do that, and only the final target counts.
    /// No file outside is opened: links are read, and the final name is opened below the root. `here` is an
    /// absolute path without links and without a trailing slash.
    fn back_inside(&mut self, view: &View<'_>, mut here: Vec<u8>) -> Result<Vec<u8>, Unexpandable> {
        loop {
            if let Some(inside) = inside(view.root(), &here) {
                return Ok(inside.to_vec());
            }
            // The file systems outside the tree may not answer.
            view.leave().map_err(Unexpandable::Io)?;
            let segment = self.rest.pop_front().ok_or(Unexpandable::Outside)?;
            let above = here.iter().rposition(|&b| b == b'/').unwrap_or(0);
            if segment == b".." {
                here.truncate(above);
                continue;
            }
            let before = here.len();
            here.push(b'/');
            here.extend_from_slice(&segment);
            match nix::fcntl::readlink(&here[..]) {
                Err(Errno::EINVAL) => {}
                // The error is the same for missing and existing files, so that clients cannot probe for
                // names outside.
                Err(_) => return Err(Unexpandable::Outside),
                Ok(target) => {
                    let target = target.into_encoded_bytes();
                    here.truncate(if target.first() == Some(&b'/') { 0 } else { before });
                    self.follow(&target)?;
                }
            }
        }
    }
}

fn push(name: &mut Vec<u8>, segment: &[u8]) {
    if !name.is_empty() {
        name.push(b'/');
    }
    name.extend_from_slice(segment);
}

/// Path below the root of an absolute link target, if the target lies in the tree.
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

/// Splits a name into directory and last component; the directory is empty at the top.
pub fn split(name: &[u8]) -> (&[u8], &[u8]) {
    match name.iter().rposition(|&b| b == b'/') {
        Some(at) => (&name[..at], &name[at + 1..]),
        None => (b"", name),
    }
}

fn longest_existing(view: &View<'_>, name: &[u8]) -> Result<Expanded, Unexpandable> {
    let slashes = name.iter().enumerate().filter(|&(_, &b)| b == b'/').map(|(at, _)| at);
    let ends: Vec<usize> = std::iter::once(0).chain(slashes).chain([name.len()]).collect();
    // The top always exists.
    let ask = |count: usize| view.stat(&name[..ends[count]], Links::Follow).map(|_| ());
    let (count, why) = longest(ends.len() - 1, ask);
    match why {
        None | Some(Errno::ENOENT | Errno::ENOTDIR | Errno::EACCES | Errno::ENAMETOOLONG) => {
            let (name, path_info) = name.split_at(ends[count]);
            let path_info = path_info.strip_prefix(b"/").unwrap_or(path_info).to_vec();
            Ok(Expanded { name: name.to_vec(), path_info })
        }
        Some(Errno::ELOOP) => Err(Unexpandable::TooManyLinks),
        Some(other) => Err(Unexpandable::Io(other)),
    }
}

/// Name relative to the directory `dir` of one in it or of `dir` itself; `None` for others.
pub fn below<'n>(name: &'n [u8], dir: &[u8]) -> Option<&'n [u8]> {
    match name.strip_prefix(dir)? {
        rest if dir.is_empty() || rest.is_empty() => Some(rest),
        rest => rest.strip_prefix(b"/"),
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
    use std::path::Path;

    #[test]
    fn names_are_in_their_directory_and_in_those_above() {
        for (name, dir, rest) in [
            (&b"a/b"[..], &b"a"[..], Some(&b"b"[..])),
            (b"a/b", b"", Some(b"a/b")),
            (b"a", b"a", Some(b"")),
            (b"", b"", Some(b"")),
            (b"ab", b"a", None),
            (b"b/a", b"a", None),
            (b"", b"a", None),
        ] {
            assert_eq!(below(name, dir), rest, "{} in {}", name.escape_ascii(), dir.escape_ascii());
        }
    }

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
        let outside = TempTree::new();
        let link_outside =
            |target: &Path, name: &str| symlink(target, outside.path().join(name)).expect("link");
        link_outside(&tree.path().join("sub"), "current");
        link_outside(tree.path(), "root");
        link_outside(Path::new("current/a.txt"), "relative");
        link_outside(Path::new("/etc/passwd"), "astray");
        link(&format!("{}/current", outside.path().display()), "alternative");
        link(&format!("{}/relative", outside.path().display()), "file");
        link(&format!("{}/root/dir", outside.path().display()), "through");
        link(&format!("{}", outside.path().display()), "disk");
        link(&format!("{}/astray", outside.path().display()), "astray");
        let up = "../".repeat(tree.path().components().count() + 3);
        link(&format!("{up}{}/current", &outside.path().display().to_string()[1..]), "climbs");
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
            ("alternative/a.txt", ok("sub/a.txt", "")),
            ("alternative/a.txt/x", ok("sub/a.txt", "x")),
            ("alternative", ok("sub", "")),
            ("file", ok("sub/a.txt", "")),
            ("through/a.txt", ok("sub/a.txt", "")),
            ("disk/current/a.txt", ok("sub/a.txt", "")),
            ("disk/root/dir/a.txt", ok("sub/a.txt", "")),
            ("climbs/a.txt", ok("sub/a.txt", "")),
            ("alternative/none", ok("sub", "none")),
            ("disk", Err(Unexpandable::Outside)),
            ("disk/none", Err(Unexpandable::Outside)),
            ("astray", Err(Unexpandable::Outside)),
            ("out", Err(Unexpandable::Outside)),
            ("loop", Err(Unexpandable::TooManyLinks)),
        ] {
            assert_eq!(shown(expand(&View::anywhere(&root), name.as_bytes(), true)), want, "{name}");
        }
        assert_eq!(shown(expand(&View::anywhere(&root), b"dir/a.txt", false)), ok("dir/a.txt", ""));
        assert_eq!(shown(expand(&View::anywhere(&root), b"dir/a.txt/x", false)), ok("dir/a.txt", "x"));
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
            if let Ok(expanded) = expand(&View::anywhere(&root), name.as_bytes(), true)
                && let Ok(real) = tree.path().join(std::ffi::OsStr::from_bytes(&expanded.name)).canonicalize()
            {
                prop_assert!(real.starts_with(tree.path().canonicalize().expect("real")), "{}", real.display());
            }
        }
    }
}
