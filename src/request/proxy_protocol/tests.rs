use proptest::prelude::*;

use super::*;

const LIMIT: usize = 16 * 1024;

fn whole(bytes: &[u8]) -> Result<ProxyHead, ProxyError> {
    match parse(bytes, LIMIT)? {
        Parsed::Complete(head, length) => {
            assert_eq!(length, bytes.len());
            Ok(head)
        }
        Parsed::Partial => panic!("partial: {}", bytes.escape_ascii()),
    }
}

fn from(text: &str) -> ProxyHead {
    ProxyHead { source: Some(text.parse().unwrap()), is_tls: false }
}

/// Version 2 head.
fn v2(kind: u8, family: u8, content: &[u8]) -> Vec<u8> {
    let length = u16::try_from(content.len()).unwrap().to_be_bytes();
    [&V2[..], &[kind, family], &length, content].concat()
}

const INET: &[u8] = &[192, 0, 2, 7, 10, 0, 0, 1, 0xdc, 0x04, 0, 80];

fn inet6() -> Vec<u8> {
    let source: Ipv6Addr = "2001:db8::7".parse().unwrap();
    [&source.octets()[..], &[0; 16], &[0x12, 0x34, 0, 80]].concat()
}

fn tlv(kind: u8, value: &[u8]) -> Vec<u8> {
    [&[kind], &u16::try_from(value.len()).unwrap().to_be_bytes()[..], value].concat()
}

/// Valid heads with their contents.
fn sound() -> Vec<(Vec<u8>, ProxyHead)> {
    let nobody = ProxyHead::default();
    let with = |values: &[u8]| [INET, values].concat();
    let known = from("192.0.2.7:56324");
    let tls = ProxyHead { is_tls: true, ..known };
    let line = |text: &str| text.as_bytes().to_vec();
    vec![
        (line("PROXY TCP4 192.0.2.7 10.0.0.1 56324 80\r\n"), known),
        (line("PROXY TCP6 2001:db8::7 ::1 4660 80\r\n"), from("[2001:db8::7]:4660")),
        (line("PROXY TCP4 255.255.255.255 255.255.255.255 65535 65535\r\n"), from("255.255.255.255:65535")),
        (
            line(
                "PROXY TCP6 ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 0 0\r\n",
            ),
            from("[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:0"),
        ),
        (line("PROXY UNKNOWN\r\n"), nobody),
        (line("PROXY UNKNOWN ffff::1 any words at all\r\n"), nobody),
        (v2(0x21, 0x11, INET), known),
        (v2(0x21, 0x21, &inet6()), from("[2001:db8::7]:4660")),
        (v2(0x21, 0x31, &[b'/'; 216]), nobody),
        (v2(0x21, 0x00, b""), nobody),
        (v2(0x20, 0x00, b""), nobody),
        (v2(0x20, 0x11, INET), nobody),
        (v2(0x20, 0xff, b"anything"), nobody),
        (v2(0x21, 0x11, &with(&tlv(0x01, b"h2"))), known),
        (v2(0x21, 0x11, &with(&tlv(PP2_TYPE_SSL, &[1, 0, 0, 0, 0]))), tls),
        (v2(0x21, 0x11, &with(&tlv(PP2_TYPE_SSL, &[0, 0, 0, 0, 0]))), known),
        (
            v2(
                0x21,
                0x11,
                &with(&[tlv(0x04, b""), tlv(PP2_TYPE_SSL, &[7, 0, 0, 0, 0, 0x21, 0, 1, b'x'])].concat()),
            ),
            tls,
        ),
    ]
}

#[test]
fn sound_heads_say_who_the_client_is() {
    for (bytes, head) in sound() {
        assert_eq!(whole(&bytes), Ok(head), "{}", bytes.escape_ascii());
    }
}

#[test]
fn a_head_that_is_cut_anywhere_is_waited_for_and_the_request_behind_it_is_left_alone() {
    for (bytes, head) in sound() {
        for end in 0..bytes.len() {
            assert_eq!(parse(&bytes[..end], LIMIT), Ok(Parsed::Partial), "{} at {end}", bytes.escape_ascii());
        }
        let with_request = [&bytes[..], b"GET / HTTP/1.1\r\n\r\n"].concat();
        assert_eq!(parse(&with_request, LIMIT), Ok(Parsed::Complete(head, bytes.len())));
    }
}

#[test]
fn lines_that_are_not_as_they_must_be_are_refused() {
    let long = format!("PROXY UNKNOWN {}\r\n", "x".repeat(92));
    let words = [
        "PROXY TCP4 192.0.2.7 10.0.0.1 56324 80\n",
        "PROXY TCP4 192.0.2.7 10.0.0.1 56324\r\n",
        "PROXY TCP4 192.0.2.7 10.0.0.1 56324 80 \r\n",
        "PROXY TCP4  192.0.2.7 10.0.0.1 56324 80\r\n",
        "PROXY TCP4 192.0.2.7\t10.0.0.1 56324 80\r\n",
        "PROXY TCP4 192.0.2.07 10.0.0.1 56324 80\r\n",
        "PROXY TCP4 2001:db8::7 ::1 1 2\r\n",
        "PROXY TCP6 192.0.2.7 10.0.0.1 1 2\r\n",
        "PROXY TCP6 fe80::1%lo ::1 1 2\r\n",
        "PROXY TCP6 [::1] [::1] 1 2\r\n",
        "PROXY TCP4 192.0.2.7 nonsense 1 2\r\n",
        "PROXY TCP4 192.0.2.7 10.0.0.1 65536 80\r\n",
        "PROXY TCP4 192.0.2.7 10.0.0.1 +1 80\r\n",
        "PROXY TCP4 192.0.2.7 10.0.0.1 01 80\r\n",
        "PROXY TCP4 192.0.2.7 10.0.0.1 1 80x\r\n",
        "PROXY TCP5 192.0.2.7 10.0.0.1 1 2\r\n",
        "PROXY tcp4 192.0.2.7 10.0.0.1 1 2\r\n",
        "PROXY UNKNOWNX\r\n",
        "PROXY \r\n",
        &long,
    ];
    for line in words {
        assert_eq!(parse(line.as_bytes(), LIMIT), Err(ProxyError::BadLine), "{line}");
    }
    for line in ["GET / HTTP/1.1\r\n", "proxy TCP4", "PROXYTCP4", "\r\nPROXY TCP4", "\0", "P ROXY"] {
        assert_eq!(parse(line.as_bytes(), LIMIT), Err(ProxyError::NotProxy), "{line}");
    }
    let endless = [V1, &[b'1'; 200]].concat();
    assert_eq!(parse(&endless[..106], LIMIT), Ok(Parsed::Partial));
    assert_eq!(parse(&endless[..107], LIMIT), Err(ProxyError::BadLine));
}

