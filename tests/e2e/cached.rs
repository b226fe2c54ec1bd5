//! Nothing is remembered that the disk no longer says: each change shows on the very next request.

use std::fs;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::support::{Client, Server, Tree, eventually};

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
fn a_password_file_that_a_waiting_link_leads_to_protects_as_soon_as_it_is_there() {
    let tree = Tree::new();
    let server = Server::start(&tree, &[]);
    let mut client = server.connect();
    tree.file("sub/a.txt", "one");
    tree.link("../passwords/sub", "sub/.htpasswd");
    tree.dir_in("passwords");
    warm(&mut client, "/sub/a.txt");
    tree.file("passwords/sub", "u:x\n");
    assert_eq!(client.get("/sub/a.txt").status, 401);
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
        // Their requests put questions to the kernel all the time, whose answers others use.
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
