//! Replay of the fuzzer's corpus, with small random changes. `fuzz/run` searches further.

use std::fs;
use std::panic::catch_unwind;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

#[path = "../fuzz/src/lib.rs"]
mod targets;

fn corpus(target: &str) -> Vec<(PathBuf, Vec<u8>)> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(target);
    let entries = fs::read_dir(&dir).unwrap_or_else(|error| panic!("{}: {error}", dir.display()));
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    // The order of directory entries varies; sorting makes it equal everywhere.
    paths.sort();
    paths.into_iter().map(|path| (path.clone(), fs::read(path).unwrap())).collect()
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

/// Tries of each target in an ordinary run of the tests: a few seconds in all. A connection costs a
/// hundred times what a parser does, and so does finding the option that a wrong word could mean.
fn tries(target: &str) -> usize {
    if matches!(target, "connection" | "config_file" | "rules_file") { 4_000 } else { 50_000 }
}

/// Every run tries equal inputs, so that failures are reproducible.
///
/// With `THTTPD_FUZZ_SECONDS`, the number of tries depends on time, and inputs differ, for
/// `THTTPD_FUZZ_TARGET` or all.
#[test]
fn mutated_inputs_of_every_target_hold() {
    let seconds = std::env::var("THTTPD_FUZZ_SECONDS").ok().map(|text| text.parse().expect("seconds"));
    let only = std::env::var("THTTPD_FUZZ_TARGET").ok();
    for (name, _) in targets::TARGETS.iter().filter(|(name, _)| only.as_deref().is_none_or(|o| o == *name)) {
        match seconds {
            None => (0..tries(name)).fold(Mutator::new(name, 1), |mutator, _| mutator.attempt()),
            Some(seconds) => {
                let seed = std::process::id().into();
                let end = Instant::now() + Duration::from_secs(seconds);
                let tries = std::iter::from_fn(|| (Instant::now() < end).then_some(()));
                tries.fold(Mutator::new(name, seed), |mutator, ()| mutator.attempt())
            }
        };
    }
}

/// Makes inputs of kept ones: bytes changed, cut out, doubled, swapped for telling ones, or taken from
/// another input.
struct Mutator {
    target: &'static str,
    inputs: Vec<Vec<u8>>,
    state: u64,
}

/// Bytes at which parsers turn.
const TELLING: [&[u8]; 16] = [
    b"\r\n",
    b"\n",
    b"\0",
    b" ",
    b":",
    b"/",
    b"..",
    b"%2e",
    b",",
    b"-",
    b"=",
    b"*",
    b"\xff",
    b"9999999999",
    b"\"",
    b"\r\n\r\n",
];

impl Mutator {
    fn new(target: &'static str, seed: u64) -> Mutator {
        let inputs = corpus(target).into_iter().map(|(_, input)| input).collect();
        Mutator { target, inputs, state: seed | 1 }
    }

    /// Runs one more input; reports the bytes that broke the target.
    fn attempt(mut self) -> Mutator {
        let mut input = self.input().to_vec();
        for _ in 0..=self.below(4) {
            self.change(&mut input);
        }
        let held = catch_unwind(|| targets::run(self.target, &input)).is_ok();
        assert!(held, "{} breaks with b\"{}\"", self.target, input.escape_ascii());
        self
    }

    fn change(&mut self, input: &mut Vec<u8>) {
        let (at, end) = (self.below(input.len() + 1), self.below(input.len() + 1));
        let (at, end) = (at.min(end), at.max(end));
        match self.below(6) {
            0 => drop(input.drain(at..end)),
            1 if at < input.len() => input[at] ^= 1 << self.below(8),
            2 if at < input.len() => input[at] = self.below(256) as u8,
            3 => drop(input.splice(at..at, input[at..end].to_vec())),
            4 => {
                let other = self.input();
                let from = other[..other.len().min(200)].to_vec();
                input.truncate(at);
                input.extend_from_slice(&from[self.below(from.len() + 1)..]);
            }
            _ => {
                let telling = TELLING[self.below(TELLING.len())];
                input.splice(at..at, telling.iter().copied());
            }
        }
        input.truncate(8192);
    }

    fn input(&mut self) -> &[u8] {
        let at = self.below(self.inputs.len());
        &self.inputs[at]
    }

    /// A number below `bound` (xorshift64*).
    fn below(&mut self, bound: usize) -> usize {
        self.state ^= self.state >> 12;
        self.state ^= self.state << 25;
        self.state ^= self.state >> 27;
        (self.state.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) as usize % bound
    }
}
