//! Names that lead elsewhere while a request for them is answered: a link changed, directories exchanged.

use std::os::unix::fs::symlink;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use nix::fcntl::{AT_FDCWD, RenameFlags, renameat2};

use super::{Server, Tree, is_root};
use crate::support::Done;

/// `user:password`, and the line of a password file for it.
const RIGHT: &str = "Authorization: Basic dXNlcjpwYXNzd29yZA==\r\n";
const USERS: &str = "user:$1$saltsalt$qjXMvbEw8oaL.CzflDtaK/\n";
/// Another user, with a password of which no client knows the hash.
const OTHERS: &str = "other:$1$saltsalt$qjXMvbEw8oaL.CzflDtaK/\n";

const SECRET: &str = "guarded text";

/// Tree whose directory `guarded` needs a password, and `open` another one or none.
fn tree(users_of_open: Option<&str>) -> Tree {
    let tree = Tree::new();
    tree.file("guarded/.htpasswd", OTHERS);
    for (dir, text) in [("open", "text for all"), ("guarded", SECRET)] {
        tree.file(&format!("{dir}/f.txt"), text);
        // Large enough for a coding to be worth while.
        tree.file(&format!("{dir}/long.txt"), format!("{text}\n").repeat(500));
        tree.file(&format!("{dir}/page/index.html"), text);
        tree.file(&format!("{dir}/list/{text}"), "");
    }
    for inner in ["page", "list"] {
        tree.file(&format!("guarded/{inner}/.htpasswd"), OTHERS);
    }
    if let Some(users) = users_of_open {
        ["open", "open/page", "open/list"].iter().for_each(|dir| {
            tree.file(&format!("{dir}/.htpasswd"), users);
        });
    }
    tree
}

/// Makes the link `name` lead to `open` and `guarded` in turn.
fn change_link(dir: &Path, is_over: &AtomicBool) {
    for target in ["guarded", "open"].iter().cycle() {
        symlink(target, dir.join("next")).unwrap();
        std::fs::rename(dir.join("next"), dir.join("now")).unwrap();
        if is_over.load(Relaxed) {
            return;
        }
    }
}

/// Exchanges the directories `now` and `guarded`.
fn exchange(dir: &Path, is_over: &AtomicBool) {
    while !is_over.load(Relaxed) {
        let (one, other) = (dir.join("now"), dir.join("guarded"));
        renameat2(AT_FDCWD, &one, AT_FDCWD, &other, RenameFlags::RENAME_EXCHANGE).unwrap();
    }
}

/// Targets of everything in `now`.
const TARGETS: [&str; 4] = ["/now/f.txt", "/now/long.txt", "/now/page/", "/now/list/"];

/// Asks for `targets` while `change` goes on: the guarded text must not come.
fn is_shut(server: &Server, targets: &[&str], fields: &str, change: &(dyn Fn(&AtomicBool) + Sync)) {
    let is_over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| change(&is_over));
        let _done = Done(&is_over);
        let mut client = server.connect();
        for round in 0..250 {
            for target in targets {
                client.send(format!("GET {target} HTTP/1.1\r\nHost: now\r\n{fields}\r\n"));
                let answer = client.answer("GET");
                let text = answer.text();
                assert!(!text.contains(SECRET), "round {round}: {target}");
                if answer.field("Connection") == Some("close") {
                    client = server.connect();
                }
            }
        }
    });
}

fn modes() -> impl Iterator<Item = &'static [&'static str]> {
    [&[][..], &["-nos"], &["-r"]].into_iter().filter(|flags| *flags != ["-r"] || is_root())
}

#[test]
fn no_link_that_changes_meanwhile_leads_round_a_password_file() {
    for flags in modes() {
        let tree = tree(None);
        tree.link("open", "now");
        let server = Server::start(&tree, flags);
        is_shut(&server, &TARGETS, "", &|is_over| change_link(&tree.www(), is_over));
    }
}

#[test]
fn no_link_that_changes_meanwhile_leads_to_what_other_users_may_see() {
    for flags in modes() {
        let tree = tree(Some(USERS));
        tree.link("open", "now");
        let server = Server::start(&tree, flags);
        is_shut(&server, &TARGETS, RIGHT, &|is_over| change_link(&tree.www(), is_over));
    }
}

#[test]
fn no_directories_exchanged_meanwhile_lead_round_a_password_file() {
    for flags in modes() {
        let tree = tree(None);
        std::fs::rename(tree.www().join("open"), tree.www().join("now")).unwrap();
        let server = Server::start(&tree, flags);
        is_shut(&server, &TARGETS, "", &|is_over| exchange(&tree.www(), is_over));
    }
}

/// A script starts when its content is complete, long after the password file was asked.
#[test]
fn no_directories_exchanged_before_its_start_lead_to_a_guarded_script() {
    // With -r the tree would have to hold a shell.
    for flags in modes().filter(|flags| *flags != ["-r"]) {
        let tree = tree(None);
        for (dir, text) in [("open", "text for all"), ("guarded", SECRET)] {
            let script = format!("#!/bin/sh\nprintf 'Content-Type: text/plain\\n\\n{text}'\n");
            tree.file(&format!("{dir}/f.cgi"), script);
            tree.mode(&format!("{dir}/f.cgi"), 0o755);
        }
        std::fs::rename(tree.www().join("open"), tree.www().join("now")).unwrap();
        let server = Server::start(&tree, &[flags, &["-c", "**.cgi"]].concat());
        let mut client = server.connect();
        let expect = "Content-Length: 1\r\nExpect: 100-continue";
        client.send(format!("POST /now/f.cgi HTTP/1.1\r\nHost: x\r\n{expect}\r\n\r\n"));
        assert_eq!(client.answer("POST").status, 100);
        let (one, other) = (tree.www().join("now"), tree.www().join("guarded"));
        renameat2(AT_FDCWD, &one, AT_FDCWD, &other, RenameFlags::RENAME_EXCHANGE).unwrap();
        client.send("x");
        assert_eq!(client.answer("POST").text(), "text for all");
    }
}

#[test]
fn the_password_file_of_a_host_is_that_of_the_directory_that_its_files_come_from() {
    for flags in modes() {
        let tree = tree(None);
        ["guarded/page/.htpasswd", "guarded/list/.htpasswd"].iter().for_each(|name| {
            std::fs::remove_file(tree.www().join(name)).unwrap();
        });
        tree.link("open", "now");
        let server = Server::start(&tree, &[flags, &["-v", "-g"]].concat());
        is_shut(&server, &["/f.txt", "/page/", "/list/"], "", &|is_over| change_link(&tree.www(), is_over));
    }
}
