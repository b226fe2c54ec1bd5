//! Injection: bytes of clients or file names that became markup or header lines.

use super::{Server, Tree, get_with};

const MARKUP: &str = "\"'><script>alert(1)</script>&amp;";

#[test]
fn cve_2002_0733_an_error_page_shows_an_address_as_text() {
    let tree = Tree::new();
    let server = Server::start(&tree, &[]);
    let encoded = MARKUP.bytes().map(|b| format!("%{b:02x}")).collect::<String>();
    for target in
        [format!("/{MARKUP}"), format!("/{encoded}"), format!("/?{MARKUP}"), format!("/x?{encoded}")]
    {
        let answer = get_with(&server, &target, &format!("Referer: {MARKUP}\r\nUser-Agent: {MARKUP}\r\n"));
        assert!(!answer.text().contains("<script"), "{}", answer.text());
        assert!(!answer.text().contains("\"'>"), "{}", answer.text());
    }
    let mut client = server.connect();
    client.send("<script>alert(1)</script> / HTTP/1.1\r\nHost: x\r\n\r\n");
    assert!(!client.answer("GET").text().contains("<script"));
}

#[test]
fn names_and_link_targets_in_a_listing_are_text() {
    let tree = Tree::new();
    // A name of a file holds anything but a slash.
    let name = "\"'><script>alert(1)<&amp;\r\nX: y";
    tree.file(&format!("dir/{name}"), "");
    tree.file("target<i>", "");
    tree.link("../target<i>", "dir/link");
    let server = Server::start(&tree, &[]);
    let answer = get_with(&server, "/dir/?\"><script>", "");
    let text = answer.text();
    assert_eq!(answer.status, 200);
    assert!(!text.contains("<script") && !text.contains("\"'>") && !text.contains("<i>"), "{text}");
    assert!(text.contains("&lt;script&gt;"), "{text}");
    // And the reference leads to the file.
    let from = text.find("%22").unwrap();
    let reference = &text[from..from + text[from..].find('"').unwrap()];
    assert_eq!(get_with(&server, &format!("/dir/{reference}"), "").status, 200);
}

#[test]
fn line_ends_in_an_address_do_not_become_fields() {
    let tree = Tree::new();
    tree.file("dir/file", "");
    tree.file("cr\rlf\n/file", "");
    let server = Server::start(&tree, &[]);
    for end in ["%0d%0a", "%0a", "%0d", "%E5%98%8A%E5%98%8D", "%250d%250a", "%c2%8d", "%00%0d%0a"] {
        for target in [
            format!("/dir?{end}Set-Cookie: x"),
            format!("/{end}Set-Cookie:%20x/../dir"),
            format!("/dir{end}Set-Cookie:x"),
        ] {
            let target = target.replace(' ', "%20");
            let answer = get_with(&server, &target, "");
            assert_eq!(answer.field("Set-Cookie"), None, "{target}");
            assert_eq!(answer.fields("Server").count(), 1, "{target}");
        }
    }
    let answer = get_with(&server, "/cr%0dlf%0a", "");
    assert_eq!((answer.status, answer.field("Location")), (302, Some("/cr%0dlf%0a/")));
}

#[test]
fn a_redirect_leads_to_no_other_host() {
    let tree = Tree::new();
    tree.file("evil.example/file", "");
    let server = Server::start(&tree, &[]);
    for target in [
        "//evil.example",
        "///evil.example",
        "/%2fevil.example",
        "/\\evil.example",
        "/%5cevil.example",
        "/./evil.example",
        "/.//evil.example",
        "/x/..//evil.example",
        "http://evil.example/evil.example",
        "/evil.example?//x",
        "/;//evil.example",
        "/%09/evil.example",
        "/x/../%2fevil.example",
    ] {
        let answer = get_with(&server, target, "");
        if let Some(location) = answer.field("Location") {
            assert!(location.starts_with('/') && !location.starts_with("//"), "{target}: {location}");
            assert!(!location.starts_with("/\\") && !location.contains("://"), "{target}: {location}");
        }
    }
}
