//! Companion programs: password files, logs and includes.

use std::fs;
use std::io::Write;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use super::{SECRET, Tree, edges};

/// Runs a program in `dir`, gives it `input`, and lets no directory for temporary files be used.
fn run(program: &str, dir: &Path, arguments: &[&str], input: &str) -> Output {
    let mut command = Command::new(program);
    command.args(arguments).current_dir(dir).env("TMPDIR", "/nonexistent");
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
    child.wait_with_output().unwrap()
}

fn thtpasswd(dir: &Path, arguments: &[&str], password: &str) -> Output {
    run(env!("CARGO_BIN_EXE_thtpasswd"), dir, arguments, password)
}

#[test]
fn cve_2006_1078_and_cve_2017_17663_users_passwords_and_lines_of_any_length_fit_or_are_refused() {
    let tree = Tree::new();
    let dir = tree.dir();
    for n in edges() {
        let long = "u".repeat(n);
        let others = format!("{long}\n{long}:{long}\nother:x\n:{long}\n");
        fs::write(dir.join("file"), &others).unwrap();
        // The program ends by itself in each case, and the other lines are as they were.
        for (user, password) in [("user", "password"), (long.as_str(), "password"), ("user", long.as_str())] {
            let output = thtpasswd(dir, &["-i", "-1", "file", user], password);
            assert!(output.status.code().is_some_and(|code| code <= 3), "{n}: {output:?}");
            let text = fs::read_to_string(dir.join("file")).unwrap();
            assert!(text.contains("\nother:x\n") && text.starts_with(&long), "{n}: {text}");
        }
        let verified = thtpasswd(dir, &["-i", "-v", "file", "user"], "password");
        let code = verified.status.code();
        assert!(code == Some(0) || code == Some(3), "{n}: {verified:?}");
    }
}

#[test]
fn cve_2006_1079_the_name_of_a_password_file_passes_through_no_shell_and_no_shared_directory() {
    let tree = Tree::new();
    let dir = tree.dir();
    for name in ["$(touch evil)", "`touch evil`", "x; touch evil", "x\ntouch evil\n", "a b'\"\\", "-evil"] {
        let path = format!("./{name}");
        fs::write(dir.join(name), "other:x\n").unwrap();
        let output = thtpasswd(dir, &["-i", "-1", &path, "user"], "password");
        assert!(output.status.success(), "{name}: {output:?}");
        let text = fs::read_to_string(dir.join(name)).unwrap();
        assert!(text.starts_with("other:x\nuser:$1$"), "{name}: {text}");
        assert!(!dir.join("evil").exists(), "{name} was obeyed");
    }
}

#[test]
fn cve_2005_3124_links_laid_in_the_way_of_converted_logs_are_not_followed() {
    let tree = Tree::new();
    let precious = tree.beside("precious", "precious");
    tree.beside("log", "Nov 24 10:00:00 host thttpd[1]: 10.0.0.1 - - \"GET / HTTP/1.1\" 200 5 \"\" \"\"\n");
    for name in ["access_log", "error_log"] {
        symlink(&precious, tree.dir().join(name)).unwrap();
    }
    let output = run(env!("CARGO_BIN_EXE_syslogtocern"), tree.dir(), &["log"], "");
    assert!(output.status.success(), "{output:?}");
    assert_eq!(fs::read_to_string(&precious).unwrap(), "precious");
    let log = tree.dir().join("access_log");
    assert!(fs::symlink_metadata(&log).unwrap().is_file(), "a file takes the link's place");
    assert!(fs::read_to_string(&log).unwrap().starts_with("10.0.0.1 - - ["));
    // And no half-written file is left for anyone.
    assert_eq!(fs::read_dir(tree.dir()).unwrap().count(), 5);
}

#[test]
fn cve_2000_0900_a_page_with_includes_leads_no_higher_than_the_site() {
    let tree = Tree::new();
    tree.beside("secret", SECRET);
    tree.file("page.shtml", "the page");
    // Content behind a password is not included, since this request was not asked for that password.
    tree.file("private/.htpasswd", SECRET);
    tree.file("private/page.shtml", SECRET);
    tree.link("../secret", "link");
    let shown = |info: &str| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_ssi"));
        let translated = format!("{}{info}", tree.www().display());
        command.env_clear().env("PATH_INFO", info).env("PATH_TRANSLATED", translated);
        String::from_utf8_lossy(&command.output().unwrap().stdout).into_owned()
    };
    assert_eq!(shown("/page.shtml"), "Content-Type: text/html\r\n\r\nthe page");
    for climb in [
        "/../secret",
        "/./../secret",
        "/x/../../secret",
        "/..//secret",
        "/%2e%2e/secret",
        "//../secret",
        "/link",
        "/private/.htpasswd",
        "/private/page.shtml",
        "/../www/../secret",
    ] {
        let page = shown(climb);
        assert!(page.starts_with("Status: 40") && !page.contains(SECRET), "{climb}: {page}");
    }
}
