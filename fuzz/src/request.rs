//! Bytes → requests.

use thttpd::config::Limits;
use thttpd::request::{Method, Parsed, Request, head, target as targets};

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
            assert!(matches!(refused.rejection.status, 400 | 414 | 417 | 421 | 431 | 501 | 505));
            // What was refused once is not waited for again.
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
