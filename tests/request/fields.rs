//! Field lines (RFC 9112 §5): hosts and expectations.

use super::{Case, Closes, Stays, case, run, tree, unfinished, with_fields};

fn malformed(fields: &str) -> Case {
    case(400, Closes, with_fields(fields))
}

fn served(fields: &str) -> Case {
    case(200, Stays, with_fields(fields))
}

#[test]
fn field_lines_that_are_none_are_400() {
    let cases = [
        "X : y\r\n",
        "X\t: y\r\n",
        " X: y\r\n",
        "\tX: y\r\n",
        "X: y\r\n folded\r\n",
        "X: y\r\n\tfolded\r\n",
        "X\r\n",
        "X y\r\n",
        ": y\r\n",
        ":\r\n",
        "X(: y\r\n",
        "X@Y: y\r\n",
        "X/Y: y\r\n",
        "[X]: y\r\n",
        "X\0: y\r\n",
        "X: y\0z\r\n",
        "X: y\rz\r\n",
        "X: y\r\r\n",
        "X: \x01\r\n",
        "X: \x7f\r\n",
        "X: \x1b[2J\r\n",
        "\x0bX: y\r\n",
        "É: y\r\n",
        "\"X\": y\r\n",
        "GET /a.txt HTTP/1.1\r\n",
        " \r\n",
        "\0\r\n",
        "\r: y\r\n",
    ];
    run(&tree(), &cases.map(malformed));
}

#[test]
fn odd_but_lawful_field_lines_are_served() {
    let cases = [
        "X:y\r\n",
        "X:\r\n",
        "X: \t y \t\r\n",
        "X: a\tb\r\n",
        "X: é\r\n",
        "x-y_z.0!#$%&'*+-.^`|~: y\r\n",
        "X: y\n",
        "Upgrade: h2c\r\nConnection: Upgrade, HTTP2-Settings\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n",
        "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n",
        "Connection: ,,, ,\r\n",
        "Connection: Host, close-not\r\n",
        "Authorization: Basic !!!!\r\n",
        "Authorization: Basic\r\n",
        "Cookie: $(reboot); `reboot`; ' OR 1=1 --\r\n",
        "User-Agent: () { :;}; /bin/echo vulnerable\r\n",
        "Referer: \"><script>alert(1)</script>\r\n",
        "Accept-Encoding: gzip;q=nan, *;q=-1\r\n",
        "If-Modified-Since: Thu, 99 Foo 99999999 99:99:99 GMT\r\n",
        "If-None-Match: \"unended\r\n",
        "If-None-Match: W/W/\"\"\r\n",
        "If-Range: \"\"\r\nRange: bytes=0-1\r\n",
    ];
    run(&tree(), &cases.map(served));
}

#[test]
fn a_request_on_1_1_names_one_host_that_can_be_one() {
    let hosted = |lines: &str| format!("GET /a.txt HTTP/1.1\r\n{lines}\r\n");
    let mut cases: Vec<Case> = [
        "",
        "Host:\r\n",
        "Host: \r\n",
        "Host: x\r\nHost: x\r\n",
        "Host: x\r\nhOST: y\r\n",
        "Hostt: x\r\n",
        "Host: x y\r\n",
        "Host: x/y\r\n",
        "Host: ..\r\n",
        "Host: .x\r\n",
        "Host: ../../etc\r\n",
        "Host: /etc\r\n",
        "Host: x\\y\r\n",
        "Host: u@x\r\n",
        "Host: x:y\r\n",
        "Host: x:80:80\r\n",
        "Host: x:-1\r\n",
        "Host: :80\r\n",
        "Host: [::1\r\n",
        "Host: [::1]x\r\n",
        "Host: [zz]\r\n",
        "Host: []\r\n",
        "Host: ::1\r\n",
        "Host: é\r\n",
        "Host: <script>\r\n",
        "Host: x#y\r\n",
        "Host: x?y\r\n",
        "Host: \"x\"\r\n",
        "Host: x\tx\r\n",
        "Host: x, y z\r\n",
        "Host: http://x/\r\n",
    ]
    .map(|lines| case(400, Closes, hosted(lines)))
    .into();
    for lines in
        ["Host: x:\r\n", "Host: x:8080\r\n", "Host: [::1]:80\r\n", "hOsT:X.\r\n", "Host: 10.0.0.1\r\n"]
    {
        cases.push(case(200, Stays, hosted(lines)));
    }
    for (line, lines) in [
        ("GET http://x/a.txt HTTP/1.1", ""),
        ("GET http://x/a.txt HTTP/1.1", "Host: a b\r\n"),
        ("GET http://x/a.txt HTTP/1.1", "Host: x\r\nHost: x\r\n"),
        ("GET http://x y/a.txt HTTP/1.1", "Host: x\r\n"),
        ("GET /a.txt HTTP/1.0", "Host: x\r\nHost: y\r\n"),
        ("GET /a.txt HTTP/1.0", "Host: ../x\r\n"),
    ] {
        cases.push(case(400, Closes, format!("{line}\r\n{lines}\r\n")));
    }
    run(&tree(), &cases);
}

#[test]
fn heads_larger_than_the_limits_are_431() {
    let lines = |n: usize| "X: y\r\n".repeat(n);
    let padded = |n: usize| format!("X: {}\r\n", "y".repeat(n));
    let of_size = |n: usize| with_fields(&padded(n - with_fields(&padded(0)).len()));
    run(
        &tree(),
        &[
            case(200, Stays, with_fields(&lines(99))),
            case(431, Closes, with_fields(&lines(100))),
            case(431, Closes, with_fields(&lines(2000))),
            case(431, Closes, with_fields(&"X: y\r\n".repeat(50_000))),
            case(200, Stays, of_size(16 * 1024)),
            case(431, Closes, of_size(16 * 1024 + 1)),
            case(431, Closes, with_fields(&padded(100_000))),
            case(431, Closes, with_fields(&format!("{}: y\r\n", "X".repeat(20_000)))),
            // Too large already, though it has not ended.
            case(431, Closes, format!("GET /a.txt HTTP/1.1\r\nHost: x\r\nX: {}", "y".repeat(20_000))),
            case(200, Stays, with_fields(&format!("{}: y\r\n", "X".repeat(8000)))),
        ],
    );
}

#[test]
fn expectations_but_one_are_417() {
    run(
        &tree(),
        &[
            case(417, Closes, with_fields("Expect: 200-ok\r\n")),
            case(417, Closes, with_fields("Expect: 100-continue, x\r\n")),
            case(417, Closes, with_fields("Expect: x\r\nExpect: 100-continue\r\n")),
            served("Expect: \r\n"),
            served("Expect: 100-continue, \r\n"),
            served("Expect: 100-continue\r\nExpect: , 100-continue\r\n"),
            served("Expect: 100-continue\r\n"),
            served("Expect: 100-Continue\r\n"),
            unfinished("GET /a.txt HTTP/1.1\r\nExpect: 100-continue\r\n"),
        ],
    );
}
