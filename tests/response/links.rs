//! Links and redirects lead to the right place, also behind a proxy that removes a path prefix.

use std::fs;
use std::process::{Child, Command, Stdio};

use crate::support::server::free_port;
use crate::support::{Client, Server, Tree, dom_of, eventually, run};

/// A proxy, ended with the test.
struct Proxy {
    child: Child,
    port: u16,
}

impl Proxy {
    /// Debian's nginx, which serves `server` below `/prefix/`.
    fn start(tree: &Tree, server: &Server) -> Option<Proxy> {
        let (port, dir) = (free_port(), tree.dir().display().to_string());
        let config = format!(
            "daemon off; master_process off; error_log {dir}/nginx.error; pid {dir}/nginx.pid;\n\
             events {{}}\nhttp {{ access_log off; client_body_temp_path {dir}/b; proxy_temp_path {dir}/p;\n\
             fastcgi_temp_path {dir}/f; uwsgi_temp_path {dir}/u; scgi_temp_path {dir}/s;\n\
             server {{ listen 127.0.0.1:{port}; location /prefix/ {{ proxy_redirect off;\n\
             proxy_pass http://127.0.0.1:{}/; }} }} }}\n",
            server.port
        );
        let config = tree.beside("nginx.conf", &config);
        run("nginx", &["-v"])?;
        let child = Command::new("nginx").arg("-c").arg(config).stderr(Stdio::null()).spawn().unwrap();
        let proxy = Proxy { child, port };
        eventually("nginx listens", || std::net::TcpStream::connect(("127.0.0.1", port)).is_ok());
        Some(proxy)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
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
        let Some(proxy) = Proxy::start(&tree, &server) else { return };
        let get = |target: &str| {
            Client::of(std::net::TcpStream::connect(("127.0.0.1", proxy.port)).unwrap()).get(target)
        };
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
    let Some(proxy) = Proxy::start(&tree, &server) else { return };
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
