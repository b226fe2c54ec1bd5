//! Environment variables of scripts, by request.

use super::*;
use crate::config::Limits;
use crate::config::pattern::Pattern;
use crate::request::{Parsed, head};
use crate::sys::fd::OpenFile;
use std::fs::File;
use std::sync::Arc;

/// Environment of a request for `cgi-bin/env` with the given PATH_INFO.
struct Seen(Vec<(OsString, OsString)>);

impl Seen {
    fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(n, _)| n == name).map(|(_, value)| value.to_str().unwrap())
    }
}

fn with_request<T>(bytes: &str, look: impl FnOnce(&Request<'_>) -> T) -> T {
    match head::parse(bytes.as_bytes(), &Limits::default()) {
        Ok(Parsed::Complete(request, _)) => look(&request),
        other => panic!("{bytes:?} gives {other:?}"),
    }
}

fn constants() -> CgiConstants {
    let config = Config { cgi_pattern: Some(Pattern::new("cgi-bin/*")), ..Config::default() };
    CgiConstants {
        name: Some("fallback".into()),
        time_zone: None,
        ..CgiConstants::new(&config, b"/srv/www/")
    }
}

fn seen_with(bytes: &str, path_info: &str, adjust: impl FnOnce(&mut CgiContext<'_>)) -> Seen {
    with_request(bytes, |request| {
        let script = Script {
            dir: Arc::new(OpenFile::from(File::open(".").unwrap())),
            name: b"cgi-bin/env".to_vec(),
            url_path: b"/cgi-bin/env".to_vec(),
            path_info: path_info.into(),
            query: None,
        };
        let mut call = CgiContext {
            request,
            script: &script,
            vhost: None,
            user: None,
            client: Client::of_peer("[::ffff:192.0.2.7]:4711".parse().unwrap()),
            is_from_trusted_proxy: false,
            local: "192.0.2.1:8080".parse().unwrap(),
        };
        adjust(&mut call);
        Seen(constants().variables(&call))
    })
}

fn seen(bytes: &str) -> Seen {
    seen_with(bytes, "", |_| {})
}

#[test]
fn the_variables_of_rfc_3875_and_of_thttpd_are_set() {
    let seen = seen_with("POST /cgi-bin/env/a%20b?q=1 HTTP/1.1\r\nHost: h:8080\r\n\r\n", "/a b", |_| {});
    for (name, value) in [
        ("PATH", PATH),
        ("SERVER_SOFTWARE", SERVER),
        ("SERVER_NAME", "h"),
        ("GATEWAY_INTERFACE", "CGI/1.1"),
        ("SERVER_PROTOCOL", "HTTP/1.1"),
        ("SERVER_PORT", "8080"),
        ("SERVER_ADDR", "192.0.2.1"),
        ("REQUEST_METHOD", "POST"),
        ("PATH_INFO", "/a b"),
        ("PATH_TRANSLATED", "/srv/www/a b"),
        ("SCRIPT_NAME", "/cgi-bin/env"),
        ("SCRIPT_FILENAME", "/srv/www/cgi-bin/env"),
        ("DOCUMENT_ROOT", "/srv/www"),
        ("QUERY_STRING", "q=1"),
        ("REQUEST_URI", "/cgi-bin/env/a%20b?q=1"),
        ("REMOTE_ADDR", "192.0.2.7"),
        ("REMOTE_PORT", "4711"),
        ("HTTP_HOST", "h:8080"),
        ("CGI_PATTERN", "cgi-bin/*"),
    ] {
        assert_eq!(seen.get(name), Some(value), "{name}");
    }
}

#[test]
fn variables_without_a_value_are_unset_except_the_query() {
    let seen = seen("GET /cgi-bin/env HTTP/1.0\r\n\r\n");
    assert_eq!(seen.get("QUERY_STRING"), Some(""));
    assert_eq!(seen.get("SERVER_NAME"), Some("fallback"));
    for name in ["PATH_INFO", "PATH_TRANSLATED", "CONTENT_TYPE", "REMOTE_USER", "AUTH_TYPE", "HTTP_HOST"] {
        assert_eq!(seen.get(name), None, "{name}");
    }
}

#[test]
fn every_field_is_handed_on_and_repeated_ones_are_joined() {
    let seen = seen(
        "GET /cgi-bin/env HTTP/1.1\r\nHost: h\r\nAccept: text/*\r\nX-Custom-Thing: 1\r\nAccept: image/*\r\n\
         Cookie: a=b\r\ncookie: c=d\r\nReferrer: http://r/\r\nContent-Type: text/x\r\n\r\n",
    );
    for (name, value) in [
        ("HTTP_ACCEPT", "text/*, image/*"),
        ("HTTP_X_CUSTOM_THING", "1"),
        ("HTTP_COOKIE", "a=b; c=d"),
        ("HTTP_REFERER", "http://r/"),
        ("HTTP_REFERRER", "http://r/"),
        ("CONTENT_TYPE", "text/x"),
    ] {
        assert_eq!(seen.get(name), Some(value), "{name}");
    }
    assert_eq!(seen.0.iter().filter(|(name, _)| name == "HTTP_ACCEPT").count(), 1);
    assert_eq!(seen.get("HTTP_CONTENT_TYPE"), None);
}

#[test]
fn misleading_fields_are_kept_from_scripts() {
    let seen = seen(
        "POST /cgi-bin/env HTTP/1.1\r\nHost: h\r\nProxy: http://evil/\r\nProxy-Authorization: x\r\n\
         Authorization: Basic YTpi\r\nX_Forwarded_For: evil\r\nX-Real.IP: evil\r\nTransfer-Encoding: chunked\r\n\r\n",
    );
    let http: Vec<_> =
        seen.0.iter().filter_map(|(n, _)| n.to_str()).filter(|n| n.starts_with("HTTP_")).collect();
    assert_eq!(http, ["HTTP_HOST"]);
    assert_eq!((seen.get("AUTH_TYPE"), seen.get("REMOTE_USER")), (None, None));
}

#[test]
fn a_user_is_named_only_when_we_have_checked_who_it_is() {
    let seen = seen_with("GET /cgi-bin/env HTTP/1.0\r\n\r\n", "", |call| call.user = Some(b"joe"));
    assert_eq!((seen.get("AUTH_TYPE"), seen.get("REMOTE_USER")), (Some("Basic"), Some("joe")));
}

#[test]
fn the_authority_of_an_absolute_target_goes_before_the_host_field() {
    for (target, host, uri) in [
        ("http://t:81/cgi-bin/env?q", "t:81", "/cgi-bin/env?q"),
        ("HTTP://t?q", "t", "?q"),
        ("http://t", "t", "/"),
    ] {
        let seen = seen(&format!("GET {target} HTTP/1.1\r\nHost: other\r\n\r\n"));
        assert_eq!((seen.get("HTTP_HOST"), seen.get("REQUEST_URI")), (Some(host), Some(uri)), "{target}");
    }
}

#[test]
fn a_virtual_host_is_the_servers_name_and_its_directory_the_document_root() {
    let request = "GET /cgi-bin/env HTTP/1.1\r\nHost: HostA\r\n\r\n";
    let seen = seen_with(request, "/x", |call| call.vhost = Some("hosta"));
    for (name, value) in [
        ("SERVER_NAME", "hosta"),
        ("DOCUMENT_ROOT", "/srv/www/hosta"),
        ("PATH_TRANSLATED", "/srv/www/hosta/x"),
        ("SCRIPT_FILENAME", "/srv/www/cgi-bin/env"),
    ] {
        assert_eq!(seen.get(name), Some(value), "{name}");
    }
}

#[test]
fn the_root_of_a_jail_is_a_slash() {
    let constants = CgiConstants::new(&Config::default(), b"/");
    assert_eq!(constants.root, b"");
}

#[test]
fn words_of_a_query_without_equals_sign_are_arguments() {
    for (target, method, expected) in [
        ("/x?one+two+three", "GET", &["one", "two", "three"][..]),
        ("/x?one%2Btwo+%26x", "GET", &["one+two", "&x"]),
        ("/x?one", "HEAD", &["one"]),
        ("/x?a++b", "GET", &["a", "", "b"]),
        ("/x?%", "GET", &["%"]),
        ("/x?%zz+%4", "GET", &["%zz", "%4"]),
        ("/x?a%3Db", "GET", &["a=b"]),
        ("/x?a=b+c", "GET", &[]),
        ("/x?a%00b", "GET", &[]),
        ("/x?", "GET", &[]),
        ("/x", "GET", &[]),
        ("/x?one", "POST", &[]),
    ] {
        let got = with_request(&format!("{method} {target} HTTP/1.0\r\n\r\n"), arguments);
        assert_eq!(got, expected, "{method} {target}");
    }
}
