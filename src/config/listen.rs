//! The `listen=` option: addresses of listeners, and the purpose of each.
//!
//! ```text
//! listen  = entry *( "," entry )
//! entry   = ( PORT | HOST ":" PORT | "[" IPV6 "]:" PORT | "/" PATH ) *( ";" option )
//! option  = "proxy" | "status" | "mode=" OCTAL | "group=" NAME
//! ```
//!
//! `boot` binds these addresses, or uses the sockets that systemd hands over for them.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;

/// Maximum length of a Unix-domain socket path in bytes; the kernel's structure also holds a NUL.
const LONGEST_PATH: usize = 107;
/// Default permissions of a Unix-domain socket: its user and its group.
const MODE: u32 = 0o660;

/// Address of one listener.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Address {
    /// Port on every address of both families.
    Port(u16),
    /// One address, or every address with `[::]`.
    Ip(SocketAddr),
    /// Host name, resolved at start, and port.
    Name(String, u16),
    /// Path of a Unix-domain socket.
    Unix(PathBuf),
}

/// One entry of the list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listen {
    /// Address to listen on.
    pub address: Address,
    /// Set by `;proxy`: a PROXY protocol head comes before the first request.
    pub proxy: bool,
    /// Set by `;status`: only `/healthz` and `/metrics` are answered.
    pub status: bool,
    /// Permission bits of a Unix-domain socket (`;mode=`).
    pub mode: u32,
    /// Group of a Unix-domain socket, by name or number (`;group=`).
    pub group: Option<String>,
}

/// Parses the whole list.
///
/// # Errors
/// A sentence about the first invalid entry.
pub fn parse(text: &str) -> Result<Vec<Listen>, String> {
    let mut list: Vec<Listen> = Vec::new();
    for entry in text.split(',') {
        let listen = Listen::parse(entry)?;
        if listen.port() != Some(0) && list.iter().any(|other| other.address == listen.address) {
            return Err(format!("`{}` stands there twice", listen.address));
        }
        let is_double =
            |other: &&Listen| listen.address.covers(&other.address) || other.address.covers(&listen.address);
        if let Some(other) = list.iter().find(is_double) {
            let (one, other) = (&other.address, &listen.address);
            return Err(format!(
                "`{one}` and `{other}` are one port of the same addresses: give another port"
            ));
        }
        list.push(listen);
    }
    Ok(list)
}

/// Writes the list in the form of [`parse`].
pub fn write(list: &[Listen]) -> String {
    list.iter().map(Listen::to_string).collect::<Vec<_>>().join(",")
}

impl Listen {
    /// Listener that serves files at `address`.
    pub fn at(address: Address) -> Listen {
        Listen { address, proxy: false, status: false, mode: MODE, group: None }
    }

    /// Port of the address, if it has one.
    pub fn port(&self) -> Option<u16> {
        match &self.address {
            Address::Port(port) | Address::Name(_, port) => Some(*port),
            Address::Ip(address) => Some(address.port()),
            Address::Unix(_) => None,
        }
    }

    fn parse(entry: &str) -> Result<Listen, String> {
        let mut parts = entry.split(';');
        let mut listen = Listen::at(Address::parse(parts.next().unwrap_or_default())?);
        for option in parts {
            listen.set(option)?;
        }
        match listen.proxy && listen.status {
            true => Err(format!("`{}` cannot be both ;proxy and ;status", listen.address)),
            false => Ok(listen),
        }
    }

    fn set(&mut self, option: &str) -> Result<(), String> {
        let unix = matches!(self.address, Address::Unix(_));
        match option.split_once('=') {
            None if option == "proxy" => self.proxy = true,
            None if option == "status" => self.status = true,
            None if option == "tls" => {
                return Err("`;tls` is not possible: thttpd speaks no TLS; let a proxy do it".into());
            }
            Some(("mode" | "group", _)) if !unix => {
                return Err(format!("`;{option}` is for Unix-domain sockets alone"));
            }
            Some(("mode", digits)) => self.mode = octal(digits)?,
            Some(("group", name)) if !name.is_empty() => self.group = Some(name.to_owned()),
            _ => {
                return Err(format!("`;{option}` is none of ;proxy, ;status, ;mode=660, ;group=NAME"));
            }
        }
        Ok(())
    }
}

