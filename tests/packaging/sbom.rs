//! Software bill of materials.

use std::collections::BTreeSet;
use std::process::Command;

use serde_json::Value;

use super::{source, text};
use crate::support::run;

fn sbom() -> Option<Value> {
    run("jq", &["--version"])?;
    let output = Command::new(source("packaging/sbom")).env("SOURCE_DATE_EPOCH", "1").output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Some(serde_json::from_slice(&output.stdout).unwrap())
}

fn word<'a>(value: &'a Value, name: &str) -> &'a str {
    value[name].as_str().unwrap_or_else(|| panic!("no {name} in {value}"))
}

/// Names of the crates in a table of Cargo.toml.
fn listed(table: &str) -> Vec<String> {
    let manifest = text("Cargo.toml");
    let lines = manifest.split(&format!("\n[{table}]\n")).nth(1).unwrap().split("\n[").next().unwrap();
    let names = lines.lines().filter(|line| !line.starts_with([' ', ']', '#']));
    names.filter_map(|line| Some(line.split_once(" = ")?.0.to_owned())).collect()
}

#[test]
fn the_list_of_components_names_each_that_is_linked_in_by_its_locked_hash() {
    let Some(sbom) = sbom() else { return };
    let lock = text("Cargo.lock");
    let components = sbom["components"].as_array().unwrap();
    for component in components {
        let (name, version) = (word(component, "name"), word(component, "version"));
        let locked = format!("name = \"{name}\"\nversion = \"{version}\"\n");
        let hash = lock.split(&locked).nth(1).unwrap_or_else(|| panic!("{locked} is not locked"));
        let hash = hash.split("checksum = \"").nth(1).unwrap().split('"').next().unwrap();
        assert_eq!(word(&component["hashes"][0], "content"), hash, "{name}");
        assert!(!word(&component["licenses"][0], "expression").is_empty());
    }
    let names: BTreeSet<&str> = components.iter().map(|component| word(component, "name")).collect();
    for name in ["dependencies", "build-dependencies"].into_iter().flat_map(listed) {
        assert!(names.contains(name.as_str()), "{name} is in the programs and not listed");
    }
    for name in ["proptest", "serde_json", "thttpd", "unicase"] {
        assert!(!names.contains(name), "{name} is listed and no part of the server");
    }
}

#[test]
fn the_list_of_components_is_closed_and_the_same_each_time() {
    let Some(sbom) = sbom() else { return };
    assert_eq!(word(&sbom["metadata"], "timestamp"), "1970-01-01T00:00:01Z");
    assert_eq!(word(&sbom["metadata"]["component"], "version"), env!("CARGO_PKG_VERSION"));
    let references = |list: &str, name: &str| -> BTreeSet<String> {
        sbom[list].as_array().unwrap().iter().map(|entry| word(entry, name).to_owned()).collect()
    };
    let mut known = references("components", "bom-ref");
    known.insert(word(&sbom["metadata"]["component"], "bom-ref").to_owned());
    assert_eq!(references("dependencies", "ref"), known);
    for entry in sbom["dependencies"].as_array().unwrap() {
        for on in entry["dependsOn"].as_array().unwrap() {
            assert!(known.contains(on.as_str().unwrap()), "{on}");
        }
    }
    assert_eq!(self::sbom(), Some(sbom));
}
