//! `thtpasswd`, and the server that reads its files.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use super::{code, fed, names_in, stderr, stdout};
use crate::support::{Server, Tree, is_root};

/// `user:password` and `user:changed` as a client sends them.
const PASSWORD: &str = "dXNlcjpwYXNzd29yZA==";
const CHANGED: &str = "dXNlcjpjaGFuZ2Vk";

fn thtpasswd() -> Command {
    Command::new(env!("CARGO_BIN_EXE_thtpasswd"))
}

/// `thtpasswd FLAGS FILE USER`, with `password` as the first line of standard input.
fn run(flags: &[&str], file: &Path, user: &str, password: &str) -> Output {
    fed(thtpasswd().args(flags).arg(file).arg(user), &format!("{password}\n"))
}

/// Password file beside the document root, with a user whose hash matches no password.
fn with_file() -> (Tree, PathBuf) {
    let tree = Tree::new();
    let file = tree.beside("passwords", "# staff\nother:*:Other, of course\n");
    (tree, file)
}

fn text(file: &Path) -> String {
    fs::read_to_string(file).unwrap()
}

fn answers(server: &Server, credentials: &str) -> u16 {
    let mut client = server.connect();
    client.send(format!("GET /file HTTP/1.1\r\nHost: x\r\nAuthorization: Basic {credentials}\r\n\r\n"));
    client.answer("GET").status
}

#[test]
fn the_server_takes_a_password_by_every_hash_and_no_other_password() {
    for (flags, begins) in [
        (&[][..], "user:$6$rounds=50000$"),
        (&["-s"], "user:$6$rounds=50000$"),
        (&["-6", "-r", "1000"], "user:$6$rounds=1000$"),
        (&["-5", "-r", "1000"], "user:$5$rounds=1000$"),
        (&["-B"], "user:$2y$10$"),
        (&["-B", "-C", "4"], "user:$2y$04$"),
        (&["-m"], "user:$apr1$"),
        (&["-1"], "user:$1$"),
        (&["-d"], "user:"),
    ] {
        let tree = Tree::new();
        tree.file("file", "content");
        let file = tree.www().join(".htpasswd");
        let output = run(&[&["-c", "-i"], flags].concat(), &file, "user", "password");
        assert_eq!((code(&output), stderr(&output).as_str()), (Some(0), ""), "{flags:?}");
        assert!(text(&file).starts_with(begins), "{flags:?}: {}", text(&file));
        let server = Server::start(&tree, &[]);
        assert_eq!(answers(&server, PASSWORD), 200, "{flags:?}");
        assert_eq!(answers(&server, CHANGED), 401, "{flags:?}");
    }
}

#[test]
fn a_running_server_takes_the_new_password_and_no_longer_the_old_one() {
    let tree = Tree::new();
    tree.file("file", "content");
    let file = tree.www().join(".htpasswd");
    run(&["-c"], &file, "user", "password");
    let server = Server::start(&tree, &[]);
    assert_eq!((answers(&server, PASSWORD), answers(&server, CHANGED)), (200, 401));
    let output = run(&[], &file, "user", "changed");
    assert_eq!((code(&output), stdout(&output).as_str()), (Some(0), "Changing password for user user\n"));
    assert_eq!((answers(&server, PASSWORD), answers(&server, CHANGED)), (401, 200));
    assert_eq!(code(&run(&["-D"], &file, "user", "")), Some(0));
    assert_eq!((answers(&server, PASSWORD), answers(&server, CHANGED)), (401, 401));
}

#[test]
fn two_hashes_of_one_password_differ() {
    let print = || stdout(&fed(thtpasswd().args(["-n", "-m", "user"]), "password\n"));
    let (one, two) = (print(), print());
    assert!(one.starts_with("user:$apr1$") && one.ends_with('\n') && one.lines().count() == 1, "{one}");
    assert_ne!(one, two);
}

#[test]
fn a_user_is_added_changed_verified_and_deleted_and_the_other_lines_stay() {
    let (_tree, file) = with_file();
    let before = text(&file);
    let added = run(&["-d"], &file, "jef", "password");
    assert_eq!((code(&added), stdout(&added).as_str()), (Some(0), "Adding user jef\n"));
    assert!(text(&file).starts_with(&format!("{before}jef:")), "{}", text(&file));
    let hash = text(&file);
    assert_eq!(code(&run(&["-d"], &file, "jef", "changed")), Some(0));
    assert!(text(&file).starts_with(&format!("{before}jef:")) && text(&file) != hash);
    assert_eq!(code(&run(&["-v"], &file, "jef", "changed")), Some(0));
    assert_eq!(code(&run(&["-v"], &file, "jef", "password")), Some(3));
    assert_eq!(code(&run(&["-v"], &file, "nobody", "password")), Some(3));
    assert_eq!(code(&run(&["-D"], &file, "jef", "")), Some(0));
    assert_eq!(text(&file), before);
    let gone = run(&["-D"], &file, "jef", "");
    assert_eq!((code(&gone), stderr(&gone).as_str()), (Some(1), "There is no user jef.\n"));
}

