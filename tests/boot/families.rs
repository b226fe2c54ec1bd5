//! IPv4 and IPv6: the families of each address of `-h`.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener};
use std::process::{Command, Stdio};

use nix::errno::Errno;

use super::{Running, run, stderr, thttpd};
use crate::support::server::free_port;
use crate::support::{Client, Tree, can_unshare, is_root, reason};

/// Script for a network namespace with `bindv6only` set: output of `curl` over each family.
const IN_A_NETWORK_OF_ITS_OWN: &str = "ip link set lo up && echo 1 >/proc/sys/net/ipv6/bindv6only || exit 99
\"$0\" -D -p 8080 -h :: -d $WWW -l /dev/null & server=$!
for host in '[::1]' 127.0.0.1; do
    curl -s --retry 20 --retry-connrefused --retry-delay 0 --retry-max-time 3 http://$host:8080/a.txt || echo none
done
kill $server";

#[test]
fn two_colons_are_every_address_of_both_families() {
    let tree = Tree::new();
    tree.file("a.txt", "hello");
    for host in ["::", "[::]", "0::0"] {
        let port = free_port();
        let mut command = thttpd();
        command.args(["-D", "-h", host, "-p", &port.to_string(), "-l", "/dev/null", "-d"]).arg(tree.www());
        let _server = Running::start(command.stderr(Stdio::null()), port);
        for address in [IpAddr::from(Ipv4Addr::LOCALHOST), Ipv6Addr::LOCALHOST.into()] {
            let mut client = Client::connect(SocketAddr::new(address, port));
            assert_eq!(client.get("/a.txt").text(), "hello", "{host} by {address}");
        }
    }
}

#[test]
fn where_the_system_says_so_two_colons_are_ipv6_alone() {
    if !is_root() || !can_unshare("-n") {
        return;
    }
    let tree = Tree::new();
    tree.file("a.txt", "hello");
    let mut command = Command::new("unshare");
    command.args(["-n", "sh", "-c", IN_A_NETWORK_OF_ITS_OWN, env!("CARGO_BIN_EXE_thttpd")]);
    command.env("WWW", tree.www()).env("THTTPD_SYSLOG_SOCKET", "/nonexistent/log").stdin(Stdio::null());
    match command.output() {
        Ok(output) if output.status.code() != Some(99) => {
            assert_eq!(String::from_utf8_lossy(&output.stdout), "hellonone\n", "{}", stderr(&output));
        }
        other => eprintln!("skipped: no network of its own here: {other:?}"),
    }
}

#[test]
fn an_ipv4_address_written_as_ipv6_is_ipv4() {
    let tree = Tree::new();
    let port = free_port();
    let mut command = thttpd();
    command.args(["-D", "-h", "::ffff:127.0.0.1", "-p", &port.to_string(), "-l", "/dev/null", "-d"]);
    let _server = Running::start(command.arg(tree.www()).stderr(Stdio::null()), port);
}

