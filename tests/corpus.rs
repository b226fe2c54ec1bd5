//! The fuzzer's corpus, replayed: what it found interesting once holds for good. `fuzz/run` looks for more.

use std::fs;
use std::panic::catch_unwind;
use std::path::{Path, PathBuf};

#[path = "../fuzz/src/lib.rs"]
mod targets;

fn corpus(target: &str) -> Vec<(PathBuf, Vec<u8>)> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(target);
    let entries = fs::read_dir(&dir).unwrap_or_else(|error| panic!("{}: {error}", dir.display()));
    let inputs =
        entries.map(|entry| entry.unwrap().path()).map(|path| (path.clone(), fs::read(path).unwrap()));
    inputs.collect()
}

#[test]
fn every_kept_input_of_every_target_still_holds() {
    for (name, _) in targets::TARGETS {
        let inputs = corpus(name);
        assert!(inputs.len() >= 3, "{name} has no corpus to speak of");
        for (path, input) in inputs {
            // Cut anywhere, it must hold as well.
            for end in [input.len(), input.len() / 2, input.len() / 3] {
                let held = catch_unwind(|| targets::run(name, &input[..end])).is_ok();
                assert!(held, "the first {end} bytes of {}", path.display());
            }
        }
    }
}

#[test]
fn every_target_has_its_program_for_the_fuzzer() {
    for (name, _) in targets::TARGETS {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("fuzz/fuzz_targets/{name}.rs"));
        assert!(fs::read_to_string(&path).unwrap().contains(&format!("\"{name}\"")), "{}", path.display());
    }
    let programs = fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/fuzz_targets")).unwrap();
    assert_eq!(programs.count(), targets::TARGETS.len());
}
