//! The rule of CONTRIBUTING.md for names and comments, as far as a program can check it.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::fs;
use std::path::{Path, PathBuf};

/// Words with a private meaning in old code, for which the field has better ones.
const WORDS: [&str; 9] =
    ["breath", "desk", "door", "errand", "lot", "mishap", "somebody", "vigil", "whoever"];

/// Beginnings of a doc comment that do not name the item's job.
const BEGINNINGS: [&str; 7] = ["It", "Nobody", "Somebody", "The same", "What", "Who", "Whoever"];

#[test]
fn no_source_has_a_word_of_private_meaning() {
    assert_eq!(faults(|_, line| has_private_word(line)), [""; 0]);
}

#[test]
fn every_doc_comment_begins_with_the_job_of_its_item() {
    assert_eq!(faults(begins_vaguely), [""; 0]);
}

#[test]
fn no_doc_comment_begins_with_a_question() {
    assert_eq!(faults(begins_with_question), [""; 0]);
}

#[test]
fn the_checks_find_what_they_look_for() {
    for line in ["/// Whoever waits.", "let door = 1;", "a (lot) of"] {
        assert!(has_private_word(line), "{line}");
    }
    for line in ["/// Slots of the lottery, indoors.", "let the_lot = 1;"] {
        assert!(!has_private_word(line), "{line}");
    }
    for line in ["    /// What a line does.", "//! The same, faster.", "/// Who may.", "/// It is sent."] {
        assert!(begins_vaguely("}", line), "{line}");
        assert!(!begins_vaguely("    /// Sends", line), "a line within a comment: {line}");
    }
    for line in ["/// Is it so?", "    /// Has it come? Then the rest.", "//! Whole `a` or not?"] {
        assert!(begins_with_question("}", line), "{line}");
        assert!(!begins_with_question("    /// Sends", line), "a line within a comment: {line}");
    }
    for line in ["/// A query `?a` in `b?c`.", "/// One byte: `?`, in a pattern.", "// Is it so?"] {
        assert!(!begins_with_question("}", line), "{line}");
    }
    for line in ["/// Items of a list.", "// It is sent.", "/// Whole numbers."] {
        assert!(!begins_vaguely("}", line), "{line}");
    }
}

/// Tells whether `line` has one of [`WORDS`]; an underscore is part of a word.
fn has_private_word(line: &str) -> bool {
    let mut words = line.split(|c: char| !c.is_alphanumeric() && c != '_');
    words.any(|word| WORDS.contains(&word.to_lowercase().as_str()))
}

/// Text of a line of a doc comment.
fn doc_text(line: &str) -> Option<&str> {
    let line = line.trim_start();
    line.strip_prefix("///").or_else(|| line.strip_prefix("//!"))
}

/// Tells whether `line`, which follows `previous`, is the first of a doc comment that begins with one of
/// [`BEGINNINGS`].
fn begins_vaguely(previous: &str, line: &str) -> bool {
    let Some(text) = doc_text(line).filter(|_| doc_text(previous).is_none()) else { return false };
    let text = text.trim_start();
    BEGINNINGS.iter().any(|beginning| {
        text.strip_prefix(beginning).is_some_and(|rest| !rest.starts_with(char::is_alphanumeric))
    })
}

/// Tells whether `line`, which follows `previous`, is the first of a doc comment and asks a question.
fn begins_with_question(previous: &str, line: &str) -> bool {
    let text = doc_text(line).filter(|_| doc_text(previous).is_none()).unwrap_or_default();
    text.split_inclusive(char::is_whitespace).any(|word| {
        let word = word.trim_end();
        word.strip_suffix('?').is_some_and(|word| word.ends_with(char::is_alphanumeric))
    })
}

/// Folders of our own code.
const FOLDERS: [&str; 5] = ["benches/src", "fuzz/fuzz_targets", "fuzz/src", "src", "tests"];

/// Lines of our code that `is_faulty` finds, given the line before and the line, with file and number.
fn faults(is_faulty: impl Fn(&str, &str) -> bool) -> Vec<String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files = Vec::new();
    FOLDERS.iter().for_each(|folder| collect(&root.join(folder), &mut files));
    // This file names the words.
    files.retain(|path| !path.ends_with(file!()));
    assert!(files.len() > 300, "{files:?}");
    let mut faults = Vec::new();
    for path in files {
        let name = path.strip_prefix(root).unwrap_or(&path);
        let text = fs::read_to_string(&path).expect("a source file is text");
        let lines: Vec<&str> = text.lines().collect();
        for (at, line) in lines.iter().enumerate() {
            let previous = at.checked_sub(1).map_or("", |before| lines[before]);
            if is_faulty(previous, line) {
                faults.push(format!("{}:{}: {}", name.display(), at + 1, line.trim()));
            }
        }
    }
    faults
}

/// Adds the Rust files below `dir` to `files`.
fn collect(dir: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(dir).expect("a directory of sources") {
        let path = entry.expect("a directory of sources").path();
        if path.is_dir() {
            collect(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
}
