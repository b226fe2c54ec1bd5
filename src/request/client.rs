//! The client of a request: its address, the scheme it used, and the socket's other end.

use std::fmt;
use std::net::{IpAddr, SocketAddr};

use crate::config::address_list::AddressList;

/// The client of one request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Client {
    /// Where the request comes from: the socket's peer, or what a trusted proxy said.
    pub address: ClientAddress,
    /// How the client reached the site.
    pub scheme: Scheme,
    /// The other end of the socket; none on a Unix socket.
    pub peer: Option<SocketAddr>,
}

/// Where a request comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClientAddress {
    /// An address; IPv4 within IPv6 is IPv4.
    Ip(IpAddr),
    /// A Unix socket.
    Unix,
    /// A trusted proxy named a client whose address cannot be told; the last address known, for the log.
    Unknown(Option<IpAddr>),
}

/// The scheme of the URL that the client asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Scheme {
    /// Without encryption.
    Http,
    /// With TLS, which a proxy in front of us has ended.
    Https,
}

impl Scheme {
    /// `http` or `https`.
    pub fn as_str(self) -> &'static str {
        match self {
            Scheme::Http => "http",
            Scheme::Https => "https",
        }
    }
}

impl Client {
    /// The client at the other end of an accepted socket; `peer` is none on a Unix-domain socket.
    pub fn of_socket(peer: Option<SocketAddr>) -> Client {
        let unix = Client { address: ClientAddress::Unix, scheme: Scheme::Http, peer: None };
        peer.map_or(unix, Client::of_peer)
    }

    /// The client at the other end of a TCP connection.
    pub fn of_peer(peer: SocketAddr) -> Client {
        let address = ClientAddress::Ip(peer.ip().to_canonical());
        Client { address, scheme: Scheme::Http, peer: Some(peer) }
    }
}

impl ClientAddress {
    /// The address as far as it is known: of a client that cannot be told the last one that was.
    pub fn known(self) -> Option<IpAddr> {
        match self {
            ClientAddress::Ip(address) => Some(address),
            ClientAddress::Unix => None,
            ClientAddress::Unknown(last) => last,
        }
    }

    /// Is the client in the list `allowed`? A client that cannot be told is in none.
    pub fn is_allowed_by(self, allowed: &AddressList) -> bool {
        match self {
            ClientAddress::Ip(address) => allowed.contains(address),
            ClientAddress::Unix => allowed.has_unix(),
            ClientAddress::Unknown(_) => false,
        }
    }

    /// Is the client in the list `denied`? A client that cannot be told is in every one.
    pub fn is_denied_by(self, denied: &AddressList) -> bool {
        match self {
            ClientAddress::Unknown(_) => true,
            known => known.is_allowed_by(denied),
        }
    }
}

/// One client as far as bounds go: an IPv4 address, or the /64 that an IPv6 site has to itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ClientNetwork(u128);

impl ClientNetwork {
    const SITE: u128 = !0 << 64;

    /// All clients whose address is not known, as one.
    pub const UNKNOWN: ClientNetwork = ClientNetwork(0);

    /// The network of `address`; an IPv4 address mapped into IPv6 is the plain one.
    pub fn from_address(address: IpAddr) -> ClientNetwork {
        match address.to_canonical() {
            IpAddr::V4(v4) => ClientNetwork(v4.to_ipv6_mapped().to_bits()),
            IpAddr::V6(v6) => ClientNetwork(v6.to_bits() & ClientNetwork::SITE),
        }
    }
}

impl From<ClientAddress> for ClientNetwork {
    fn from(client: ClientAddress) -> ClientNetwork {
        match client {
            ClientAddress::Ip(address) | ClientAddress::Unknown(Some(address)) => {
                ClientNetwork::from_address(address)
            }
            ClientAddress::Unix | ClientAddress::Unknown(None) => ClientNetwork::UNKNOWN,
        }
    }
}

impl fmt::Display for ClientAddress {
    /// The known address, else a hyphen: as the logs have it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.known() {
            Some(address) => write!(f, "{address}"),
            None => f.write_str("-"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mapped_peer_is_its_ipv4_address() {
        let client = Client::of_peer("[::ffff:192.0.2.7]:80".parse().unwrap());
        assert_eq!(client.address, ClientAddress::Ip("192.0.2.7".parse().unwrap()));
    }

    #[test]
    fn an_unknown_client_is_in_every_deny_and_in_no_allow() {
        let all = AddressList::parse("0.0.0.0/0,::/0,unix").unwrap();
        let last = Some("192.0.2.7".parse().unwrap());
        for (client, allowed, denied) in [
            (ClientAddress::Ip("192.0.2.7".parse().unwrap()), true, true),
            (ClientAddress::Unix, true, true),
            (ClientAddress::Unknown(last), false, true),
            (ClientAddress::Unknown(None), false, true),
        ] {
            assert_eq!((client.is_allowed_by(&all), client.is_denied_by(&all)), (allowed, denied));
        }
        let other = AddressList::parse("198.51.100.1").unwrap();
        assert!(ClientAddress::Unknown(last).is_denied_by(&other));
        assert!(!ClientAddress::Unix.is_denied_by(&other));
    }
}
