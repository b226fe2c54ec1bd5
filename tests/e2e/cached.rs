//! Cache consistency: each change of the disk shows on the next request.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::support::{Client, Done, Server, Tree, eventually};

/// Asks until the file is old enough to be remembered, and then once more.
fn warm(client: &mut Client, path: &str) {
    eventually("a settled entity tag", || {
        let answer = client.get(path);
        assert_eq!(answer.status, 200, "{}", answer.text());
        !answer.field("ETag").unwrap().starts_with("W/")
    });
    std::thread::sleep(Duration::from_millis(60));
    client.get(path);
    client.get(path);
}

#[test]
fn every_change_of_a_file_shows_at_once() {
    let tree = Tree::new();
    let server = Server::start(&tree, &[]);
    let mut client = server.connect();
    let path = tree.file("a.txt", "one");
    warm(&mut client, "/a.txt");
    fs::write(&path, "two").unwrap();
    assert_eq!(client.get("/a.txt").text(), "two", "written in place, same length");
    warm(&mut client, "/a.txt");
    let other = tree.beside("other", "six");
    fs::set_permissions(&other, fs::metadata(&path).unwrap().permissions()).unwrap();
    fs::rename(&other, &path).unwrap();
    assert_eq!(client.get("/a.txt").text(), "six", "replaced by rename");
    warm(&mut client, "/a.txt");
    fs::File::options().write(true).open(&path).unwrap().set_len(1).unwrap();
    assert_eq!(client.get("/a.txt").text(), "s", "cut short");
    warm(&mut client, "/a.txt");
    tree.mode("a.txt", 0o600);
    assert_eq!(client.get("/a.txt").status, 403, "no longer readable by the world");
    tree.mode("a.txt", 0o644);
    warm(&mut client, "/a.txt");
    fs::remove_file(&path).unwrap();
    assert_eq!(client.get("/a.txt").status, 404, "removed");
}

#[test]
fn changes_to_a_file_by_a_later_hard_link_show_at_once() {
    let tree = Tree::new();
    let server = Server::start(&tree, &[]);
    let mut client = server.connect();
    let path = tree.file("a.txt", "one");
    warm(&mut client, "/a.txt");
    let other = tree.dir().join("other");
    fs::hard_link(&path, &other).unwrap();
    assert_eq!(client.get("/a.txt").text(), "one");
    fs::write(&other, "two").unwrap();
    assert_eq!(client.get("/a.txt").text(), "two");
    fs::set_permissions(&other, fs::Permissions::from_mode(0o600)).unwrap();
    assert_eq!(client.get("/a.txt").status, 403);
}

#[test]
fn a_password_file_protects_from_the_next_request_on() {
    let tree = Tree::new();
    let server = Server::start(&tree, &[]);
    let mut client = server.connect();
    tree.file("sub/a.txt", "one");
    warm(&mut client, "/sub/a.txt");
    let password_file = tree.file("sub/.htpasswd", "u:x\n");
    assert_eq!(client.get("/sub/a.txt").status, 401);
    fs::remove_file(password_file).unwrap();
    assert_eq!(client.get("/sub/a.txt").status, 200);
}

#[test]
fn a_link_turned_elsewhere_is_followed_at_once() {
    let tree = Tree::new();
    let server = Server::start(&tree, &[]);
    let mut client = server.connect();
    tree.file("v1/a.txt", "one");
    tree.file("v2/a.txt", "two");
    tree.link("v1", "current");
    warm(&mut client, "/current/a.txt");
    fs::remove_file(tree.www().join("current")).unwrap();
    tree.link("v2", "current");
    assert_eq!(client.get("/current/a.txt").text(), "two");
}

#[test]
fn a_better_index_file_is_chosen_as_soon_as_it_is_there() {
    let tree = Tree::new();
    let server = Server::start(&tree, &[]);
    let mut client = server.connect();
    tree.file("sub/index.htm", "second");
    warm(&mut client, "/sub/");
    tree.file("sub/index.html", "first");
    assert_eq!(client.get("/sub/").text(), "first");
}

#[test]
fn a_link_to_a_missing_password_file_shuts_a_cached_file_until_it_leads_somewhere() {
    let tree = Tree::new();
    let server = Server::start(&tree, &[]);
    let mut client = server.connect();
    tree.file("sub/a.txt", "one");
    tree.dir_in("passwords");
    warm(&mut client, "/sub/a.txt");
    tree.link("../passwords/sub", "sub/.htpasswd");
    assert_eq!(client.get("/sub/a.txt").status, 403);
    tree.file("passwords/sub", "u:x\n");
    assert_eq!(client.get("/sub/a.txt").status, 401);
    std::fs::remove_file(tree.www().join("sub/.htpasswd")).unwrap();
    assert_eq!(client.get("/sub/a.txt").status, 200);
}

