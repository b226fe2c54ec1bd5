//! PROXY protocol, versions 1 and 2: the head in which a proxy reports the client of a connection.
//!
//! Pure: bytes to [`ProxyHead`]. A listener with `;proxy` expects one head, from trusted peers only.
//! Anything outside the specification is refused, as a guess could let clients forge their address.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::str::FromStr;

use super::Parsed;

/// Maximum length of a version 1 head, its CR LF included.
const LONGEST_V1: usize = 107;
const V1: &[u8] = b"PROXY ";
const V2: &[u8; 12] = b"\r\n\r\n\0\r\nQUIT\n";
/// Signature, version and command, family, length.
const FIXED_V2: usize = 16;
/// Type of the type-length-value about TLS.
const PP2_TYPE_SSL: u8 = 0x20;
/// Bit in the value's first byte: the client used TLS.
const PP2_CLIENT_SSL: u8 = 0x01;

/// Contents of one head.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ProxyHead {
    /// Client address; `None` for the proxy's own connections, or for address families without one.
    pub source: Option<SocketAddr>,
    /// Set if the client used TLS.
    pub is_tls: bool,
}

/// Reason why the bytes are not a valid head.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProxyError {
    /// The first bytes match neither version.
    NotProxy,
    /// Version 1 head with invalid words or a missing end.
    BadLine,
    /// Version 2 head with an unsupported version, command, family or protocol.
    Unsupported,
    /// Version 2 head with lengths that disagree.
    BadLength,
    /// Version 2 head longer than `head_limit`.
    TooLong,
}

impl fmt::Display for ProxyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            ProxyError::NotProxy => "it does not begin with a PROXY protocol head",
            ProxyError::BadLine => "its PROXY protocol line is malformed",
            ProxyError::Unsupported => "its PROXY protocol head is of an unknown kind",
            ProxyError::BadLength => "the lengths in its PROXY protocol head do not agree",
            ProxyError::TooLong => "its PROXY protocol head is longer than head_limit",
        })
    }
}

/// Reads the head at the start of `bytes`. A version 2 head may have at most `limit` bytes.
///
/// # Errors
/// The bytes cannot become a valid head.
pub fn parse(bytes: &[u8], limit: usize) -> Result<Parsed<ProxyHead>, ProxyError> {
    if begins(bytes, V2) { parse_v2(bytes, limit) } else { parse_v1(bytes) }
}

/// Tells whether `bytes` and `start` agree in their common length.
fn begins(bytes: &[u8], start: &[u8]) -> bool {
    !bytes.is_empty() && bytes.iter().zip(start).all(|(a, b)| a == b)
}

fn parse_v1(bytes: &[u8]) -> Result<Parsed<ProxyHead>, ProxyError> {
    if bytes.is_empty() {
        return Ok(Parsed::Partial);
    }
    if !begins(bytes, V1) {
        return Err(ProxyError::NotProxy);
    }
    let start = &bytes[..bytes.len().min(LONGEST_V1)];
    let Some(end) = start.iter().position(|&byte| byte == b'\n') else {
        return if bytes.len() < LONGEST_V1 { Ok(Parsed::Partial) } else { Err(ProxyError::BadLine) };
    };
    let line = start[..end].strip_suffix(b"\r").and_then(|line| line.strip_prefix(V1));
    let source = line.ok_or(ProxyError::BadLine).and_then(v1_source)?;
    Ok(Parsed::Complete(ProxyHead { source, is_tls: false }, end + 1))
}

/// Client in the words behind `PROXY `: `TCP4 SOURCE DESTINATION PORT PORT`, or `UNKNOWN` and any text.
fn v1_source(line: &[u8]) -> Result<Option<SocketAddr>, ProxyError> {
    let line = std::str::from_utf8(line).map_err(|_| ProxyError::BadLine)?;
    let words: Vec<&str> = line.split(' ').collect();
    let source = match words[..] {
        ["UNKNOWN", ..] => return Ok(None),
        ["TCP4", source, destination, from, to] => v1_address::<Ipv4Addr>([source, destination], [from, to]),
        ["TCP6", source, destination, from, to] => v1_address::<Ipv6Addr>([source, destination], [from, to]),
        _ => None,
    };
    source.map(Some).ok_or(ProxyError::BadLine)
}

