//! Rates, shares, and counting.

use std::net::Ipv4Addr;
use std::time::Instant;

use super::{Download, get_shares, patiently, read_all, seconds, serve, serve_with, total, within};
use crate::support::{Client, Server, Tree};

#[test]
fn a_download_keeps_to_its_rule_over_ten_seconds() {
    let (_tree, server) = serve("**.bin 20000\n", &["a.bin"]);
    let mut download = Download::begin(&server, "/a.bin");
    let begin = download.began;
    let mut from = begin;
    patiently(|| {
        download.read_until(from + seconds(10.0));
        let bytes = download.bytes(from, from + seconds(10.0));
        from += seconds(10.0);
        within(bytes, 200_000.0, 3.0)
    });
    for tenths in (2..=100).step_by(2) {
        let t = f64::from(tenths) / 10.0;
        let bytes = download.bytes(begin, begin + seconds(t));
        assert!(bytes <= 20_000.0 * (t + 0.25), "{bytes} bytes in the first {t} s");
    }
}

/// Three downloads under one rule, read for a second.
fn three(server: &Server) -> Vec<Download> {
    let mut downloads: Vec<_> = (0..3).map(|_| Download::begin(server, "/a.bin")).collect();
    read_all(&mut downloads, Instant::now() + seconds(1.0));
    downloads
}

#[test]
fn simultaneous_downloads_share_evenly() {
    let (_tree, server) = serve("**.bin 90000\n", &["a.bin"]);
    let begin = Instant::now();
    let mut downloads = three(&server);
    get_shares(&mut downloads, 4.0, &[30_000.0; 3]);
    let end = Instant::now();
    let bytes = total(&downloads, begin, end);
    assert!(bytes <= 90_000.0 * ((end - begin).as_secs_f64() + 0.25), "{bytes} bytes");
}

#[test]
fn when_one_ends_the_others_take_its_share_within_a_second() {
    let (_tree, server) = serve("**.bin 90000\n", &["a.bin"]);
    patiently(|| {
        let mut downloads = three(&server);
        downloads.pop();
        let begin = Instant::now() + seconds(1.0);
        let end = begin + seconds(3.0);
        read_all(&mut downloads, end);
        let mut each = downloads.iter();
        each.try_for_each(|download| within(download.bytes(begin, end), 135_000.0, 10.0))
    });
}

/// Server whose `/a.bin` never ends, under one rule.
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
    let rate = 30_000_000.0;
    let (_tree, server) = serve_endless("a.bin 30000000\n");
    let begin = Instant::now();
    let mut downloads: Vec<_> = (0..4).map(|_| Download::begin(&server, "/a.bin")).collect();
    read_all(&mut downloads, begin + seconds(1.0));
    get_shares(&mut downloads, 3.0, &[rate / 4.0; 4]);
    let end = Instant::now();
    assert!(total(&downloads, begin, end) <= rate * ((end - begin).as_secs_f64() + 0.25));
}

#[test]
fn the_tightest_of_several_rules_holds_and_the_widest_is_used_up() {
    let (_tree, server) = serve("** 60000\n**.mpg 20000\n", &["a.html", "b.mpg"]);
    let mut downloads = [Download::begin(&server, "/a.html"), Download::begin(&server, "/b.mpg")];
    read_all(&mut downloads, Instant::now() + seconds(1.0));
    get_shares(&mut downloads, 4.0, &[40_000.0, 20_000.0]);
}

#[test]
fn bytes_that_clients_do_not_read_are_left_to_others() {
    let (_tree, server) = serve_endless("a.bin 20000000\n");
    // Their socket buffers take some megabytes, and then nothing.
    let _stalled: Vec<_> = (0..10).map(|_| Download::begin(&server, "/a.bin")).collect();
    let mut reader = Download::begin(&server, "/a.bin");
    reader.read_until(Instant::now() + seconds(3.0));
    get_shares(&mut [reader], 2.0, &[20e6]);
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
                // The first stretch finds the budget full; one response may straddle an end.
                let most = 6000.0 * 4.25 + 1500.0;
                patiently(|| {
                    let bytes = repeat(&server, method, &request, 4.0);
                    assert!(bytes <= most, "{kind}: {bytes} bytes in 4 s");
                    within(bytes, 24_000.0, 13.0).map_err(|objection| format!("{kind}: {objection}"))
                });
            });
        }
    });
}

#[test]
fn the_output_of_a_script_keeps_to_its_rule() {
    let (tree, server) = serve_with(&["-c", "script"], "script 20000\n", &[]);
    tree.file("script", "#!/bin/sh\necho Content-Type: text/plain; echo; exec head -c 4000000 /dev/zero\n");
    tree.mode("script", 0o755);
    let mut download = Download::begin(&server, "/script");
    let begin = download.began;
    download.read_until(begin + seconds(2.0));
    let bytes = download.bytes(begin, begin + seconds(2.0));
    assert!(bytes <= 20_000.0 * 2.25, "{bytes} bytes in the first 2 s");
    get_shares(&mut [download], 3.0, &[20_000.0]);
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
    read_all(&mut downloads, Instant::now() + seconds(1.0));
    get_shares(&mut downloads, 4.0, &[40_000.0, 20_000.0, 20_000.0]);
}

#[test]
fn each_connection_has_a_rate_of_its_own_for_all_its_requests() {
    let (tree, server) = serve("** per-connection 20000\n", &["a.bin"]);
    tree.file("small.txt", "x".repeat(700));
    let mut downloads: Vec<_> = (0..2).map(|_| Download::begin(&server, "/a.bin")).collect();
    read_all(&mut downloads, Instant::now() + seconds(0.5));
    get_shares(&mut downloads, 3.0, &[20_000.0; 2]);
    let get = "GET /small.txt HTTP/1.1\r\nHost: localhost\r\n\r\n";
    let bytes = repeat(&server, "GET", get, 2.0);
    assert!(bytes <= 20_000.0 * 2.25, "{bytes} bytes in 2 s of one connection");
}

#[test]
fn a_few_bytes_a_second_still_flow() {
    let (_tree, server) = serve("a.bin 3\n", &["a.bin"]);
    let mut download = Download::begin(&server, "/a.bin");
    let began = download.began;
    download.read_until(began + seconds(4.0));
    let bytes = download.bytes(began, began + seconds(4.0));
    assert!(bytes <= 13.0, "{bytes} bytes in 4 s");
    assert!(bytes >= 8.0, "{bytes} bytes in 4 s");
}