#[test]
fn a_line_of_the_greatest_length_is_read() {
    let line = format!("PROXY UNKNOWN {}\r\n", "x".repeat(91));
    assert_eq!(line.len(), LONGEST_V1);
    assert_eq!(whole(line.as_bytes()), Ok(ProxyHead::default()));
}

#[test]
fn binary_heads_of_other_kinds_are_refused_as_soon_as_they_show() {
    let unsupported = [(0x11, 0x11), (0x22, 0x11), (0x2f, 0x11), (0x31, 0x11), (0x21, 0x12), (0x21, 0x22)];
    let unknown = [(0x21, 0x32), (0x21, 0x02), (0x21, 0x41), (0x21, 0x10), (0x21, 0x13), (0x00, 0x00)];
    for (kind, family) in unsupported.into_iter().chain(unknown) {
        let bytes = v2(kind, family, INET);
        assert_eq!(parse(&bytes, LIMIT), Err(ProxyError::Unsupported), "{kind:#x} {family:#x}");
        assert_eq!(parse(&bytes[..14], LIMIT), Err(ProxyError::Unsupported), "{kind:#x} {family:#x}");
    }
    let mut signature = v2(0x21, 0x11, INET);
    signature[11] = b'X';
    assert_eq!(parse(&signature, LIMIT), Err(ProxyError::NotProxy));
}

#[test]
fn binary_heads_whose_lengths_do_not_agree_are_refused() {
    let with = |values: &[u8]| v2(0x21, 0x11, &[INET, values].concat());
    let heads = [
        v2(0x21, 0x11, &INET[..11]),
        v2(0x21, 0x21, INET),
        v2(0x21, 0x31, &[0; 215]),
        with(&[1]),
        with(&[1, 0]),
        with(&[1, 0, 1]),
        with(&[1, 0, 2, b'x']),
        with(&tlv(PP2_TYPE_SSL, &[1, 0, 0, 0])),
        with(&tlv(PP2_TYPE_SSL, b"")),
    ];
    for bytes in heads {
        assert_eq!(parse(&bytes, LIMIT), Err(ProxyError::BadLength), "{}", bytes.escape_ascii());
    }
    // The declared length is too short for the address, which is known before the address arrives.
    assert_eq!(parse(&v2(0x21, 0x11, &INET[..11])[..16], LIMIT), Err(ProxyError::BadLength));
}

#[test]
fn a_binary_head_over_the_limit_is_refused_before_it_is_read() {
    let bytes = v2(0x21, 0x11, &[INET, &tlv(0x05, &[0; 1000])].concat());
    assert_eq!(parse(&bytes[..16], bytes.len() - 1), Err(ProxyError::TooLong));
    assert!(matches!(parse(&bytes, bytes.len()), Ok(Parsed::Complete(..))));
}

proptest! {
    #[test]
    fn any_bytes_are_read_to_one_end_in_whatever_pieces_they_come(
        start in prop_oneof![Just(V1.to_vec()), Just(V2.to_vec()), Just(v2(0x21, 0x11, INET)), Just(vec![])],
        rest in prop::collection::vec(any::<u8>(), 0..300),
    ) {
        let bytes = [start, rest].concat();
        match parse(&bytes, LIMIT) {
            Ok(Parsed::Complete(head, length)) => {
                prop_assert!(length <= bytes.len());
                prop_assert_eq!(parse(&bytes[..length], LIMIT), Ok(Parsed::Complete(head, length)));
                for end in 0..length {
                    prop_assert_eq!(parse(&bytes[..end], LIMIT), Ok(Parsed::Partial));
                }
            }
            Ok(Parsed::Partial) => prop_assert!(bytes.len() < FIXED_V2 + usize::from(u16::MAX)),
            Err(error) => prop_assert_eq!(parse(&[&bytes[..], b"\r\n"].concat(), LIMIT), Err(error)),
        }
    }

    #[test]
    fn each_line_that_a_proxy_may_write_is_understood(source: u128, port: u16, v6: bool) {
        let (kind, source) = match v6 {
            true => ("TCP6", IpAddr::V6(source.into())),
            false => ("TCP4", IpAddr::V4((source as u32).into())),
        };
        let line = format!("PROXY {kind} {source} {source} {port} 80\r\n");
        prop_assert_eq!(whole(line.as_bytes()).unwrap().source, Some(SocketAddr::new(source, port)));
    }
}
