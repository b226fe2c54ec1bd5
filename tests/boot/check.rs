//! `--check`, `--healthcheck` and the other commands that start no server.

use std::fs::{self, Permissions};
use std::net::TcpListener;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::net::{UnixListener, UnixStream};
use std::process::Output;

use nix::errno::Errno;
use nix::sys::socket::{AddressFamily, Backlog, SockFlag, SockType, UnixAddr, bind, listen, socket};

use super::{run, stderr, stdout, thttpd, thttpd_for_every_user};
use crate::support::server::free_port;
use crate::support::{Server, Tree, is_root, reason};

fn check(flags: &[&str]) -> Output {
    run(thttpd().args(flags).arg("--check"))
}

#[test]
fn a_sound_configuration_is_called_so() {
    let tree = Tree::new();
    let output = check(&["-d", tree.www().to_str().unwrap(), "-l", "-"]);
    assert_eq!((output.status.code(), stdout(&output).as_str()), (Some(0), "the configuration is sound\n"));
}

#[test]
fn every_problem_is_told_in_a_line_of_its_own() {
    let tree = Tree::new();
    let throttles = tree.beside("throttles", "**.jpg 1000\n\n**.png many\n");
    let throttles = throttles.to_str().unwrap();
    let flags =
        ["-d", "/nonexistent/www", "-t", throttles, "-l", "/nonexistent/log", "-h", "no.such.example"];
    let output = check(&flags);
    assert_eq!(output.status.code(), Some(1));
    let text = stderr(&output);
    for part in [
        "no.such.example - Name or service not known",
        "-d: dir: /nonexistent/www - No such file or directory",
        &format!("{throttles}:3 - **.png many"),
        "logfile: /nonexistent/log - No such file or directory",
    ] {
        assert_eq!(text.lines().filter(|line| line.contains(part)).count(), 1, "{part:?} in {text}");
    }
    assert_eq!(text.lines().count(), 4, "{text}");
}

#[test]
fn a_problem_is_told_with_its_file_and_line_and_warnings_beside_it() {
    let tree = Tree::new();
    let conf = tree.beside("conf", "localpat=x\nlogfile=/nonexistent/x\n\npidfile=/nonexistent/p\n");
    let conf = conf.to_str().unwrap();
    let output = check(&["-C", conf, "-d", tree.www().to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(1));
    let log = "give a file that can be written with -l, or - for standard output";
    let pid = "give a file that can be written with -i";
    let lines = [
        format!("{conf}:2: logfile: /nonexistent/x - No such file or directory; {log}"),
        format!("{conf}:4: pidfile: /nonexistent/p - No such file or directory; {pid}"),
        format!("warning: {conf}:1: localpat has no effect without urlpat"),
    ];
    assert_eq!(stderr(&output), lines.join("\n") + "\n");
}

#[test]
fn a_user_is_checked_where_it_would_be_used() {
    if is_root() {
        let output = check(&["-u", "no-such-user", "-l", "-"]);
        assert!(stderr(&output).contains("unknown user - 'no-such-user'"), "{}", stderr(&output));
    }
}

#[test]
fn checking_changes_nothing() {
    let tree = Tree::new();
    let (log, pid) = (tree.dir().join("log"), tree.dir().join("pid"));
    let flags =
        ["-l", log.to_str().unwrap(), "-i", pid.to_str().unwrap(), "-d", tree.www().to_str().unwrap()]
            .map(str::to_owned);
    let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
    assert!(check(&flags).status.success());
    assert!(!log.exists() && !pid.exists());
}

#[test]
fn a_running_server_is_healthy_and_a_missing_one_is_not() {
    let tree = Tree::new();
    let server = Server::start(&tree, &[]);
    let port = server.port.to_string();
    let healthy = run(thttpd().args(["-p", &port, "--healthcheck"]));
    assert_eq!(healthy.status.code(), Some(0));
    assert_eq!(stdout(&healthy), format!("healthy: http://localhost:{port}/ answers 200\n"));
    let missing = run(thttpd().args(["--healthcheck", &server.url("/nosuch")]));
    assert_eq!(missing.status.code(), Some(0), "it answers, if only 404");
    drop(server);
    let dead = run(thttpd().args(["-p", &free_port().to_string(), "--healthcheck"]));
    assert_eq!(dead.status.code(), Some(1));
    assert!(stderr(&dead).starts_with("unhealthy: "), "{}", stderr(&dead));
}

#[test]
fn a_server_that_hangs_is_unhealthy_after_some_seconds() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let output = run(thttpd().args(["--healthcheck", &url]));
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(stderr(&output), format!("unhealthy: {url} - no answer in 5 seconds\n"));
}

