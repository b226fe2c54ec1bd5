//! Requests that come again byte for byte: whatever may change the response is seen, and each request is logged.
//!
//! A worker keeps the response to such a request for the rest of the second. One worker serves in these tests, so that
//! the same one gets all requests.

use std::fs;
use std::net::{SocketAddrV4, TcpStream};
use std::os::fd::AsRawFd;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use nix::sys::signal::Signal;
use nix::sys::socket::{AddressFamily, SockFlag, SockType, SockaddrIn, bind, connect, socket};

use crate::support::{Answer, Client, Server, Tree, eventually};

/// Requests in a row, of which most come within one second of the first.
const OFTEN: usize = 8;

/// A tree with the file that [`HEAD`] asks for.
fn page() -> Tree {
    let tree = Tree::new();
    tree.file("sub/a.txt", "one");
    tree
}

/// A server with one worker.
fn serve(tree: &Tree, flags: &[&str]) -> Server {
    let all: Vec<&str> = ["-o", "workers=1"].into_iter().chain(flags.iter().copied()).collect();
    Server::start(tree, &all)
}

/// Last of the answers to `head`, which is sent several times once the file is old enough to be cached.
fn often(client: &mut Client, head: &str) -> Answer {
    eventually("a settled entity tag", || {
        client.send(head);
        client.answer("GET").field("ETag").is_none_or(|tag| !tag.starts_with("W/"))
    });
    std::thread::sleep(Duration::from_millis(60));
    for _ in 1..OFTEN {
        client.send(head);
        client.answer("GET");
    }
    again(client, head)
}

/// Answer to `head`, sent once more.
fn again(client: &mut Client, head: &str) -> Answer {
    client.send(head);
    client.answer("GET")
}

/// Connection from another address of this machine.
fn from_elsewhere(server: &Server) -> Client {
    let fd = socket(AddressFamily::Inet, SockType::Stream, SockFlag::SOCK_CLOEXEC, None).unwrap();
    bind(fd.as_raw_fd(), &SockaddrIn::new(127, 0, 0, 2, 0)).unwrap();
    let port = server.address().port();
    connect(fd.as_raw_fd(), &SockaddrIn::from(SocketAddrV4::new([127, 0, 0, 1].into(), port))).unwrap();
    Client::of(TcpStream::from(fd))
}

const HEAD: &str = "GET /sub/a.txt HTTP/1.1\r\nHost: localhost\r\n\r\n";

#[test]
fn each_change_of_the_file_shows_at_once() {
    let tree = Tree::new();
    let path = tree.file("sub/a.txt", "one");
    let server = serve(&tree, &[]);
    let mut client = server.connect();
    let changes: [(&dyn Fn(), u16, &str); 5] = [
        (&|| fs::write(&path, "two").unwrap(), 200, "two"),
        (&|| fs::rename(tree.file("sub/b.txt", "six"), &path).unwrap(), 200, "six"),
        (&|| _ = tree.file("sub/.htpasswd", "u:x\n"), 401, ""),
        (&|| fs::remove_file(tree.www().join("sub/.htpasswd")).unwrap(), 200, "six"),
        (&|| tree.mode("sub/a.txt", 0o600), 403, ""),
    ];
    for (number, (change, status, text)) in changes.into_iter().enumerate() {
        often(&mut client, HEAD);
        change();
        let answer = again(&mut client, HEAD);
        assert_eq!(answer.status, status, "change {number}");
        assert!(status != 200 || answer.text() == text, "change {number}: {}", answer.text());
    }
    tree.mode("sub/a.txt", 0o644);
    often(&mut client, HEAD);
    fs::remove_file(&path).unwrap();
    assert_eq!(again(&mut client, HEAD).status, 404);
}

#[test]
fn each_client_is_asked_for_its_address_and_counted() {
    let tree = page();
    let deny = format!("rules={}", tree.beside("deny", "sub/** deny 127.0.0.2\n").display());
    let server = serve(&tree, &["-o", &deny]);
    assert_eq!(often(&mut server.connect(), HEAD).status, 200);
    assert_eq!(again(&mut from_elsewhere(&server), HEAD).status, 403);
    let counted = format!("rules={}", tree.beside("counted", "sub/** requests per-address 20/m\n").display());
    let server = serve(&tree, &["-o", &counted]);
    let mut client = server.connect();
    eventually("refused", || again(&mut client, HEAD).status == 429);
    assert_eq!(again(&mut from_elsewhere(&server), HEAD).status, 200);
}

