//! Rates, shares, and what is counted.

use std::net::Ipv4Addr;
use std::time::Instant;

use super::{Download, assert_within, read_all, seconds, serve, total};
use crate::support::{Client, Server, Tree};

#[test]
fn a_download_keeps_to_its_rule_over_ten_seconds() {
    let (_tree, server) = serve("**.bin 20000\n", &["a.bin"]);
    let mut download = Download::begin(&server, "/a.bin");
    let (begin, end) = (download.began, download.began + seconds(11.0));
    download.read_until(end);
    for tenths in (2..=110).step_by(2) {
        let t = f64::from(tenths) / 10.0;
        let bytes = download.bytes(begin, begin + seconds(t));
        assert!(bytes <= 20_000.0 * (t + 0.25), "{bytes} bytes in the first {t} s");
    }
    assert_within(download.bytes(begin, begin + seconds(10.0)), 200_000.0, 3.0);
    assert_within(download.bytes(begin + seconds(1.0), end), 200_000.0, 3.0);
}

#[test]
fn simultaneous_downloads_share_evenly_and_hand_over_within_a_second() {
    let (_tree, server) = serve("**.bin 90000\n", &["a.bin"]);
    let mut downloads: Vec<_> = (0..3).map(|_| Download::begin(&server, "/a.bin")).collect();
    let begin = Instant::now();
    let end = begin + seconds(5.0);
    read_all(&mut downloads, end);
    for download in &downloads {
        assert_within(download.bytes(begin + seconds(1.0), end), 120_000.0, 10.0);
    }
    assert_within(total(&downloads, begin + seconds(1.0), end), 360_000.0, 5.0);
    assert!(total(&downloads, begin, end) <= 90_000.0 * 5.25);

    downloads.pop();
    let later = end + seconds(5.0);
    read_all(&mut downloads, later);
    for download in &downloads {
        assert_within(download.bytes(end + seconds(1.0), later), 180_000.0, 10.0);
    }
}

/// A server whose `/a.bin` never ends, under one rule.
fn serve_endless(rules: &str) -> (Tree, Server) {
    let tree = Tree::new();
    let file = tree.file("a.bin", "");
    std::fs::File::options().write(true).open(file).unwrap().set_len(1 << 40).unwrap();
    let rules = tree.beside("throttles", rules);
    let server = Server::start(&tree, &["-t", rules.to_str().unwrap()]);
    (tree, server)
}

#[test]
fn a_fast_rule_is_used_up() {
    let rate = 100_000_000.0;
    let (_tree, server) = serve_endless("a.bin 100000000\n");
    let mut downloads: Vec<_> = (0..4).map(|_| Download::begin(&server, "/a.bin")).collect();
    let begin = Instant::now();
    let end = begin + seconds(4.0);
    read_all(&mut downloads, end);
    // What is on its way at the end of a stretch arrives after it: socket buffers hold some MB.
    assert_within(total(&downloads, begin + seconds(1.0), end), rate * 3.0, 10.0);
    assert!(total(&downloads, begin, end) <= rate * 4.25);
}

#[test]
fn the_tightest_of_several_rules_holds_and_the_widest_is_used_up() {
    let (_tree, server) = serve("** 60000\n**.mpg 20000\n", &["a.html", "b.mpg"]);
    let mut downloads = [Download::begin(&server, "/a.html"), Download::begin(&server, "/b.mpg")];
    let begin = Instant::now() + seconds(1.0);
    let end = begin + seconds(5.0);
    read_all(&mut downloads, end);
    assert_within(downloads[0].bytes(begin, end), 200_000.0, 10.0);
    assert_within(downloads[1].bytes(begin, end), 100_000.0, 10.0);
}

#[test]
fn what_clients_do_not_read_is_left_to_others() {
    let (_tree, server) = serve_endless("a.bin 20000000\n");
    // Their socket buffers take some megabytes, and then nothing.
    let _stalled: Vec<_> = (0..10).map(|_| Download::begin(&server, "/a.bin")).collect();
    let mut reader = Download::begin(&server, "/a.bin");
    let deadline = reader.began + seconds(20.0);
    loop {
        let begin = Instant::now();
        reader.read_until(begin + seconds(1.0));
        let bytes = reader.bytes(begin, begin + seconds(1.0));
        if bytes >= 0.95 * 20e6 {
            return;
        }
        assert!(begin < deadline, "{bytes} bytes in a second beside ten that read nothing");
    }
}

