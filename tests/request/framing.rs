//! Framing of content (RFC 9112 §6, §7): ambiguous framing is refused, and content is never taken for a
//! request.

use super::{Case, Closes, Stays, case, run, several, tree, with_fields};

/// Request that would be served if the content before it were misread.
const SMUGGLED: &str = "GET /a.txt HTTP/1.1\r\nHost: smuggled\r\n\r\n";

fn refused(fields: &str) -> Case {
    case(400, Closes, format!("POST /a.txt HTTP/1.1\r\nHost: x\r\n{fields}\r\n{SMUGGLED}"))
}

/// Chunked content after which nothing can be trusted: it was not wanted, so 405 comes first.
fn broken_chunks(chunks: &str) -> Case {
    let head = "POST /a.txt HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n";
    case(405, Closes, format!("{head}{chunks}{SMUGGLED}"))
}

#[test]
fn ambiguous_lengths_are_400() {
    let cases = [
        "Content-Length: 5\r\nContent-Length: 5\r\n",
        "Content-Length: 5\r\ncontent-length: 6\r\n",
        "Content-Length: 5, 5\r\n",
        "Content-Length: 5,6\r\n",
        "Content-Length: +5\r\n",
        "Content-Length: -5\r\n",
        "Content-Length: -0\r\n",
        "Content-Length: 0x5\r\n",
        "Content-Length: 5a\r\n",
        "Content-Length: a\r\n",
        "Content-Length: 5 5\r\n",
        "Content-Length: 5;x\r\n",
        "Content-Length: 5.0\r\n",
        "Content-Length: 5e1\r\n",
        "Content-Length: \r\n",
        "Content-Length:\r\n",
        "Content-Length: \"5\"\r\n",
        "Content-Length: ５\r\n",
        "Content-Length: 18446744073709551616\r\n",
        "Content-Length: 99999999999999999999999999\r\n",
        "Content-Length : 5\r\n",
        "Content-Length\t: 5\r\n",
        " Content-Length: 5\r\n",
        "X: y\r\n Content-Length: 5\r\n",
        "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n",
        "Content-Length: 0\r\nTransfer-Encoding: chunked\r\n",
    ];
    run(&tree(), &cases.map(refused));
}

#[test]
fn codings_other_than_one_chunked_are_400_or_501() {
    let mut cases: Vec<Case> = [
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: identity\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: identity\r\n",
        "Transfer-Encoding: xchunked\r\n",
        "Transfer-Encoding: chunkedx\r\n",
        "Transfer-Encoding: chunked, identity\r\n",
        "Transfer-Encoding: chunked;q=1\r\n",
        "Transfer-Encoding: \"chunked\"\r\n",
        "Transfer-Encoding: chu\u{212a}ed\r\n",
        "Transfer-Encoding: \r\n",
        "Transfer-Encoding:\r\n",
        "Transfer-Encoding : chunked\r\n",
        "Transfer-Encoding: chunked\r\n chunked\r\n",
        "Transfer-Encoding: \x0bchunked\r\n",
        "Transfer-Encoding: chunked\0\r\n",
        "Transfer-Encoding\0: chunked\r\n",
    ]
    .map(refused)
    .into();
    for fields in ["Transfer-Encoding: gzip, chunked\r\n", "Transfer-Encoding: chunked, chunked\r\n"] {
        let bytes = format!("POST /a.txt HTTP/1.1\r\nHost: x\r\n{fields}\r\n{SMUGGLED}");
        cases.push(case(501, Closes, bytes));
    }
    let on_1_0 = "POST /a.txt HTTP/1.0\r\nConnection: keep-alive\r\nTransfer-Encoding: chunked\r\n\r\n";
    cases.push(case(400, Closes, format!("{on_1_0}{SMUGGLED}")));
    run(&tree(), &cases);
}

#[test]
fn chunks_outside_the_grammar_end_the_connection() {
    let cases = [
        "g\r\n",
        "\r\n",
        "-1\r\n",
        "+1\r\nA\r\n",
        " 1\r\nA\r\n",
        "0x1\r\nA\r\n",
        ";x\r\n",
        "1 \r\nA\r\n",
        "1\nA\n0\n\n",
        "1\rA\r0\r\r",
        "1\r\nAB\r\n",
        "1\r\nA0\r\n\r\n",
        "1\r\nA\n0\r\n\r\n",
        "0\r\n\n",
        "0\r\n\rX",
        "1;\0\r\nA\r\n",
        "1;x\nA\r\n",
        "00000000000000001\r\nA\r\n",
        "fffffffffffffffff\r\n",
        "0\r\nX: y\n\r\n",
        "0\r\nX\0: y\r\n\r\n",
        "1\r\nA\r\n-0\r\n\r\n",
        "1,1\r\nA\r\n",
        "1.\r\nA\r\n",
        "é\r\n",
    ];
    run(&tree(), &cases.map(broken_chunks));
    run(
        &tree(),
        &[
            broken_chunks(&format!("1;{}\r\nA\r\n0\r\n\r\n", "x".repeat(100_000))),
            broken_chunks(&format!("0\r\n{}\r\n", "X: y\r\n".repeat(20_000))),
            broken_chunks(&"1\r\nA\r\n".repeat(100_000)),
        ],
    );
}

#[test]
fn lawful_content_is_read_past_and_the_next_request_is_answered() {
    let post = |fields: &str, content: &str| {
        several(
            &[405, 200],
            Stays,
            format!("POST /a.txt HTTP/1.1\r\nHost: x\r\n{fields}\r\n{content}{SMUGGLED}"),
        )
    };
    run(
        &tree(),
        &[
            post("Content-Length: 0\r\n", ""),
            post("Content-Length: 00000000000000000000005\r\n", "12345"),
            post("Content-Length: \t5 \t\r\n", "12345"),
            post(&format!("Content-Length: {}\r\n", SMUGGLED.len()), SMUGGLED),
            post("Transfer-Encoding: chunked\r\n", "0\r\n\r\n"),
            post("tRANSFER-eNCODING: \t CHUNKED\r\n", "5\r\n12345\r\n000\r\n\r\n"),
            post("Transfer-Encoding: chunked\r\n", "5;a=\"b;c\"\r\n12345\r\n0;x\r\nX: y\r\n\r\n"),
            post(
                "Transfer-Encoding: chunked\r\n",
                &format!("{:x}\r\n{SMUGGLED}\r\n0\r\n\r\n", SMUGGLED.len()),
            ),
            several(
                &[200, 200],
                Stays,
                [with_fields("Content-Length: 5\r\n"), format!("GET /{SMUGGLED}").into()].concat(),
            ),
        ],
    );
}

#[test]
fn content_too_long_to_read_past_ends_the_connection_with_its_answer() {
    let post = |fields: &str| format!("POST /a.txt HTTP/1.1\r\nHost: x\r\n{fields}\r\n");
    run(
        &tree(),
        &[
            case(405, Closes, post("Content-Length: 18446744073709551615\r\n") + SMUGGLED),
            case(405, Closes, post("Content-Length: 9223372036854775808\r\n") + SMUGGLED),
            case(405, Closes, post("Content-Length: 1000000\r\n") + &"x".repeat(1_000_000) + SMUGGLED),
            case(405, Closes, post("Content-Length: 5\r\nConnection: close\r\n") + "12345" + SMUGGLED),
            case(405, Closes, post("Content-Length: 5\r\nExpect: 100-continue\r\n") + SMUGGLED),
        ],
    );
}
