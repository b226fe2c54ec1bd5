//! Listening sockets of a start: handed over by systemd, from `listen=`, or from `host` and `port`.
//!
//! [`Sockets::prepare`] does the steps that need the first root directory and its user: it takes over
//! sockets, resolves names, and binds Unix sockets. [`Sockets::open`] binds addresses, as thttpd does,
//! after chroot and after the pid file was checked.

use std::net::{Ipv6Addr, SocketAddr, TcpListener};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::net::UnixListener;
use std::path::Path;

use nix::sys::socket::{AddressFamily, SockaddrLike, SockaddrStorage, getsockname};

use super::failure::Failure;
use super::listen::Wanted;
use super::pid_file::PidFilePlace;
use super::privileges::Privileges;
use super::unix_socket::{self, SocketFile};
use super::{listen, names};
use crate::config::Config;
use crate::config::listen::{Address, Listen};
use crate::net::listen_socket::{Listener, ListenerAddress, ListenerSet};
use crate::sys::systemd::{self, HandedSocket, Notify};

/// Purpose of a socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Purpose {
    proxy: bool,
    status: bool,
    is_unix: bool,
}

/// Addresses of one entry that are not bound yet.
#[derive(Debug)]
struct Unbound {
    wanted: Wanted,
    purpose: Purpose,
}

/// Listening sockets during the start.
#[derive(Debug, Default)]
pub struct Sockets {
    bound: Vec<(Listener, Purpose)>,
    unbound: Vec<Unbound>,
    /// Sockets that an earlier process of the service has stored in systemd.
    stored: Vec<TcpListener>,
    files: Vec<SocketFile>,
}

/// Listening sockets, ready to serve.
#[derive(Debug)]
pub struct Opened {
    /// Sockets of all listeners.
    pub listeners: ListenerSet,
    /// Unix socket files, to be removed at the end.
    pub files: Vec<SocketFile>,
    /// Duplicates of sockets to store in systemd for the next process of the service.
    pub to_store: Vec<TcpListener>,
}

impl From<&Listen> for Purpose {
    fn from(listen: &Listen) -> Purpose {
        let is_unix = matches!(listen.address, Address::Unix(_));
        Purpose { proxy: listen.proxy, status: listen.status, is_unix }
    }
}

impl Sockets {
    /// Takes over, resolves and binds what needs the first root directory.
    ///
    /// # Errors
    /// A socket cannot be bound, or no listener would serve files.
    pub fn prepare(
        handed: Vec<HandedSocket>,
        config: &Config,
        privileges: &Privileges,
    ) -> Result<Sockets, Failure> {
        let (stored, handed): (Vec<_>, Vec<_>) =
            handed.into_iter().partition(|socket| socket.name == systemd::STORED);
        let stored = stored.into_iter().map(|socket| TcpListener::from(socket.fd)).collect();
        let mut sockets = Sockets { stored, ..Sockets::default() };
        let mut entries: Vec<&Listen> = config.listen.iter().collect();
        let is_activated = !handed.is_empty();
        for socket in handed {
            sockets.take(socket, config, &mut entries)?;
        }
        let mut purposes: Vec<Purpose> = sockets.bound.iter().map(|(_, purpose)| *purpose).collect();
        purposes.extend(entries.iter().map(|entry| Purpose::from(*entry)));
        if let Some(fault) = faults_of(&purposes, config).into_iter().next() {
            return Err(fault);
        }
        for entry in entries {
            sockets.add(entry, config, privileges)?;
        }
        if config.listen.is_empty() && !is_activated {
            let addresses = listen::wanted_addresses(config)?;
            let wanted = Wanted { addresses, dual: false, is_listed: false };
            sockets.unbound.push(Unbound { wanted, purpose: Purpose::default() });
        }
        Ok(sockets)
    }