/// Sends the same request again and again on one connection for `length` seconds; the bytes of its
/// responses, heads included.
fn repeat(server: &Server, method: &str, request: &str, length: f64) -> f64 {
    let mut client = Client::connect(server.address());
    let begin = Instant::now();
    let mut bytes = 0;
    loop {
        client.send(request);
        let answer = client.answer(method);
        if begin.elapsed() >= seconds(length) {
            return bytes as f64;
        }
        bytes += answer.head.len() + 4 + answer.body.len();
    }
}

#[test]
fn every_kind_of_response_is_paced_by_the_bytes_it_really_sends() {
    let request = |line: &str, field: &str| format!("{line} HTTP/1.1\r\nHost: localhost\r\n{field}\r\n");
    let future = "If-Modified-Since: Fri, 01 Jan 2038 00:00:00 GMT\r\n";
    let kinds = [
        ("keep-alive", "GET", request("GET /small.txt", "")),
        ("HEAD", "HEAD", request("HEAD /large.bin", "")),
        ("304", "GET", request("GET /small.txt", future)),
        ("range", "GET", request("GET /large.bin", "Range: bytes=1000-1499\r\n")),
        ("listing", "GET", request("GET /list/", "")),
    ];
    std::thread::scope(|scope| {
        for (kind, method, request) in kinds {
            scope.spawn(move || {
                let (tree, server) = serve("** 6000\n", &["large.bin"]);
                tree.file("small.txt", "x".repeat(700));
                tree.dir_in("list/of/files");
                let bytes = repeat(&server, method, &request, 4.0);
                assert!(bytes <= 6000.0 * 4.25, "{kind}: {bytes} bytes in 4 s");
                assert!(bytes >= 6000.0 * 3.6, "{kind}: {bytes} bytes in 4 s");
            });
        }
    });
}

#[test]
fn names_that_no_rule_covers_are_not_held_back() {
    let (_tree, server) = serve("**.bin 1000\n", &["a.txt", "a.bin"]);
    let _slow = Download::begin(&server, "/a.bin");
    let begin = Instant::now();
    assert_eq!(server.connect().get("/a.txt").body.len(), 4 * 1024 * 1024);
    assert!(begin.elapsed() < seconds(5.0));
}

#[test]
fn each_address_has_a_rate_of_its_own() {
    let (_tree, server) = serve("** per-address 40000\n", &["a.bin"]);
    let here = |host: u8| Ipv4Addr::new(127, 0, 0, host);
    let from = [here(1), here(2), here(2)];
    let mut downloads: Vec<_> =
        from.into_iter().map(|from| Download::begin_from(from, &server, "/a.bin")).collect();
    let begin = Instant::now() + seconds(1.0);
    let end = begin + seconds(4.0);
    read_all(&mut downloads, end);
    for (download, share) in downloads.iter().zip([160_000.0, 80_000.0, 80_000.0]) {
        assert_within(download.bytes(begin, end), share, 10.0);
    }
}

#[test]
fn each_connection_has_a_rate_of_its_own_for_all_its_requests() {
    let (tree, server) = serve("** per-connection 20000\n", &["a.bin"]);
    tree.file("small.txt", "x".repeat(700));
    let mut downloads: Vec<_> = (0..2).map(|_| Download::begin(&server, "/a.bin")).collect();
    let begin = Instant::now() + seconds(1.0);
    let end = begin + seconds(3.0);
    read_all(&mut downloads, end);
    for download in &downloads {
        assert_within(download.bytes(begin, end), 60_000.0, 10.0);
    }
    let get = "GET /small.txt HTTP/1.1\r\nHost: localhost\r\n\r\n";
    let bytes = repeat(&server, "GET", get, 2.0);
    assert!(bytes <= 20_000.0 * 2.25, "{bytes} bytes in 2 s of one connection");
}

#[test]
fn a_few_bytes_a_second_still_flow() {
    let (_tree, server) = serve("a.bin 3\n", &["a.bin"]);
    let mut download = Download::begin(&server, "/a.bin");
    let end = download.began + seconds(4.0);
    download.read_until(end);
    let bytes = download.bytes(download.began, end);
    assert!((11.0..=13.0).contains(&bytes), "{bytes} bytes in 4 s");
}
