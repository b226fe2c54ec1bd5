//! Rules of CONTRIBUTING.md that a compiler does not check: sizes, imports, and forbidden constructs.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::fs;
use std::path::{Path, PathBuf};

/// Lines of a file, tests and comments included.
const FILE: usize = 500;
/// Lines of a function, from its signature to its closing brace.
const FUNCTION: usize = 60;

/// The modules in the order of the flow: each may import from those before it alone.
const ORDER: [&str; 20] = [
    "sys",
    "config",
    "log",
    "request",
    "rules",
    "docroot",
    "auth",
    "representation",
    "cache",
    "resource",
    "response",
    "throttle",
    "cgi",
    "site",
    "conn",
    "net",
    "boot",
    "control",
    "command",
    "companion",
];

/// One source file.
pub struct Source {
    path: PathBuf,
    text: String,
}

impl Source {
    /// Path from the top of the project.
    pub fn name(&self) -> String {
        self.path.strip_prefix(env!("CARGO_MANIFEST_DIR")).unwrap().display().to_string()
    }

    /// Numbered lines without comments, and without the tests at its end.
    pub fn code(&self) -> impl Iterator<Item = (usize, &str)> {
        let tests = self.text.find("#[cfg(test)]\nmod tests {").unwrap_or(self.text.len());
        let lines = self.text[..tests].lines().enumerate().map(|(at, line)| (at + 1, line));
        lines.filter(|(_, line)| !line.trim_start().starts_with("//"))
    }

    fn is_test(&self) -> bool {
        let name = self.name();
        name.ends_with("tests.rs")
            || name.contains("/tests/")
            || ["testing.rs", "fixture.rs"].iter().any(|end| name.ends_with(end))
    }
}

/// All Rust sources below `dirs`, build results aside.
fn sources(dirs: &[&str]) -> Vec<Source> {
    let top = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut found = Vec::new();
    let mut dirs: Vec<PathBuf> = dirs.iter().map(|dir| top.join(dir)).filter(|dir| dir.exists()).collect();
    while let Some(dir) = dirs.pop() {
        for entry in fs::read_dir(&dir).unwrap().map(Result::unwrap) {
            let path = entry.path();
            if path.is_dir() && path.file_name() != Some("target".as_ref()) {
                dirs.push(path);
            } else if path.extension() == Some("rs".as_ref()) {
                found.push(Source { text: fs::read_to_string(&path).unwrap(), path });
            }
        }
    }
    assert!(!found.is_empty());
    found
}

/// Sources of the server, without those of the companions, which write to users.
pub fn of_the_server() -> Vec<Source> {
    let is_of_it = |source: &Source| !source.is_test() && !source.name().starts_with("src/bin/");
    sources(&["src"]).into_iter().filter(is_of_it).collect()
}

pub fn assert_none(faults: Vec<String>) {
    assert!(faults.is_empty(), "\n{}", faults.join("\n"));
}

#[test]
fn no_file_is_longer_than_five_hundred_lines() {
    let long = sources(&["src", "tests", "benches", "fuzz"]).into_iter().filter_map(|source| {
        let lines = source.text.lines().count();
        (lines > FILE).then(|| format!("{}: {lines} lines", source.name()))
    });
    assert_none(long.collect());
}

#[test]
fn no_function_is_longer_than_sixty_lines() {
    let all = sources(&["src", "tests", "benches", "fuzz"]);
    assert_none(all.iter().flat_map(long_functions).collect());
}

/// rustfmt closes a function with a brace in the column of its first line.
fn long_functions(source: &Source) -> Vec<String> {
    let lines: Vec<&str> = source.text.lines().collect();
    let starts = lines.iter().enumerate().filter(|(_, line)| is_function(line));
    let long = starts.filter_map(|(start, line)| {
        let end = format!("{}}}", &line[..line.len() - line.trim_start().len()]);
        let length = lines[start..].iter().position(|line| *line == end)? + 1;
        (length > FUNCTION).then(|| format!("{}:{}: {length} lines", source.name(), start + 1))
    });
    long.collect()
}

fn is_function(line: &str) -> bool {
    let mut words = line.split_whitespace().skip_while(|word| {
        word.starts_with("pub") || matches!(*word, "in" | "super)" | "const" | "unsafe" | "extern" | "\"C\"")
    });
    words.next() == Some("fn") && line.trim_end().ends_with(['{', '('])
}

