//! Bytes → requests.

use std::net::SocketAddr;

use thttpd::config::address_list::AddressList;
use thttpd::config::{Limits, ProxyTrust};
use thttpd::request::client::ClientAddress;
use thttpd::request::proxy_protocol;
use thttpd::request::{Client, Fields, Method, Parsed, Request, head, target as targets};

/// A head is understood, refused or waited for; what it names stays inside; and it comes to the same
/// in whatever pieces it arrives.
pub fn head(data: &[u8]) {
    let limits = Limits::default();
    match head::parse(data, &limits) {
        Ok(Parsed::Complete(request, length)) => {
            assert!(length <= data.len() && length <= limits.head);
            check(&request);
            // Nothing behind it had a say.
            assert!(
                matches!(head::parse(&data[..length], &limits), Ok(Parsed::Complete(_, l)) if l == length)
            );
            for end in [0, 1, length / 2, length - 1] {
                let early = head::parse(&data[..end], &limits);
                assert!(matches!(early, Ok(Parsed::Partial)), "decided after {end} of {length} bytes");
            }
        }
        Ok(Parsed::Partial) => assert!(data.len() < limits.head),
        Err(refused) => {
            let _ = thttpd::request::outline::outline(data);
            assert!(matches!(refused.status, 400 | 414 | 417 | 421 | 431 | 501 | 505));
            // A refused head stays refused, whatever comes behind it.
            let more = [data, b"\r\nX: y\r\n\r\n"].concat();
            assert!(head::parse(&more, &limits).is_err(), "more bytes turned a refusal");
        }
    }
}

fn check(request: &Request<'_>) {
    check_path(&request.path);
    if let Some(host) = request.host {
        assert!(!host.is_empty() && !host.starts_with('.') && !host.contains(['/', '\0', ' ', '@']));
    }
    for (name, value) in request.fields.iter() {
        assert!(!name.is_empty() && name.bytes().all(|b| b.is_ascii_graphic() && b != b':'));
        assert!(!value.contains(&b'\n') && !value.contains(&b'\r') && !value.contains(&0));
        assert_eq!(value, value.trim_ascii());
    }
}

fn check_path(path: &[u8]) {
    assert!(!path.contains(&0) && path.first() != Some(&b'/'));
    assert!(path.split(|&b| b == b'/').all(|segment| segment != b"." && segment != b".."));
}

/// A target's path stays below the top, and dots resolved once are resolved for good.
pub fn target(data: &[u8]) {
    for method in [Method::Get, Method::Options, Method::Unknown] {
        if let Ok(target) = targets::parse(data, method) {
            check_path(&target.path);
            assert_eq!(targets::remove_dots(&target.path), &target.path[..]);
        }
    }
    let decoded = targets::decode(data);
    assert!(decoded.len() <= data.len());
}

/// A host, and the directory it names.
pub fn host(data: &[u8]) {
    let head = [b"GET / HTTP/1.1\r\nHost: ", data, b"\r\n\r\n"].concat();
    let Ok(Parsed::Complete(request, _)) = head::parse(&head, &Limits::default()) else { return };
    let directory = thttpd::resource::vhost::directory(&request, std::net::Ipv4Addr::LOCALHOST.into());
    assert!(!directory.is_empty() && directory != "." && directory != "..", "{directory:?}");
    assert!(!directory.contains(['/', '\0']) && !directory.starts_with('.'), "{directory:?}");
}

/// A PROXY head is decided once, by its own bytes alone.
pub fn proxy_head(data: &[u8]) {
    let limit = Limits::default().head;
    match proxy_protocol::parse(data, limit) {
        Ok(Parsed::Complete(head, length)) => {
            assert!(length <= data.len() && length <= limit);
            let alone = proxy_protocol::parse(&data[..length], limit);
            assert_eq!(alone, Ok(Parsed::Complete(head, length)));
            for end in 0..length {
                assert_eq!(proxy_protocol::parse(&data[..end], limit), Ok(Parsed::Partial));
            }
        }
        Ok(Parsed::Partial) => assert!(data.len() < limit),
        Err(error) => {
            let more = [data, b"\r\n"].concat();
            assert_eq!(proxy_protocol::parse(&more, limit), Err(error), "more bytes turned a refusal");
        }
    }
}

/// Whatever a client writes, the address that a trusted proxy appends is the client; a peer that is not
/// trusted speaks for nobody.
pub fn forwarded(data: &[u8]) {
    let trusted = AddressList::parse("10.0.0.0/8,unix").expect("a list");
    let peer = |octets: [u8; 4]| Client::of_peer(SocketAddr::from((octets, 80)));
    let appended = ClientAddress::Ip([203, 0, 113, 9].into());
    let values: Vec<&[u8]> = data.split(|&byte| byte == b'\n').map(<[u8]>::trim_ascii).collect();
    for (field, own) in
        [("X-Forwarded-For", "203.0.113.9"), ("Forwarded", "for=203.0.113.9"), ("X-Real-IP", "")]
    {
        let trust = ProxyTrust { trusted: trusted.clone(), field: field.to_lowercase() };
        let mut fields = Fields::default();
        values.iter().for_each(|value| fields.push(field, value));
        assert_eq!(trust.client(&peer([192, 0, 2, 1]), &fields), peer([192, 0, 2, 1]));
        let client = trust.client(&peer([10, 0, 0, 1]), &fields);
        assert_eq!(client.peer, peer([10, 0, 0, 1]).peer);
        if own.is_empty() {
            continue;
        }
        let last = [values.last().copied().unwrap_or_default(), b", ", own.as_bytes()].concat();
        let mut fields = Fields::default();
        values[..values.len() - 1].iter().for_each(|value| fields.push(field, value));
        fields.push(field, &last);
        assert_eq!(trust.client(&peer([10, 0, 0, 1]), &fields).address, appended);
    }
}