#[test]
fn a_file_that_is_not_there_is_made_on_request_only() {
    let tree = Tree::new();
    let file = tree.dir().join("passwords");
    for flags in [&[][..], &["-D"], &["-v"]] {
        let output = run(flags, &file, "jef", "password");
        assert_eq!(code(&output), Some(1), "{flags:?}");
        assert!(stderr(&output).contains("Use -c option to create new one."), "{flags:?}");
        assert!(!file.exists(), "{flags:?}");
    }
    assert_eq!(code(&run(&["-c"], &file, "jef", "password")), Some(0));
    assert_eq!(code(&run(&["-c"], &file, "ann", "password")), Some(0));
    assert!(text(&file).starts_with("ann:") && text(&file).lines().count() == 1);
}

#[test]
fn a_new_file_is_as_private_as_the_umask_wants_it() {
    let tree = Tree::new();
    let file = tree.dir().join("passwords");
    let script = "umask 027; exec \"$0\" -c -d \"$1\" jef";
    let mut shell = Command::new("sh");
    shell.args(["-c", script, env!("CARGO_BIN_EXE_thtpasswd")]).arg(&file);
    assert_eq!(code(&fed(&mut shell, "password\n")), Some(0));
    assert_eq!(fs::metadata(&file).unwrap().mode() & 0o7777, 0o640);
}

#[test]
fn the_new_file_takes_the_place_of_the_old_one_with_its_mode_and_leaves_nothing_else() {
    let (tree, file) = with_file();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o604)).unwrap();
    // A program that has the old file open can still read all of it.
    let old = tree.dir().join("old");
    fs::hard_link(&file, &old).unwrap();
    let before = text(&file);
    assert_eq!(code(&run(&["-d"], &file, "jef", "password")), Some(0));
    assert_eq!(text(&old), before);
    assert_eq!(fs::metadata(&file).unwrap().mode() & 0o7777, 0o604);
    assert_eq!(names_in(tree.dir()), ["old", "passwords", "www"]);
}

#[test]
fn the_new_file_belongs_to_whom_the_old_one_did() {
    if !is_root() {
        return;
    }
    let (_tree, file) = with_file();
    chown(&file, Some(65534), Some(65533)).unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o440)).unwrap();
    for flags in [&["-d"][..], &["-c", "-d"], &["-D"]] {
        assert_eq!(code(&run(flags, &file, "jef", "password")), Some(0), "{flags:?}");
        let meta = fs::metadata(&file).unwrap();
        assert_eq!((meta.uid(), meta.gid(), meta.mode() & 0o7777), (65534, 65533, 0o440), "{flags:?}");
    }
}

#[test]
fn a_change_that_cannot_be_written_changes_nothing_and_leaves_nothing() {
    let (tree, file) = with_file();
    let before = text(&file);
    // Files may have no byte, and SIGXFSZ is ignored: the effect is that of a full disk.
    let script = "trap '' XFSZ; ulimit -f 0; exec \"$0\" -d \"$1\" jef";
    let mut shell = Command::new("sh");
    shell.args(["-c", script, env!("CARGO_BIN_EXE_thtpasswd")]).arg(&file);
    let output = fed(&mut shell, "password\n");
    assert_eq!(code(&output), Some(1));
    assert!(stderr(&output).contains("for writing"), "{}", stderr(&output));
    assert_eq!(text(&file), before);
    assert_eq!(names_in(tree.dir()), ["passwords", "www"]);
}

#[test]
fn of_many_changes_at_once_none_is_lost() {
    let (tree, file) = with_file();
    let users: Vec<String> = (0..24).map(|n| format!("user{n}")).collect();
    let start = |user: &String| {
        let mut command = thtpasswd();
        command.arg("-d").arg(&file).arg(user).stdin(Stdio::piped()).stdout(Stdio::null());
        command.spawn().unwrap()
    };
    let mut children: Vec<_> = users.iter().map(start).collect();
    // All of them wait for the password, so all go on at the same time.
    for child in &mut children {
        child.stdin.take().unwrap().write_all(b"password\n").unwrap();
    }
    for child in &mut children {
        assert!(child.wait().unwrap().success());
    }
    let text = text(&file);
    let found: BTreeSet<&str> = text.lines().filter_map(|line| line.split(':').next()).collect();
    assert!(users.iter().all(|user| found.contains(user.as_str())), "{text}");
    assert_eq!(text.lines().count(), users.len() + 2, "{text}");
    assert_eq!(names_in(tree.dir()), ["passwords", "www"]);
}

