//! Host names of `-h` and `listen`: names and addresses to socket addresses, one per family as in thttpd.
//!
//! Numeric addresses, `/etc/hosts` and `localhost` are supported; DNS is not. The C library's resolver
//! would add a fifth to a static binary, which still could not load name service modules. A server whose
//! own name needs DNS would not start while DNS is down.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};
use std::path::Path;

use super::failure::Failure;
use crate::sys::{read_text, socket};

/// Socket addresses for `host` (`None` = every address), IPv6 first.
///
/// # Errors
/// The name is unknown.
pub fn addresses(host: Option<&str>, port: u16) -> Result<Vec<SocketAddr>, Failure> {
    let Some(host) = host else {
        return Ok(vec![(Ipv6Addr::UNSPECIFIED, port).into(), (Ipv4Addr::UNSPECIFIED, port).into()]);
    };
    let read = |path| read_text(Path::new(path)).unwrap_or_default();
    let mut found = find(host, port, &read("/etc/hosts"));
    let is_ipv6_only = || read("/proc/sys/net/ipv6/bindv6only").trim() == "1";
    if found == [SocketAddr::from((Ipv6Addr::UNSPECIFIED, port))] && !is_ipv6_only() {
        // By default on Linux and in thttpd, `::` means every address of both families.
        found.push((Ipv4Addr::UNSPECIFIED, port).into());
    }
    if found.is_empty() {
        return Err(Failure::new(format!("getaddrinfo {host} - Name or service not known"), advice(host)));
    }
    Ok(found)
}

/// Tells whether `host` means every address of both families.
pub fn is_every_address(host: Option<&str>) -> bool {
    host.and_then(|host| literal(host, 0)).is_some_and(|address| address.ip() == Ipv6Addr::UNSPECIFIED)
}

/// Advice for a `host` that is none.
fn advice(host: &str) -> String {
    let port = host.rsplit_once(':').filter(|(name, _)| !name.contains(':') || name.ends_with(']'));
    match (port, host.split_once('%')) {
        _ if host == "*" => "leave -h out to listen on every address".into(),
        (_, Some((_, zone))) => format!("there is no interface {zone} for this address: see `ip link`"),
        (Some((name, port)), _) if port.bytes().all(|byte| byte.is_ascii_digit()) => {
            format!("give {name} with -h, and the port with -p {port}")
        }
        _ => "give -h or listen= an address, or a name that is in /etc/hosts (DNS is not asked)".into(),
    }
}

fn find(host: &str, port: u16, hosts: &str) -> Vec<SocketAddr> {
    if let Some(address) = literal(host, port) {
        return vec![address];
    }
    let mut named: Vec<IpAddr> = in_hosts(host, hosts).collect();
    if named.is_empty() && host.eq_ignore_ascii_case("localhost") {
        named = vec![Ipv6Addr::LOCALHOST.into(), Ipv4Addr::LOCALHOST.into()];
    }
    let first_v6 = named.iter().find(|address| address.is_ipv6());
    let first_v4 = named.iter().find(|address| address.is_ipv4());
    first_v6.into_iter().chain(first_v4).map(|&address| SocketAddr::new(address, port)).collect()
}

/// Parses `127.0.0.1`, `::1`, `[::1]`, `fe80::1%eth0`.
fn literal(host: &str, port: u16) -> Option<SocketAddr> {
    let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    if let Some((address, zone)) = bare.split_once('%') {
        let scope = zone.parse().ok().or_else(|| socket::interface_index(zone))?;
        return Some(SocketAddrV6::new(address.parse().ok()?, port, 0, scope).into());
    }
    // An IPv4-mapped address becomes IPv4, as the server's IPv6 sockets accept no IPv4.
    let address = bare.parse().ok().or_else(|| short_ipv4(bare).map(IpAddr::V4));
    address.map(|address| SocketAddr::new(address.to_canonical(), port))
}

/// Parses the forms of inet_aton(3) that thttpd understood: `127.1`, `0`, `0x7f000001`.
fn short_ipv4(text: &str) -> Option<Ipv4Addr> {
    let (mut bits, mut room) = (0, 32);
    let mut parts = text.split('.').peekable();
    while let Some(part) = parts.next() {
        let (digits, radix) = match part.as_bytes() {
            [b'0', b'x' | b'X', ..] => (&part[2..], 16),
            [b'0', _, ..] => (&part[1..], 8),
            _ => (part, 10),
        };
        // The last part fills what the others leave.
        let width = if parts.peek().is_some() { room.min(8) } else { room };
        let number = u32::from_str_radix(digits, radix).ok()?;
        if width == 0 || u64::from(number) >> width != 0 || digits.starts_with('+') {
            return None;
        }
        room -= width;
        bits |= number << room;
    }
    Some(bits.into())
}

/// Addresses of `host` in the hosts file.
fn in_hosts<'a>(host: &'a str, hosts: &'a str) -> impl Iterator<Item = IpAddr> + 'a {
    hosts.lines().filter_map(move |line| {
        let mut words = line.split('#').next()?.split_whitespace();
        let address = words.next()?.parse().ok()?;
        words.any(|name| name.eq_ignore_ascii_case(host)).then_some(address)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOSTS: &str = "# comment\n127.0.0.1 localhost\n10.0.0.1 www.example.com www # 10.0.0.9 later\n\
                         10.0.0.2 www\nfd00::1 WWW\nbroken www\n";

    fn found(host: &str) -> Vec<String> {
        find(host, 80, HOSTS).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn an_address_needs_no_file() {
        assert_eq!(found("192.0.2.7"), ["192.0.2.7:80"]);
        assert_eq!(found("::1"), ["[::1]:80"]);
        assert_eq!(found("[2001:db8::1]"), ["[2001:db8::1]:80"]);
        assert_eq!(found("fe80::1%7"), ["[fe80::1%7]:80"]);
        assert_eq!(found("::ffff:192.0.2.7"), ["192.0.2.7:80"]);
    }

    #[test]
    fn ipv4_addresses_may_be_short_or_in_another_base() {
        for (written, meant) in [
            ("127.1", "127.0.0.1:80"),
            ("0", "0.0.0.0:80"),
            ("10.1.258", "10.1.1.2:80"),
            ("2130706433", "127.0.0.1:80"),
            ("0x7f.0.0.1", "127.0.0.1:80"),
            ("0X7F000001", "127.0.0.1:80"),
            ("0177.0.0.010", "127.0.0.8:80"),
        ] {
            assert_eq!(found(written), [meant], "{written}");
        }
        for none in ["256.1", "1.2.3.256", "1.2.3.4.5", "1..2", ".1", "1.", "+1", "08", "0xg", "4294967296"] {
            assert_eq!(found(none), [""; 0], "{none}");
        }
    }

    #[test]
    fn a_name_gives_the_first_address_of_each_family() {
        assert_eq!(found("www"), ["[fd00::1]:80", "10.0.0.1:80"]);
        assert_eq!(found("WWW.Example.com"), ["10.0.0.1:80"]);
    }

    #[test]
    fn comments_of_the_hosts_file_are_ignored() {
        assert_eq!(found("later"), [""; 0]);
    }

    #[test]
    fn localhost_is_known_without_a_file() {
        let found: Vec<_> = find("LocalHost", 80, "").iter().map(ToString::to_string).collect();
        assert_eq!(found, ["[::1]:80", "127.0.0.1:80"]);
    }

    #[test]
    fn a_host_with_a_port_is_no_host() {
        assert_eq!(found("localhost:8080"), [""; 0]);
        assert_eq!(found("127.0.0.1:80"), [""; 0]);
    }
}
