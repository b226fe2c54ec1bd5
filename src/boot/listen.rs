//! Listening sockets: binds addresses and sets socket options.
//!
//! Options of accepted connections are set once on the listening socket, which passes them on.

use std::net::{SocketAddr, TcpListener};
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::sys::socket::sockopt::{Ipv6V6Only, ReuseAddr, TcpNoDelay};
use nix::sys::socket::{
    AddressFamily, Backlog, SockFlag, SockType, SockaddrStorage, bind, getsockopt, listen as start_listening,
    setsockopt, socket,
};
use nix::unistd::geteuid;

use super::failure::Failure;
use super::names;
use crate::config::Config;
use crate::log;
use crate::sys::socket::defer_accept;

/// Length of the kernel's queue of connections (thttpd: 1024): as long as `net.core.somaxconn` allows. The constant
/// of the C library, [`Backlog::MAXCONN`], is only 128 in musl.
pub(super) const BACKLOG: Backlog = Backlog::MAXALLOWABLE;
/// TCP_DEFER_ACCEPT: seconds for which the kernel holds a connection without data back.
///
/// A worker that takes a connection then finds data to read. Zero: no delay.
const DEFER_ACCEPT: i32 = 1;

/// Maximum time that a starting server waits for the ports of its predecessor.
const SUCCESSION_TIME: Duration = Duration::from_secs(3);
/// Interval between attempts to bind.
const SUCCESSION_PAUSE: Duration = Duration::from_millis(10);

/// Wait for a predecessor's addresses, with a time limit.
pub struct Succession<'a> {
    deadline: Instant,
    /// Tells whether the predecessor is alive, and may be about to close them.
    is_leaving: &'a dyn Fn() -> bool,
}

impl Succession<'_> {
    /// Wait that begins now.
    pub fn new(is_leaving: &dyn Fn() -> bool) -> Succession<'_> {
        Succession { deadline: Instant::now() + SUCCESSION_TIME, is_leaving }
    }

    /// Sleeps for one interval; false if waiting longer is useless.
    pub fn wait(&self) -> bool {
        let may_wait = Instant::now() < self.deadline && (self.is_leaving)();
        if may_wait {
            std::thread::sleep(SUCCESSION_PAUSE);
        }
        may_wait
    }
}

/// Addresses to listen on.
#[derive(Debug)]
pub struct Wanted {
    /// Addresses of one family or both.
    pub addresses: Vec<SocketAddr>,
    /// Set if an IPv6 socket for every address accepts IPv4 too.
    pub dual: bool,
    /// Set if they are those of `listen=`, not of `host` and `port`.
    pub is_listed: bool,
}

impl Wanted {
    /// Tells whether `socket` listens on one of the addresses, for the same families.
    pub fn has(&self, socket: &TcpListener) -> bool {
        self.addresses.iter().any(|address| self.is_at(*address, socket))
    }

    fn is_at(&self, address: SocketAddr, socket: &TcpListener) -> bool {
        let is_as_shared = || getsockopt(socket, Ipv6V6Only).is_ok_and(|v6_only| v6_only != self.dual);
        socket.local_addr().is_ok_and(|one| one == address) && (address.is_ipv4() || is_as_shared())
    }
}

/// Binds and listens on each address, except those of `already`.
///
/// With port 0, all addresses get the port of the first. While `is_leaving` tells that the holder of a port
/// may be about to close it, the port is waited for, within a time limit.
///
/// # Errors
/// An address cannot be bound. Address families that the machine lacks are skipped if every address is
/// requested, and so is an address of a name that is not this machine's (thttpd's rule), unless none is left.
pub fn listen(
    wanted: &Wanted,
    already: &[TcpListener],
    is_leaving: &dyn Fn() -> bool,
) -> Result<Vec<TcpListener>, Failure> {
    let succession = Succession::new(is_leaving);
    loop {
        let kept = already.iter().map(TcpListener::try_clone).collect::<Result<_, _>>();
        let kept = kept.map_err(|error| Failure::from_call("dup", error, ""))?;
        match try_listen(wanted, kept) {
            // With a predecessor's own sockets, there is no holder to wait for.
            Err(ListenError::Bind { errno: Errno::EADDRINUSE, .. })
                if already.is_empty() && succession.wait() => {}
            Ok(bound) => {
                for (call, address, errno) in bound.skipped.iter().filter(|(_, address, _)| is_own(address)) {
                    log::critical!("{}", refusal(wanted, call, *address, *errno).message);
                }
                return Ok(bound.listeners);
            }
            Err(error) => return Err(error.into_failure(wanted)),
        }
    }
}

