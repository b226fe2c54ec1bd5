//! Other protocols and noise: 400 or 505, without waiting if the first bytes are invalid.

use super::{Case, Closes, case, run, tree, unfinished};

#[test]
fn other_protocols_are_told_that_this_is_http() {
    let cases: Vec<Case> = [
        // TLS: 1.0 and 1.3 records, SSLv2, an alert.
        &b"\x16\x03\x01\x00\xa5\x01\x00\x00\xa1\x03\x03\n\r\n\r\n"[..],
        b"\x16\x03\x03\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"\x80\x2e\x01\x00\x02\x00\x15\x00\x00\x00\x10",
        b"\x15\x03\x01\x00\x02\x02\x46",
        // Mail, shells, news, chat.
        b"EHLO example.org\r\n",
        b"HELP\r\n",
        b"QUIT\r\n",
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"USER anonymous\r\n",
        b"NICK x\r\nUSER x 0 * :x\r\n",
        b"\xff\xfd\x03\xff\xfb\x18\r\n",
        // Voice, printers, caches, databases, brokers, proxies.
        b"OPTIONS sip:x SIP/2.0\r\nVia: SIP/2.0/TCP x\r\n\r\n",
        b"OPTIONS rtsp://x/ RTSP/1.0\r\nCSeq: 1\r\n\r\n",
        b"REQMOD icap://x/ ICAP/1.0\r\n\r\n",
        b"*1\r\n$4\r\nPING\r\n",
        b"stats\r\n",
        b"\x00\x00\x00\x08\x04\xd2\x16\x2f",
        b"\x00\x00\x00\x85\xffSMBr\x00\x00\x00\x00",
        b"0\x84\x00\x00\x00\x10\x02\x01\x01",
        b"AMQP\x00\x00\x09\x01",
        b"\x10\x0c\x00\x04MQTT\x04\x02\x00\x3c\x00\x00",
        b"\x05\x01\x00",
        b"\x04\x01\x00\x50\x7f\x00\x00\x01\x00",
        b"PROXY TCP4 10.0.0.1 10.0.0.2 1 80\r\nGET /a.txt HTTP/1.1\r\nHost: x\r\n\r\n",
        b"\r\n\r\n\x00\r\nQUIT\n\x21\x11\x00\x0c",
        b"\x03\x00\x00\x13\x0e\xe0\x00\x00\x00\x00\x00",
        b"\x13BitTorrent protocol\x00\x00\x00\x00",
        b"GIOP\x01\x00\x01\x00\n",
        b"<policy-file-request/>\0",
        b"{\"jsonrpc\":\"2.0\",\"method\":\"x\"}\n",
        b"/\r\n",
        // An answer sent as a question, and other encodings of one.
        b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
        b"\xef\xbb\xbfGET /a.txt HTTP/1.1\r\nHost: x\r\n\r\n",
        b"\xff\xfeG\0E\0T\0 \0/\0",
        b"G\0E\0T\0 \0/\0\r\0\n\0",
        b"\0G\0E\0T",
    ]
    .map(|bytes| case(400, Closes, bytes))
    .into();
    run(&tree(), &cases);
}

#[test]
fn the_preface_of_http_2_is_505() {
    run(
        &tree(),
        &[
            case(505, Closes, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x12\x04\x00\x00\x00\x00\x00"),
            case(505, Closes, "GET /a.txt HTTP/3.0\r\n\r\n"),
        ],
    );
}

#[test]
fn bytes_that_could_become_a_request_are_waited_for_and_then_400() {
    let cases = [&b"PRI"[..], b"JDWP-Handshake", b"version"];
    run(&tree(), &cases.map(unfinished));
}

#[test]
fn noise_of_any_size_is_400() {
    let mut cases: Vec<Case> = Vec::new();
    for size in [1, 2, 100, 4096, 65_536, 1_000_000] {
        cases.push(case(400, Closes, vec![0; size]));
        cases.push(case(400, Closes, vec![0xff; size]));
        cases.push(case(400, Closes, noise(size)));
    }
    run(&tree(), &cases);
}

/// Reproducible noise that does not begin like a method.
fn noise(size: usize) -> Vec<u8> {
    let mut state = size as u64 + 1;
    let mut bytes: Vec<u8> = (0..size)
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state >> 32) as u8
        })
        .collect();
    bytes[0] = 0x80;
    bytes
}
