//! Links and redirects lead to the right place, also behind a proxy that removes a path prefix.

use std::fs;

use crate::support::server::free_port;
use crate::support::{Peer, Server, Tree, dom_of, run};

/// Debian's nginx, which serves `server` below `/prefix/`.
fn proxy(tree: &Tree, server: &Server) -> Option<Peer> {
    let port = free_port();
    let text = format!(
        "server {{ listen 127.0.0.1:{port}; location /prefix/ {{ proxy_redirect off;\n\
         proxy_pass http://127.0.0.1:{}/; }} }}",
        server.port
    );
    Peer::nginx(tree, &text, port)
}

/// Targets of the links on a page, in order.
fn links(page: &str) -> Vec<&str> {
    page.split("<a href=\"").skip(1).map(|rest| rest.split('"').next().unwrap()).collect()
}

/// Resolves `reference` against `base`; escapes do not matter here (RFC 3986 §5.3).
fn resolved(base: &str, reference: &str) -> String {
    let mut segments: Vec<&str> = base.split('?').next().unwrap().split('/').collect();
    segments.pop();
    if reference.starts_with('/') {
        return reference.to_owned();
    }
    let mut parts = reference.split('/').peekable();
    while let Some(part) = parts.next() {
        match part {
            "." => {}
            ".." => {
                segments.pop();
            }
            part => segments.push(part),
        }
        if parts.peek().is_none() && matches!(part, "." | "..") {
            segments.push("");
        }
    }
    segments.join("/")
}

#[test]
fn a_walk_through_lists_redirects_and_errors_stays_below_the_prefix() {
    let tree = Tree::new();
    for name in ["a/b/file.txt", "a/b/x:y & z.txt", "a/c:d/e.txt"] {
        tree.file(name, name);
    }
    for style in ["classic", "modern"] {
        let flags = ["-o", "redirects=relative", "-o", &format!("listing_style={style}")];
        let server = Server::start(&tree, &flags);
        let Some(proxy) = proxy(&tree, &server) else { return };
        let get = |target: &str| proxy.connect().get(target);
        let (mut seen, mut left) = (vec![], vec!["/prefix/".to_owned(), "/prefix/a/none".to_owned()]);
        while let Some(target) = left.pop() {
            assert!(target.starts_with("/prefix/"), "{target} leads out");
            let path = target.split('?').next().unwrap().to_owned();
            if seen.contains(&path) {
                continue;
            }
            let answer = get(&target);
            let is_expected = answer.status == if path == "/prefix/a/none" { 404 } else { 200 };
            assert!(is_expected, "{style}: {target}: {}", answer.head);
            if answer.field("Content-Type").unwrap().starts_with("text/html") {
                left.extend(links(&answer.text()).iter().map(|link| resolved(&target, link)));
            }
            seen.push(path);
        }
        let files = seen.iter().filter(|path| path.ends_with(".txt")).count();
        assert_eq!(files, 3, "{style}: {seen:?}");
        for (target, place) in [("/prefix/a", "a/"), ("/prefix/a/c:d?q=/", "./c:d/?q=/")] {
            let answer = get(target);
            assert_eq!((answer.status, answer.field("Location")), (302, Some(place)), "{target}");
            assert_eq!(get(&resolved(target, place)).status, 200);
        }
    }
}

#[test]
fn a_browser_follows_a_relative_redirect_behind_the_proxy() {
    let tree = Tree::new();
    tree.file("sub/file.txt", "content");
    let server = Server::start(&tree, &["-o", "redirects=relative"]);
    let Some(proxy) = proxy(&tree, &server) else { return };
    let url = format!("http://127.0.0.1:{}/prefix/sub", proxy.port);
    let Some(dom) = dom_of(&tree, &url) else { return };
    assert!(dom.contains("Index of /sub/") && dom.contains("href=\"file.txt\""), "{dom}");
}

#[test]
fn the_wget_of_busybox_follows_the_default_redirect() {
    let tree = Tree::new();
    tree.file("sub/index.html", "found");
    let server = Server::start(&tree, &[]);
    let copy = tree.dir().join("copy");
    let Some(output) = run("busybox", &["wget", "-q", "-O", copy.to_str().unwrap(), &server.url("/sub")])
    else {
        return;
    };
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(fs::read_to_string(copy).unwrap(), "found");
}