/// Binds each address and closes it again, for `--check`.
///
/// An address in use is no error, as the running server may use it.
///
/// # Errors
/// An address cannot be bound for another reason.
pub fn try_bind(wanted: &Wanted) -> Result<(), Failure> {
    let mut bind = |address| match bound(address, wanted.dual) {
        Err((_, Errno::EADDRINUSE)) => Ok(()),
        bound => bound.map(drop),
    };
    open_each(wanted, &mut bind).map(drop).map_err(|error| error.into_failure(wanted))
}

/// Reason for not listening.
enum ListenError {
    Bind { call: &'static str, address: SocketAddr, errno: Errno },
    NoFamily,
}

impl ListenError {
    fn into_failure(self, wanted: &Wanted) -> Failure {
        match self {
            ListenError::Bind { call, address, errno } => refusal(wanted, call, address, errno),
            ListenError::NoFamily => {
                Failure::new("can't find any valid address", "this machine speaks neither IPv6 nor IPv4")
            }
        }
    }
}

/// Sockets that listen, and the addresses that were skipped.
struct Bound {
    listeners: Vec<TcpListener>,
    skipped: Vec<Skipped>,
}

/// Address that was skipped: the system call that failed, the address, and the error.
type Skipped = (&'static str, SocketAddr, Errno);

/// Tells whether an address is of one machine; the others stand for a family, which a machine may lack.
fn is_own(address: &SocketAddr) -> bool {
    !address.ip().is_unspecified() && !address.ip().is_loopback()
}

fn try_listen(wanted: &Wanted, mut already: Vec<TcpListener>) -> Result<Bound, ListenError> {
    let mut listeners: Vec<TcpListener> = Vec::new();
    let skipped = open_each(wanted, &mut |mut address| {
        if let (0, Some(first)) = (address.port(), listeners.first()) {
            address.set_port(first.local_addr().map_or(0, |first| first.port()));
        }
        let found = already.iter().position(|socket| wanted.is_at(address, socket));
        listeners.push(found.map_or_else(|| open(address, wanted.dual), |at| Ok(already.swap_remove(at)))?);
        Ok(())
    })?;
    Ok(Bound { listeners, skipped })
}

/// Calls `open` with each address, and returns those that were skipped.
///
/// # Errors
/// An address was refused that may not be skipped, or every address was skipped.
fn open_each(
    wanted: &Wanted,
    open: &mut dyn FnMut(SocketAddr) -> Result<(), (&'static str, Errno)>,
) -> Result<Vec<Skipped>, ListenError> {
    let mut skipped: Vec<Skipped> = Vec::new();
    for &address in &wanted.addresses {
        match open(address) {
            Ok(()) => {}
            Err((call, errno)) if is_left_out(address, &wanted.addresses, errno) => {
                skipped.push((call, address, errno));
            }
            Err((call, errno)) => return Err(ListenError::Bind { call, address, errno }),
        }
    }
    match skipped.iter().find(|(_, address, _)| is_own(address)) {
        _ if skipped.len() < wanted.addresses.len() => Ok(skipped),
        Some(&(call, address, errno)) => Err(ListenError::Bind { call, address, errno }),
        None => Err(ListenError::NoFamily),
    }
}

/// Tells whether an address may be skipped: the machine lacks its family, or it is one of several of a name.
fn is_left_out(address: SocketAddr, all: &[SocketAddr], errno: Errno) -> bool {
    (address.ip().is_unspecified() || all.len() > 1)
        && matches!(errno, Errno::EAFNOSUPPORT | Errno::EADDRNOTAVAIL | Errno::EPROTONOSUPPORT)
}

/// Tells whether this process lacks the permission for the port of one of `addresses`.
pub fn is_not_permitted(addresses: &[SocketAddr]) -> bool {
    addresses.iter().any(|&address| matches!(bound(address, false), Err((_, Errno::EACCES))))
}

fn refusal(wanted: &Wanted, call: &str, address: SocketAddr, errno: Errno) -> Failure {
    let is_of_port = matches!(errno, Errno::EADDRINUSE | Errno::EACCES);
    let (option, flag) = match is_of_port {
        _ if wanted.is_listed => ("listen", "listen="),
        true => ("port", "-p"),
        false => ("host", "-h"),
    };
    let advice = match errno {
        // -p without -h would open the server to everyone.
        Errno::EADDRINUSE if address.ip().is_loopback() && !wanted.is_listed => {
            "something listens there already: stop it, or choose another port of this machine alone with -h localhost"
        }
        Errno::EADDRINUSE => "something listens there already: stop it, or choose another port with",
        Errno::EACCES if geteuid().is_root() => {
            "this root may not take ports below 1024: allow CAP_NET_BIND_SERVICE, or choose another port with"
        }
        Errno::EACCES => {
            "ports below 1024 are root's: start as root, let systemd hand over the socket, or choose another port with"
        }
        Errno::EAFNOSUPPORT if address.is_ipv6() => {
            "IPv6 is switched off on this machine: give an IPv4 address with"
        }
        Errno::EADDRNOTAVAIL => "no interface of this machine has that address: give another one with",
        Errno::EINVAL => "an address of a link needs its interface, as fe80::1%eth0: give both with",
        _ => "see",
    };
    let place = if address.port() == 0 { address.ip().to_string() } else { address.to_string() };
    Failure::from_call(format_args!("{call} {place}"), errno, format!("{advice} {flag}")).with_option(option)
}

fn open(address: SocketAddr, dual: bool) -> Result<TcpListener, (&'static str, Errno)> {
    let fd = bound(address, dual)?;
    start_listening(&fd, BACKLOG).map_err(|errno| ("listen", errno))?;
    Ok(TcpListener::from(fd))
}

fn bound(address: SocketAddr, dual: bool) -> Result<OwnedFd, (&'static str, Errno)> {
    let family = if address.is_ipv6() { AddressFamily::Inet6 } else { AddressFamily::Inet };
    let fd =
        socket(family, SockType::Stream, SockFlag::SOCK_CLOEXEC, None).map_err(|errno| ("socket", errno))?;
    prepare(&fd, address.is_ipv6().then_some(!dual)).map_err(|errno| ("setsockopt", errno))?;
    bind(std::os::fd::AsRawFd::as_raw_fd(&fd), &SockaddrStorage::from(address))
        .map_err(|errno| ("bind", errno))?;
    Ok(fd)
}

fn prepare(fd: &OwnedFd, v6_only: Option<bool>) -> nix::Result<()> {
    setsockopt(fd, ReuseAddr, &true)?;
    if let Some(v6_only) = v6_only {
        // If IPv4 has its own socket, its bind would fail beside a dual-stack one, as in thttpd.
        setsockopt(fd, Ipv6V6Only, &v6_only)?;
    }
    tune(fd)
}

/// Sets the options that accepted connections inherit; also for sockets handed over.
///
/// # Errors
/// The socket is not a TCP socket.
pub fn tune(fd: &impl std::os::fd::AsFd) -> nix::Result<()> {
    setsockopt(fd, TcpNoDelay, &true)?;
    defer_accept(fd, DEFER_ACCEPT)
}

/// Addresses to listen on, with the fallback port if the port itself is not permitted.
pub(crate) fn wanted_addresses(config: &Config) -> Result<Vec<SocketAddr>, Failure> {
    let host = config.host.as_deref();
    let wanted = names::addresses(host, config.port).map_err(|failure| failure.with_option("host"))?;
    match config.fallback_port {
        Some(port) if is_not_permitted(&wanted) => names::addresses(host, port),
        _ => Ok(wanted),
    }
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, Ipv6Addr, TcpStream};

    use super::*;

    fn wanted(addresses: &[SocketAddr]) -> Wanted {
        Wanted { addresses: addresses.to_vec(), dual: false, is_listed: false }
    }

    #[test]
    fn both_families_share_the_port_that_the_kernel_picks() {
        let addresses = [(Ipv6Addr::LOCALHOST, 0).into(), (Ipv4Addr::LOCALHOST, 0).into()];
        let ports: Vec<_> = match listen(&wanted(&addresses), &[], &|| false) {
            Ok(listeners) => listeners.iter().map(|one| one.local_addr().unwrap().port()).collect(),
            Err(failure) => return eprintln!("skipped: no IPv6 here: {failure}"),
        };
        assert_eq!(ports.len(), 2);
        assert_eq!(ports[0], ports[1]);
    }

    #[test]
    fn the_queue_of_connections_is_as_long_as_the_system_allows_with_every_c_library() {
        // listen(2) takes the number as one without a sign, and the system's own limit where that is smaller.
        assert_eq!(i32::from(BACKLOG), -1);
    }

    #[test]
    fn a_taken_port_is_named_with_what_to_do() {
        let taken = listen(&wanted(&[(Ipv4Addr::LOCALHOST, 0).into()]), &[], &|| false).unwrap();
        let address = taken[0].local_addr().unwrap();
        let failure = listen(&wanted(&[address]), &[], &|| false).unwrap_err().to_string();
        let reason = crate::sys::reason(&Errno::EADDRINUSE.into());
        assert!(failure.starts_with(&format!("bind {address} - {reason}; ")), "{failure}");
        assert!(failure.ends_with(" of this machine alone with -h localhost -p"), "{failure}");
        let anywhere = (Ipv4Addr::UNSPECIFIED, address.port()).into();
        let failure = refusal(&wanted(&[anywhere]), "bind", anywhere, Errno::EADDRINUSE).to_string();
        assert!(failure.ends_with("choose another port with -p"), "{failure}");
    }

    #[test]
    fn an_address_of_another_machine_is_refused() {
        let failure = listen(&wanted(&[(Ipv4Addr::new(192, 0, 2, 1), 0).into()]), &[], &|| false)
            .unwrap_err()
            .to_string();
        assert!(failure.starts_with("bind 192.0.2.1 - "), "{failure}");
    }

    #[test]
    fn connections_inherit_their_options() {
        let listeners = listen(&wanted(&[(Ipv4Addr::LOCALHOST, 0).into()]), &[], &|| false).unwrap();
        let mut client = TcpStream::connect(listeners[0].local_addr().unwrap()).unwrap();
        std::io::Write::write_all(&mut client, b"x").unwrap();
        let (accepted, _) = listeners[0].accept().unwrap();
        assert!(getsockopt(&accepted, TcpNoDelay).unwrap());
    }

    #[test]
    fn ports_of_a_server_that_is_leaving_are_waited_for() {
        let mut taken = Some(listen(&wanted(&[(Ipv4Addr::LOCALHOST, 0).into()]), &[], &|| false).unwrap());
        let address = taken.as_ref().unwrap()[0].local_addr().unwrap();
        let asked = std::cell::Cell::new(0);
        let taken = std::cell::RefCell::new(taken.take());
        let is_leaving = || {
            asked.set(asked.get() + 1);
            if asked.get() == 3 {
                drop(taken.take());
            }
            true
        };
        assert_eq!(listen(&wanted(&[address]), &[], &is_leaving).unwrap().len(), 1);
        assert_eq!(asked.get(), 3);
    }

    #[test]
    fn to_try_an_address_takes_nothing_and_minds_no_server_that_runs() {
        let taken = listen(&wanted(&[(Ipv4Addr::LOCALHOST, 0).into()]), &[], &|| false).unwrap();
        let address = taken[0].local_addr().unwrap();
        assert_eq!(try_bind(&wanted(&[address])), Ok(()));
        drop(taken);
        assert_eq!(try_bind(&wanted(&[address])), Ok(()));
        assert!(listen(&wanted(&[address]), &[], &|| false).is_ok());
        try_bind(&wanted(&[(Ipv4Addr::new(192, 0, 2, 1), 0).into()])).unwrap_err();
    }
}
