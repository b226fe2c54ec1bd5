//! Request lines (RFC 9112 §3).

use super::{Case, Closes, Server, Stays, case, run, tree, unfinished};

/// Request with the first line `line`.
fn first(line: &str) -> Vec<u8> {
    format!("{line}\r\nHost: x\r\n\r\n").into_bytes()
}

fn malformed(line: &str) -> Case {
    case(400, Closes, first(line))
}

#[test]
fn lines_that_are_not_method_target_version_are_400() {
    let lines = [
        " GET /a.txt HTTP/1.1",
        "\tGET /a.txt HTTP/1.1",
        "GET  /a.txt HTTP/1.1",
        "GET /a.txt  HTTP/1.1",
        "GET /a.txt HTTP/1.1 ",
        "GET /a.txt HTTP/1.1 x",
        "GET\t/a.txt HTTP/1.1",
        "GET /a.txt\tHTTP/1.1",
        "GET\x0b/a.txt\x0bHTTP/1.1",
        "GET /a.txt HTTP/1.1\r",
        "GET /a.txt\r HTTP/1.1",
        "GET",
        "GET ",
        "GET  HTTP/1.1",
        "GET /a b.txt HTTP/1.1",
        "GET/a.txt HTTP/1.1",
        "HEAD /a.txt",
        "POST /a.txt",
        "G@T /a.txt HTTP/1.1",
        "G(T /a.txt HTTP/1.1",
        "\"GET\" /a.txt HTTP/1.1",
        "GET: /a.txt HTTP/1.1",
        "GÉT /a.txt HTTP/1.1",
        "GET /a\0.txt HTTP/1.1",
        "GET /a\x1b[2J HTTP/1.1",
        "GET /a\x7f HTTP/1.1",
        "GET /a.txt HTTP/1.1\0",
        "GET\0 /a.txt HTTP/1.1",
    ];
    run(&tree(), &lines.map(malformed));
}

#[test]
fn versions_that_are_none_are_400_and_those_of_the_future_505() {
    let mut cases: Vec<Case> = [
        "http/1.1",
        "Http/1.1",
        "HTTP/1.10",
        "HTTP/01.1",
        "HTTP/1.",
        "HTTP/.1",
        "HTTP/1",
        "HTTP/11",
        "HTTP/",
        "HTTP/1,1",
        "HTTP/1.1.1",
        "HTTP/-1.1",
        "HTTP/+1.1",
        "HTTP/1.1;x",
        "HTTP/1.x",
        "HTTP/x.1",
        "JUNK/1.1",
        "HTTPS/1.1",
        "XHTTP/1.1",
        "HTTP\\1.1",
        "HTTP/１.１",
        "1.1",
        "HTTP",
    ]
    .map(|version| malformed(&format!("GET /a.txt {version}")))
    .into();
    for version in ["HTTP/2.0", "HTTP/3.0", "HTTP/9.9", "HTTP/0.9", "HTTP/0.0"] {
        cases.push(case(505, Closes, first(&format!("GET /a.txt {version}"))));
    }
    for version in ["HTTP/1.2", "HTTP/1.9"] {
        cases.push(case(200, Stays, first(&format!("GET /a.txt {version}"))));
    }
    cases.push(case(200, Closes, first("GET /a.txt HTTP/1.0")));
    run(&tree(), &cases);
}

#[test]
fn methods_that_are_unknown_are_501_and_those_a_file_has_not_405() {
    let mut cases: Vec<Case> = [
        "get /a.txt",
        "Get /a.txt",
        "GETT /a.txt",
        "GE /a.txt",
        "BREW /a.txt",
        "TRACK /a.txt",
        "PROPFIND /",
        "DEBUG /a.txt",
        "SEARCH /a.txt",
        "!#$%&'*+-.^_`|~ /a.txt",
        "PRI /a.txt",
        "CONNECT example.org:443",
        "CONNECT /a.txt",
    ]
    .map(|start| case(501, Stays, first(&format!("{start} HTTP/1.1"))))
    .into();
    for method in ["POST", "PUT", "DELETE", "TRACE", "PATCH"] {
        cases.push(case(405, Stays, first(&format!("{method} /a.txt HTTP/1.1"))));
    }
    cases.push(case(501, Stays, first(&format!("{} /a.txt HTTP/1.1", "M".repeat(4000)))));
    run(&tree(), &cases);
}

