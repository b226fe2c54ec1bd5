//! Entity tags and dates: servers with equal files agree, and every change of content is noticed.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, SystemTime};

use crate::support::{Answer, Client, Server, Tree, eventually, run};

/// Sizes of a file in memory, of one that is hashed on disk, and of one too large for it.
const SIZES: [usize; 5] = [0, 14, 64 * 1024 + 1, 4 * 1024 * 1024, 4 * 1024 * 1024 + 1];

fn bytes(len: usize) -> Vec<u8> {
    (0..len).map(|at| (at * 7 + at / 251) as u8).collect()
}

fn get(client: &mut Client, target: &str, fields: &[(&str, &str)]) -> Answer {
    let fields: String = fields.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    client.send(format!("GET {target} HTTP/1.1\r\nHost: x\r\n{fields}\r\n"));
    client.answer("GET")
}

/// The tag of a file that has rested.
fn settled_tag(client: &mut Client, target: &str) -> String {
    let mut tag = String::new();
    eventually("a strong entity tag", || {
        tag = client.get(target).field("ETag").expect("a tag").to_owned();
        tag.starts_with('"')
    });
    tag
}

fn set_modified(path: &Path, to: SystemTime) {
    fs::File::options().write(true).open(path).unwrap().set_modified(to).unwrap();
}

fn at(seconds: u64, nanos: u32) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::new(seconds, nanos)
}

/// A tree with a file of each size, all modified at `time`.
fn tree_of(time: SystemTime) -> Tree {
    let tree = Tree::new();
    for size in SIZES {
        set_modified(&tree.file(&format!("{size}.bin"), bytes(size)), time);
    }
    tree
}

fn copy(from: &Tree, to: &Tree, flags: &str) {
    let from = format!("{}/.", from.www().display());
    let status = Command::new("cp").arg(flags).arg(from).arg(to.www()).status().unwrap();
    assert!(status.success());
}

#[test]
fn servers_with_copies_of_one_tree_give_equal_tags() {
    let first = tree_of(at(1_500_000_000, 5_000));
    let second = Tree::new();
    copy(&first, &second, "-a");
    let servers = [Server::start(&first, &[]), Server::start(&second, &[])];
    for size in SIZES {
        let target = format!("/{size}.bin");
        let [mut one, mut other] = [servers[0].connect(), servers[1].connect()];
        let tag = settled_tag(&mut one, &target);
        assert_eq!(tag, settled_tag(&mut other, &target), "{target}");
        assert_eq!(get(&mut other, &target, &[("If-None-Match", &tag)]).status, 304, "{target}");
        let range = [("If-Range", &*tag), ("Range", "bytes=0-3")];
        assert_eq!(get(&mut other, &target, &range).status, if size == 0 { 200 } else { 206 }, "{target}");
    }
}

#[test]
fn content_names_a_file_whatever_its_times_are() {
    // As the nodes of a cluster hold the files of one ConfigMap.
    let first = tree_of(at(1_500_000_000, 5_000));
    let second = tree_of(at(1_600_000_000, 0));
    let servers = [Server::start(&first, &[]), Server::start(&second, &[])];
    for size in &SIZES[..4] {
        let target = format!("/{size}.bin");
        let tag = settled_tag(&mut servers[0].connect(), &target);
        assert_eq!(tag, settled_tag(&mut servers[1].connect(), &target), "{target}");
    }
}

#[test]
fn owners_links_and_modes_change_no_tag() {
    let tree = tree_of(at(1_500_000_000, 5_000));
    let server = Server::start(&tree, &[]);
    let mut client = server.connect();
    let names = SIZES.map(|size| format!("{size}.bin"));
    let tags = names.clone().map(|name| settled_tag(&mut client, &format!("/{name}")));
    let change = |what, name: &str, path: &Path| match what {
        "chmod" => tree.mode(name, 0o664),
        "ln" => fs::hard_link(path, tree.dir().join(name)).unwrap(),
        _ => {
            let copied = tree.dir().join("copy");
            assert!(Command::new("cp").arg("-p").args([path, &copied]).status().unwrap().success());
            fs::rename(&copied, path).unwrap();
        }
    };
    for what in ["chmod", "ln", "cp -p"] {
        names.iter().for_each(|name| change(what, name, &tree.www().join(name)));
        for (name, tag) in names.iter().zip(&tags) {
            let answer = get(&mut client, &format!("/{name}"), &[("If-None-Match", tag)]);
            assert_eq!(answer.status, 304, "{name} after {what}, at once");
        }
        for (name, tag) in names.iter().zip(&tags) {
            assert_eq!(settled_tag(&mut client, &format!("/{name}")), *tag, "{name} after {what}");
        }
    }
}

#[test]
fn a_file_replaced_under_a_frozen_time_is_a_new_version() {
    // 1970 and 1980: what build tools set; the rest: what SOURCE_DATE_EPOCH may be.
    for (seconds, has_date) in [(0, false), (1, false), (315_532_800, false), (1_700_000_000, true)] {
        let tree = Tree::new();
        let server = Server::start(&tree, &[]);
        let mut client = server.connect();
        for size in [14, 64 * 1024 + 1] {
            let mut content = bytes(size);
            let path = tree.file("f", &content);
            set_modified(&path, at(seconds, 0));
            let before = client.get("/f");
            let tag = before.field("ETag").unwrap().to_owned();
            assert_eq!(before.field("Last-Modified").is_some(), has_date, "{seconds}");
            content[0] ^= 1;
            let replaced = tree.beside("replaced", "");
            fs::write(&replaced, &content).unwrap();
            set_modified(&replaced, at(seconds, 0));
            fs::set_permissions(&replaced, fs::metadata(&path).unwrap().permissions()).unwrap();
            fs::rename(&replaced, &path).unwrap();
            let after = get(&mut client, "/f", &[("If-None-Match", &tag)]);
            assert_eq!((after.status, after.body == content), (200, true), "{seconds} {size}");
        }
    }
}

