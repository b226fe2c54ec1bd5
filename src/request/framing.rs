//! Framing of a request's content (RFC 9112 §6).
//!
//! To prevent request smuggling, anything that two servers could read differently is refused, and the
//! connection is closed.

use super::{Fields, Rejection, Version};
use crate::log::decimal::parse_decimal;

/// Length of a request's content.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BodyLength {
    /// No content.
    None,
    /// `Content-Length`: exactly this many bytes.
    Length(u64),
    /// `Transfer-Encoding: chunked`.
    Chunked,
}

/// Framing of the content, from the field lines.
///
/// # Errors
/// 400 for anything ambiguous: both fields, either one twice, a malformed number, chunked on 1.0 or not
/// last. 501 for an unknown transfer coding (RFC 9112 §6.1). All close the connection.
pub fn body_length(fields: &Fields<'_>, version: Version) -> Result<BodyLength, Rejection> {
    let mut lengths = fields.all("Content-Length");
    let mut codings = fields.all("Transfer-Encoding");
    match (lengths.next(), codings.next()) {
        (None, None) => Ok(BodyLength::None),
        (Some(_), Some(_)) => Err(Rejection::malformed(
            "The request has both Content-Length and Transfer-Encoding; send one of them.",
        )),
        (Some(length), None) => match (lengths.next(), parse_decimal(length)) {
            (None, Some(0)) => Ok(BodyLength::None),
            (None, Some(n)) => Ok(BodyLength::Length(n)),
            (Some(_), _) => Err(Rejection::malformed("The request has more than one Content-Length.")),
            (None, None) => Err(Rejection::malformed("The request's Content-Length is not a number.")),
        },
        (None, Some(coding)) => {
            if codings.next().is_some() {
                return Err(Rejection::malformed("The request has more than one Transfer-Encoding."));
            }
            transfer_coding(coding, version)
        }
    }
}

/// Framing by a Transfer-Encoding.
///
/// An empty element of the list is refused, though others ignore it (RFC 9110 §5.6.1.2): a server in front that does
/// not would see another end of the content.
fn transfer_coding(coding: &[u8], version: Version) -> Result<BodyLength, Rejection> {
    if version < Version::Http11 {
        return Err(Rejection::malformed("Transfer-Encoding needs HTTP/1.1."));
    }
    if coding.eq_ignore_ascii_case(b"chunked") {
        return Ok(BodyLength::Chunked);
    }
    let last = coding.rsplit(|&b| b == b',').next().unwrap_or_default().trim_ascii();
    if last.eq_ignore_ascii_case(b"chunked") {
        return Err(Rejection::fatal(501, "This server knows no transfer coding but chunked."));
    }
    Err(Rejection::malformed("The request's Transfer-Encoding does not end in chunked."))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn framing(lines: &[(&'static str, &'static str)]) -> Result<BodyLength, u16> {
        let mut fields = Fields::default();
        for (name, value) in lines {
            fields.push(name, value.as_bytes());
        }
        body_length(&fields, Version::Http11).map_err(|r| {
            assert!(r.close, "a framing error must end the connection");
            r.status
        })
    }

    #[test]
    fn one_plain_length_or_chunked_is_taken() {
        assert_eq!(framing(&[]), Ok(BodyLength::None));
        assert_eq!(framing(&[("Content-Length", "0")]), Ok(BodyLength::None));
        assert_eq!(framing(&[("content-length", "18446744073709551615")]), Ok(BodyLength::Length(u64::MAX)));
        assert_eq!(framing(&[("Transfer-Encoding", "Chunked")]), Ok(BodyLength::Chunked));
    }

    #[test]
    fn whatever_two_servers_could_read_differently_is_refused() {
        for lines in [
            &[("Content-Length", "5"), ("Content-Length", "5")][..],
            &[("Content-Length", "5"), ("Transfer-Encoding", "chunked")],
            &[("Transfer-Encoding", "chunked"), ("Transfer-Encoding", "chunked")],
            &[("Content-Length", "5, 5")],
            &[("Content-Length", "+5")],
            &[("Content-Length", "-1")],
            &[("Content-Length", "0x5")],
            &[("Content-Length", "")],
            &[("Content-Length", "18446744073709551616")],
            &[("Transfer-Encoding", "chunked, gzip")],
            &[("Transfer-Encoding", "chunked;q=1")],
            &[("Transfer-Encoding", "")],
        ] {
            assert_eq!(framing(lines), Err(400), "{lines:?}");
        }
        assert_eq!(framing(&[("Transfer-Encoding", "gzip, chunked")]), Err(501));
    }

    #[test]
    fn chunked_on_http_1_0_is_400() {
        let mut fields = Fields::default();
        fields.push("Transfer-Encoding", b"chunked");
        assert_eq!(body_length(&fields, Version::Http10).map_err(|r| r.status), Err(400));
    }
}