fn octal(digits: &str) -> Result<u32, String> {
    let mode = Some(digits).filter(|digits| digits.bytes().all(|byte| (b'0'..b'8').contains(&byte)));
    let mode = mode.and_then(|digits| u32::from_str_radix(digits, 8).ok());
    mode.filter(|mode| *mode <= 0o777)
        .ok_or_else(|| format!("`;mode={digits}` is no mode of three octal digits, such as 660"))
}

impl Address {
    fn parse(text: &str) -> Result<Address, String> {
        if text.starts_with('/') {
            return match text.len() {
                ..=LONGEST_PATH => Ok(Address::Unix(text.into())),
                _ => Err(format!(
                    "`{text}` is longer than the {LONGEST_PATH} bytes that a socket's path may have"
                )),
            };
        }
        if let Some(port) = port(text) {
            return Ok(Address::Port(port));
        }
        let (host, port) = text
            .rsplit_once(':')
            .and_then(|(host, digits)| Some((host, port(digits)?)))
            .ok_or_else(|| refusal(text))?;
        if let Some(inside) = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
            let zoned = inside.split_once('%');
            let bare = zoned.map_or(inside, |(bare, _)| bare);
            let address = bare.parse::<Ipv6Addr>().map_err(|_| refusal(text))?;
            return match zoned {
                None => Ok(Address::Ip(SocketAddr::new(address.to_canonical(), port))),
                Some((_, "")) => Err(refusal(text)),
                // The interface is looked up at the start, as a name is.
                Some(_) => Ok(Address::Name(inside.to_owned(), port)),
            };
        }
        match host.parse::<IpAddr>() {
            Ok(address) if address.is_ipv4() => Ok(Address::Ip(SocketAddr::new(address, port))),
            _ if is_name(host) => Ok(Address::Name(host.to_owned(), port)),
            _ => Err(refusal(text)),
        }
    }

    /// Tells whether this address is every one of a family and includes `other`, with its port.
    ///
    /// The kernel gives a port to one socket then, except to `[::]` beside an address of IPv4.
    fn covers(&self, other: &Address) -> bool {
        match (self, other) {
            (Address::Port(port), Address::Ip(other)) => *port != 0 && *port == other.port(),
            (Address::Ip(every), Address::Ip(other)) => {
                every.port() != 0
                    && every.port() == other.port()
                    && every.ip().is_unspecified()
                    && every.is_ipv4() == other.is_ipv4()
            }
            _ => false,
        }
    }
}

fn refusal(text: &str) -> String {
    format!("`{text}` is none of PORT, ADDRESS:PORT, [IPV6]:PORT, /PATH")
}

fn port(digits: &str) -> Option<u16> {
    Some(digits).filter(|digits| digits.bytes().all(|byte| byte.is_ascii_digit()))?.parse().ok()
}

/// Tells whether `host` is a valid host name, and not an incomplete address.
fn is_name(host: &str) -> bool {
    let of_name = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
    host.bytes().all(of_name) && host.bytes().any(|byte| byte.is_ascii_alphabetic())
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Address::Port(port) => write!(f, "{port}"),
            Address::Ip(address) => write!(f, "{address}"),
            // An address with its interface: `fe80::1%eth0`.
            Address::Name(host, port) if host.contains(':') => write!(f, "[{host}]:{port}"),
            Address::Name(host, port) => write!(f, "{host}:{port}"),
            Address::Unix(path) => write!(f, "{}", path.display()),
        }
    }
}

