//! The house rules on names and imports: no circle inside a folder, and one meaning for each type's name.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::collections::{BTreeMap, BTreeSet};

use crate::budgets::{assert_none, of_the_server};

/// Path of a module or an item from the crate's root.
type Path = Vec<String>;

/// The part of a folder that its `mod.rs` itself is.
const PARENT: &str = "mod.rs";

/// Type names that two modules may have, each with what tells them apart.
const REPEATED: [(&str, &str); 5] = [
    ("Alternative", "of thttpd's patterns and of the rules'"),
    ("Cache", "of files, and the rules' action"),
    ("Line", "of arguments and of rules"),
    ("Pattern", "thttpd's and the rules'"),
    ("Site", "of a companion and of the server"),
];

/// Modules of the server and their code, without comments, tests, `main.rs` and `lib.rs`.
fn modules() -> BTreeMap<Path, String> {
    let module = |source: crate::budgets::Source| {
        let name = source.name();
        let path: Path =
            name.strip_prefix("src/")?.strip_suffix(".rs")?.split('/').map(str::to_owned).collect();
        let is_root = matches!(path[..], [ref one] if one == "main" || one == "lib");
        let path = if path.last()? == "mod" { path[..path.len() - 1].to_vec() } else { path };
        let code: Vec<&str> = source.code().map(|(_, line)| line).collect();
        (!is_root).then(|| (path, code.join("\n")))
    };
    of_the_server().into_iter().filter_map(module).collect()
}

fn word(text: &str) -> &str {
    let end = text.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(text.len());
    &text[..end]
}

/// All paths of the tree that `text` begins with, as `a::{b, c::d}`, and the rest of the text.
fn tree(text: &str) -> (Vec<Path>, &str) {
    let first = word(text);
    let rest = &text[first.len()..];
    let (mut paths, mut rest) = match rest.strip_prefix("::") {
        Some(group) if group.starts_with('{') => branches(&group[1..]),
        Some(next) if !word(next).is_empty() => tree(next),
        _ => (vec![Vec::new()], rest),
    };
    if let Some(after) = rest.strip_prefix(" as ") {
        rest = &after[word(after).len()..];
    }
    paths.iter_mut().for_each(|path| path.insert(0, first.to_owned()));
    (paths, rest)
}

/// The paths up to the brace that closes a group.
fn branches(mut text: &str) -> (Vec<Path>, &str) {
    let mut paths = Vec::new();
    loop {
        text = text.trim_start_matches([' ', '\n', ',']);
        if let Some(rest) = text.strip_prefix('}') {
            return (paths, rest);
        }
        let (found, rest) = text.strip_prefix('*').map_or_else(|| tree(text), |rest| (Vec::new(), rest));
        assert!(rest.len() < text.len(), "an import that this test cannot read: {text:.60}");
        paths.extend(found);
        text = rest;
    }
}

/// Paths in the code of `module` that begin with `crate`, `super`, `self` or a module below it.
fn paths(module: &[String], code: &str, below: &BTreeSet<String>) -> Vec<Path> {
    let mut found = Vec::new();
    for (at, _) in code.match_indices("::") {
        let before = &code[..at];
        let start = before.rfind(|c: char| !c.is_alphanumeric() && c != '_').map_or(0, |at| at + 1);
        let first = &before[start..];
        let is_begun = before[..start].ends_with("::");
        if is_begun || !(matches!(first, "crate" | "super" | "self") || below.contains(first)) {
            continue;
        }
        for path in tree(&code[start..]).0 {
            let mut whole = if first == "crate" { Vec::new() } else { module.to_vec() };
            for step in path {
                match step.as_str() {
                    "crate" | "self" => {}
                    "super" => _ = whole.pop(),
                    _ => whole.push(step),
                }
            }
            found.push(whole);
        }
    }
    found
}

/// The modules just below each module.
fn children(modules: &BTreeMap<Path, String>) -> BTreeMap<Path, BTreeSet<String>> {
    let mut children: BTreeMap<Path, BTreeSet<String>> = BTreeMap::new();
    for module in modules.keys() {
        for depth in 0..module.len() {
            children.entry(module[..depth].to_vec()).or_default().insert(module[depth].clone());
        }
    }
    children
}

