//! Build scripts: the tools that they need, and what they make where one is missing.

use std::collections::BTreeSet;
use std::process::Command;

use super::{source, text};
use crate::support::Tree;

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

#[test]
fn an_image_over_the_limits_of_ci_is_still_one_unless_they_are_asked_for() {
    let tree = Tree::new();
    let mut program = std::fs::read("/proc/self/exe").unwrap();
    program.truncate(4096);
    program.resize(3_000_000, 0);
    let binary = tree.dir().join("thttpd");
    std::fs::write(&binary, program).unwrap();
    let image = tree.dir().join("image");
    for (gate, status) in [(None, 0), (Some("--gate"), 1)] {
        let made = Command::new(source("packaging/container/image"))
            .args(["--libc", "glibc", "--output"])
            .args([&image, &binary])
            .args(gate)
            .env("SOURCE_DATE_EPOCH", "0")
            .output();
        let Ok(made) = made else { return eprintln!("skipped: no Python here") };
        let said = String::from_utf8_lossy(&made.stderr);
        assert_eq!(made.status.code(), Some(status), "{said}");
        assert!(said.contains(" binary: 3000000 bytes OVER "), "{said}");
        assert!(image.join("thttpd-image.tar").exists());
    }
}