#[test]
fn the_guards_of_a_name_hold_where_another_file_answers() {
    let tree = Tree::new();
    tree.file("index.html", "home");
    tree.file("p.html", "page");
    tree.file("packed.txt", "plain".repeat(20));
    // The last bytes are the length of the text.
    tree.file("packed.txt.gz", [&b"\x1f\x8b\x08"[..], &[0; 30], &[100, 0, 0, 0]].concat());
    tree.dir_in("private");
    let with = |rules: &str| {
        let path = tree.beside("rules", rules);
        serve(&tree, &["-o", "precompressed", "-o", &format!("rules={}", path.display())])
    };
    let get = |target: &str| format!("GET {target} HTTP/1.1\r\nHost: h\r\nAccept-Encoding: gzip\r\n\r\n");
    let server = with("private/** deny 127.0.0.2\n** fallback /index.html\n");
    let mut client = server.connect();
    assert_eq!(often(&mut client, &get("/private/x")).text(), "home");
    assert_eq!(again(&mut from_elsewhere(&server), &get("/private/x")).status, 403);
    tree.file("private/x", "own");
    assert_eq!(again(&mut client, &get("/private/x")).text(), "own");
    for (rule, warmed, target) in [
        ("private/** requests 20/h\n** fallback /index.html\n", "/", "/private/y"),
        ("p requests 20/h\n** try .html\n", "/p.html", "/p"),
    ] {
        let server = with(rule);
        let mut client = server.connect();
        often(&mut client, &get(warmed));
        assert!((0..25).any(|_| again(&mut client, &get(target)).status == 429), "{rule}");
    }
    let server = with("**.gz requests 20/h\n");
    let mut client = server.connect();
    often(&mut client, &get("/index.html"));
    let is_packed =
        |client: &mut Client| again(client, &get("/packed.txt")).field("Content-Encoding").is_some();
    assert!(is_packed(&mut client));
    assert!((0..25).any(|_| !is_packed(&mut client)), "the limit of the compressed form");
}

#[test]
fn the_address_that_a_trusted_proxy_names_counts_and_is_logged() {
    let tree = page();
    let deny = format!("rules={}", tree.beside("deny", "sub/** deny 192.0.2.7\n").display());
    let server = serve(&tree, &["-o", &deny, "-o", "trusted_proxies=127.0.0.1"]);
    let named = |address| HEAD.replace("\r\n\r\n", &format!("\r\nX-Forwarded-For: {address}\r\n\r\n"));
    let mut client = server.connect();
    assert_eq!(often(&mut client, &named("192.0.2.8")).status, 200);
    assert_eq!(often(&mut client, &named("192.0.2.7")).status, 403);
    assert_eq!(again(&mut from_elsewhere(&server), &named("192.0.2.7")).status, 200);
    server.logged("127.0.0.2 - - ");
    let server = serve(&tree, &["-o", "trusted_proxies=127.0.0.1"]);
    let mut client = server.connect();
    often(&mut client, &named("192.0.2.8"));
    again(&mut client, "GET /last HTTP/1.1\r\nHost: localhost\r\n\r\n");
    server.logged("/last");
    let number = server.log_lines().len();
    for _ in 0..OFTEN {
        again(&mut client, &named("192.0.2.7"));
        again(&mut client, &named("192.0.2.8"));
    }
    eventually("all lines", || server.log_lines().len() == number + 2 * OFTEN);
    let lines = server.log_lines();
    assert_eq!(lines[number..].iter().filter(|line| line.starts_with("192.0.2.7 - - ")).count(), OFTEN);
}

#[test]
fn a_password_file_for_everything_is_asked_each_time() {
    let tree = page();
    let server = serve(&tree, &["-o", "globalpasswd"]);
    let mut client = server.connect();
    assert_eq!(often(&mut client, HEAD).status, 200);
    tree.file(".htpasswd", "u:x\n");
    assert_eq!(again(&mut client, HEAD).status, 401);
}

#[test]
fn a_log_with_more_facts_has_them_for_each_request() {
    let tree = page();
    let server = serve(&tree, &["-o", "log_format=json"]);
    often(&mut server.connect(), HEAD);
    again(&mut from_elsewhere(&server), HEAD);
    let line: serde_json::Value = serde_json::from_str(&server.logged("\"127.0.0.2\"")).unwrap();
    assert_eq!((&line["host"], &line["status"]), (&"localhost".into(), &200.into()), "{line}");
}

#[test]
fn a_request_without_a_host_gets_the_virtual_host_of_its_connection() {
    let tree = Tree::new();
    tree.file("127.0.0.1/a.txt", "one");
    tree.file("127.0.0.2/a.txt", "two");
    let server = serve(&tree, &["-v", "-h", "0.0.0.0"]);
    let head = "GET /a.txt HTTP/1.0\r\nConnection: keep-alive\r\n\r\n";
    assert_eq!(often(&mut server.connect(), head).text(), "one");
    let port = server.address().port();
    let mut other = Client::of(TcpStream::connect(("127.0.0.2", port)).unwrap());
    assert_eq!(again(&mut other, head).text(), "two");
}