/// A process that listens and has stopped accepting, with its backlog full.
#[test]
fn a_unix_socket_of_a_process_that_hangs_is_in_use() {
    let tree = Tree::new();
    let path = tree.dir().join("socket");
    let listener = socket(AddressFamily::Unix, SockType::Stream, SockFlag::SOCK_CLOEXEC, None).unwrap();
    bind(listener.as_raw_fd(), &UnixAddr::new(&path).unwrap()).unwrap();
    listen(&listener, Backlog::new(0).unwrap()).unwrap();
    let _first = UnixStream::connect(&path).unwrap();
    let listen = format!("listen={}", path.display());
    let flags = ["-D", "-l", "/dev/null", "-o", &listen, "-d"];
    let output = run(thttpd().args(flags).arg(tree.www()));
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains(&reason(Errno::EADDRINUSE)), "{}", stderr(&output));
    let output = run(thttpd().args(flags).arg(tree.www()).arg("--healthcheck"));
    assert!(stderr(&output).ends_with("no answer in 5 seconds\n"), "{}", stderr(&output));
}

#[test]
fn the_version_is_told() {
    for flag in ["-V", "--version"] {
        let output = run(thttpd().arg(flag));
        assert_eq!((output.status.code(), stdout(&output).as_str()), (Some(0), "thttpd/3.0.0\n"));
    }
}

#[test]
fn scripts_that_may_not_be_executed_and_hashes_that_are_not_understood_are_warned_of() {
    let tree = Tree::new();
    for name in ["db.php", "sub/other.php", "fine.php", "page.txt"] {
        tree.file(name, "<?php");
    }
    tree.mode("fine.php", 0o755);
    let secret = "u:$y$j9T$salt$secret\nv:{SHA}secret\nw:ab5da3hZp5iFU\nlocked:*\n";
    tree.file("sub/.htpasswd", secret);
    let www = tree.www();
    let output = check(&["-d", www.to_str().unwrap(), "-c", "**.php", "-l", "-"]);
    assert_eq!(output.status.code(), Some(0));
    let text = stdout(&output);
    for part in [
        "warning: WWW/db.php: matches cgipat, but others may not execute it: 403",
        "warning: WWW/sub/other.php: matches cgipat",
        "warning: WWW/sub/.htpasswd: u: the hash $y$ (yescrypt) is not understood",
        "warning: WWW/sub/.htpasswd: v: the hash {SHA} ",
    ] {
        let part = part.replace("WWW", www.to_str().unwrap());
        assert_eq!(text.lines().filter(|line| line.starts_with(&part)).count(), 1, "{part:?} in {text}");
    }
    assert_eq!(text.lines().filter(|line| line.starts_with("warning: ")).count(), 4, "{text}");
    assert!(!text.contains("secret") && text.ends_with("the configuration is sound\n"), "{text}");
    // A pattern of wildcards alone does not mark files as scripts, so no warning is due.
    let output = check(&["-d", www.to_str().unwrap(), "-c", "**", "-l", "-"]);
    assert!(!stdout(&output).contains("cgipat"));
}

#[test]
fn a_default_directory_of_hosts_that_is_not_there_is_warned_of() {
    let tree = Tree::new();
    tree.dir_in("fallback");
    let www = tree.www();
    for (name, is_warned) in [("fallback", false), ("falback", true)] {
        let option = format!("vhost_default={name}");
        let output = check(&["-d", www.to_str().unwrap(), "-v", "-l", "-", "-o", &option]);
        assert_eq!(output.status.code(), Some(0));
        let warning = format!("warning: {option}: there is no such directory");
        assert_eq!(stdout(&output).lines().any(|line| line == warning), is_warned, "{}", stdout(&output));
    }
}

#[test]
fn a_tree_that_the_server_could_not_enter_is_told_as_by_a_start() {
    if !is_root() {
        return;
    }
    let tree = Tree::new();
    tree.dir_in("sub");
    std::fs::set_permissions(tree.www().join("sub"), std::os::unix::fs::PermissionsExt::from_mode(0o700))
        .unwrap();
    let www = tree.www();
    let (www, sub) = (www.to_str().unwrap(), www.join("sub"));
    for flags in
        [&["-d", sub.to_str().unwrap()][..], &["-d", www, "-dd", "sub"], &["-r", "-d", sub.to_str().unwrap()]]
    {
        let flags = [flags, &["-u", "nobody", "-l", "/dev/null", "-h", "127.0.0.1", "-p"]].concat();
        let port = free_port().to_string();
        let checked = run(thttpd().args(&flags).arg(&port).arg("--check"));
        assert_eq!(checked.status.code(), Some(1), "{flags:?}");
        assert!(stderr(&checked).contains("web directory - Permission denied"), "{}", stderr(&checked));
        let started = run(thttpd().args(&flags).arg(&port));
        assert!(stderr(&started).contains("web directory - Permission denied"), "{}", stderr(&started));
        let as_root = run(thttpd().args(&flags).args([&port, "-u", "root", "--check"]));
        assert!(as_root.status.success(), "{}", stderr(&as_root));
    }
}

