//! Referrer filter: refuses requests from pages of other sites (thttpd's `check_referrer`).

use crate::config::Config;

/// Tells whether a request with this referrer may have `name`.
///
/// `name` has no leading slash, and its symbolic links are not expanded. `own_host` is the virtual host or
/// the server's name; it is used if `localpat` is not set.
pub fn allows(config: &Config, name: &[u8], referrer: Option<&[u8]>, own_host: Option<&str>) -> bool {
    let Some(protected) = &config.url_pattern else { return true };
    let Some(host) = referrer.and_then(host_of) else {
        return !(config.no_empty_referrers && protected.matches(name));
    };
    let local = match (&config.local_pattern, own_host) {
        // A user name can be made to look like a host, so thttpd refuses a referrer that has one.
        _ if host.contains('@') => false,
        (Some(pattern), _) => pattern.matches(host.as_bytes()),
        (None, Some(own)) => host.eq_ignore_ascii_case(own),
        (None, None) => true,
    };
    local || !protected.matches(name)
}

/// Host of a URL: lower case, without port; `None` if the URL has no `//`.
///
/// User information before the host is kept, so that [`allows`] can refuse it. Clients must not send it in
/// Referer (RFC 9110 §10.1.3).
fn host_of(url: &[u8]) -> Option<String> {
    let start = url.windows(2).position(|two| two == b"//")? + 2;
    let rest = &url[start..];
    let authority = rest.split(|b| b"/?#".contains(b)).next().unwrap_or_default();
    if authority.contains(&b'@') {
        return Some(String::from_utf8_lossy(authority).to_ascii_lowercase());
    }
    let host = match authority.strip_prefix(b"[") {
        Some(literal) => literal.split(|&b| b == b']').next(),
        None => authority.split(|&b| b == b':').next(),
    };
    Some(String::from_utf8_lossy(host.unwrap_or_default()).to_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::pattern::Pattern;

    fn config(local: Option<&str>, strict: bool) -> Config {
        Config {
            url_pattern: Some(Pattern::new("**.txt")),
            local_pattern: local.map(Pattern::new),
            no_empty_referrers: strict,
            ..Config::default()
        }
    }

    #[test]
    fn only_foreign_referrers_to_protected_names_are_refused() {
        let c = config(Some("*.example.com|example.com"), false);
        for (referrer, want) in [
            (None, true),
            (Some("nonsense"), true),
            (Some("http://www.example.com/x"), true),
            (Some("https://EXAMPLE.com:8080"), true),
            (Some("http://user@example.com/"), false),
            (Some("http://user@www.example.com/"), false),
            (Some("http://example.com:x@evil.org/"), false),
            (Some("http://evil.org/"), false),
            (Some("http://example.com@evil.org/"), false),
            (Some("http://example.com.evil.org/"), false),
            (Some("http://"), false),
        ] {
            assert_eq!(allows(&c, b"a.txt", referrer.map(str::as_bytes), None), want, "{referrer:?}");
        }
        assert!(allows(&c, b"a.html", Some(b"http://evil.org/"), None));
        assert!(allows(&Config::default(), b"a.txt", Some(b"http://evil.org/"), None));
    }

    #[test]
    fn the_host_of_a_referrer_ends_where_that_of_a_url_does() {
        let c = config(Some("example.com"), false);
        for end in ["", "/x", ":80", "?x", "#x", ":80?x/y"] {
            let referrer = format!("http://example.com{end}");
            assert!(allows(&c, b"a.txt", Some(referrer.as_bytes()), None), "{referrer}");
        }
    }

    #[test]
    fn without_a_local_pattern_our_own_name_is_local() {
        let c = config(None, true);
        assert!(allows(&c, b"a.txt", Some(b"http://us/"), Some("us")));
        assert!(!allows(&c, b"a.txt", Some(b"http://them/"), Some("us")));
        assert!(allows(&c, b"a.txt", Some(b"http://them/"), None));
        assert!(!allows(&c, b"a.txt", None, Some("us")));
    }
}