#[test]
fn each_request_is_logged_with_its_client_and_all_that_was_sent() {
    let tree = page();
    let server = serve(&tree, &[]);
    let head = "GET /sub/a.txt HTTP/1.1\r\nHost: h\r\nReferer: http://r/\"\r\nUser-Agent: again\r\n\r\n";
    let mut client = server.connect();
    eventually("a settled entity tag", || !again(&mut client, head).field("ETag").unwrap().starts_with("W/"));
    let before = server.log_lines().len();
    for _ in 0..50 {
        again(&mut client, head);
    }
    again(&mut from_elsewhere(&server), head);
    server.logged("127.0.0.2 - - ");
    let lines = server.log_lines();
    let of = |address: &str| {
        let end = "\"GET /sub/a.txt HTTP/1.1\" 200 3 \"http://r/\\x22\" \"again\"";
        let is_whole = |line: &&String| line.starts_with(&format!("{address} - - [")) && line.ends_with(end);
        lines.iter().filter(is_whole).count()
    };
    assert_eq!((of("127.0.0.2"), of("127.0.0.1") + 1), (1, lines.len()));
    assert!(lines.len() > 50 && before < lines.len(), "{before} and {}", lines.len());
}

#[test]
fn dates_move_on() {
    let tree = page();
    let server = serve(&tree, &["-M", "60"]);
    let mut client = server.connect();
    often(&mut client, HEAD);
    let (until, mut seconds) = (Instant::now() + Duration::from_millis(2200), Vec::new());
    while Instant::now() < until {
        let before = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        let answer = again(&mut client, HEAD);
        let date = |name| {
            let date = httpdate::parse_http_date(answer.field(name).unwrap()).unwrap();
            date.duration_since(UNIX_EPOCH).unwrap().as_secs()
        };
        // The coarse clock is a few milliseconds behind, and a worker on a busy machine more.
        assert!(date("Date") >= before.saturating_sub(Duration::from_millis(500)).as_secs());
        assert_eq!(date("Expires"), date("Date") + 60);
        seconds.push(date("Date"));
    }
    seconds.dedup();
    assert!(seconds.len() >= 3, "{seconds:?}");
}

#[test]
fn the_last_request_of_a_connection_is_told_so() {
    let tree = page();
    let server = serve(&tree, &["-o", "keepalive_requests=2000"]);
    let mut first = server.connect();
    often(&mut first, HEAD);
    let mut client = server.connect();
    for number in 1..=2000 {
        let closes = again(&mut client, HEAD).field("Connection") == Some("close");
        assert_eq!(closes, number == 2000, "request {number}");
    }
    assert!(client.is_closed());
}

#[test]
fn a_new_configuration_counts_from_the_next_request_on() {
    let tree = page();
    let conf = |age: &str| tree.beside("conf", &format!("reload_on_hup\nmax_age={age}\n"));
    let path = conf("11");
    let server = serve(&tree, &["-C", path.to_str().unwrap()]);
    let mut client = server.connect();
    assert_eq!(often(&mut client, HEAD).field("Cache-Control"), Some("max-age=11"));
    conf("22");
    server.signal(Signal::SIGHUP);
    let age = |client: &mut Client| again(client, HEAD).field("Cache-Control").unwrap().to_owned();
    eventually("the new age", || age(&mut client) == "max-age=22");
    assert!((0..OFTEN).all(|_| age(&mut client) == "max-age=22"));
}

#[test]
fn forms_of_a_request_are_told_apart() {
    let tree = Tree::new();
    tree.file("sub/a.txt", "0123456789");
    let server = serve(&tree, &[]);
    let mut client = server.connect();
    let tag = often(&mut client, HEAD).field("ETag").unwrap().to_owned();
    let with = |field: &str| HEAD.replace("\r\n\r\n", &format!("\r\n{field}\r\n\r\n"));
    for _ in 0..OFTEN {
        assert_eq!(again(&mut client, HEAD).text(), "0123456789");
        let range = again(&mut client, &with("Range: bytes=2-4"));
        assert_eq!((range.status, range.field("Content-Range")), (206, Some("bytes 2-4/10")));
        assert_eq!(range.text(), "234");
        assert_eq!(again(&mut client, &with(&format!("If-None-Match: {tag}"))).status, 304);
        assert_eq!(again(&mut client, &with("If-Match: \"other\"")).status, 412);
        client.send(HEAD.replace("GET", "HEAD"));
        let head = client.answer("HEAD");
        assert_eq!((head.status, head.field("Content-Length")), (200, Some("10")));
        // Two at once, one in two pieces, and one with content.
        client.send(format!("{HEAD}{HEAD}"));
        assert_eq!([client.answer("GET").text(), client.answer("GET").text()], ["0123456789"; 2]);
        let (start, end) = HEAD.split_at(30);
        client.send(start);
        client.send(end);
        assert_eq!(client.answer("GET").text(), "0123456789");
        client.send(with("Content-Length: 3") + "abc");
        assert_eq!(client.answer("GET").text(), "0123456789");
        let closing = again(&mut server.connect(), &with("Connection: close"));
        assert_eq!(closing.field("Connection"), Some("close"));
    }
}
