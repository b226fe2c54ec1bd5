//! Clients behind proxies: X-Forwarded-For, Forwarded (RFC 7239), or a field with one address.
//!
//! Proxies append elements, so that only the right end of a list is reliable. The search starts at the
//! socket's peer and takes the next element from the right as long as the current address is a trusted
//! proxy's. Elements that a client has invented stand further left, and are reached only across trusted
//! proxies.
//!
//! `conn` calls [`ProxyTrust::client`] once per request; the settings are in `config`.

use std::net::{IpAddr, Ipv6Addr};

use super::Fields;
use super::client::{Client, ClientAddress, Scheme};
use crate::config::ProxyTrust;
use crate::config::address_list::AddressList;

/// Parsed element of a list.
#[derive(Debug, Default)]
struct Element {
    address: Option<IpAddr>,
    scheme: Option<Scheme>,
}

impl ProxyTrust {
    /// Tells whether any peer is a trusted proxy.
    pub fn trusts_any(&self) -> bool {
        self.trusted != AddressList::default()
    }

    /// Tells whether `sender` is a trusted proxy.
    pub fn trusts(&self, sender: &Client) -> bool {
        sender.address.is_allowed_by(&self.trusted)
    }

    /// Client of a request with `fields` that came from `sender`.
    ///
    /// `sender` is the socket's peer, or the client in a PROXY protocol head. It is returned itself if it
    /// is not a trusted proxy, or names no other client.
    pub fn client(&self, sender: &Client, fields: &Fields<'_>) -> Client {
        if !self.trusts(sender) {
            return *sender;
        }
        let elements = self.elements(fields);
        let (address, chosen) = match elements {
            None => (sender.address, None),
            Some(elements) => self.walk(sender.address, elements),
        };
        let scheme = chosen.or_else(|| forwarded_proto(fields)).unwrap_or(sender.scheme);
        Client { address, scheme, ..*sender }
    }

    /// Tells whether `name` is a field by which proxies report clients.
    pub fn is_proxy_field(&self, name: &str) -> bool {
        let known = ["Forwarded", "X-Forwarded-For", "X-Forwarded-Proto", "X-Forwarded-Host", &self.field];
        known.iter().any(|known| known.eq_ignore_ascii_case(name))
    }

    /// Elements of all lines of the field, from the right; `None` if the field is missing.
    ///
    /// An empty element counts (RFC 9110 §5.6.1.2 has it ignored): a trusted proxy that names no client must not let
    /// the client's own words count.
    fn elements(&self, fields: &Fields<'_>) -> Option<Vec<Element>> {
        let mut lines: Vec<&[u8]> = fields.all(&self.field).collect();
        if lines.is_empty() {
            return None;
        }
        lines.reverse();
        if self.field.eq_ignore_ascii_case("Forwarded") {
            return Some(lines.into_iter().flat_map(split_forwarded).map(forwarded_element).collect());
        }
        let addresses = lines.into_iter().flat_map(|line| line.rsplit(|&byte| byte == b','));
        let elements: Vec<Element> =
            addresses.map(|text| Element { address: node_address(text), scheme: None }).collect();
        // In a field for one address, a list does not tell which member the proxy wrote.
        let is_list = self.field.eq_ignore_ascii_case("X-Forwarded-For");
        Some(if is_list || elements.len() == 1 { elements } else { vec![Element::default()] })
    }

    /// Searches from the peer to the left for the first address that is not trusted.
    fn walk(&self, sender: ClientAddress, elements: Vec<Element>) -> (ClientAddress, Option<Scheme>) {
        let (mut at, mut scheme) = (sender, None);
        for element in elements {
            let Some(address) = element.address else {
                let last = if let ClientAddress::Ip(address) = at { Some(address) } else { None };
                return (ClientAddress::Unknown(last), scheme);
            };
            (at, scheme) = (ClientAddress::Ip(address), element.scheme);
            if !self.trusted.contains(address) {
                break;
            }
        }
        (at, scheme)
    }
}

/// Last member of X-Forwarded-Proto, written by the nearest proxy.
fn forwarded_proto(fields: &Fields<'_>) -> Option<Scheme> {
    let value = fields.last("X-Forwarded-Proto")?;
    scheme(value.rsplit(|&byte| byte == b',').next()?.trim_ascii())
}

fn scheme(text: &[u8]) -> Option<Scheme> {
    match text {
        _ if text.eq_ignore_ascii_case(b"http") => Some(Scheme::Http),
        _ if text.eq_ignore_ascii_case(b"https") => Some(Scheme::Https),
        _ => None,
    }
}

