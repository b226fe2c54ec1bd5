//! Escaping: text to HTML, and paths to URL paths, so that names and targets cannot become markup.

/// Appends `text` escaped for HTML content and quoted attributes.
///
/// Control bytes become U+FFFD, as they are not visible and could break a line of a listing. Other bytes
/// are kept: their meaning depends on the page's charset.
pub fn html(out: &mut Vec<u8>, text: &[u8]) {
    for &byte in text {
        match byte {
            b'&' => out.extend_from_slice(b"&amp;"),
            b'<' => out.extend_from_slice(b"&lt;"),
            b'>' => out.extend_from_slice(b"&gt;"),
            b'"' => out.extend_from_slice(b"&quot;"),
            b'\'' => out.extend_from_slice(b"&#39;"),
            control if control.is_ascii_control() => out.extend_from_slice(b"&#xfffd;"),
            plain => out.push(plain),
        }
    }
}

/// Appends a decoded `path` as a URL path.
///
/// All bytes but letters, digits and `/_.-~` become `%xx`, in lower-case hex as in thttpd's listings.
pub fn url_path(out: &mut Vec<u8>, path: &[u8]) {
    for &byte in path {
        if byte.is_ascii_alphanumeric() || b"/_.-~".contains(&byte) {
            out.push(byte);
        } else {
            percent(out, byte);
        }
    }
}

/// Appends an encoded path and query, and escapes bytes that no URL may hold (RFC 3986 §2).
///
/// Such bytes are blanks, quotes, backslashes, controls, bytes over 127, and a `%` without two hex digits.
pub fn url_reference(out: &mut Vec<u8>, reference: &[u8]) {
    for (at, &byte) in reference.iter().enumerate() {
        let allowed = match byte {
            b'%' => reference.get(at + 1..at + 3).is_some_and(|hex| hex.iter().all(u8::is_ascii_hexdigit)),
            _ => byte.is_ascii_alphanumeric() || b"-._~:/?@!$&'()*+,;=".contains(&byte),
        };
        if allowed {
            out.push(byte);
        } else {
            percent(out, byte);
        }
    }
}

fn percent(out: &mut Vec<u8>, byte: u8) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    out.extend_from_slice(&[b'%', HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]]);
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn done(escape: fn(&mut Vec<u8>, &[u8]), text: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        escape(&mut out, text);
        out
    }

    /// Text that a browser shows for `text`, with the entities of [`html`] decoded.
    fn html_shown(text: &[u8]) -> String {
        String::from_utf8_lossy(text)
            .replace("&lt;", "<")
            .replace("&gt;", ">")
            .replace("&quot;", "\"")
            .replace("&#39;", "'")
            .replace("&#xfffd;", "\u{fffd}")
            .replace("&amp;", "&")
    }

    fn url_decoded(text: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        let mut rest = text;
        while let Some((&first, tail)) = rest.split_first() {
            rest = tail;
            if first == b'%' {
                let hex = std::str::from_utf8(&tail[..2]).unwrap();
                out.push(u8::from_str_radix(hex, 16).unwrap());
                rest = &tail[2..];
            } else {
                out.push(first);
            }
        }
        out
    }

    #[test]
    fn a_script_in_a_name_becomes_text() {
        assert_eq!(
            done(html, b"<script>alert('x' & \"y\")</script>\n"),
            b"&lt;script&gt;alert(&#39;x&#39; &amp; &quot;y&quot;)&lt;/script&gt;&#xfffd;"
        );
    }

    #[test]
    fn url_paths_are_spelled_as_thttpd_spells_them() {
        for (path, spelled) in [
            ("a&b<c>.txt", "a%26b%3cc%3e.txt"),
            ("quote\".txt", "quote%22.txt"),
            ("pct%41.txt", "pct%2541.txt"),
            ("q?.txt", "q%3f.txt"),
            ("sub/_.-~", "sub/_.-~"),
            ("\u{e9}", "%c3%a9"),
        ] {
            assert_eq!(done(url_path, path.as_bytes()), spelled.as_bytes(), "{path}");
        }
    }

    #[test]
    fn references_keep_their_escapes_and_lose_what_no_url_holds() {
        for (raw, safe) in [
            ("/sub/?x=y&z=%20", "/sub/?x=y&z=%20"),
            ("/a%2", "/a%252"),
            ("/a%zz", "/a%25zz"),
            ("/\\evil", "/%5cevil"),
            ("/a b\r\nX: y", "/a%20b%0d%0aX:%20y"),
            ("/\"<>^`{|}#", "/%22%3c%3e%5e%60%7b%7c%7d%23"),
        ] {
            assert_eq!(done(url_reference, raw.as_bytes()), safe.as_bytes(), "{raw}");
        }
    }

    proptest! {
        #[test]
        fn escaped_html_holds_no_markup_and_shows_the_text(text in "[^\\x00-\\x1f\\x7f]*") {
            let escaped = done(html, text.as_bytes());
            prop_assert!(!escaped.iter().any(|byte| b"<>\"'".contains(byte)));
            prop_assert_eq!(html_shown(&escaped), text);
        }

        #[test]
        fn any_path_survives_being_spelled_as_a_url(path: Vec<u8>) {
            let spelled = done(url_path, &path);
            prop_assert!(spelled.iter().all(|byte| byte.is_ascii_graphic()));
            prop_assert_eq!(url_decoded(&spelled), path);
        }

        #[test]
        fn a_reference_made_safe_is_graphic_and_stays_as_it_is(raw: Vec<u8>) {
            let safe = done(url_reference, &raw);
            prop_assert!(safe.iter().all(|byte| byte.is_ascii_graphic() && !b"\\\"<>".contains(byte)));
            prop_assert_eq!(&done(url_reference, &safe), &safe);
        }
    }
}