    /// Takes over a socket with the options of the entry for its address, and marks the entry as done.
    fn take(
        &mut self,
        handed: HandedSocket,
        config: &Config,
        entries: &mut Vec<&Listen>,
    ) -> Result<(), Failure> {
        let listener = listener(handed.fd)?;
        let address = listener.address();
        let matching = |entry: &&Listen| is_at(entry, &address);
        let purpose = match config.listen.iter().find(|entry| matching(entry)) {
            Some(entry) => entry.into(),
            None => Purpose {
                proxy: handed.name == "proxy",
                status: handed.name == "status",
                is_unix: !matches!(address, ListenerAddress::Ip(_)),
            },
        };
        entries.retain(|entry| !matching(entry));
        self.bound.push((listener, purpose));
        Ok(())
    }

    fn add(&mut self, entry: &Listen, config: &Config, privileges: &Privileges) -> Result<(), Failure> {
        let purpose = entry.into();
        if let Some(wanted) = wanted(entry, config)? {
            self.unbound.push(Unbound { wanted, purpose });
        } else if let Address::Unix(path) = &entry.address {
            let is_leaving = || names_predecessor(config);
            let (socket, file) = unix_socket::bind_path(path, entry, privileges, &is_leaving)?;
            self.bound.push((socket.into(), purpose));
            self.files.push(file);
        }
        Ok(())
    }

    /// Binds the remaining addresses, except those of stored sockets.
    ///
    /// While `is_leaving` tells that the holder of a port may be about to close it, the port is waited for.
    ///
    /// # Errors
    /// An address cannot be bound.
    pub fn open(self, notify: &Notify, is_leaving: &dyn Fn() -> bool) -> Result<Opened, Failure> {
        let mut opened =
            Opened { listeners: ListenerSet::default(), files: self.files, to_store: Vec::new() };
        let mut stored = self.stored;
        let is_wanted = |socket: &TcpListener| self.unbound.iter().any(|unbound| unbound.wanted.has(socket));
        if !stored.iter().all(is_wanted) {
            // The configuration has other addresses than before, and stored sockets would block them.
            stored.clear();
            notify.close_stored();
        }
        let mut all = self.bound;
        for Unbound { wanted, purpose } in &self.unbound {
            for socket in listen::listen(wanted, &stored, is_leaving)? {
                if notify.is_connected() {
                    let second = socket.try_clone().map_err(|error| Failure::from_call("dup", error, ""))?;
                    opened.to_store.push(second);
                }
                all.push((socket.into(), *purpose));
            }
        }
        for (mut listener, purpose) in all {
            listener.expects_proxy = purpose.proxy;
            let ListenerSet { serving, status } = &mut opened.listeners;
            if purpose.status { status } else { serving }.push(listener);
        }
        Ok(opened)
    }
}

/// Tells whether the pid file contains the number of another living process.
fn names_predecessor(config: &Config) -> bool {
    let dir = config.dir.as_deref().unwrap_or(Path::new("."));
    let path = config.pid_file.as_ref().map(|path| dir.join(path));
    path.is_some_and(|path| matches!(PidFilePlace::find(&path), Ok(Some(place)) if place.names_another()))
}

/// Internet addresses of `entry`; `None` for a Unix socket.
///
/// # Errors
/// The host is unknown.
pub fn wanted(entry: &Listen, config: &Config) -> Result<Option<Wanted>, Failure> {
    let (addresses, dual) = match &entry.address {
        Address::Unix(_) => return Ok(None),
        Address::Port(port) => (names::addresses(None, *port)?, false),
        Address::Name(host, port) => {
            let named = names::addresses(Some(host), *port);
            (named.map_err(|failure| failure.with_option("listen"))?, false)
        }
        Address::Ip(address) => {
            let is_every = address.ip() == Ipv6Addr::UNSPECIFIED;
            (vec![*address], is_every && !names_ipv4(config, address.port()))
        }
    };
    Ok(Some(Wanted { addresses, dual, is_listed: true }))
}

/// Faults of the entries of `listen=` taken together, for `--check`.
pub fn faults(config: &Config) -> Vec<Failure> {
    let purposes: Vec<Purpose> = config.listen.iter().map(Purpose::from).collect();
    faults_of(&purposes, config)
}