#[test]
fn imports_point_from_later_stages_to_earlier_ones() {
    let place = |module: &str| ORDER.iter().position(|known| *known == module);
    let mut faults = Vec::new();
    for source in of_the_server() {
        let name = source.name();
        let module = name.trim_start_matches("src/").split(['/', '.']).next().unwrap().to_owned();
        if matches!(module.as_str(), "main" | "lib") {
            continue;
        }
        let Some(own) = place(&module) else {
            faults.push(format!("{name}: a module that the order does not know"));
            continue;
        };
        for (number, line) in source.code() {
            for import in line.split("crate::").skip(1) {
                let other = import.split(|c: char| !c.is_alphanumeric() && c != '_').next().unwrap();
                if place(other).is_none_or(|other| other > own) {
                    faults.push(format!("{name}:{number}: {module} imports {other}"));
                }
            }
        }
    }
    assert_none(faults);
}

/// Lines of the server's own code with one of `words`, except in files with `except` in their name.
fn lines_with(words: &[&str], except: &str) -> Vec<String> {
    let mut found = Vec::new();
    for source in of_the_server().iter().filter(|source| except.is_empty() || !source.name().contains(except))
    {
        for (number, line) in source.code() {
            if words.iter().any(|word| line.contains(word)) {
                found.push(format!("{}:{number}: {}", source.name(), line.trim()));
            }
        }
    }
    found
}

#[test]
fn unsafe_stands_in_sys_alone_and_with_a_reason() {
    let words =
        ["unsafe {", "unsafe fn", "unsafe impl", "unsafe trait", "unsafe extern", "#[unsafe", "static mut"];
    assert_none(lines_with(&words, "src/sys/"));
    let mut unreasoned = Vec::new();
    for source in sources(&["src/sys"]) {
        let lines: Vec<&str> = source.text.lines().collect();
        for (at, line) in lines.iter().enumerate().filter(|(_, line)| line.contains("unsafe {")) {
            let reasoned = lines[at.saturating_sub(8)..at].iter().any(|line| line.contains("// SAFETY: "));
            if !reasoned {
                unreasoned.push(format!("{}:{}: {}", source.name(), at + 1, line.trim()));
            }
        }
    }
    assert_none(unreasoned);
}

#[test]
fn nothing_in_the_server_panics_on_purpose() {
    let words = [".unwrap()", ".expect(\"", "panic!(", "todo!(", "unimplemented!(", "unreachable!("];
    assert_none(lines_with(&words, ""));
}

/// Tells whether a line uses `{:?}`, `{value:#?}` and the like.
fn uses_debug(line: &str) -> bool {
    let braces = line.split('{').skip(1).filter_map(|rest| rest.split('}').next());
    let mut formats = braces.filter_map(|inside| inside.split_once(':'));
    formats.any(|(_, format)| format.ends_with('?'))
}

/// The smallest build is compiled with `-Zfmt-debug=none`, which makes all such text empty.
#[test]
fn no_text_goes_through_debug() {
    assert!(uses_debug("write!(f, \"{text} {self:#?}\")") && !uses_debug("let a = B { c: d?, e: \"{f}\" };"));
    let mut found = Vec::new();
    for source in sources(&["src"]).iter().filter(|source| !source.is_test()) {
        let lines = source.code().filter(|(_, line)| uses_debug(line));
        found.extend(lines.map(|(number, line)| format!("{}:{number}: {}", source.name(), line.trim())));
    }
    assert_none(found);
}

#[test]
fn nothing_speaks_in_passing_or_ends_the_process() {
    let words = ["println!", "print!(", "dbg!(", "process::exit"];
    assert_none(lines_with(&words, "src/main.rs"));
}

#[test]
fn every_source_file_says_what_it_is_for() {
    let silent = sources(&["src", "tests", "benches", "fuzz"]).into_iter().filter_map(|source| {
        let spoken = source.text.starts_with("//!") || source.text.starts_with("#![");
        (!spoken && !source.name().ends_with("/tests.rs"))
            .then(|| format!("{}: no module documentation", source.name()))
    });
    assert_none(silent.collect());
}

#[test]
fn no_lint_is_silenced() {
    assert_none(lines_with(&["allow(clippy", "expect(clippy", "allow(dead_code", "allow(missing_docs"], ""));
}

#[test]
fn no_test_is_switched_off() {
    // Written so that this file does not hold the words themselves.
    let words = [["#[", "ignore"].concat(), ["#[should_", "panic]"].concat()];
    let mut off = Vec::new();
    for source in sources(&["src", "tests", "benches"]) {
        for (at, line) in source.text.lines().enumerate() {
            if words.iter().any(|word| line.contains(word.as_str())) {
                off.push(format!("{}:{}: {}", source.name(), at + 1, line.trim()));
            }
        }
    }
    assert_none(off);
}