#[test]
fn a_file_too_large_to_hash_under_a_frozen_time_is_told_by_its_inode() {
    let tree = Tree::new();
    let server = Server::start(&tree, &[]);
    let mut client = server.connect();
    let path = tree.file("f", bytes(5_000_000));
    set_modified(&path, at(1, 0));
    let tag = client.get("/f").field("ETag").unwrap().to_owned();
    fs::write(&path, vec![1; 5_000_000]).unwrap();
    set_modified(&path, at(1, 0));
    assert_eq!(get(&mut client, "/f", &[("If-None-Match", &tag)]).status, 200);
}

#[test]
fn a_file_without_a_date_heeds_no_date() {
    let tree = Tree::new();
    set_modified(&tree.file("f", "frozen"), at(1, 0));
    let server = Server::start(&tree, &[]);
    let mut client = server.connect();
    settled_tag(&mut client, "/f");
    let frozen = "Thu, 01 Jan 1970 00:00:01 GMT";
    for fields in [
        &[("If-Modified-Since", frozen)][..],
        &[("If-Modified-Since", "Sun, 06 Nov 2022 08:49:37 GMT")],
        &[("If-Unmodified-Since", frozen)],
        &[("If-Unmodified-Since", "Thu, 01 Jan 1970 00:00:00 GMT")],
        &[("If-Range", frozen), ("Range", "bytes=0-2")],
    ] {
        let answer = get(&mut client, "/f", fields);
        assert_eq!((answer.status, answer.text().as_str()), (200, "frozen"), "{fields:?}");
    }
}

#[test]
fn tags_by_file_or_none_are_a_choice() {
    let tree = Tree::new();
    tree.file("f", "content");
    let by_file = Server::start(&tree, &["-o", "etag=file"]);
    let mut client = by_file.connect();
    let tag = settled_tag(&mut client, "/f");
    tree.link("f", "other");
    fs::write(tree.www().join("f"), "content").unwrap();
    assert_eq!(get(&mut client, "/f", &[("If-None-Match", &tag)]).status, 200, "its times have changed");
    let without = Server::start(&tree, &["-o", "etag=none"]);
    let mut client = without.connect();
    assert_eq!(client.get("/f").field("ETag"), None);
    assert_eq!(get(&mut client, "/f", &[("If-None-Match", &tag)]).status, 200);
    assert_eq!(get(&mut client, "/f", &[("If-Match", &tag)]).status, 412);
    let date = client.get("/f").field("Last-Modified").unwrap().to_owned();
    assert_eq!(get(&mut client, "/f", &[("If-Modified-Since", &date)]).status, 304);
}

#[test]
fn many_clients_of_files_that_are_not_hashed_yet_all_get_strong_tags_that_agree() {
    const FILES: usize = 12;
    let tree = Tree::new();
    for n in 0..FILES {
        tree.file(&format!("{n}"), vec![n as u8; 3_000_000]);
    }
    let servers = [Server::start(&tree, &[]), Server::start(&tree, &[])];
    // By now no file may change unseen.
    settled_tag(&mut servers[0].connect(), &format!("/{}", FILES - 1));
    let tags_of = |server: &Server| -> Vec<String> {
        let ask = |n| {
            let mut client = server.connect();
            move || {
                client.send(format!("HEAD /{n} HTTP/1.1\r\nHost: x\r\n\r\n"));
                client.answer("HEAD").field("ETag").unwrap().to_owned()
            }
        };
        std::thread::scope(|scope| {
            let asked: Vec<_> = (0..FILES).map(|n| scope.spawn(ask(n))).collect();
            asked.into_iter().map(|thread| thread.join().unwrap()).collect()
        })
    };
    let tags = tags_of(&servers[1]);
    assert!(tags.iter().all(|tag| tag.starts_with('"')), "{tags:?}");
    assert_eq!(tags, tags_of(&servers[0]));
}

#[test]
fn curl_compares_tags_between_servers() {
    let first = tree_of(at(1_500_000_000, 5_000));
    let second = Tree::new();
    copy(&first, &second, "-a");
    let servers = [Server::start(&first, &[]), Server::start(&second, &[])];
    let tag_file = first.dir().join("tag");
    settled_tag(&mut servers[0].connect(), "/14.bin");
    let tag_file = tag_file.to_str().unwrap();
    let ask = |server: &Server, flag: &str| {
        let url = server.url("/14.bin");
        let arguments = ["-sS", "-o", "/dev/null", "-w", "%{http_code}", flag, tag_file, &url];
        run("curl", &arguments).map(|output| String::from_utf8_lossy(&output.stdout).into_owned())
    };
    let Some(status) = ask(&servers[0], "--etag-save") else { return };
    assert_eq!(status, "200");
    for server in &servers {
        assert_eq!(ask(server, "--etag-compare").as_deref(), Some("304"));
    }
}