/// Elements of one Forwarded line, from the right.
///
/// Quotation marks are paired from the right too: one left open by a client must not hide elements that a
/// proxy appended.
fn split_forwarded(line: &[u8]) -> Vec<&[u8]> {
    let (mut elements, mut end, mut is_quoted) = (Vec::new(), line.len(), false);
    for at in (0..line.len()).rev() {
        match line[at] {
            b'"' if !is_escaped(&line[..at]) => is_quoted = !is_quoted,
            b',' if !is_quoted => {
                elements.push(&line[at + 1..end]);
                end = at;
            }
            _ => {}
        }
    }
    elements.push(&line[..end]);
    elements
}

/// Tells whether an odd number of backslashes precedes.
fn is_escaped(before: &[u8]) -> bool {
    before.iter().rev().take_while(|&&byte| byte == b'\\').count() % 2 == 1
}

/// Parses `for=192.0.2.43;proto=https;by=…`. A malformed element, or one with a repeated name, is empty.
fn forwarded_element(text: &[u8]) -> Element {
    let mut element = Element::default();
    let mut names: Vec<Vec<u8>> = Vec::new();
    // A pair may be empty (RFC 7239 §4).
    for pair in split_pairs(text).into_iter().filter(|pair| !pair.trim_ascii().is_empty()) {
        let Some((name, value)) = forwarded_pair(pair) else { return Element::default() };
        let name = name.to_ascii_lowercase();
        match &name[..] {
            b"for" => element.address = node_address(&value),
            b"proto" => element.scheme = scheme(&value),
            _ => {}
        }
        if names.contains(&name) {
            return Element::default();
        }
        names.push(name);
    }
    element
}

/// Pairs of an element, split at semicolons outside quotation marks.
fn split_pairs(text: &[u8]) -> Vec<&[u8]> {
    let (mut pairs, mut start, mut is_quoted) = (Vec::new(), 0, false);
    for at in 0..text.len() {
        match text[at] {
            b'"' if !(is_quoted && is_escaped(&text[..at])) => is_quoted = !is_quoted,
            b';' if !is_quoted => {
                pairs.push(&text[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    pairs.push(&text[start..]);
    pairs
}

/// Parses a token, `=`, and a value; removes the quotation marks of the value.
fn forwarded_pair(pair: &[u8]) -> Option<(&[u8], Vec<u8>)> {
    let pair = pair.trim_ascii();
    let at = pair.iter().position(|&byte| byte == b'=')?;
    let (name, value) = (&pair[..at], &pair[at + 1..]);
    let is_token = !name.is_empty() && name.iter().all(|&byte| byte.is_ascii_alphanumeric() || byte == b'-');
    let value = match value.strip_prefix(b"\"") {
        None => value.to_vec(),
        Some(rest) => unquoted(rest.strip_suffix(b"\"")?)?,
    };
    (is_token && !value.is_empty()).then_some((name, value))
}

/// Text inside quotation marks, with backslash escapes resolved.
fn unquoted(inside: &[u8]) -> Option<Vec<u8>> {
    let mut text = Vec::with_capacity(inside.len());
    let mut bytes = inside.iter();
    while let Some(&byte) = bytes.next() {
        match byte {
            b'"' => return None,
            b'\\' => text.push(*bytes.next()?),
            _ => text.push(byte),
        }
    }
    Some(text)
}

/// Address in a node identifier; `None` for `unknown`, `_hidden` and others.
///
/// Forms: `192.0.2.7`, `192.0.2.7:80`, `2001:db8::1`, `[2001:db8::1]`, `[2001:db8::1]:80`, with optional
/// quotation marks and blanks around.
fn node_address(text: &[u8]) -> Option<IpAddr> {
    let text = std::str::from_utf8(text.trim_ascii()).ok()?;
    let text = text.strip_prefix('"').and_then(|text| text.strip_suffix('"')).unwrap_or(text);
    let address = match text.strip_prefix('[') {
        Some(rest) => {
            let (address, port) = rest.split_once(']')?;
            is_port(port).then_some(())?;
            IpAddr::V6(address.parse::<Ipv6Addr>().ok()?)
        }
        None => match text.find(':').map(|at| text.split_at(at)) {
            Some((address, port)) if address.contains('.') && is_port(port) => {
                IpAddr::V4(address.parse().ok()?)
            }
            _ => text.parse().ok()?,
        },
    };
    Some(address.to_canonical())
}

/// Tells whether `text` is empty, or a colon and a port in digits or obfuscated form (RFC 7239 §6.2).
fn is_port(text: &str) -> bool {
    let Some(port) = text.strip_prefix(':') else { return text.is_empty() };
    let is_hidden =
        |name: &str| name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte));
    match port.strip_prefix('_') {
        Some(name) => !name.is_empty() && is_hidden(name),
        None => (1..=5).contains(&port.len()) && port.bytes().all(|byte| byte.is_ascii_digit()),
    }
}

#[cfg(test)]
mod tests;