fn v1_address<A: FromStr + Into<IpAddr>>(addresses: [&str; 2], ports: [&str; 2]) -> Option<SocketAddr> {
    let [source, destination] = addresses.map(|text| text.parse::<A>().ok());
    let [from, to] = ports.map(v1_port);
    let _ = (destination?, to?);
    Some(SocketAddr::new(source?.into(), from?))
}

/// Parses a decimal 16-bit number without sign and leading zero.
fn v1_port(text: &str) -> Option<u16> {
    let plain = text.bytes().all(|byte| byte.is_ascii_digit()) && (text == "0" || !text.starts_with('0'));
    text.parse().ok().filter(|_| plain)
}

fn parse_v2(bytes: &[u8], limit: usize) -> Result<Parsed<ProxyHead>, ProxyError> {
    let Some(&[kind, family, high, low]) = bytes.get(V2.len()..FIXED_V2) else {
        return check_v2_start(bytes).map(|()| Parsed::Partial);
    };
    check_v2_start(bytes)?;
    let length = FIXED_V2 + usize::from(u16::from_be_bytes([high, low]));
    if length > limit {
        return Err(ProxyError::TooLong);
    }
    let is_local = kind & 0xf == 0;
    if !is_local && length - FIXED_V2 < addresses_length(family) {
        return Err(ProxyError::BadLength);
    }
    let Some(rest) = bytes.get(FIXED_V2..length) else { return Ok(Parsed::Partial) };
    let head = if is_local { ProxyHead::default() } else { v2_content(family, rest)? };
    Ok(Parsed::Complete(head, length))
}

/// Checks version and command, then family and protocol, as soon as they have arrived.
fn check_v2_start(bytes: &[u8]) -> Result<(), ProxyError> {
    let kind = bytes.get(V2.len()).copied();
    if kind.is_some_and(|kind| !matches!(kind, 0x20 | 0x21)) {
        return Err(ProxyError::Unsupported);
    }
    match bytes.get(V2.len() + 1) {
        // For the proxy's own connections (command LOCAL) the address part is ignored.
        Some(0x00 | 0x01 | 0x11 | 0x21 | 0x31) | None => Ok(()),
        Some(_) if kind == Some(0x20) => Ok(()),
        Some(_) => Err(ProxyError::Unsupported),
    }
}

/// Length of both addresses and ports in bytes.
fn addresses_length(family: u8) -> usize {
    match family >> 4 {
        1 => 12,
        2 => 36,
        3 => 216,
        _ => 0,
    }
}

fn v2_content(family: u8, rest: &[u8]) -> Result<ProxyHead, ProxyError> {
    let (addresses, values) = rest.split_at_checked(addresses_length(family)).ok_or(ProxyError::BadLength)?;
    let source = match family >> 4 {
        1 => v2_source::<4>(addresses),
        2 => v2_source::<16>(addresses),
        _ => None,
    };
    Ok(ProxyHead { source, is_tls: v2_tls(values)? })
}

/// Source address from: source and destination address, source and destination port.
fn v2_source<const N: usize>(addresses: &[u8]) -> Option<SocketAddr>
where
    IpAddr: From<[u8; N]>,
{
    let address = *addresses.first_chunk::<N>()?;
    let port = addresses.get(2 * N..)?.first_chunk()?;
    Some(SocketAddr::new(IpAddr::from(address), u16::from_be_bytes(*port)))
}

/// Tells whether a type-length-value reports that the client used TLS.
fn v2_tls(mut values: &[u8]) -> Result<bool, ProxyError> {
    let mut is_tls = false;
    while let Some((&kind, rest)) = values.split_first() {
        let (length, rest) = rest.split_first_chunk::<2>().ok_or(ProxyError::BadLength)?;
        let length = usize::from(u16::from_be_bytes(*length));
        let (value, rest) = rest.split_at_checked(length).ok_or(ProxyError::BadLength)?;
        if kind == PP2_TYPE_SSL {
            // The value holds the client's bits in one byte, and the certificate's verification result in
            // four bytes.
            let client = value.first().filter(|_| value.len() >= 5).ok_or(ProxyError::BadLength)?;
            is_tls |= client & PP2_CLIENT_SSL != 0;
        }
        values = rest;
    }
    Ok(is_tls)
}

#[cfg(test)]
mod tests;
