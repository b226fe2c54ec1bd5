//! Basic credentials: user and password from `Authorization: Basic` (RFC 7617 §2).

use super::crypt::text64;

/// User name and password from a client: bounded, and free of control characters.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    /// Text `user:password`.
    bytes: Vec<u8>,
    /// Position of the first colon.
    colon: usize,
}

impl Credentials {
    /// Maximum length of user, colon and password together.
    ///
    /// thttpd takes 499. The work of a SHA hash grows with the password, so a limit is needed.
    pub const MOST_BYTES: usize = 512;

    /// Parses the value of an Authorization field.
    ///
    /// `None` for another scheme, bad base64, excessive length, a missing colon, or control characters. RFC
    /// 7617 forbids the latter, and a NUL would end the password early in crypt(3).
    pub fn parse(authorization: &[u8]) -> Option<Credentials> {
        let (scheme, token) = authorization.split_at_checked(b"Basic ".len())?;
        if !scheme.eq_ignore_ascii_case(b"Basic ") {
            return None;
        }
        let token = token.trim_ascii();
        if token.len() > Self::MOST_BYTES.div_ceil(3) * 4 {
            return None;
        }
        let bytes = decode_base64(token)?;
        let colon = bytes.iter().position(|&b| b == b':')?;
        let well_formed = bytes.len() <= Self::MOST_BYTES && !bytes.iter().any(u8::is_ascii_control);
        well_formed.then_some(Credentials { bytes, colon })
    }

    /// User name: the text before the first colon.
    pub fn user(&self) -> &[u8] {
        &self.bytes[..self.colon]
    }

    /// Password: the text after the first colon, further colons included.
    pub fn password(&self) -> &[u8] {
        &self.bytes[self.colon + 1..]
    }
}

/// Alphabet of base64 (RFC 4648 §4).
const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// Decodes base64. Padding is optional; other characters are refused.
///
/// thttpd skips other characters, so that two spellings can mean one user. A crate for this would be
/// larger.
fn decode_base64(text: &[u8]) -> Option<Vec<u8>> {
    let padding = text.iter().rev().take(2).take_while(|&&b| b == b'=').count();
    let letters = &text[..text.len() - padding];
    if padding > 0 && !text.len().is_multiple_of(4) {
        return None;
    }
    let mut bytes = vec![0; letters.len() * 3 / 4];
    text64::read_high_first(ALPHABET, letters, &mut bytes)?;
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn parsed(value: &[u8]) -> Option<(Vec<u8>, Vec<u8>)> {
        Credentials::parse(value).map(|c| (c.user().to_vec(), c.password().to_vec()))
    }

    fn pair(user: &str, password: &str) -> Option<(Vec<u8>, Vec<u8>)> {
        Some((user.into(), password.into()))
    }

    #[test]
    fn rfc_7617_example_gives_user_and_password() {
        assert_eq!(parsed(b"Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=="), pair("Aladdin", "open sesame"));
    }

    #[test]
    fn the_scheme_has_no_case() {
        assert_eq!(parsed(b"bAsIc YWxpY2U6d29uZGVy"), pair("alice", "wonder"));
    }

    #[test]
    fn blanks_around_the_token_and_missing_padding_are_taken() {
        assert_eq!(parsed(b"Basic   YTpi"), pair("a", "b"));
        assert_eq!(parsed(b"Basic YTpiYg"), pair("a", "bb"));
        assert_eq!(parsed(b"Basic YTpiYg=="), pair("a", "bb"));
        assert_eq!(parsed(b"Basic YTpiYmI="), pair("a", "bbb"));
    }

    #[test]
    fn the_password_is_everything_after_the_first_colon() {
        assert_eq!(parsed(b"Basic am9lOnNlY3JldDptb3Jl"), pair("joe", "secret:more"));
    }

    #[test]
    fn an_empty_user_or_password_is_still_a_pair() {
        assert_eq!(parsed(b"Basic YWxpY2U6"), pair("alice", ""));
        assert_eq!(parsed(b"Basic Og=="), pair("", ""));
    }

    #[test]
    fn other_schemes_foreign_bytes_and_no_colon_are_refused() {
        let refused: [&[u8]; 12] = [
            b"",
            b"Basic",
            b"Basic ",
            b"Basic YWxpY2U=", // no colon
            b"Digest YTpi",
            b"BasicYTpi",
            b"Basic\tYTpi",
            b"Basic YT-i",      // URL alphabet
            b"Basic YTpi!YTpi", // thttpd skipped the foreign byte
            b"Basic YTpiYg=",   // padding short
            b"Basic YTpiY===",  // a lone letter
            b"Basic =YTpi",
        ];
        for value in refused {
            assert_eq!(parsed(value), None, "{}", value.escape_ascii());
        }
    }

    #[test]
    fn control_characters_are_refused() {
        assert_eq!(parsed(b"Basic YTpiAGM="), None, "a NUL in the password");
        assert_eq!(parsed(b"Basic YQo6Yg=="), None, "a line feed in the user");
        assert_eq!(parsed(b"Basic YTp/"), None, "DEL");
    }

    #[test]
    fn five_hundred_and_twelve_bytes_are_the_most() {
        let most = Credentials::MOST_BYTES;
        let value = |len: usize| {
            [b"Basic ".to_vec(), encode(&[b"a:".to_vec(), vec![b'x'; len - 2]].concat())].concat()
        };
        assert!(parsed(&value(most)).is_some());
        assert!(parsed(&value(most + 1)).is_none());
    }

    fn encode(bytes: &[u8]) -> Vec<u8> {
        let mut text = text64::high_first(ALPHABET, bytes);
        text.resize(bytes.len().div_ceil(3) * 4, b'=');
        text
    }

    proptest! {
        #[test]
        fn any_bytes_are_parsed_without_panic(value in proptest::collection::vec(any::<u8>(), 0..900)) {
            let _ = Credentials::parse(&value);
            let _ = Credentials::parse(&[b"Basic ", &value[..]].concat());
        }

        #[test]
        fn encoded_credentials_are_read_back(user in "[^:\\x00-\\x1f\\x7f]{0,20}", password in "[^\\x00-\\x1f\\x7f]{0,60}") {
            let value = [b"Basic ".to_vec(), encode(format!("{user}:{password}").as_bytes())].concat();
            prop_assert_eq!(parsed(&value), pair(&user, &password));
        }
    }
}