#[test]
fn every_change_shows_at_once_among_many_clients() {
    const WRITERS: usize = 4;
    const FILES: usize = 40;
    let tree = Tree::new();
    for n in 0..WRITERS * FILES {
        tree.file(&format!("{n}/a.txt"), "old");
    }
    tree.file("still/a.txt", "old");
    let server = Server::start(&tree, &[]);
    warm(&mut server.connect(), "/still/a.txt");
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        // The requests poll the inotify queue all the time, and other workers use the results.
        for _ in 0..WRITERS {
            scope.spawn(|| {
                let mut client = server.connect();
                while !done.load(Ordering::Relaxed) {
                    assert_eq!(client.get("/still/a.txt").text(), "old");
                }
            });
        }
        let writers: Vec<_> = (0..WRITERS)
            .map(|writer| {
                let (server, tree) = (&server, &tree);
                scope.spawn(move || {
                    let mut client = server.connect();
                    for n in writer * FILES..(writer + 1) * FILES {
                        let name = format!("{n}/a.txt");
                        assert_eq!(client.get(&format!("/{name}")).text(), "old");
                        fs::write(tree.www().join(&name), "new").unwrap();
                        assert_eq!(client.get(&format!("/{name}")).text(), "new");
                    }
                })
            })
            .collect();
        let ended: Vec<_> = writers.into_iter().map(|writer| writer.join()).collect();
        done.store(true, Ordering::Relaxed);
        assert!(ended.iter().all(Result::is_ok));
    });
}

#[test]
fn a_file_whose_directory_was_replaced_by_a_link_out_of_the_tree_is_gone_at_once_and_stays_so() {
    let tree = Tree::new();
    tree.file("a/b/f.txt", "page");
    let server = Server::start(&tree, &[]);
    let mut client = server.connect();
    warm(&mut client, "/a/b/f.txt");
    fs::rename(tree.www().join("a"), tree.dir().join("elsewhere")).unwrap();
    tree.link(tree.dir().join("elsewhere"), "a");
    for _ in 0..3 {
        assert_eq!(client.get("/a/b/f.txt").status, 403);
    }
    fs::remove_file(tree.www().join("a")).unwrap();
    fs::rename(tree.dir().join("elsewhere"), tree.www().join("a")).unwrap();
    assert_eq!(client.get("/a/b/f.txt").text(), "page");
}

#[test]
fn without_the_check_of_links_what_they_lead_to_is_followed_at_once_too() {
    let tree = Tree::new();
    let target = tree.file("target/x.txt", "one");
    tree.link("target/x.txt", "l.txt");
    let server = Server::start(&tree, &["-nos"]);
    let mut client = server.connect();
    warm(&mut client, "/l.txt");
    fs::write(&target, "two").unwrap();
    assert_eq!(client.get("/l.txt").text(), "two");
    warm(&mut client, "/l.txt");
    tree.mode("target/x.txt", 0o600);
    assert_eq!(client.get("/l.txt").status, 403);
}

#[test]
fn an_absolute_link_within_the_tree_is_remembered_and_followed_at_once() {
    let tree = Tree::new();
    tree.file("v1/a.txt", "one");
    tree.file("v2/a.txt", "two");
    tree.link(tree.www().join("v1"), "current");
    let server = Server::start(&tree, &[]);
    let mut client = server.connect();
    warm(&mut client, "/current/a.txt");
    fs::remove_file(tree.www().join("current")).unwrap();
    tree.link(tree.www().join("v2"), "current");
    assert_eq!(client.get("/current/a.txt").text(), "two");
}

/// Writes to two files of long names in turn, so that each write is an event of its own, until `enough`.
fn write_without_end(tree: &Tree, writer: usize, enough: &AtomicBool) {
    let name = |n: usize| tree.www().join(format!("{writer}-{n}-{}", "x".repeat(200)));
    let open = |n| fs::File::create(name(n)).unwrap();
    let mut files = [open(0), open(1)];
    while !enough.load(Ordering::Relaxed) {
        for file in &mut files {
            let _ = std::os::unix::fs::FileExt::write_at(file, b"x", 0);
        }
    }
}

#[test]
fn changes_without_end_beside_a_file_keep_nobody_waiting_for_it() {
    let tree = Tree::new();
    tree.file("a.txt", "page");
    let server = Server::start(&tree, &[]);
    let mut client = server.connect();
    warm(&mut client, "/a.txt");
    let enough = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for writer in 0..6 {
            let (tree, enough) = (&tree, &enough);
            scope.spawn(move || write_without_end(tree, writer, enough));
        }
        let _end = Done(&enough);
        let mut slowest = Duration::ZERO;
        let began = Instant::now();
        while began.elapsed() < Duration::from_secs(2) {
            let asked = Instant::now();
            client.send("GET /a.txt HTTP/1.1\r\nHost: x\r\n\r\n");
            let answered = client.try_answer("GET").is_some_and(|answer| answer.text() == "page");
            slowest = slowest.max(asked.elapsed());
            if !answered {
                break;
            }
        }
        // Six writers on two processors make everybody slow; without a bound it takes ten seconds and more.
        assert!(slowest < Duration::from_secs(5), "{slowest:?}");
    });
}
