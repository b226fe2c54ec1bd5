//! Shell completions: they have all options of the program, and no others.

use std::collections::BTreeSet;
use std::process::Command;

use thttpd::config::options::OPTIONS;

use super::{source, text};

const FILES: [&str; 3] = [
    "packaging/completions/thttpd.bash",
    "packaging/completions/_thttpd",
    "packaging/completions/thttpd.fish",
];

/// Words of letters, digits, `_` and `-`, comments left out.
fn words(path: &str) -> BTreeSet<String> {
    let text = text(path);
    let lines = text.lines().filter(|line| !line.trim_start().starts_with("# "));
    let word = |c: char| !(c.is_ascii_alphanumeric() || c == '_' || c == '-');
    lines.flat_map(|line| line.split(word)).filter(|w| !w.is_empty()).map(str::to_owned).collect()
}

/// Flag in fish's notation: `-o p`, `-l help`.
fn in_fish(flag: &str) -> String {
    match flag.strip_prefix("--") {
        Some(long) => format!("-c thttpd -l {long} "),
        None => format!("-c thttpd -o {} ", &flag[1..]),
    }
}

#[test]
fn every_flag_is_completed_in_every_shell() {
    let fish = text(FILES[2]);
    for flag in OPTIONS.iter().flat_map(|row| [row.flag, row.off_flag]).filter(|flag| !flag.is_empty()) {
        assert!(words(FILES[0]).contains(flag), "bash lacks {flag}");
        assert!(words(FILES[1]).contains(flag), "zsh lacks {flag}");
        assert!(fish.contains(&in_fish(flag)), "fish lacks {flag}");
    }
}

#[test]
fn every_option_of_the_configuration_file_is_completed_after_o() {
    for path in FILES {
        let words = words(path);
        for row in OPTIONS {
            for (name, _) in row.names() {
                assert!(words.contains(name), "{path} lacks {name}");
            }
        }
    }
}

#[test]
fn bash_completes_no_option_that_the_program_lacks() {
    let script = text(FILES[0]);
    let names = script.split("names=\"").nth(1).unwrap().split('"').next().unwrap();
    for name in names.split_whitespace().map(|word| word.trim_end_matches('=')) {
        assert!(OPTIONS.iter().any(|row| row.turned_by(name).is_some()), "{name}");
    }
}

#[test]
fn bash_completes_flags_names_and_nothing_for_free_text() {
    let ask = |line: &str| {
        let script = source(FILES[0]);
        let run = format!(
            ". {}; compopt() {{ :; }}; COMP_WORDS=({line}); COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1)); \
             _thttpd; echo \"${{COMPREPLY[*]}}\"",
            script.display()
        );
        let output = Command::new("bash").args(["-c", &run]).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    };
    assert_eq!(ask("thttpd -no"), "-nor -nos -nov -nog");
    assert_eq!(ask("thttpd -o cgi_t"), "cgi_timeout=");
    assert_eq!(ask("thttpd --ch"), "--check");
    assert_eq!(ask("thttpd -p 8"), "");
}