#[test]
fn a_link_stays_and_what_it_leads_to_is_changed() {
    let (tree, file) = with_file();
    let link = tree.www().join(".htpasswd");
    symlink("../passwords", &link).unwrap();
    assert_eq!(code(&run(&["-d"], &link, "jef", "password")), Some(0));
    assert_eq!(fs::read_link(&link).unwrap(), Path::new("../passwords"));
    assert!(text(&file).contains("\njef:"));
    assert_eq!(names_in(&tree.www()), [".htpasswd"]);
}

#[test]
fn a_link_to_nothing_makes_no_file_where_it_leads() {
    let tree = Tree::new();
    let (link, target) = (tree.www().join(".htpasswd"), tree.dir().join("target"));
    symlink(&target, &link).unwrap();
    assert_eq!(code(&run(&["-c", "-d"], &link, "jef", "password")), Some(1));
    assert!(!target.exists());
}

#[test]
fn irregular_files_are_refused_without_waiting() {
    let tree = Tree::new();
    let fifo = tree.dir().join("fifo");
    nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRUSR).unwrap();
    for path in [fifo, tree.www()] {
        for flags in [&["-c"][..], &[], &["-v"], &["-D"]] {
            let output = run(flags, &path, "jef", "password");
            assert_eq!(code(&output), Some(1), "{flags:?} {}", path.display());
        }
    }
    assert_eq!(names_in(tree.dir()), ["fifo", "www"]);
}

#[test]
fn a_name_or_password_that_would_break_its_line_changes_nothing() {
    let (_tree, file) = with_file();
    let before = text(&file);
    for user in ["", "a:b", "a b", "a\nroot", "a\tb", "#jef", &"x".repeat(256)] {
        assert_eq!(code(&run(&[], &file, user, "password")), Some(1), "{user:?}");
    }
    for password in ["", "a\tb", "\x1b[2J", &"x".repeat(257)] {
        assert_eq!(code(&run(&["-d"], &file, "jef", password)), Some(1), "{password:?}");
    }
    assert_eq!(code(&run(&["-B"], &file, "jef", &"x".repeat(73))), Some(1));
    assert_eq!(text(&file), before);
}

#[test]
fn only_the_first_line_of_standard_input_is_the_password() {
    let (_tree, file) = with_file();
    fed(thtpasswd().args(["-i", "-m"]).arg(&file).arg("jef"), "pass word\r\nsecond line\n");
    assert_eq!(code(&run(&["-v"], &file, "jef", "pass word")), Some(0));
}

/// The flags of the manual's list are the ones the program knows: those that some use of is not answered
/// with the usage.
#[test]
fn the_flags_in_the_manual_are_the_programs() {
    let page = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/man/thtpasswd.1")).unwrap();
    let listed: BTreeSet<char> = page
        .lines()
        .filter_map(|line| line.strip_prefix(".It Fl "))
        .flat_map(|line| line.split(" , ").map(|flag| flag.trim_start_matches("Fl ").chars().next().unwrap()))
        .collect();
    let tree = Tree::new();
    let file = tree.dir().join("passwords").display().to_string();
    let knows = |letter: &char| {
        let flag = format!("-{letter}");
        [
            &[&flag, &file, "jef"][..],
            &[&flag, "jef"],
            &[&flag, "5000", &file, "jef"],
            &[&flag, "9", &file, "jef"],
        ]
        .iter()
        .any(|arguments| !stderr(&fed(thtpasswd().args(*arguments), "")).starts_with("Usage"))
    };
    let known: BTreeSet<char> = ('0'..='9').chain('A'..='Z').chain('a'..='z').filter(knows).collect();
    assert_eq!(listed, known);
}

#[test]
fn a_lock_that_is_never_given_up_ends_the_wait_with_a_message() {
    let (tree, file) = with_file();
    let before = text(&file);
    let theirs = File::open(tree.dir()).unwrap();
    theirs.lock().unwrap();
    let output = run(&["-i", "-1"], &file, "user", "password");
    let told = stderr(&output);
    assert_eq!(code(&output), Some(1), "{told}");
    assert!(told.contains("Waiting for another program") && told.contains("nothing is changed"), "{told}");
    assert_eq!(text(&file), before);
    drop(theirs);
    assert_eq!(code(&run(&["-i", "-1"], &file, "user", "password")), Some(0));
}

#[test]
fn a_hash_that_standard_output_does_not_take_is_an_error() {
    let full = File::options().write(true).open("/dev/full").unwrap();
    let script = "echo password | \"$0\" -n user";
    let output = Command::new("sh")
        .args(["-c", script, env!("CARGO_BIN_EXE_thtpasswd")])
        .stdout(full)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    assert_eq!(code(&output), Some(1));
    assert!(stderr(&output).ends_with("standard output: No space left on device\n"), "{}", stderr(&output));
}
