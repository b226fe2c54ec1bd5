//! Output of scripts, and the resulting responses and log lines.

use std::time::{Duration, Instant};

use super::Site;

const TEXT: &str = "printf 'Content-Type: text/plain\\n\\n'";

#[test]
fn content_is_chunked_on_1_1_and_the_connection_goes_on() {
    let site = Site::new("", &[("hi", &format!("{TEXT}; echo hi"))]);
    let mut client = site.server.connect();
    for _ in 0..3 {
        let answer = client.get("/cgi-bin/hi");
        assert_eq!((answer.status, answer.text().as_str()), (200, "hi\n"));
        assert_eq!(answer.field("Transfer-Encoding"), Some("chunked"));
        assert_eq!(answer.field("Content-Type"), Some("text/plain"));
        assert!(answer.field("Date").is_some() && answer.field("Server").unwrap().starts_with("thttpd/"));
    }
    assert_eq!(client.get("/hello.txt").text(), "Hello, world!\n");
}

#[test]
fn on_1_0_the_end_of_the_connection_ends_the_content() {
    let site = Site::new("", &[("hi", &format!("{TEXT}; echo hi"))]);
    let mut client = site.server.connect();
    client.send("GET /cgi-bin/hi HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
    let all = String::from_utf8(client.rest().unwrap()).unwrap();
    assert!(all.ends_with("\r\n\r\nhi\n") && !all.contains("Transfer-Encoding"), "{all}");
}

#[test]
fn a_length_from_the_script_is_kept_on_both_versions() {
    let site = Site::new("", &[("length", "printf 'Content-Length: 3\\n\\nabcdef'")]);
    for version in ["1.0\r\nConnection: keep-alive", "1.1"] {
        let mut client = site.server.connect();
        for _ in 0..2 {
            client.send(format!("GET /cgi-bin/length HTTP/{version}\r\nHost: x\r\n\r\n"));
            let answer = client.answer("GET");
            assert_eq!((answer.field("Content-Length"), answer.text().as_str()), (Some("3"), "abc"));
        }
    }
}

#[test]
fn content_shorter_than_its_length_is_cut_off_visibly() {
    let site = Site::new("", &[("short", "printf 'Content-Length: 30\\n\\nabc'")]);
    let mut client = site.asking("/cgi-bin/short");
    assert!(client.try_answer("GET").is_none());
    site.told("it wrote less than its Content-Length");
}

#[test]
fn output_is_sent_as_it_comes() {
    let wait = "while ! test -e ../go; do sleep 0.01; done";
    let site = Site::new("", &[("slow", &format!("{TEXT}; echo first; {wait}; echo last"))]);
    let mut client = site.server.connect();
    client.send("GET /cgi-bin/slow HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    let mut got = String::new();
    while !got.contains("first") {
        let mut piece = [0; 1000];
        let n = std::io::Read::read(&mut client.stream(), &mut piece).unwrap();
        got += std::str::from_utf8(&piece[..n]).unwrap();
    }
    assert!(!got.contains("last"));
    site.tree.file("go", "");
    let rest = String::from_utf8(client.rest().unwrap()).unwrap();
    assert!(rest.contains("last"), "{rest}");
}

#[test]
fn status_reason_and_fields_are_the_scripts() {
    let site = Site::new(
        "",
        &[(
            "fields",
            "printf 'Status: 418 Teapot\\r\\nSet-Cookie: a=b\\r\\nSet-Cookie: c=d\\r\\nServer: x\\r\\n\\r\\n'",
        )],
    );
    let answer = site.get("/cgi-bin/fields");
    assert!(answer.head.starts_with("HTTP/1.1 418 Teapot\r\n"), "{}", answer.head);
    assert_eq!(answer.fields("Set-Cookie").collect::<Vec<_>>(), ["a=b", "c=d"]);
    assert_eq!(answer.fields("Server").count(), 1);
}

#[test]
fn a_location_elsewhere_goes_to_the_client_and_a_path_is_answered_here() {
    let site = Site::new(
        "",
        &[
            ("away", "printf 'Location: http://example.com/x\\n\\n'"),
            ("here", "printf 'Location: /hello.txt\\n\\n'"),
            ("again", "printf 'Location: /cgi-bin/query?a+b\\n\\n'"),
            ("query", &format!("{TEXT}; echo \"$REQUEST_METHOD $QUERY_STRING $CONTENT_LENGTH\"")),
            ("round", "printf 'Location: /cgi-bin/round\\n\\n'"),
        ],
    );
    let away = site.get("/cgi-bin/away");
    assert_eq!((away.status, away.field("Location")), (302, Some("http://example.com/x")));
    let here = site.get("/cgi-bin/here");
    assert_eq!((here.status, here.text().as_str()), (200, "Hello, world!\n"));
    assert_eq!(here.field("Location"), None);
    let line = site.server.logged("/cgi-bin/here");
    assert!(line.contains("\"GET /cgi-bin/here HTTP/1.1\" 200 14"), "{line}");
    let again = site.ask("POST /cgi-bin/again HTTP/1.1", "Content-Length: 3\r\n", "abc");
    assert_eq!(again.text(), "GET a+b \n");
    assert_eq!(site.get("/cgi-bin/round").status, 502);
    site.told("it redirects in a circle");
    site.expect_no_process();
}

#[test]
fn head_sends_no_content_and_keeps_the_connection() {
    let site = Site::new(
        "",
        &[
            ("hi", &format!("{TEXT}; echo hi; echo done >&2")),
            ("nph-hi", "printf 'HTTP/1.0 203 Raw\\r\\nX: y\\r\\n\\r\\nraw'"),
        ],
    );
    let mut client = site.server.connect();
    for _ in 0..2 {
        client.send("HEAD /cgi-bin/hi HTTP/1.1\r\nHost: x\r\n\r\n");
        assert_eq!(client.answer("HEAD").status, 200);
    }
    client.send("HEAD /cgi-bin/nph-hi HTTP/1.1\r\nHost: x\r\n\r\n");
    assert_eq!(String::from_utf8(client.rest().unwrap()).unwrap(), "HTTP/1.0 203 Raw\r\nX: y\r\n\r\n");
    site.told("done");
}

#[test]
fn a_script_without_a_proper_head_is_a_bad_gateway_and_the_log_says_why() {
    let site = Site::new(
        "",
        &[
            ("silent", "exit 0"),
            ("fail", "exit 3"),
            ("headless", "echo no header at all"),
            ("crash", "kill -SEGV $$"),
            ("inject", "printf 'X: a\\rSet-Cookie: evil\\n\\n'"),
        ],
    );
    let mut client = site.server.connect();
    for (script, said) in [
        ("silent", "CGI cgi-bin/silent failed - it wrote nothing (exit status: 0)"),
        ("fail", "CGI cgi-bin/fail failed - it wrote nothing (exit status: 3)"),
        ("headless", "CGI cgi-bin/headless failed - its output ended before its head did"),
        ("crash", "CGI cgi-bin/crash failed - it wrote nothing (signal: 11"),
        ("inject", "CGI cgi-bin/inject failed - a field of its head holds a control character"),
    ] {
        let answer = client.get(&format!("/cgi-bin/{script}"));
        assert_eq!(answer.status, 502, "{script}");
        assert!(answer.text().contains("502 Bad Gateway"), "{}", answer.text());
        site.told(said);
        let line = site.server.logged(&format!("/cgi-bin/{script} "));
        assert!(line.contains(&format!("\" 502 {} ", answer.body.len())), "{line}");
    }
}

#[test]
fn a_script_that_cannot_be_run_is_an_internal_error() {
    let site = Site::new("", &[]);
    super::lay_script(&site.tree.www().join("cgi-bin/none"), "#!/no/such/interpreter\n");
    assert_eq!(site.get("/cgi-bin/none").status, 500);
    site.told("execve cgi-bin/none - No such file");
}

#[test]
fn the_response_of_a_script_that_crashes_is_not_completed() {
    let site = Site::new("", &[("half", &format!("{TEXT}; echo half; kill -KILL $$"))]);
    assert!(site.asking("/cgi-bin/half").try_answer("GET").is_none());
    site.told("it was ended before its output was complete (signal: 9");
}

#[test]
fn standard_error_goes_to_the_log_and_not_to_the_client() {
    let site = Site::new("", &[("grumble", &format!("echo early >&2; {TEXT}; echo hi; echo late >&2"))]);
    let answer = site.get("/cgi-bin/grumble");
    assert_eq!(answer.text(), "hi\n");
    site.told("CGI cgi-bin/grumble: early");
    site.told("CGI cgi-bin/grumble: late");
}

#[test]
fn the_access_log_counts_what_was_really_sent() {
    let site = Site::new(
        "",
        &[
            ("count", &format!("{TEXT}; head -c 123456 /dev/zero")),
            ("nph-x", "printf 'abc'"),
            ("nph-head", "printf 'HTTP/1.0 203 Raw\\r\\n\\r\\nraw'"),
        ],
    );
    assert_eq!(site.get("/cgi-bin/count").body.len(), 123_456);
    let line = site.server.logged("/cgi-bin/count");
    assert!(line.contains("\"GET /cgi-bin/count HTTP/1.1\" 200 123456"), "{line}");
    let mut client = site.server.connect();
    client.send("HEAD /cgi-bin/count HTTP/1.0\r\n\r\n");
    client.rest();
    let line = site.server.logged("HEAD /cgi-bin/count");
    assert!(line.contains("\" 200 0 "), "{line}");
    site.asking("/cgi-bin/nph-x").rest();
    assert!(site.server.logged("nph-x").contains("\" 200 3 "));
    // All bytes of a raw response are counted.
    site.asking("/cgi-bin/nph-head").rest();
    assert!(site.server.logged("nph-head").contains("\" 203 23 "), "{:?}", site.server.log_lines());
}

#[test]
fn a_request_of_version_0_9_gets_the_output_as_it_is() {
    let site = Site::new("", &[("hi", "printf 'Content-Type: a/b\\n\\nhi'")]);
    let mut client = site.server.connect();
    client.send("GET /cgi-bin/hi\r\n");
    assert_eq!(client.rest().unwrap(), b"Content-Type: a/b\n\nhi");
}

#[test]
fn a_throttle_paces_a_script() {
    let tree_rule = "**/cgi-bin/* 40000\ncgi-bin/* 40000\n";
    let site = Site::new("", &[]);
    let rules = site.tree.beside("throttles", tree_rule);
    let conf = site.tree.beside("conf", "cgipat=/cgi-bin/*\n");
    super::lay_script(
        &site.tree.www().join("cgi-bin/big"),
        &format!("#!/bin/sh\n{TEXT}; head -c 80000 /dev/zero\n"),
    );
    let flags = ["-C", conf.to_str().unwrap(), "-t", rules.to_str().unwrap()];
    let server = crate::support::Server::start(&site.tree, &flags);
    let start = Instant::now();
    assert_eq!(server.connect().get("/cgi-bin/big").body.len(), 80_000);
    let took = start.elapsed();
    assert!(took > Duration::from_millis(1200), "80000 bytes at 40000 a second came in {took:?}");
}

#[test]
fn a_response_that_a_script_has_chunked_itself_is_framed_once() {
    let script = "printf 'Transfer-Encoding: chunked\\r\\nContent-Type: text/plain\\r\\n\\r\\n'; \
        printf '5\\r\\nhello\\r\\n'; printf '6\\r\\n world\\r\\n0\\r\\n\\r\\n'";
    let broken = "printf 'Transfer-Encoding: chunked\\n\\nhello'";
    let other = "printf 'Transfer-Encoding: gzip\\n\\nhello'";
    let site = Site::new("", &[("chunked", script), ("broken", broken), ("other", other)]);
    let mut client = site.server.connect();
    for _ in 0..2 {
        let answer = client.get("/cgi-bin/chunked");
        assert_eq!((answer.status, answer.text().as_str()), (200, "hello world"));
        assert_eq!(answer.fields("Transfer-Encoding").collect::<Vec<_>>(), ["chunked"]);
    }
    let mut old = site.server.connect();
    old.send("GET /cgi-bin/chunked HTTP/1.0\r\n\r\n");
    assert!(String::from_utf8(old.rest().unwrap()).unwrap().ends_with("\r\n\r\nhello world"));
    for script in ["broken", "other"] {
        assert_eq!(site.get(&format!("/cgi-bin/{script}")).status, 502, "{script}");
    }
}

#[test]
fn empty_fields_of_a_script_are_fields_not_sent() {
    let fields = "Content-Length:\\nStatus: \\nLocation:\\nX-Empty:\\nX-Full: y\\n\\nhello";
    let site = Site::new("", &[("empty", &format!("printf '{fields}'"))]);
    let answer = site.get("/cgi-bin/empty");
    assert_eq!((answer.status, answer.text().as_str()), (200, "hello"));
    assert_eq!((answer.field("X-Empty"), answer.field("X-Full")), (None, Some("y")));
}

#[test]
fn the_path_behind_a_script_keeps_its_slash_and_field_names_have_no_case() {
    let info = format!("{TEXT}; printf '%s' \"$PATH_INFO\"");
    let moved = "printf 'location: http://e.example/\\nX: y\\n\\n'";
    let gone = "printf 'status: 410\\n\\n'";
    let site = Site::new("", &[("info", &info), ("moved", moved), ("gone", gone)]);
    assert_eq!(site.get("/cgi-bin/info/a/b/").text(), "/a/b/");
    assert_eq!((site.get("/cgi-bin/moved").status, site.get("/cgi-bin/gone").status), (302, 410));
}

#[test]
fn field_names_of_scripts_are_understood_in_any_letter_case() {
    let site = Site::new(
        "",
        &[
            ("away", "printf 'location: http://example.com/x\\n\\n'"),
            ("here", "printf 'LOCATION: /hello.txt\\n\\n'"),
            ("status", "printf 'STATUS: 404 Gone Fishing\\ncontent-type: text/plain\\n\\nno'"),
        ],
    );
    let away = site.get("/cgi-bin/away");
    assert_eq!((away.status, away.field("Location")), (302, Some("http://example.com/x")));
    assert_eq!(site.get("/cgi-bin/here").text(), "Hello, world!\n");
    let missing = site.get("/cgi-bin/status");
    assert_eq!((missing.status, missing.field("Content-Type")), (404, Some("text/plain")));
}