/// A library that answers as a kernel without IPv6 does.
const WITHOUT_IPV6: &str = "#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <sys/socket.h>
int socket(int family, int type, int protocol) {
    if (family == AF_INET6) { errno = EAFNOSUPPORT; return -1; }
    return ((int (*)(int, int, int))dlsym(RTLD_NEXT, \"socket\"))(family, type, protocol);
}";

#[test]
fn where_ipv6_is_switched_off_two_colons_are_ipv4_and_the_server_says_so() {
    if cfg!(target_feature = "crt-static") {
        return eprintln!("skipped: a static program takes no other library");
    }
    let tree = Tree::new();
    tree.file("a.txt", "hello");
    let library = tree.dir().join("without_ipv6.so");
    let source = tree.beside("without_ipv6.c", WITHOUT_IPV6);
    let built =
        Command::new("cc").args(["-shared", "-fPIC", "-o"]).arg(&library).arg(&source).arg("-ldl").status();
    assert!(built.is_ok_and(|status| status.success()), "cc, which cargo needs too");
    for host in ["::", "[::]"] {
        let port = free_port();
        let stderr = std::fs::File::create(tree.dir().join("stderr")).unwrap();
        let mut command = thttpd();
        command.args(["-D", "-h", host, "-p", &port.to_string(), "-l", "/dev/null", "-d"]).arg(tree.www());
        let _server = Running::start(command.env("LD_PRELOAD", &library).stderr(stderr), port);
        let mut client = Client::connect(SocketAddr::new(Ipv4Addr::LOCALHOST.into(), port));
        assert_eq!(client.get("/a.txt").text(), "hello");
        let said = std::fs::read_to_string(tree.dir().join("stderr")).unwrap();
        assert!(said.contains("IPv6 is switched off on this machine: only IPv4 is served"), "{host}: {said}");
    }
    let mut command = thttpd();
    command.args(["-D", "-h", "::1", "-p", "0", "-l", "/dev/null", "-d"]).arg(tree.www());
    let output = command.env("LD_PRELOAD", &library).output().unwrap();
    assert_eq!(output.status.code(), Some(1), "an address that was asked for alone");
}

/// Server for the name `host` of a file of hosts; needs root.
fn with_hosts(tree: &Tree, host: &str, port: u16) -> Command {
    let hosts = "127.0.0.1 both mixed\n::1 both\n2001:db8::1 mixed away\n192.0.2.1 away\n";
    let hosts = tree.beside("hosts", hosts);
    let mut command = Command::new("unshare");
    let script = "mount --bind \"$HOSTS\" /etc/hosts && exec \"$0\" \"$@\"";
    command.args(["--mount", "sh", "-c", script, env!("CARGO_BIN_EXE_thttpd"), "-D", "-h", host, "-p"]);
    command.args([&port.to_string(), "-l", "/dev/null", "-d"]).arg(tree.www()).env("HOSTS", &hosts);
    command.env("THTTPD_SYSLOG_SOCKET", "/nonexistent/log").stdin(Stdio::null());
    command
}

#[test]
fn of_a_name_the_addresses_of_this_machine_are_served_and_the_others_told() {
    if !is_root() || !can_unshare("-m") {
        return;
    }
    let tree = Tree::new();
    tree.file("a.txt", "hello");
    let port = free_port();
    let said = std::fs::File::create(tree.dir().join("stderr")).unwrap();
    let _server = Running::start(with_hosts(&tree, "mixed", port).stderr(said), port);
    let mut client = Client::connect(SocketAddr::new(Ipv4Addr::LOCALHOST.into(), port));
    assert_eq!(client.get("/a.txt").text(), "hello");
    let said = std::fs::read_to_string(tree.dir().join("stderr")).unwrap();
    assert!(said.contains(&format!("bind [2001:db8::1]:{port} - ")), "{said}");
    for flags in [&[][..], &["--check"]] {
        let output = run(with_hosts(&tree, "away", port).args(flags));
        assert_eq!(output.status.code(), Some(1), "{flags:?}");
        assert!(stderr(&output).contains(&format!("bind [2001:db8::1]:{port} - ")), "{}", stderr(&output));
    }
    assert!(run(with_hosts(&tree, "mixed", port).arg("--check")).status.success());
}

#[test]
fn a_port_that_is_taken_in_one_family_is_an_error() {
    let Ok(taken) = TcpListener::bind((Ipv6Addr::LOCALHOST, 0)) else { return };
    if !is_root() || !can_unshare("-m") {
        return;
    }
    let port = taken.local_addr().unwrap().port();
    let output = run(&mut with_hosts(&Tree::new(), "both", port));
    assert_eq!(output.status.code(), Some(1));
    let said = stderr(&output);
    assert!(said.contains(&format!("bind [::1]:{port} - {}", reason(Errno::EADDRINUSE))), "{said}");
}
