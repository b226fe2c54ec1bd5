//! Precompressed files are sent in place of the plain ones, if all conditions hold.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;
use std::time::{Duration, SystemTime};

use crate::support::{Answer, Client, Server, Tree, eventually, run};

fn get(client: &mut Client, target: &str, fields: &str) -> Answer {
    client.send(format!("GET {target} HTTP/1.1\r\nHost: x\r\n{fields}\r\n"));
    client.answer("GET")
}

fn encoding(client: &mut Client, target: &str, accept: &str) -> String {
    let answer = get(client, target, &format!("Accept-Encoding: {accept}\r\n"));
    assert_eq!(answer.status, 200, "{target}: {}", answer.head);
    answer.field("Content-Encoding").unwrap_or("identity").to_owned()
}

/// A text of `len` bytes, and its forms as the usual tools make them; false where those are missing.
fn compressed(tree: &Tree, name: &str, len: usize) -> bool {
    let text: String =
        (0..).flat_map(|n: usize| format!("line {n}\n").into_bytes()).map(char::from).take(len).collect();
    let path = tree.file(name, text);
    let path = path.to_str().unwrap();
    ["gzip -k", "brotli -k", "zstd -q -k"].iter().all(|command| {
        let words: Vec<&str> = command.split(' ').chain([path]).collect();
        run(words[0], &words[1..]).is_some_and(|output| output.status.success())
    })
}

/// Asks until files are old enough to be remembered.
fn rest(client: &mut Client, target: &str, accept: &str) {
    let fields = format!("Accept-Encoding: {accept}\r\n");
    eventually("a settled entity tag", || {
        get(client, target, &fields).field("ETag").unwrap().starts_with('"')
    });
}

#[test]
fn the_smallest_form_that_a_client_accepts_is_sent_whole_and_in_ranges() {
    let tree = Tree::new();
    for (name, len) in [("a.js", 50_000), ("large.js", 3_000_000), ("s/index.html", 20_000)] {
        if !compressed(&tree, name, len) {
            return;
        }
    }
    let server = Server::start(&tree, &["-o", "precompressed"]);
    let mut client = server.connect();
    for (target, name) in [("/a.js", "a.js"), ("/large.js", "large.js"), ("/s/", "s/index.html")] {
        let plain = get(&mut client, target, "");
        assert_eq!(plain.field("Vary"), Some("Accept-Encoding"), "{target}");
        let mut tags = vec![plain.field("ETag").unwrap().to_owned()];
        for (accept, suffix) in [("gzip", "gz"), ("br", "br"), ("zstd", "zst")] {
            let file = fs::read(tree.www().join(format!("{name}.{suffix}"))).unwrap();
            let answer = get(&mut client, target, &format!("Accept-Encoding: {accept}\r\n"));
            assert_eq!(answer.field("Content-Encoding"), Some(accept), "{target}");
            assert_eq!(answer.field("Content-Type"), plain.field("Content-Type"));
            assert_eq!(answer.field("Vary"), Some("Accept-Encoding"));
            assert!(answer.body == file, "{target} {accept}");
            rest(&mut client, target, accept);
            let tag = get(&mut client, target, &format!("Accept-Encoding: {accept}\r\n"));
            let tag = tag.field("ETag").unwrap().to_owned();
            let fields = format!("Accept-Encoding: {accept}\r\nRange: bytes=2-9\r\nIf-Range: {tag}\r\n");
            let part = get(&mut client, target, &fields);
            assert_eq!(part.status, 206, "{target} {accept}");
            assert!(part.body == file[2..10]);
            assert_eq!(part.field("Vary"), Some("Accept-Encoding"));
            let several =
                get(&mut client, target, &format!("Accept-Encoding: {accept}\r\nRange: bytes=0-1,5-6\r\n"));
            assert!(several.field("Content-Type").unwrap().starts_with("multipart/byteranges"));
            // The client has this form, and the best one is another.
            let had = get(
                &mut client,
                target,
                &format!("Accept-Encoding: gzip, br, zstd\r\nIf-None-Match: {tag}\r\n"),
            );
            assert_eq!((had.status, had.field("ETag")), (304, Some(&*tag)), "{target} {accept}");
            assert_eq!(had.field("Vary"), Some("Accept-Encoding"));
            tags.push(tag);
        }
        tags.sort();
        tags.dedup();
        assert_eq!(tags.len(), 4, "{tags:?}");
        let sizes = [("gzip", "gz"), ("br", "br"), ("zstd", "zst")].map(|(coding, suffix)| {
            (fs::metadata(tree.www().join(format!("{name}.{suffix}"))).unwrap().len(), coding)
        });
        assert_eq!(encoding(&mut client, target, "gzip, deflate, br, zstd"), sizes.iter().min().unwrap().1);
    }
    // The form itself is what it was.
    assert_eq!(get(&mut client, "/a.js.gz", "").field("Content-Encoding"), Some("gzip"));
    assert_eq!(get(&mut client, "/a.js.gz", "").field("Vary"), None);
    fs::remove_file(tree.www().join("a.js")).unwrap();
    assert_eq!(get(&mut client, "/a.js", "Accept-Encoding: gzip\r\n").status, 404);
    let without = Server::start(&tree, &[]);
    assert_eq!(encoding(&mut without.connect(), "/large.js", "gzip, br"), "identity");
}

