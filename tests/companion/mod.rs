//! Companion programs for the shell, as in their manual pages. `scripts` tests the CGI programs.

use std::ffi::OsStr;
use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Output, Stdio};

mod makeweb;
mod syslogtocern;
mod terminal;
mod thtpasswd;

#[test]
fn every_program_says_what_it_is_for() {
    let programs = [
        ("makeweb", env!("CARGO_BIN_EXE_makeweb"), "public_html"),
        ("redirect", env!("CARGO_BIN_EXE_redirect"), ".redirects"),
        ("ssi", env!("CARGO_BIN_EXE_ssi"), "includes"),
        ("syslogtocern", env!("CARGO_BIN_EXE_syslogtocern"), "access_log"),
        ("thtpasswd", env!("CARGO_BIN_EXE_thtpasswd"), "passwordfile username"),
    ];
    for (name, program, part) in programs {
        let output = Command::new(program).arg("--help").env_remove("GATEWAY_INTERFACE").output().unwrap();
        assert_eq!((code(&output), stderr(&output)), (Some(0), String::new()), "{name}");
        let text = stdout(&output);
        assert!(text.to_lowercase().starts_with("usage: ") && text.contains(part), "{text}");
    }
}

/// A client writes a CGI program's arguments: `/cgi-bin/ssi?--help`.
#[test]
fn a_server_is_not_told_how_to_use_its_programs() {
    for program in [env!("CARGO_BIN_EXE_redirect"), env!("CARGO_BIN_EXE_ssi")] {
        let output =
            Command::new(program).arg("--help").env("GATEWAY_INTERFACE", "CGI/1.1").output().unwrap();
        assert!(stdout(&output).starts_with("Status: 500 "), "{}", stdout(&output));
    }
}

/// Runs `command` to its end with `input` on standard input. A program that ends without reading it is
/// no failure here.
fn fed(command: &mut Command, input: &str) -> Output {
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
    child.wait_with_output().unwrap()
}

fn code(output: &Output) -> Option<i32> {
    output.status.code()
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

/// Names in a directory, sorted: what a program has left behind.
fn names_in(dir: &Path) -> Vec<String> {
    let entries = fs::read_dir(dir).unwrap();
    let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// Copies a program with `mode`, `user` and `group`.
///
/// `install` writes the file: if a thread of the test forked while the test had it open for writing, exec
/// would fail.
fn install(program: &str, mode: &str, (user, group): (u32, u32), at: impl AsRef<OsStr>) {
    let (user, group) = (user.to_string(), group.to_string());
    let arguments = ["-m", mode, "-o", &user, "-g", &group, program];
    assert!(Command::new("install").args(arguments).arg(at.as_ref()).status().unwrap().success());
}
