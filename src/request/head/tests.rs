//! Request heads, and the outcome of parsing each.

use super::*;
use proptest::prelude::*;

fn limits() -> Limits {
    Limits { head: 1024, target: 200, fields: 30, ..Limits::default() }
}

/// Status of the refusal; 0 = complete, 1 = incomplete.
fn outcome(bytes: &[u8]) -> u16 {
    match parse(bytes, &limits()) {
        Ok(Parsed::Complete(..)) => 0,
        Ok(Parsed::Partial) => 1,
        Err(refused) => refused.status,
    }
}

#[test]
fn complete_heads_are_taken() {
    for head in [
        "GET / HTTP/1.1\r\nHost: x\r\n\r\n",
        "GET / HTTP/1.1\nHost: x\n\n",
        "\r\n\r\nGET / HTTP/1.1\r\nHost: x\r\n\r\n",
        "GET / HTTP/1.0\r\n\r\n",
        "GET / HTTP/1.2\r\nHost: x\r\n\r\n",
        "GET /\r\n",
        "GET http://h/ HTTP/1.1\r\nHost: other\r\n\r\n",
        "OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n",
        "FOO / HTTP/1.1\r\nHost: x\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: [::1]:80\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: x:\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: x\r\nExpect: 100-Continue\r\n\r\n",
    ] {
        assert_eq!(outcome(head.as_bytes()), 0, "{head:?}");
    }
}

#[test]
fn incomplete_heads_wait() {
    let whole = "GET /hello HTTP/1.1\r\nHost: x\r\nA: b\r\n\r\n";
    for end in 0..whole.len() {
        assert_eq!(outcome(&whole.as_bytes()[..end]), 1, "{:?}", &whole[..end]);
    }
    assert_eq!(outcome(whole.as_bytes()), 0);
}

#[test]
fn malformed_heads_are_400() {
    for head in [
        &b"GET / HTTP/1.1\r\n\r\n"[..],
        b"GET / HTTP/1.1\r\nHost:\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n",
        b"GET / HTTP/1.0\r\nHost: a\r\nHost: b\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a/b\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: .a\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a b\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: [::1\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: [x]\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a:80x\r\n\r\n",
        b"GET http://a/ HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nA : b\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nA: b\r\n c\r\n\r\n",
        b"GET / HTTP/1.1\r\n Host: x\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nno colon\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nA: b\0c\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nA: b\rc\r\n\r\n",
        b"GET / HTTP/1.1\rHost: x\r\r",
        b"GET / HTTP/1.1 x\r\n\r\n",
        b"GET  / HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET / HTTP/1.1 \r\nHost: x\r\n\r\n",
        b"GET /\0 HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET / http/1.1\r\nHost: x\r\n\r\n",
        b"GET / HTTP/1.10\r\nHost: x\r\n\r\n",
        b"GET / HTTP/11\r\nHost: x\r\n\r\n",
        b"GET / foo\r\n\r\n",
        b"GE(T / HTTP/1.1\r\nHost: x\r\n\r\n",
        b"POST /\r\n",
        b"GET\r\n\r\n",
        b" GET / HTTP/1.1\r\nHost: x\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01",
    ] {
        let head_text = String::from_utf8_lossy(head);
        // A lone CR never ends a line, so that the head stays incomplete until a limit refuses it.
        let want = if head.contains(&b'\n') || head[0] == 0x16 { 400 } else { 1 };
        assert_eq!(outcome(head), want, "{head_text:?}");
    }
}

#[test]
fn limits_have_their_own_statuses() {
    let long_target = format!("GET /{} HTTP/1.1\r\nHost: x\r\n\r\n", "a".repeat(200));
    assert_eq!(outcome(long_target.as_bytes()), 414);
    let no_line_end = "GET /".to_owned() + &"a".repeat(400);
    assert_eq!(outcome(no_line_end.as_bytes()), 414);
    let many_fields = "GET / HTTP/1.1\r\nHost: x\r\n".to_owned() + &"a: b\r\n".repeat(30) + "\r\n";
    assert_eq!(outcome(many_fields.as_bytes()), 431);
    let fields_that_fit = "GET / HTTP/1.1\r\nHost: x\r\n".to_owned() + &"a: b\r\n".repeat(29) + "\r\n";
    assert_eq!(outcome(fields_that_fit.as_bytes()), 0);
    let large = format!("GET / HTTP/1.1\r\nHost: x\r\na: {}\r\n\r\n", "b".repeat(1024));
    assert_eq!(outcome(large.as_bytes()), 431);
    let endless = format!("GET / HTTP/1.1\r\nHost: x\r\na: {}", "b".repeat(1024));
    assert_eq!(outcome(endless.as_bytes()), 431);
    assert_eq!(outcome(b"GET / HTTP/2.0\r\nHost: x\r\n\r\n"), 505);
    assert_eq!(outcome(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), 505);
    assert_eq!(outcome(b"GET / HTTP/0.9\r\n\r\n"), 505);
    assert_eq!(outcome(b"GET / HTTP/1.1\r\nHost: x\r\nExpect: tea\r\n\r\n"), 417);
}

#[test]
fn persistence_follows_version_and_connection() {
    for (head, want) in [
        ("GET / HTTP/1.1\r\nHost: x\r\n\r\n", true),
        ("GET / HTTP/1.1\r\nHost: x\r\nConnection: Close\r\n\r\n", false),
        ("GET / HTTP/1.1\r\nHost: x\r\nConnection: te, close\r\n\r\n", false),
        ("GET / HTTP/1.0\r\n\r\n", false),
        ("GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n", true),
        ("GET /\r\n", false),
    ] {
        let Ok(Parsed::Complete(request, len)) = parse(head.as_bytes(), &limits()) else {
            panic!("{head:?}")
        };
        assert_eq!(request.keep_alive, want, "{head:?}");
        assert_eq!(len, head.len());
    }
}

#[test]
fn absolute_form_names_the_host() {
    let head = b"GET http://One:81/a HTTP/1.1\r\nHost: two\r\n\r\n";
    let Ok(Parsed::Complete(request, _)) = parse(head, &limits()) else { panic!("refused") };
    assert_eq!((request.host, request.path.as_ref()), (Some("One"), &b"a"[..]));
}

proptest! {
    #[test]
    fn no_bytes_make_the_parser_panic_or_overrun(bytes in proptest::collection::vec(any::<u8>(), 0..2048)) {
        if let Ok(Parsed::Complete(_, len)) = parse(&bytes, &limits()) {
            prop_assert!(len <= bytes.len() && len <= limits().head);
        }
    }

    #[test]
    fn mutated_heads_never_panic(at in 0usize..60, byte: u8) {
        let mut head = b"GET /a%20b/../c?d HTTP/1.1\r\nHost: x:80\r\nRange: bytes=0-1\r\n\r\n".to_vec();
        let at = at.min(head.len() - 1);
        head[at] = byte;
        let _ = parse(&head, &limits());
    }

    #[test]
    fn a_head_beyond_its_limit_is_refused_however_it_is_cut(extra in 1usize..500) {
        let head = format!("GET / HTTP/1.1\r\nHost: x\r\na: {}", "b".repeat(1024 + extra));
        prop_assert_eq!(outcome(head.as_bytes()), 431);
    }
}