#[test]
fn siblings_that_do_not_fit_are_ignored_and_noticed_once() {
    let tree = Tree::new();
    if !compressed(&tree, "a.js", 50_000) {
        return;
    }
    let server = Server::start(&tree, &["-o", "precompressed"]);
    let mut client = server.connect();
    let sibling = tree.www().join("a.js.gz");
    let good = fs::read(&sibling).unwrap();
    let other = fs::read(tree.www().join("a.js")).unwrap();
    let set =
        |to: SystemTime| fs::File::options().write(true).open(&sibling).unwrap().set_modified(to).unwrap();
    let rewrite = |bytes: &[u8]| {
        let _ = fs::remove_file(&sibling);
        tree.file("a.js.gz", bytes);
        set(SystemTime::now());
    };
    let accepted = |client: &mut Client| encoding(client, "/a.js", "gzip") == "gzip";
    rewrite(&good);
    assert!(accepted(&mut client));
    set(SystemTime::now() - Duration::from_secs(200_000));
    assert!(!accepted(&mut client), "older");
    rewrite(&good[..good.len() - 4]);
    assert!(!accepted(&mut client), "of another length");
    rewrite(b"not gzip at all, whatever its name says");
    assert!(!accepted(&mut client), "no magic");
    rewrite(&[&good[..], &other].concat());
    assert!(!accepted(&mut client), "not smaller");
    rewrite(&good);
    tree.mode("a.js.gz", 0o600);
    assert!(!accepted(&mut client), "not world-readable");
    tree.mode("a.js.gz", 0o755);
    assert!(!accepted(&mut client), "executable");
    fs::remove_file(&sibling).unwrap();
    tree.file("elsewhere/x.gz", &good);
    tree.link("elsewhere/x.gz", "a.js.gz");
    assert!(!accepted(&mut client), "in another directory");
    rewrite(&good);
    assert!(accepted(&mut client), "a good one counts on the very next request");
    set(SystemTime::now() - Duration::from_secs(200_000));
    rest(&mut client, "/a.js", "identity");
    let said =
        |server: &Server| fs::read_to_string(&server.stderr).unwrap().matches("older than the file").count();
    let before = said(&server);
    for _ in 0..5 {
        assert!(!accepted(&mut client));
    }
    assert!(said(&server) <= before + 1, "one notice a version");
}

#[test]
fn a_form_that_changes_by_a_later_hard_link_is_not_sent_as_it_was() {
    let tree = Tree::new();
    if !compressed(&tree, "a.js", 50_000) {
        return;
    }
    let server = Server::start(&tree, &["-o", "precompressed"]);
    let mut client = server.connect();
    ["identity", "gzip", "br", "zstd"].iter().for_each(|coding| rest(&mut client, "/a.js", coding));
    for _ in 0..3 {
        assert_eq!(encoding(&mut client, "/a.js", "gzip"), "gzip");
    }
    let link = tree.dir().join("link");
    fs::hard_link(tree.www().join("a.js.gz"), &link).unwrap();
    fs::set_permissions(&link, fs::Permissions::from_mode(0o600)).unwrap();
    assert_eq!(encoding(&mut client, "/a.js", "gzip"), "identity");
}

#[test]
fn the_layout_of_a_configmap_has_its_siblings_beside_what_is_linked() {
    let tree = Tree::new();
    if !compressed(&tree, "..v1/index.html", 20_000) {
        return;
    }
    tree.link("..v1", "..data");
    for name in ["index.html", "index.html.gz"] {
        tree.link(format!("..data/{name}"), name);
    }
    let server = Server::start(&tree, &["-o", "precompressed"]);
    let mut client = server.connect();
    for target in ["/", "/index.html"] {
        assert_eq!(encoding(&mut client, target, "gzip, br"), "gzip", "no .br is linked");
    }
}

#[test]
fn curl_undoes_what_it_asked_for() {
    let tree = Tree::new();
    if !compressed(&tree, "a.js", 50_000) {
        return;
    }
    let server = Server::start(&tree, &["-o", "precompressed"]);
    let Ok(output) = Command::new("curl").args(["-sS", "--compressed", &server.url("/a.js")]).output() else {
        return;
    };
    assert!(output.stdout == fs::read(tree.www().join("a.js")).unwrap());
}
