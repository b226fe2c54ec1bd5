//! Values longer than a buffer. Debug builds check every bound and sum; a release build answers equally.

use super::{Answer, Server, Tree, edges, get_with};

fn tree() -> Tree {
    let tree = Tree::new();
    tree.file("file", "content");
    tree
}

/// The server answers each, and goes on.
fn survives(requests: impl Iterator<Item = (String, String)>, fine: impl Fn(&Answer) -> bool) {
    let tree = tree();
    let mut server = Server::start(&tree, &[]);
    for (target, fields) in requests {
        let answer = get_with(&server, &target, &fields);
        assert!(fine(&answer), "{} for {target:.60} {fields:.60}", answer.head);
    }
    assert!(server.is_alive());
    assert_eq!(get_with(&server, "/file", "").text(), "content");
}

#[test]
fn cve_1999_1457_and_cve_2000_0359_dates_of_any_length_are_only_dates() {
    let dates = |n: usize| {
        let x = "x".repeat(n);
        let digits = "9".repeat(n);
        [
            x.clone(),
            digits.clone(),
            format!("Sun, 06 {x} 1994 08:49:37 GMT"),
            format!("Sun, {digits} Nov 1994 08:49:37 GMT"),
            format!("Sun, 06 Nov {digits} 08:49:37 GMT"),
            format!("{x}day, 06-Nov-94 08:49:37 GMT"),
            format!("Sun Nov  6 08:49:37 1994{x}"),
        ]
    };
    let fields = ["If-Modified-Since", "If-Unmodified-Since", "If-Range"];
    let requests = edges().flat_map(|n| {
        fields.into_iter().flat_map(move |field| {
            dates(n).map(|date| ("/file".to_owned(), format!("{field}: {date}\r\nRange: bytes=0-1\r\n")))
        })
    });
    survives(requests, |answer| matches!(answer.status, 200 | 206));
}

#[test]
fn cve_2003_0899_markup_in_an_address_is_escaped_within_bounds() {
    let requests = edges().flat_map(|n| {
        ["<", ">", "&", "\"", "'", "<>", "%3c", "\u{e9}", "%ff"]
            .map(|piece| (format!("/{}", piece.repeat(n / piece.len())), String::new()))
    });
    survives(requests, |answer| {
        let text = answer.text();
        answer.status == 404 && !text.contains("<<") && !text.contains("<>") && text.len() < 4000
    });
}

#[test]
fn cve_2001_1496_credentials_of_any_length_are_only_wrong() {
    use std::fmt::Write;
    let tree = tree();
    tree.file(".htpasswd", "user:$1$abcdefgh$irWbblnpmw.5z7wgBnprh0\n");
    let mut server = Server::start(&tree, &[]);
    for n in edges() {
        for credentials in ["A".repeat(n), "QUFB".repeat(n / 4), format!("{}=", "A".repeat(n)), "=".repeat(n)]
        {
            let mut fields = String::new();
            write!(fields, "Authorization: Basic {credentials}\r\n").unwrap();
            assert_eq!(get_with(&server, "/file", &fields).status, 401, "{n}");
        }
    }
    assert!(server.is_alive());
}

#[test]
fn cve_2015_1548_versions_methods_and_targets_of_any_length_are_answered() {
    let tree = tree();
    let mut server = Server::start(&tree, &[]);
    for n in edges() {
        let x = "x".repeat(n);
        for (head, statuses) in [
            (format!("GET /file {x}\r\n\r\n"), [400, 400]),
            (format!("GET /file HTTP/1.1{x}\r\n\r\n"), [400, 400]),
            (format!("{x} /file HTTP/1.1\r\nHost: x\r\n\r\n"), [501, 501]),
            (format!("GET /{x} HTTP/1.1\r\nHost: x\r\n\r\n"), [404, 404]),
            (format!("GET /{}file HTTP/1.1\r\nHost: x\r\n\r\n", "./".repeat(n / 2)), [200, 200]),
            (format!("GET /file HTTP/1.1\r\nHost: {x}\r\n\r\n"), [200, 400]),
        ] {
            let mut client = server.connect();
            client.send(&head);
            let answer = client.answer("GET");
            assert!(statuses.contains(&answer.status), "{head:.80}: {}", answer.head);
            assert!(answer.head.starts_with("HTTP/1.1 "), "{}", answer.head);
        }
    }
    assert!(server.is_alive());
}

#[test]
fn fields_of_any_length_are_taken_or_refused_whole() {
    let names = ["Host", "Referer", "User-Agent", "Cookie", "Range", "If-None-Match", "Accept-Encoding", "X"];
    let requests = edges().flat_map(|n| {
        let names = names.into_iter().skip(1);
        names.map(move |name| ("/file".to_owned(), format!("{name}: {}\r\n", "y".repeat(n))))
    });
    survives(requests, |answer| answer.status == 200);
}