#[test]
fn lines_longer_than_the_limit_are_414_or_501_even_before_they_end() {
    let name = |n: usize| "n".repeat(n);
    run(
        &tree(),
        &[
            case(404, Stays, first(&format!("GET /{} HTTP/1.1", name(7999)))),
            case(414, Closes, first(&format!("GET /{} HTTP/1.1", name(8000)))),
            case(414, Closes, first(&format!("GET /a.txt?{} HTTP/1.1", name(8000)))),
            case(414, Closes, first(&format!("GET http://x/{} HTTP/1.1", name(8000)))),
            case(414, Closes, format!("GET /{}", name(9000))),
            case(414, Closes, format!("GET /{}", name(300_000))),
            case(414, Closes, first(&format!("GET /{} HTTP/1.1", "%41".repeat(3000)))),
            // RFC 9112 §3: a method longer than any it knows.
            case(501, Closes, first(&format!("{} / HTTP/1.1", name(9000)))),
            case(501, Closes, name(300_000)),
        ],
    );
}

#[test]
fn empty_lines_before_a_request_are_passed_over_but_not_without_end() {
    run(
        &tree(),
        &[
            case(200, Stays, [b"\r\n".to_vec(), first("GET /a.txt HTTP/1.1")].concat()),
            case(200, Stays, [b"\n\r\n".to_vec(), first("GET /a.txt HTTP/1.1")].concat()),
            case(200, Stays, "GET /a.txt HTTP/1.1\nHost: x\n\n"),
            case(400, Closes, [b"\r\n".repeat(10), first("GET /a.txt HTTP/1.1")].concat()),
            case(400, Closes, b"\n".repeat(100_000)),
            case(400, Closes, "\r\r\nGET /a.txt HTTP/1.1\r\nHost: x\r\n\r\n"),
            unfinished("GET /a.txt HTTP/1.1\rHost: x\r\r"),
        ],
    );
}

#[test]
fn lines_that_never_end_are_400_when_the_client_ends() {
    run(
        &tree(),
        &[
            unfinished("G"),
            unfinished("GET"),
            unfinished("GET "),
            unfinished("GET /a.txt"),
            unfinished("GET /a.txt HTTP/1.1"),
            unfinished("GET /a.txt HTTP/1.1\r"),
            unfinished("GET /a.txt HTTP/1.1\r\n"),
            unfinished("GET /a.txt HTTP/1.1\r\nHost"),
            unfinished("GET /a.txt HTTP/1.1\r\nHost: x\r\n"),
            unfinished("GET /a.txt HTTP/1.1\r\nHost: x\r\n\r"),
            unfinished("GET /a.txt HTTP/1.1\n"),
        ],
    );
}

#[test]
fn empty_lines_begin_no_request() {
    let tree = tree();
    let server = Server::start(&tree, &["-o", "keepalive_timeout=1", "-o", "head_timeout=1"]);
    for lines in ["\r\n", "\n", "\r\n\r\n", "\r"] {
        for requests in [0, 1] {
            for ends in [true, false] {
                let mut client = server.connect();
                client.send("GET /a.txt HTTP/1.1\r\nHost: x\r\n\r\n".repeat(requests) + lines);
                if ends {
                    client.finish();
                }
                for _ in 0..requests {
                    assert_eq!(client.answer("GET").status, 200);
                }
                assert_eq!(client.rest(), Some(Vec::new()), "{lines:?} after {requests}");
            }
        }
    }
    assert!(server.log_lines().iter().all(|line| line.contains("\" 200 ")), "{:?}", server.log_lines());
}