/// Faults of listeners with these purposes taken together.
fn faults_of(purposes: &[Purpose], config: &Config) -> Vec<Failure> {
    let (trusts_any, trusts_unix) = (config.proxies.trusts_any(), config.proxies.trusted.has_unix());
    let is_proxy = |purpose: &Purpose| purpose.proxy;
    // Each peer of a Unix-domain socket is `unix`, so that all of them would be refused.
    let is_unix_proxy = |purpose: &Purpose| purpose.proxy && purpose.is_unix;
    let mut faults = Vec::new();
    for (is_present, message, advice) in [
        (
            !trusts_any && purposes.iter().any(is_proxy),
            "a listener with ;proxy, but no trusted_proxies",
            "name the proxies that may connect there with trusted_proxies=",
        ),
        (
            trusts_any && !trusts_unix && purposes.iter().any(is_unix_proxy),
            "a Unix-domain socket with ;proxy, but trusted_proxies does not name unix",
            "add unix to trusted_proxies=: every peer of it is refused else",
        ),
        (
            !purposes.is_empty() && purposes.iter().all(|purpose| purpose.status),
            "no listener serves files",
            "give listen= an entry without ;status, or leave it out",
        ),
    ] {
        if is_present {
            faults.push(Failure::new(message, advice).with_option("listen"));
        }
    }
    faults
}

/// Tells whether another entry listens for IPv4 on `port`.
fn names_ipv4(config: &Config, port: u16) -> bool {
    config
        .listen
        .iter()
        .any(|entry| matches!(&entry.address, Address::Ip(SocketAddr::V4(v4)) if v4.port() == port))
}

/// Listener for a socket handed over, with the options of the server's own sockets.
fn listener(fd: OwnedFd) -> Result<Listener, Failure> {
    let failed = |errno| Failure::from_call("setsockopt", errno, "");
    let family = getsockname::<SockaddrStorage>(fd.as_raw_fd()).map_err(failed)?.family();
    if family == Some(AddressFamily::Unix) {
        return Ok(UnixListener::from(fd).into());
    }
    listen::tune(&fd).map_err(failed)?;
    Ok(TcpListener::from(fd).into())
}

/// Tells whether the entry refers to the socket at `address`.
///
/// A port alone refers to every socket for all addresses.
fn is_at(entry: &Listen, address: &ListenerAddress) -> bool {
    match (&entry.address, address) {
        (Address::Ip(entry), ListenerAddress::Ip(address)) => entry == address,
        (Address::Port(port), ListenerAddress::Ip(address)) => {
            address.ip().is_unspecified() && address.port() == *port
        }
        (Address::Name(host, port), ListenerAddress::Ip(address)) => {
            names::addresses(Some(host), *port).is_ok_and(|known| known.contains(address))
        }
        (Address::Unix(path), ListenerAddress::Unix(address)) => path == address,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::listen;

    fn entry(text: &str) -> Listen {
        listen::parse(text).unwrap().remove(0)
    }

    #[test]
    fn a_handed_socket_belongs_to_the_entry_that_has_its_address() {
        let ip = |text: &str| ListenerAddress::Ip(text.parse().unwrap());
        for (text, address, holds) in [
            ("80;proxy", ip("0.0.0.0:80"), true),
            ("80;proxy", ip("[::]:80"), true),
            ("80;proxy", ip("127.0.0.1:80"), false),
            ("127.0.0.1:80", ip("127.0.0.1:80"), true),
            ("127.0.0.1:80", ip("127.0.0.1:81"), false),
            ("[::1]:80", ip("[::1]:80"), true),
            ("localhost:80", ip("127.0.0.1:80"), true),
            ("/run/a", ListenerAddress::Unix("/run/a".into()), true),
            ("/run/a", ListenerAddress::Unix("/run/b".into()), false),
            ("/run/a", ListenerAddress::Unnamed, false),
        ] {
            assert_eq!(is_at(&entry(text), &address), holds, "{text}");
        }
    }

    #[test]
    fn every_ipv4_address_belongs_to_ipv6_unless_the_list_names_one_with_the_port() {
        let named = |text: &str| {
            names_ipv4(&Config { listen: listen::parse(text).unwrap(), ..Config::default() }, 80)
        };
        assert!(named("[::]:80,127.0.0.1:80") && !named("[::]:80,127.0.0.1:81") && !named("[::]:80"));
    }
}
