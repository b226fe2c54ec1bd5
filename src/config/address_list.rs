//! Address lists for allow, deny and trusted_proxies: `192.0.2.7,10.0.0.0/8,fd00::/8,unix`.
//!
//! An IPv4-mapped IPv6 address (`::ffff:192.0.2.7`) counts as the IPv4 address on either side. Otherwise
//! the families are separate: `::/0` contains no IPv4 address.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};

/// IPv6 network of the mapped IPv4 addresses: `::ffff:0:0/96`.
const MAPPED: u128 = 0xffff << 32;
const MAPPED_PREFIX: u32 = 96;
const MAPPED_MASK: u128 = u128::MAX << (128 - MAPPED_PREFIX);

/// List of addresses and networks, with an optional entry for Unix sockets.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AddressList {
    networks: Vec<Network>,
    unix: bool,
}

/// Network as an IPv6 prefix: an IPv4 address is mapped into `::ffff:0:0/96`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Network {
    bits: u128,
    prefix: u32,
}

impl AddressList {
    /// Reads a list with commas or blanks between the members.
    ///
    /// # Errors
    /// The first invalid member with the reason, or that the list is empty.
    pub fn parse(text: &str) -> Result<AddressList, String> {
        let mut list = AddressList::default();
        for word in text.split([',', ' ', '\t']).filter(|word| !word.is_empty()) {
            match word {
                "unix" => list.unix = true,
                _ => list.networks.push(Network::parse(word)?),
            }
        }
        if list == AddressList::default() { Err("no address is named".into()) } else { Ok(list) }
    }

    /// Tells whether `address` is in the list or in one of its networks.
    pub fn contains(&self, address: IpAddr) -> bool {
        let bits = mapped(address);
        self.networks.iter().any(|network| network.contains(bits))
    }

    /// Tells whether the list contains Unix sockets.
    pub fn has_unix(&self) -> bool {
        self.unix
    }
}

impl Network {
    fn parse(word: &str) -> Result<Network, String> {
        let (address, length) = match word.split_once('/') {
            Some((address, length)) => (address, Some(length)),
            None => (word, None),
        };
        let bare = address.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(address);
        let address: IpAddr = bare.parse().map_err(|_| no_address(word))?;
        let most = if address.is_ipv4() { 32 } else { 128 };
        let length = match length {
            None => most,
            Some(digits) if digits.bytes().all(|b| b.is_ascii_digit()) => {
                let length = digits.parse().ok().filter(|length| *length <= most);
                length.ok_or_else(|| format!("{word}: the prefix must be from 0 to {most}"))?
            }
            Some(_) => return Err(format!("{word}: the prefix must be from 0 to {most}")),
        };
        let network = Network { bits: mapped(address), prefix: 128 - most + length };
        if network.bits & !network.mask() != 0 {
            return Err(format!("{word}: bits are set behind the prefix"));
        }
        Ok(network)
    }

    fn mask(self) -> u128 {
        u128::MAX.checked_shl(128 - self.prefix).unwrap_or(0)
    }

    fn contains(self, bits: u128) -> bool {
        // A network wider than the mapped range is an IPv6 network, and contains no IPv4 address.
        bits & self.mask() == self.bits && (self.prefix >= MAPPED_PREFIX || bits & MAPPED_MASK != MAPPED)
    }
}

impl fmt::Display for AddressList {
    /// Writes the list in the form of [`AddressList::parse`], with commas.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut words: Vec<String> = self.networks.iter().map(ToString::to_string).collect();
        words.extend(self.unix.then(|| "unix".to_owned()));
        f.write_str(&words.join(","))
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (address, most) = match IpAddr::from(Ipv6Addr::from_bits(self.bits)).to_canonical() {
            IpAddr::V4(address) if self.prefix >= 96 => (IpAddr::V4(address), 96),
            _ => (Ipv6Addr::from_bits(self.bits).into(), 0),
        };
        match self.prefix {
            128 => write!(f, "{address}"),
            prefix => write!(f, "{address}/{}", prefix - most),
        }
    }
}

/// Message for a word that is no member of a list. Other servers write `all`.
fn no_address(word: &str) -> String {
    let hint = if word == "all" { "; every address is 0.0.0.0/0,::/0" } else { "" };
    format!("{word} is no address, network or unix{hint}")
}

/// Bits of `address` as an IPv6 address.
fn mapped(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => address.to_ipv6_mapped().to_bits(),
        IpAddr::V6(address) => address.to_bits(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(text: &str) -> AddressList {
        AddressList::parse(text).unwrap()
    }

    #[test]
    fn addresses_and_networks_cover_what_they_say() {
        for (text, address, want) in [
            ("192.0.2.7", "192.0.2.7", true),
            ("192.0.2.7", "192.0.2.8", false),
            ("192.0.2.7", "::ffff:192.0.2.7", true),
            ("::ffff:192.0.2.7", "192.0.2.7", true),
            ("10.0.0.0/8", "10.255.255.255", true),
            ("10.0.0.0/8", "11.0.0.0", false),
            ("0.0.0.0/0", "203.0.113.1", true),
            ("0.0.0.0/0", "2001:db8::1", false),
            ("::/0", "2001:db8::1", true),
            ("::/0", "203.0.113.1", false),
            ("::/0", "::ffff:203.0.113.1", false),
            ("::/0", "::1", true),
            ("fd00::/8", "fdff::1", true),
            ("[::1]", "::1", true),
            ("192.0.2.1, 198.51.100.0/24\tunix", "198.51.100.9", true),
            ("unix", "127.0.0.1", false),
        ] {
            assert_eq!(list(text).contains(address.parse().unwrap()), want, "{text} {address}");
        }
        assert!(list("::1,unix").has_unix() && !list("::1").has_unix());
    }

    #[test]
    fn invalid_addresses_are_reported() {
        for (text, part) in [
            ("", "no address is named"),
            (",", "no address is named"),
            ("192.0.2", "192.0.2 is no address"),
            ("example.org", "example.org is no address"),
            ("all", "every address is 0.0.0.0/0,::/0"),
            ("10.0.0.0/33", "from 0 to 32"),
            ("10.0.0.0/+8", "from 0 to 32"),
            ("10.0.0.0/", "from 0 to 32"),
            ("10.0.0.1/8", "bits are set"),
            ("::/129", "from 0 to 128"),
        ] {
            let said = AddressList::parse(text).unwrap_err();
            assert!(said.contains(part), "{text}: {said}");
        }
    }

    #[test]
    fn a_list_is_written_as_it_is_read() {
        for text in ["192.0.2.7,10.0.0.0/8,fd00::/8,::1,0.0.0.0/0,::/0,unix", "::1", "unix"] {
            assert_eq!(list(text).to_string(), text);
            assert_eq!(list(&list(text).to_string()), list(text));
        }
    }
}