/// Imports between the parts of each folder.
fn imports() -> BTreeMap<Path, BTreeMap<String, BTreeSet<String>>> {
    let modules = modules();
    let children = children(&modules);
    let none = BTreeSet::new();
    let below = |module: &[String]| children.get(module).unwrap_or(&none);
    // Names that a module takes from one below it stand for those themselves.
    let mut taken: BTreeMap<Path, Path> = BTreeMap::new();
    for (module, code) in &modules {
        for path in paths(module, code, below(module)) {
            let is_below = path.len() > module.len() + 1 && path.starts_with(module);
            if let (true, Some(name)) = (is_below, path.last()) {
                let mut known = module.clone();
                known.push(name.clone());
                taken.entry(known).or_insert(path);
            }
        }
    }
    let mut imports: BTreeMap<Path, BTreeMap<String, BTreeSet<String>>> = BTreeMap::new();
    for (module, code) in &modules {
        for path in paths(module, code, below(module)) {
            let is_module = |path: &Path| modules.contains_key(path) || children.contains_key(path);
            let mut path = if is_module(&path) { path } else { taken.get(&path).unwrap_or(&path).clone() };
            while !path.is_empty() && !is_module(&path) {
                path.pop();
            }
            let depth = module.iter().zip(&path).take_while(|(a, b)| a == b).count();
            let part = |path: &Path| path.get(depth).cloned().unwrap_or_else(|| PARENT.to_owned());
            let (from, to) = (part(module), part(&path));
            if from != to {
                let folder = imports.entry(module[..depth].to_vec()).or_default();
                folder.entry(from).or_default().insert(to);
            }
        }
    }
    imports
}

/// A way from `start` back to it.
fn circle(edges: &BTreeMap<String, BTreeSet<String>>, start: &str) -> Option<Vec<String>> {
    let mut ways = vec![vec![start.to_owned()]];
    let mut seen = BTreeSet::new();
    while let Some(way) = ways.pop() {
        for next in edges.get(way.last()?).into_iter().flatten() {
            let mut longer = way.clone();
            longer.push(next.clone());
            if next == start {
                return Some(longer);
            }
            if seen.insert(next.clone()) {
                ways.push(longer);
            }
        }
    }
    None
}

#[test]
fn no_imports_form_a_circle_inside_a_folder() {
    let mut circles = Vec::new();
    for (folder, edges) in imports() {
        let name = folder.join("/");
        let found = edges.keys().find_map(|start| circle(&edges, start));
        circles.extend(found.map(|circle| format!("src/{name}: {}", circle.join(" → "))));
    }
    assert_none(circles);
}

#[test]
fn paths_are_read_as_the_compiler_reads_them() {
    let text = "a::{b, c::{d as e, f}, g::h};";
    let (paths, rest) = tree(text);
    let paths: Vec<String> = paths.iter().map(|path| path.join(" ")).collect();
    assert_eq!((paths.join(", ").as_str(), rest), ("a b, a c d, a c f, a g h", ";"));
}

/// Kinds of types.
const KINDS: [&str; 4] = ["struct ", "enum ", "trait ", "type "];

#[test]
fn a_types_name_means_one_thing() {
    let mut places: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for (module, code) in modules() {
        for line in code.lines().filter(|line| !line.starts_with(' ')) {
            let line = line.trim_start_matches("pub(super) ").trim_start_matches("pub(crate) ");
            let line = line.trim_start_matches("pub ");
            let name = KINDS.iter().find_map(|kind| line.strip_prefix(kind)).map(word);
            if let Some(name) = name {
                places.entry(name.to_owned()).or_default().insert(module.join("::"));
            }
        }
    }
    assert!(places.len() > 300, "the server has more types than {}", places.len());
    places.retain(|_, modules| modules.len() > 1);
    let allowed: BTreeSet<&str> = REPEATED.iter().map(|(name, _)| *name).collect();
    let repeated = places.iter().filter(|(name, _)| !allowed.contains(name.as_str()));
    let in_modules = |modules: &BTreeSet<String>| modules.iter().cloned().collect::<Vec<_>>().join(", ");
    assert_none(repeated.map(|(name, modules)| format!("{name}: {}", in_modules(modules))).collect());
    let needless: Vec<&str> = allowed.into_iter().filter(|name| !places.contains_key(*name)).collect();
    assert!(needless.is_empty(), "these names stand for one type by now: {needless:?}");
}

#[test]
fn files_that_the_crates_page_names_are_there() {
    let page = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/src/lib.rs")).unwrap();
    let quoted = page
        .lines()
        .filter(|line| line.starts_with("//!"))
        .flat_map(|line| line.split('`').skip(1).step_by(2));
    let files: Vec<&str> = quoted.filter(|text| text.ends_with(".rs")).collect();
    assert!(files.len() > 10, "{files:?}");
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    assert_none(files.into_iter().filter(|file| !root.join(file).exists()).map(str::to_owned).collect());
}
