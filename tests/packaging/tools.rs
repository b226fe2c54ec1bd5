//! Tools that the build scripts need: named before anything is compiled, and there in the Dockerfile.

use std::collections::BTreeSet;

use super::text;

/// Commands that a script asks for by `need COMMAND PACKAGE...`.
fn needed(path: &str) -> BTreeSet<String> {
    let script = text(path);
    let lines = script.lines().filter_map(|line| line.strip_prefix("need "));
    lines.filter_map(|words| words.split(' ').next()).map(str::to_owned).collect()
}

#[test]
fn what_a_build_needs_at_its_end_is_asked_for_at_its_beginning() {
    let last = needed("packaging/sbom");
    assert!(!last.is_empty());
    for build in ["packaging/build-static", "packaging/build-release"] {
        assert!(needed(build).is_superset(&last), "{build}");
        let script = text(build);
        let (before, _) = script.split_once("cargo\" build").or(script.split_once("cargo build")).unwrap();
        assert!(before.contains("\nneed jq jq\n"), "{build}");
    }
}

#[test]
fn the_dockerfile_installs_what_its_build_needs() {
    let dockerfile = text("packaging/container/Dockerfile");
    let line = dockerfile.lines().find(|line| line.contains("apk add")).unwrap();
    let installed: BTreeSet<&str> = line.split(' ').collect();
    for command in needed("packaging/build-static") {
        assert!(installed.contains(command.as_str()), "{command}");
    }
    // Alpine has no bash of its own, and every script is one of bash.
    assert!(installed.contains("bash"));
}