#[test]
fn a_port_and_an_address_that_cannot_be_had_are_told() {
    let tree = Tree::new();
    let www = tree.www();
    let flags = ["-d", www.to_str().unwrap(), "-l", "/dev/null"];
    let output = run(thttpd().args(flags).args(["-h", "192.0.2.1", "-p", "8080", "--check"]));
    let unavailable = format!("-h: bind 192.0.2.1:8080 - {}", reason(Errno::EADDRNOTAVAIL));
    assert!(stderr(&output).starts_with(&unavailable), "{}", stderr(&output));
    let lowest = std::fs::read_to_string("/proc/sys/net/ipv4/ip_unprivileged_port_start").unwrap_or_default();
    if is_root() && lowest.trim().parse::<u16>().is_ok_and(|lowest| lowest > 80) {
        let mut command = thttpd_for_every_user();
        std::os::unix::process::CommandExt::uid(&mut command, 65534);
        let output = run(command.args(flags).args(["-p", "79", "--check"]));
        assert!(stderr(&output).starts_with("-p: bind "), "{}", stderr(&output));
        assert!(stderr(&output).contains(":79 - Permission denied"), "{}", stderr(&output));
    }
}

#[test]
fn the_server_that_runs_does_not_make_its_configuration_wrong() {
    let tree = Tree::new();
    let server = Server::start(&tree, &[]);
    let www = tree.www();
    let flags = ["-d", www.to_str().unwrap(), "-l", "/dev/null", "-h", "127.0.0.1", "-p"];
    let output = run(thttpd().args(flags).args([&server.port.to_string(), "--check"]));
    assert!(output.status.success(), "{}", stderr(&output));
}

#[test]
fn an_answer_that_standard_output_does_not_take_is_an_error_but_for_a_reader_that_left() {
    let full = || std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    for flag in ["--help", "--version", "--dump-config", "--check"] {
        let output = thttpd().arg(flag).stdout(full()).output().unwrap();
        assert_eq!(output.status.code(), Some(1), "{flag}");
        let told = format!("{}: standard output: No space left on device\n", env!("CARGO_BIN_EXE_thttpd"));
        assert_eq!(stderr(&output), told, "{flag}");
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let output = thttpd().arg(flag).stdout(writer).output().unwrap();
        assert_eq!((output.status.code(), stderr(&output).as_str()), (Some(0), ""), "{flag}");
    }
}

#[test]
fn a_password_file_that_is_a_link_out_of_the_tree_is_warned_of() {
    let tree = Tree::new();
    let outside = tree.beside("passwords", "w:ab5da3hZp5iFU\n");
    tree.file("a/.htpasswd", "w:ab5da3hZp5iFU\n");
    tree.file("b/b.txt", "x");
    tree.file("c/c.txt", "x");
    tree.link("../a/.htpasswd", "b/.htpasswd");
    tree.link(&outside, "c/.htpasswd");
    let www = tree.www();
    let output = check(&["-d", www.to_str().unwrap(), "-l", "-"]);
    let text = stdout(&output);
    let part =
        format!("warning: {}: a symbolic link to no file of the tree: ", www.join("c/.htpasswd").display());
    assert!(text.starts_with(&part), "{text}");
    assert_eq!(text.lines().filter(|line| line.starts_with("warning: ")).count(), 1, "{text}");
    let output = check(&["-d", www.to_str().unwrap(), "-nos", "-l", "-"]);
    assert!(!stdout(&output).contains("warning: "), "{}", stdout(&output));
}

#[test]
fn files_that_a_start_could_not_write_are_told() {
    let tree = Tree::new();
    let there = tree.beside("there", "");
    fs::set_permissions(&there, Permissions::from_mode(0o755)).unwrap();
    let _socket = UnixListener::bind(tree.dir().join("socket")).unwrap();
    symlink("loop", tree.dir().join("loop")).unwrap();
    nix::unistd::mkfifo(&tree.dir().join("fifo"), nix::sys::stat::Mode::S_IRWXU).unwrap();
    let long = "n".repeat(300);
    let too_many_links = reason(Errno::ELOOP);
    let in_all =
        [("there/x", "Not a directory"), ("none/x", "No such file"), ("loop/x", too_many_links.as_str())];
    let files = [(long.as_str(), "name too long"), ("socket", ""), ("loop", "ymbolic link")];
    let cases = ["-i", "-l"].map(|flag| files.iter().chain(&in_all).map(move |case| (flag, "", case)));
    let sockets = in_all.iter().map(|case| ("-o", "listen=", case));
    let fifo = ("-i", "", &("fifo", "is a regular file"));
    for (flag, before, (name, part)) in cases.into_iter().flatten().chain(sockets).chain([fifo]) {
        let value = format!("{before}{}", tree.dir().join(name).display());
        let www = tree.www();
        let output = check(&["-d", www.to_str().unwrap(), "-h", "127.0.0.1", "-p", "0", flag, &value]);
        let text = stderr(&output);
        assert!(output.status.code() == Some(1) && text.contains(part), "{flag} {value}: {text}");
    }
}
