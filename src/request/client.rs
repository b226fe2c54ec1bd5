//! Client of a request: its address, its scheme, and the socket's peer.

use std::fmt;
use std::net::{IpAddr, SocketAddr};

use crate::config::address_list::AddressList;

/// Client of one request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Client {
    /// Address of the client: the socket's peer, or the address reported by a trusted proxy.
    pub address: ClientAddress,
    /// Scheme by which the client reached the site.
    pub scheme: Scheme,
    /// Peer of the socket; `None` for a Unix socket.
    pub peer: Option<SocketAddr>,
}

/// Origin of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClientAddress {
    /// IP address; an IPv4-mapped IPv6 address is stored as IPv4.
    Ip(IpAddr),
    /// Unix socket.
    Unix,
    /// Unknown client of a trusted proxy, with the last known address for the log.
    Unknown(Option<IpAddr>),
}

/// Scheme of the requested URL.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Scheme {
    /// Without encryption.
    Http,
    /// With TLS, terminated by a proxy.
    Https,
}

impl Scheme {
    /// Name of the scheme: `http` or `https`.
    pub fn as_str(self) -> &'static str {
        match self {
            Scheme::Http => "http",
            Scheme::Https => "https",
        }
    }
}

impl Client {
    /// Client of an accepted socket; `peer` is `None` for a Unix-domain socket.
    pub fn of_socket(peer: Option<SocketAddr>) -> Client {
        let unix = Client { address: ClientAddress::Unix, scheme: Scheme::Http, peer: None };
        peer.map_or(unix, Client::of_peer)
    }

    /// Client of a TCP connection.
    pub fn of_peer(peer: SocketAddr) -> Client {
        let address = ClientAddress::Ip(peer.ip().to_canonical());
        Client { address, scheme: Scheme::Http, peer: Some(peer) }
    }
}

impl ClientAddress {
    /// Known address; for an unknown client the last known one.
    pub fn known(self) -> Option<IpAddr> {
        match self {
            ClientAddress::Ip(address) => Some(address),
            ClientAddress::Unix => None,
            ClientAddress::Unknown(last) => last,
        }
    }

    /// Tells whether the client is in the list `allowed`. An unknown client is in no such list.
    pub fn is_allowed_by(self, allowed: &AddressList) -> bool {
        match self {
            ClientAddress::Ip(address) => allowed.contains(address),
            ClientAddress::Unix => allowed.has_unix(),
            ClientAddress::Unknown(_) => false,
        }
    }

    /// Tells whether the client is in the list `denied`. An unknown client is in every such list.
    pub fn is_denied_by(self, denied: &AddressList) -> bool {
        match self {
            ClientAddress::Unknown(_) => true,
            known => known.is_allowed_by(denied),
        }
    }
}

/// Unit for limits per client: an IPv4 address, or an IPv6 /64, which one site usually has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ClientNetwork(u128);

impl ClientNetwork {
    const SITE: u128 = !0 << 64;

    /// Unit of all clients without a known address.
    pub const UNKNOWN: ClientNetwork = ClientNetwork(0);

    /// Network of `address`; an IPv4-mapped IPv6 address counts as IPv4.
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
    /// Writes the known address, else a hyphen, as in the logs.
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