impl fmt::Display for Listen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.address)?;
        f.write_str(if self.proxy { ";proxy" } else { "" })?;
        f.write_str(if self.status { ";status" } else { "" })?;
        if self.mode != MODE {
            write!(f, ";mode={:o}", self.mode)?;
        }
        match &self.group {
            Some(group) => write!(f, ";group={group}"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn each_form_of_an_entry_is_read() {
        let v6 = SocketAddr::new(Ipv6Addr::UNSPECIFIED.into(), 80);
        let cases = [
            ("8080", Listen::at(Address::Port(8080))),
            ("0", Listen::at(Address::Port(0))),
            ("127.0.0.1:80", Listen::at(Address::Ip(([127, 0, 0, 1], 80).into()))),
            ("[::ffff:127.0.0.1]:80", Listen::at(Address::Ip(([127, 0, 0, 1], 80).into()))),
            ("[::]:80", Listen::at(Address::Ip(v6))),
            ("localhost:80", Listen::at(Address::Name("localhost".into(), 80))),
            ("[fe80::1%eth0]:80", Listen::at(Address::Name("fe80::1%eth0".into(), 80))),
            ("/run/t.sock", Listen::at(Address::Unix("/run/t.sock".into()))),
            ("80;proxy", Listen { proxy: true, ..Listen::at(Address::Port(80)) }),
            ("80;status", Listen { status: true, ..Listen::at(Address::Port(80)) }),
            (
                "/run/t;mode=600;group=www-data;proxy",
                Listen {
                    proxy: true,
                    mode: 0o600,
                    group: Some("www-data".into()),
                    ..Listen::at(Address::Unix("/run/t".into()))
                },
            ),
        ];
        for (text, listen) in cases {
            assert_eq!(parse(text), Ok(vec![listen.clone()]), "{text}");
            assert_eq!(parse(&write(std::slice::from_ref(&listen))), Ok(vec![listen]), "{text}");
        }
        for apart in ["0,127.0.0.1:0", "[::]:80,127.0.0.1:80", "[::]:80,0.0.0.0:80", "80,127.0.0.1:81"] {
            assert!(parse(apart).is_ok(), "{apart}");
        }
        let list = parse("80,[::1]:81;proxy,/run/t").unwrap();
        assert_eq!(write(&list), "80,[::1]:81;proxy,/run/t");
    }

    #[test]
    fn invalid_entries_are_refused_with_their_text() {
        let long = format!("/{}", "x".repeat(LONGEST_PATH));
        let cases = [
            ("", "`` is none of"),
            ("80,", "`` is none of"),
            ("65536", "`65536` is none of"),
            ("+80", "`+80` is none of"),
            ("::1:80", "`::1:80` is none of"),
            ("[::1]", "`[::1]` is none of"),
            ("[127.0.0.1]:80", "`[127.0.0.1]:80` is none of"),
            ("[fe80::1%]:80", "`[fe80::1%]:80` is none of"),
            ("[127.0.0.1%lo]:80", "`[127.0.0.1%lo]:80` is none of"),
            ("80,127.0.0.1:80;status", "`80` and `127.0.0.1:80` are one port"),
            ("[::1]:80,80", "`[::1]:80` and `80` are one port"),
            ("0.0.0.0:80,192.0.2.1:80", "are one port"),
            ("[::]:80,[::1]:80", "are one port"),
            ("1.2.3:80", "`1.2.3:80` is none of"),
            ("1.2.3.4", "`1.2.3.4` is none of"),
            ("1.2.3.4:", "`1.2.3.4:` is none of"),
            (":80", "`:80` is none of"),
            ("*:80", "`*:80` is none of"),
            ("run/t", "`run/t` is none of"),
            ("80;tls", "thttpd speaks no TLS"),
            ("80;Proxy", "`;Proxy` is none of"),
            ("80;", "`;` is none of"),
            ("80;mode=660", "Unix-domain sockets alone"),
            ("80;group=x", "Unix-domain sockets alone"),
            ("/t;mode=68", "octal"),
            ("/t;mode=1777", "octal"),
            ("/t;mode=", "octal"),
            ("/t;group=", "`;group=` is none of"),
            ("80;proxy;status", "both"),
            ("80,81,80", "`80` stands there twice"),
            (&long, "longer"),
        ];
        for (text, part) in cases {
            let refusal = parse(text).unwrap_err();
            assert!(refusal.contains(part), "{text}: {refusal}");
        }
        assert!(parse("0,0").is_ok(), "the kernel picks another each time");
    }

    proptest! {
        #[test]
        fn written_lists_read_back_unchanged(text in "[0-9a-z:.\\[\\]/;,=]{0,40}") {
            if let Ok(list) = parse(&text) {
                prop_assert_eq!(parse(&write(&list)).unwrap(), list);
            }
        }
    }
}
