//! Hosts: referrers, and the directories of `-v`.

use super::{Server, Tree, ask, get_with};

/// GET of `target` on `host`; `fields` are more field lines.
fn on(server: &Server, host: &str, target: &str, fields: &str) -> u16 {
    ask(server, &format!("GET {target} HTTP/1.1\r\nHost: {host}\r\n{fields}\r\n")).status
}

#[test]
fn a_slash_behind_its_name_does_not_take_a_picture_from_the_referrer_filter() {
    let tree = Tree::new();
    tree.file("a.jpg", "picture");
    let server = Server::start(&tree, &["-o", "urlpat=**.jpg", "-o", "localpat=good.example"]);
    for target in ["/a.jpg", "/a.jpg/", "/a.jpg", "/a.jpg/"] {
        for (referrer, status) in [("good", 200), ("evil", 403)] {
            let fields = format!("Referer: http://{referrer}.example/\r\n");
            assert_eq!(get_with(&server, target, &fields).status, status, "{target} from {referrer}");
        }
    }
}

#[test]
fn a_site_may_refer_to_its_own_pictures_by_any_name_of_its_own() {
    let tree = Tree::new();
    tree.file("::1/a.jpg", "picture");
    tree.file("site.example/a.jpg", "picture");
    let server = Server::start(&tree, &["-v", "-o", "urlpat=**.jpg"]);
    for host in ["[::1]", "[::1]:8080", "[0:0::1]", "site.example", "SITE.example:80"] {
        let own =
            format!("Referer: http://{}/page.html\r\n", if host.starts_with('[') { "[::1]" } else { host });
        assert_eq!(on(&server, host, "/a.jpg", &own), 200, "{host}");
        assert_eq!(on(&server, host, "/a.jpg", "Referer: http://other.example/\r\n"), 403, "{host}");
    }
}

#[test]
fn files_beside_the_directories_of_hosts_are_no_hosts() {
    let tree = Tree::new();
    tree.file("notes.txt", "notes");
    tree.file("tool.cgi", "#!/bin/sh\necho; echo ran\n");
    tree.mode("tool.cgi", 0o755);
    tree.file("site.example/a.txt", "page");
    tree.link("site.example", "alias.example");
    let server = Server::start(&tree, &["-v", "-c", "**.cgi"]);
    for host in ["notes.txt", "tool.cgi"] {
        for target in ["/", "/a", "/a/", "/?q"] {
            for _ in 0..2 {
                assert_eq!(on(&server, host, target, ""), 404, "{host} {target}");
            }
        }
    }
    assert_eq!(on(&server, "site.example", "/a.txt", ""), 200);
    assert_eq!(on(&server, "alias.example", "/a.txt", ""), 200);
}

#[test]
fn a_host_that_is_an_absolute_link_into_the_tree_has_the_passwords_of_what_it_names() {
    let tree = Tree::new();
    tree.file("open.example/a.txt", "page");
    tree.file("shut.example/a.txt", "page");
    tree.file("shut.example/.htpasswd", "user:{PLAIN}");
    tree.link(tree.www().join("open.example"), "open.alias");
    tree.link(tree.www().join("shut.example"), "shut.alias");
    // A password file that is a link: into the tree, and out of it.
    tree.file("linked.example/a.txt", "page");
    tree.link(tree.www().join("shut.example/.htpasswd"), "linked.example/.htpasswd");
    tree.file("astray.example/a.txt", "page");
    tree.link(tree.beside("passwords", "user:x"), "astray.example/.htpasswd");
    let server = Server::start(&tree, &["-v", "-g"]);
    for (host, status) in [
        ("open.example", 200),
        ("open.alias", 200),
        ("shut.example", 401),
        ("shut.alias", 401),
        ("linked.example", 401),
        ("astray.example", 403),
    ] {
        assert_eq!(on(&server, host, "/a.txt", ""), status, "{host}");
    }
}
