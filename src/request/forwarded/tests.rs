use std::net::SocketAddr;

use proptest::prelude::*;

use super::*;

/// Trusted proxies of the tests: 10.0.0.0/8, fd00::/8 and Unix sockets.
fn trust(field: &str) -> ProxyTrust {
    ProxyTrust { trusted: AddressList::parse("10.0.0.0/8,fd00::/8,unix").unwrap(), field: field.into() }
}

fn peer(text: &str) -> Client {
    match text {
        "unix" => Client { address: ClientAddress::Unix, scheme: Scheme::Http, peer: None },
        _ => Client::of_peer(SocketAddr::new(text.parse().unwrap(), 4711)),
    }
}

/// Field lines.
type Lines<'a> = &'a [(&'static str, &'a str)];

/// Client in the form of the log; a leading `?` marks an unknown one.
fn shown(address: ClientAddress) -> String {
    match address {
        ClientAddress::Ip(address) => address.to_string(),
        ClientAddress::Unix => "-".into(),
        ClientAddress::Unknown(Some(address)) => format!("?{address}"),
        ClientAddress::Unknown(None) => "?".into(),
    }
}

fn client(field: &str, from: &str, lines: &[(&'static str, &str)]) -> Client {
    let mut fields = Fields::default();
    lines.iter().for_each(|(name, value)| fields.push(name, value.trim_ascii().as_bytes()));
    trust(field).client(&peer(from), &fields)
}

fn by_xff(from: &str, values: &[&str]) -> String {
    let lines: Vec<_> = values.iter().map(|value| ("X-Forwarded-For", *value)).collect();
    shown(client("x-forwarded-for", from, &lines).address)
}

fn by_forwarded(value: &str) -> String {
    shown(client("forwarded", "10.0.0.1", &[("Forwarded", value)]).address)
}

/// Peer, lines of its X-Forwarded-For, and the expected client.
type Case = (&'static str, &'static [&'static str], &'static str);

const CHAINS: &[Case] = &[
    // The peer is not trusted.
    ("192.0.2.1", &["203.0.113.9"], "192.0.2.1"),
    ("192.0.2.1", &["10.0.0.1"], "192.0.2.1"),
    ("192.0.2.1", &["nonsense"], "192.0.2.1"),
    ("127.0.0.1", &["203.0.113.9"], "127.0.0.1"),
    // The field is missing.
    ("10.0.0.1", &[], "10.0.0.1"),
    ("unix", &[], "-"),
    // One proxy; the client's own element stands further left.
    ("10.0.0.1", &["203.0.113.9"], "203.0.113.9"),
    ("unix", &["203.0.113.9"], "203.0.113.9"),
    ("fd00::1", &["2001:db8::9"], "2001:db8::9"),
    ("::ffff:10.0.0.1", &["203.0.113.9"], "203.0.113.9"),
    ("10.0.0.1", &["198.51.100.1, 203.0.113.9"], "203.0.113.9"),
    ("10.0.0.1", &["10.0.0.7, 203.0.113.9"], "203.0.113.9"),
    ("10.0.0.1", &["nonsense, 203.0.113.9"], "203.0.113.9"),
    ("10.0.0.1", &["\", 203.0.113.9"], "203.0.113.9"),
    ("10.0.0.1", &["127.0.0.1,203.0.113.9"], "203.0.113.9"),
    ("10.0.0.1", &[", 203.0.113.9"], "203.0.113.9"),
    // Several proxies.
    ("10.0.0.1", &["203.0.113.9, 10.0.0.2"], "203.0.113.9"),
    ("10.0.0.1", &["203.0.113.9, 10.0.0.3, 10.0.0.2"], "203.0.113.9"),
    ("10.0.0.1", &["198.51.100.1, 203.0.113.9, 10.0.0.2"], "203.0.113.9"),
    ("10.0.0.1", &["10.0.0.9, 10.0.0.2"], "10.0.0.9"),
    // Several lines are one list.
    ("10.0.0.1", &["198.51.100.1", "203.0.113.9"], "203.0.113.9"),
    ("10.0.0.1", &["203.0.113.9", "10.0.0.2"], "203.0.113.9"),
    ("10.0.0.1", &["203.0.113.9", ""], "?10.0.0.1"),
];

const FORMS: &[Case] = &[
    // The forms of an address.
    ("10.0.0.1", &["203.0.113.9:1234"], "203.0.113.9"),
    ("10.0.0.1", &["[2001:db8::9]:1234"], "2001:db8::9"),
    ("10.0.0.1", &["[2001:db8::9]"], "2001:db8::9"),
    ("10.0.0.1", &["\"[2001:db8::9]:1234\""], "2001:db8::9"),
    ("10.0.0.1", &["\"203.0.113.9\""], "203.0.113.9"),
    ("10.0.0.1", &["::ffff:203.0.113.9"], "203.0.113.9"),
    ("10.0.0.1", &["::ffff:10.0.0.2"], "10.0.0.2"),
    ("10.0.0.1", &["\t203.0.113.9\t"], "203.0.113.9"),
    // A trusted proxy names something that is not an address.
    ("10.0.0.1", &[""], "?10.0.0.1"),
    ("10.0.0.1", &["203.0.113.9,"], "?10.0.0.1"),
    ("10.0.0.1", &["unknown"], "?10.0.0.1"),
    ("10.0.0.1", &["_hidden"], "?10.0.0.1"),
    ("10.0.0.1", &["-"], "?10.0.0.1"),
    ("10.0.0.1", &["localhost"], "?10.0.0.1"),
    ("10.0.0.1", &["203.0.113"], "?10.0.0.1"),
    ("10.0.0.1", &["203.0.113.256"], "?10.0.0.1"),
    ("10.0.0.1", &["0203.0.113.9"], "?10.0.0.1"),
    ("10.0.0.1", &["203.0.113.9:"], "?10.0.0.1"),
    ("10.0.0.1", &["203.0.113.9:123456"], "?10.0.0.1"),
    ("10.0.0.1", &["203.0.113.9 198.51.100.1"], "?10.0.0.1"),
    ("10.0.0.1", &["203.0.113.9/24"], "?10.0.0.1"),
    ("10.0.0.1", &["for=203.0.113.9"], "?10.0.0.1"),
    ("10.0.0.1", &["[203.0.113.9]"], "?10.0.0.1"),
    ("10.0.0.1", &["[2001:db8::9"], "?10.0.0.1"),
    ("10.0.0.1", &["[2001:db8::9]1234"], "?10.0.0.1"),
    ("10.0.0.1", &["2001:db8::9%eth0"], "?10.0.0.1"),
    ("10.0.0.1", &["\"203.0.113.9"], "?10.0.0.1"),
    ("10.0.0.1", &["nonsense, 10.0.0.2"], "?10.0.0.2"),
    ("10.0.0.1", &["198.51.100.1, , 10.0.0.2"], "?10.0.0.2"),
    ("unix", &["unix:"], "?"),
    ("unix", &["nonsense, 10.0.0.2"], "?10.0.0.2"),
];

#[test]
fn x_forwarded_for_is_read_from_the_right_and_only_from_those_who_are_trusted() {
    for (from, values, want) in CHAINS.iter().chain(FORMS) {
        assert_eq!(by_xff(from, values), *want, "{from} {}", values.join(" | "));
    }
}

#[test]
fn forwarded_is_read_from_the_right_whatever_the_client_wrote_before() {
    let cases = [
        ("for=203.0.113.9", "203.0.113.9"),
        ("For=\"203.0.113.9:1234\"", "203.0.113.9"),
        ("for=203.0.113.9:_port", "203.0.113.9"),
        ("FOR=\"[2001:db8::9]:1234\";proto=https", "2001:db8::9"),
        ("for=\"[2001:db8::9]\"", "2001:db8::9"),
        ("for=[2001:db8::9]", "2001:db8::9"),
        ("for=2001:db8::9", "2001:db8::9"),
        ("by=10.0.0.1; for=203.0.113.9 ;proto=http", "203.0.113.9"),
        ("for=198.51.100.1, for=203.0.113.9", "203.0.113.9"),
        ("for=203.0.113.9, for=10.0.0.2", "203.0.113.9"),
        ("for=198.51.100.1;by=\"a,b;c\", for=203.0.113.9;by=\"x,y\"", "203.0.113.9"),
        ("for=\"198.51.100.1, for=203.0.113.9", "203.0.113.9"),
        ("for=\"\\\", for=203.0.113.9", "203.0.113.9"),
        ("for=\"203.0\\.113.9\"", "203.0.113.9"),
        ("nonsense, for=203.0.113.9", "203.0.113.9"),
        ("", "?10.0.0.1"),
        ("203.0.113.9", "?10.0.0.1"),
        ("for=unknown", "?10.0.0.1"),
        ("for=\"_hidden\"", "?10.0.0.1"),
        ("for=", "?10.0.0.1"),
        ("for=\"\"", "?10.0.0.1"),
        ("proto=https", "?10.0.0.1"),
        ("for=203.0.113.9;for=198.51.100.1", "?10.0.0.1"),
        ("for=203.0.113.9;nonsense", "?10.0.0.1"),
        ("for=203.0.113.9;", "203.0.113.9"),
        (";for=203.0.113.9; ;proto=http", "203.0.113.9"),
        (";", "?10.0.0.1"),
        ("for =203.0.113.9", "?10.0.0.1"),
        ("for=\"203.0.113.9\"x", "?10.0.0.1"),
        ("for=\"203.0.113.9", "?10.0.0.1"),
        ("for=203.0.113.9,", "?10.0.0.1"),
        ("for=203.0.113.9, for=unknown", "?10.0.0.1"),
        ("for=unknown, for=10.0.0.2", "?10.0.0.2"),
    ];
    for (value, want) in cases {
        assert_eq!(by_forwarded(value), want, "{value}");
    }
}

#[test]
fn a_field_with_one_address_says_one_or_nothing() {
    let real_ip = |values: &[&str]| {
        let lines: Vec<_> = values.iter().map(|value| ("X-Real-IP", *value)).collect();
        shown(client("x-real-ip", "10.0.0.1", &lines).address)
    };
    assert_eq!(real_ip(&["203.0.113.9"]), "203.0.113.9");
    assert_eq!(real_ip(&["2001:db8::9"]), "2001:db8::9");
    assert_eq!(real_ip(&["10.0.0.9"]), "10.0.0.9");
    assert_eq!(real_ip(&[]), "10.0.0.1");
    for broken in [&["198.51.100.1, 203.0.113.9"][..], &["198.51.100.1", "203.0.113.9"], &[""], &["x"]] {
        assert_eq!(real_ip(broken), "?10.0.0.1", "{}", broken.join(" | "));
    }
    // A field other than the configured one is ignored.
    let other = client("x-real-ip", "10.0.0.1", &[("X-Forwarded-For", "203.0.113.9")]);
    assert_eq!(shown(other.address), "10.0.0.1");
}

#[test]
fn the_scheme_is_said_by_the_element_chosen_or_the_last_proxy() {
    const XFF: (&str, &str) = ("X-Forwarded-For", "203.0.113.9");
    const fn proto(value: &'static str) -> (&'static str, &'static str) {
        ("X-Forwarded-Proto", value)
    }
    let cases: &[(&str, &str, Lines, Scheme)] = &[
        ("x-forwarded-for", "10.0.0.1", &[XFF], Scheme::Http),
        ("x-forwarded-for", "10.0.0.1", &[XFF, proto("https")], Scheme::Https),
        ("x-forwarded-for", "10.0.0.1", &[proto("HTTPS")], Scheme::Https),
        ("x-forwarded-for", "10.0.0.1", &[XFF, proto("https, http")], Scheme::Http),
        ("x-forwarded-for", "10.0.0.1", &[XFF, proto("http"), proto("https")], Scheme::Https),
        ("x-forwarded-for", "10.0.0.1", &[XFF, proto("wss")], Scheme::Http),
        ("x-forwarded-for", "10.0.0.1", &[XFF, proto("https,")], Scheme::Http),
        ("x-forwarded-for", "10.0.0.1", &[("X-Forwarded-For", "x"), proto("https")], Scheme::Https),
        ("x-forwarded-for", "192.0.2.1", &[XFF, proto("https")], Scheme::Http),
        ("forwarded", "10.0.0.1", &[("Forwarded", "for=203.0.113.9;proto=https")], Scheme::Https),
        ("forwarded", "192.0.2.1", &[("Forwarded", "for=203.0.113.9;proto=https")], Scheme::Http),
        (
            "forwarded",
            "10.0.0.1",
            &[("Forwarded", "for=1.1.1.1;proto=https, for=203.0.113.9;proto=http"), proto("https")],
            Scheme::Http,
        ),
        (
            "forwarded",
            "10.0.0.1",
            &[("Forwarded", "for=203.0.113.9;proto=https, for=10.0.0.2;proto=http")],
            Scheme::Https,
        ),
        ("forwarded", "10.0.0.1", &[("Forwarded", "for=203.0.113.9"), proto("https")], Scheme::Https),
    ];
    for (field, from, lines, want) in cases {
        let got = client(field, from, lines).scheme;
        assert_eq!(got, *want, "{from} {}", lines.iter().map(|line| line.1).collect::<Vec<_>>().join(" | "));
    }
}

#[test]
fn by_default_no_peer_is_believed() {
    let mut fields = Fields::default();
    fields.push("X-Forwarded-For", b"203.0.113.9");
    let default = ProxyTrust::default();
    for from in ["127.0.0.1", "::1", "10.0.0.1", "unix"] {
        assert_eq!(default.client(&peer(from), &fields), peer(from));
    }
    assert!(!default.trusts_any() && trust("forwarded").trusts_any());
}

#[test]
fn the_fields_of_proxies_are_known_by_name() {
    let real_ip = trust("x-real-ip");
    for name in ["FORWARDED", "x-forwarded-for", "X-Forwarded-Proto", "X-Forwarded-Host", "X-Real-IP"] {
        assert!(real_ip.is_proxy_field(name), "{name}");
    }
    assert!(!real_ip.is_proxy_field("Host") && !trust("forwarded").is_proxy_field("X-Real-IP"));
}

proptest! {
    #[test]
    fn whatever_a_client_writes_the_address_that_its_proxy_appended_comes_out(own in "[ -~]{0,60}") {
        prop_assert_eq!(by_xff("10.0.0.1", &[&format!("{own}, 203.0.113.9")]), "203.0.113.9");
        prop_assert_eq!(by_xff("10.0.0.1", &[&own, "203.0.113.9"]), "203.0.113.9");
        prop_assert_eq!(by_forwarded(&format!("{own}, for=203.0.113.9")), "203.0.113.9");
    }

    #[test]
    fn a_peer_that_is_not_trusted_stays_itself(own in "[ -~]{0,60}", field in 0_usize..3) {
        let (field, name) = [("x-forwarded-for", "X-Forwarded-For"), ("forwarded", "Forwarded"), ("x-a", "X-A")][field];
        let lines = [(name, own.as_str()), ("X-Forwarded-Proto", "https")];
        prop_assert_eq!(client(field, "192.0.2.1", &lines), peer("192.0.2.1"));
    }

    #[test]
    fn any_bytes_come_to_an_address_or_to_none(own in prop::collection::vec(any::<u8>(), 0..80)) {
        for field in ["x-forwarded-for", "forwarded", "x-real-ip"] {
            let mut fields = Fields::default();
            fields.push(field, own.trim_ascii());
            let client = trust(field).client(&peer("10.0.0.1"), &fields);
            prop_assert!(client.address != ClientAddress::Unix && client.peer == peer("10.0.0.1").peer);
        }
    }
}
