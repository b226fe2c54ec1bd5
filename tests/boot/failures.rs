//! Failures of the start: one line with advice, and status 1, in the foreground and in the background.

use std::net::TcpListener;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use nix::errno::Errno;

use super::{run, stderr, thttpd, thttpd_for_every_user};
use crate::support::server::free_port;
use crate::support::{Tree, can_unshare, is_root, reason};

/// Runs the server with `flags` in foreground and background, and checks its one line of output.
fn refuses(flags: &[&str], says: &str, advises: &str) {
    refuses_as(thttpd, flags, says, advises);
}

fn refuses_as(command: impl Fn() -> Command, flags: &[&str], says: &str, advises: &str) {
    for foreground in [true, false] {
        let mut command = command();
        command.args(foreground.then_some("-D")).args(flags);
        let output = run(&mut command);
        let text = stderr(&output);
        let line = text.lines().last().unwrap_or_default();
        assert!(!text.contains("panicked"), "{text}");
        assert_eq!(output.status.code(), Some(1), "{flags:?}: {text}");
        assert!(line.split(": ").next().is_some_and(|name| name.ends_with("/thttpd")), "{text}");
        assert!(line.contains(says), "foreground {foreground}: {text:?} lacks {says:?}");
        assert!(line.contains(advises), "foreground {foreground}: {text:?} lacks {advises:?}");
    }
}

/// Command that runs as a user other than root.
fn unprivileged() -> Command {
    let mut command = thttpd_for_every_user();
    command.uid(65534).gid(65534);
    command
}

/// Flags that are sound, for a tree and a port that are.
fn sound(tree: &Tree) -> Vec<String> {
    let www = tree.www();
    let words = ["-d", www.to_str().unwrap(), "-l", "/dev/null", "-h", "127.0.0.1", "-p"];
    words.iter().map(ToString::to_string).chain([free_port().to_string()]).collect()
}

fn refuses_beside_sound_flags(tree: &Tree, flags: &[&str], says: &str, advises: &str) {
    let sound = sound(tree);
    let all: Vec<&str> = sound.iter().map(String::as_str).chain(flags.iter().copied()).collect();
    refuses(&all, says, advises);
}

#[test]
fn a_directory_that_is_not_there() {
    let tree = Tree::new();
    refuses_beside_sound_flags(&tree, &["-d", "/nonexistent/www"], "chdir - No such file or directory", "-d");
}

#[test]
fn a_directory_that_is_a_file() {
    let tree = Tree::new();
    let file = tree.file("a.txt", "x");
    refuses_beside_sound_flags(&tree, &["-d", file.to_str().unwrap()], "chdir - Not a directory", "-d");
}

#[test]
fn a_current_directory_that_has_been_removed() {
    let tree = Tree::new();
    let port = free_port().to_string();
    for flags in [&[][..], &["-d", "."]] {
        let mut command = Command::new("sh");
        command.args(["-c", "rmdir \"$PWD\" && exec \"$0\" \"$@\"", env!("CARGO_BIN_EXE_thttpd")]);
        command.env("THTTPD_SYSLOG_SOCKET", "/nonexistent/log").current_dir(tree.dir_in("gone"));
        let output = run(command.args(["-D", "-h", "127.0.0.1", "-p", &port]).args(flags));
        let text = stderr(&output);
        assert_eq!(output.status.code(), Some(1), "{text}");
        assert!(text.contains("; the current directory has been removed: "), "{text}");
        assert!(!text.contains("may not enter"), "{text}");
    }
}

#[test]
fn a_data_directory_that_is_not_there() {
    let tree = Tree::new();
    refuses_beside_sound_flags(&tree, &["-dd", "none"], "data_dir chdir - No such file or directory", "-dd");
}

#[test]
fn a_throttle_file_that_cannot_be_read() {
    let tree = Tree::new();
    refuses_beside_sound_flags(&tree, &["-t", "/nonexistent/t"], "/nonexistent/t - No such file", "-t");
}

#[test]
fn a_file_to_be_read_that_is_a_fifo_or_a_device() {
    let tree = Tree::new();
    let fifo = tree.dir().join("fifo");
    nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRWXU).unwrap();
    for (path, says) in [(fifo.to_str().unwrap(), "Is a FIFO or pipe"), ("/dev/zero", "Is a device")] {
        let configured = run(thttpd().args(["-C", path]));
        assert_eq!(configured.status.code(), Some(1));
        assert!(stderr(&configured).contains(&format!("{path}: {says}")), "{}", stderr(&configured));
        refuses_beside_sound_flags(&tree, &["-t", path], says, "-t");
        for option in ["mime_types", "rules"] {
            refuses_beside_sound_flags(&tree, &["-o", &format!("{option}={path}")], says, option);
        }
        let checked = run(thttpd().args(["--check", "-d", tree.www().to_str().unwrap(), "-t", path]));
        assert!(!checked.status.success() && stderr(&checked).contains(says), "{}", stderr(&checked));
    }
}

#[test]
fn a_configuration_file_that_is_not_there_is_told_with_the_program_and_its_flag() {
    for flags in [&["-C", "/nonexistent/conf"][..], &["--check", "-C", "/nonexistent/conf"]] {
        let output = run(thttpd().args(flags));
        let text = "/nonexistent/conf: No such file or directory; give a configuration file that can be read with -C";
        assert_eq!(output.status.code(), Some(1));
        assert_eq!(stderr(&output), format!("{}: {text}\n", env!("CARGO_BIN_EXE_thttpd")));
    }
}

#[test]
fn a_file_that_is_no_text_is_told_in_one_line() {
    let tree = Tree::new();
    let program = env!("CARGO_BIN_EXE_thttpd");
    let output = run(thttpd().args(["-C", program]));
    assert_eq!(output.status.code(), Some(1));
    let told = "Holds NUL bytes, so it is no text; give a configuration file that can be read with -C";
    assert_eq!(stderr(&output), format!("{program}: {program}: {told}\n"));
    refuses_beside_sound_flags(&tree, &["-t", program], "Holds NUL bytes", "-t");
    for option in ["mime_types", "rules"] {
        refuses_beside_sound_flags(&tree, &["-o", &format!("{option}={program}")], "Holds NUL bytes", option);
    }
}

#[test]
fn a_background_without_dev_null_is_told_once() {
    if !is_root() || !can_unshare("-m") {
        return;
    }
    let tree = Tree::new();
    let mut command = Command::new("unshare");
    let script = "mount -t tmpfs none /dev && exec \"$0\" \"$@\"";
    command.args(["--mount", "sh", "-c", script, env!("CARGO_BIN_EXE_thttpd")]).args(sound(&tree));
    let output = run(command.env("THTTPD_SYSLOG_SOCKET", "/nonexistent/log"));
    assert_eq!(output.status.code(), Some(1));
    let text = stderr(&output);
    assert!(text.contains("/dev/null - No such file or directory; ") && text.contains("with -D"), "{text}");
    assert_eq!(text.lines().count(), 1, "{text}");
}

#[test]
fn a_log_file_that_cannot_be_written() {
    let tree = Tree::new();
    refuses_beside_sound_flags(&tree, &["-l", "/nonexistent/log"], "/nonexistent/log - No such file", "-l");
    let dir = tree.www();
    refuses_beside_sound_flags(&tree, &["-l", dir.to_str().unwrap()], "Is a directory", "-l");
}

#[test]
fn a_log_file_that_is_a_symbolic_link_is_not_for_root() {
    if !is_root() {
        return;
    }
    let tree = Tree::new();
    let target = tree.beside("precious", "");
    let link = tree.dir().join("log");
    symlink(target, &link).unwrap();
    refuses_beside_sound_flags(&tree, &["-l", link.to_str().unwrap()], "symbolic link", "-l");
}

#[test]
fn a_log_file_with_a_second_name_is_not_for_root() {
    if !is_root() {
        return;
    }
    let tree = Tree::new();
    let precious = tree.beside("precious", "text");
    let link = tree.dir().join("log");
    std::fs::hard_link(&precious, &link).unwrap();
    refuses_beside_sound_flags(&tree, &["-l", link.to_str().unwrap()], "Too many links", "hard link");
    assert_eq!(std::fs::read_to_string(precious).unwrap(), "text");
}

#[test]
fn a_pid_file_of_another_user() {
    if !is_root() {
        return;
    }
    let tree = Tree::new();
    let path = tree.beside("pid", "1\n");
    std::os::unix::fs::chown(&path, Some(65534), Some(65534)).unwrap();
    refuses_beside_sound_flags(&tree, &["-i", path.to_str().unwrap()], "pid - ", "another user");
    assert_eq!(std::fs::read_to_string(path).unwrap(), "1\n");
}

#[test]
fn a_port_that_is_taken() {
    let tree = Tree::new();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let says = format!("bind 127.0.0.1:{port} - {}", reason(Errno::EADDRINUSE));
    refuses_beside_sound_flags(&tree, &["-p", &port], &says, "-p");
}

#[test]
fn an_address_of_another_machine() {
    let tree = Tree::new();
    refuses_beside_sound_flags(&tree, &["-h", "192.0.2.1"], "bind 192.0.2.1", "-h");
}

#[test]
fn an_address_that_lacks_its_interface_or_has_a_port_is_told_how_to_be_written() {
    let tree = Tree::new();
    for (host, says, advises) in [
        ("fe80::1", "bind [fe80::1]:", "fe80::1%eth0"),
        ("fe80::1%no-such-0", "getaddrinfo fe80::1%no-such-0 - ", "no interface no-such-0"),
        ("127.0.0.1:8080", "getaddrinfo 127.0.0.1:8080 - ", "with -p 8080"),
        ("www.example.org:80", "getaddrinfo www.example.org:80 - ", "with -p 80"),
        ("[::1]:80", "getaddrinfo [::1]:80 - ", "with -p 80"),
        ("*", "getaddrinfo * - ", "leave -h out"),
    ] {
        refuses_beside_sound_flags(&tree, &["-h", host], says, advises);
    }
}

#[test]
fn an_address_of_listen_is_changed_there() {
    let tree = Tree::new();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = format!("listen={}", taken.local_addr().unwrap());
    let in_use = reason(Errno::EADDRINUSE);
    for (listen, says) in [
        (taken.as_str(), in_use.as_str()),
        ("listen=192.0.2.1:80", "bind 192.0.2.1:80"),
        ("listen=no.such.host.example:80", "getaddrinfo no.such.host.example - "),
    ] {
        refuses_beside_sound_flags(&tree, &["-o", listen], says, "listen=");
    }
}

#[test]
fn a_value_from_a_file_is_refused_with_its_file_and_line() {
    let tree = Tree::new();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = format!("port={}", taken.local_addr().unwrap().port());
    let lines = [
        (taken.as_str(), "port"),
        ("host=192.0.2.1", "host"),
        ("host=no.such.host.example", "host"),
        ("dir=/nonexistent", "dir"),
        ("data_dir=nonexistent", "data_dir"),
        ("throttles=/nonexistent", "throttles"),
        ("rules=/nonexistent", "rules"),
        ("mime_types=/nonexistent", "mime_types"),
        ("logfile=/nonexistent/log", "logfile"),
        ("pidfile=/nonexistent/pid", "pidfile"),
        ("listen=/nonexistent/socket", "listen"),
        ("listen=80;status", "listen"),
    ];
    let closed = tree.dir().join("closed");
    std::fs::create_dir(&closed).unwrap();
    std::fs::set_permissions(&closed, std::fs::Permissions::from_mode(0o700)).unwrap();
    let closed = format!("dir={}", closed.display());
    let of_root = [("user=no-such-user", "user"), (closed.as_str(), "dir")];
    for (word, option) in lines.iter().chain(is_root().then_some(&of_root).into_iter().flatten()) {
        let file = tree.beside("thttpd.conf", &format!("# first\n{word}\n"));
        let file = file.to_str().unwrap();
        let place = format!("({option} stands in {file}:2)");
        refuses_beside_sound_flags(&tree, &["-C", file], "; ", &place);
    }
}

#[test]
fn a_host_name_nobody_knows() {
    let tree = Tree::new();
    let says = "getaddrinfo no.such.host.example - Name or service not known";
    refuses_beside_sound_flags(&tree, &["-h", "no.such.host.example"], says, "/etc/hosts");
}

#[test]
fn a_user_nobody_knows() {
    if is_root() {
        let tree = Tree::new();
        refuses_beside_sound_flags(&tree, &["-u", "no-such-user"], "unknown user - 'no-such-user'", "-u");
    }
}

#[test]
fn a_pid_file_that_is_a_symbolic_link() {
    let tree = Tree::new();
    let target = tree.beside("precious", "text");
    let link = tree.dir().join("pid");
    symlink(&target, &link).unwrap();
    refuses_beside_sound_flags(&tree, &["-i", link.to_str().unwrap()], "pid - ", "-i");
    assert_eq!(std::fs::read_to_string(target).unwrap(), "text");
}

#[test]
fn too_few_descriptors() {
    let tree = Tree::new();
    let limited = || {
        let mut command = Command::new("sh");
        command.args(["-c", "ulimit -n 40; exec \"$0\" \"$@\"", env!("CARGO_BIN_EXE_thttpd")]);
        command
    };
    let flags = sound(&tree);
    let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
    refuses_as(limited, &flags, "only 40 descriptors", "ulimit -n");
    let mut fewer = Command::new("sh");
    fewer.args(["-c", "ulimit -n 5; exec \"$0\" \"$@\"", env!("CARGO_BIN_EXE_thttpd")]).args(&flags);
    let text = stderr(&run(&mut fewer));
    assert!(
        text.contains(&format!("daemon - {}; ", reason(Errno::EMFILE))) && text.contains("ulimit -n"),
        "{text}"
    );
}

/// The server as a user who has no other process, and may have `count` threads and processes.
fn with_threads(count: u32) -> Command {
    let mut command = Command::new("prlimit");
    let user = (54_000 + std::process::id() % 10_000).to_string();
    command.arg(format!("--nproc={count}")).args(["setpriv", "--clear-groups", "--regid", &user, "--reuid"]);
    command.args([&user, env!("CARGO_BIN_EXE_thttpd")]);
    command.env("THTTPD_SYSLOG_SOCKET", "/nonexistent/log").stdin(Stdio::null());
    command
}

#[test]
fn too_few_threads_for_any_part_of_the_server() {
    if !is_root() {
        return;
    }
    let tree = Tree::new();
    let sound = sound(&tree);
    let flags = sound.iter().map(String::as_str).chain(["-c", "**.cgi", "-o", "workers=6"]);
    let flags: Vec<&str> = flags.collect();
    for count in 1..12 {
        let begun = Instant::now();
        refuses_as(|| with_threads(count), &flags, " - Resource temporarily unavailable", "ulimit -u");
        // Longer ones wait for something that has not been started, for five seconds each.
        assert!(begun.elapsed() < Duration::from_secs(8), "{count}: {:?}", begun.elapsed());
    }
}

#[test]
fn a_port_of_roots_for_somebody_else() {
    let lowest = std::fs::read_to_string("/proc/sys/net/ipv4/ip_unprivileged_port_start");
    let lowest = lowest.ok().and_then(|port| port.trim().parse::<u16>().ok());
    if !is_root() || lowest.is_some_and(|lowest| lowest < 80) {
        return eprintln!("skipped: every port is everybody's here");
    }
    let tree = Tree::new();
    let www = tree.www();
    let flags = ["-p", "79", "-h", "127.0.0.1", "-d", www.to_str().unwrap(), "-l", "/dev/null"];
    refuses_as(unprivileged, &flags, "bind 127.0.0.1:79 - Permission denied", "-p");
}

#[test]
fn chroot_for_somebody_who_is_not_root() {
    if !is_root() {
        return;
    }
    let tree = Tree::new();
    let sound = sound(&tree);
    let flags: Vec<&str> = sound.iter().map(String::as_str).chain(["-r"]).collect();
    refuses_as(unprivileged, &flags, "chroot - Operation not permitted", "root");
}

#[test]
fn sockets_that_are_handed_over_must_be_listening_ones() {
    let tree = Tree::new();
    let handed = || {
        let mut command = Command::new("sh");
        let script = "exec 3</dev/null; LISTEN_FDS=1 LISTEN_PID=$$ exec \"$0\" \"$@\"";
        command.args(["-c", script, env!("CARGO_BIN_EXE_thttpd")]);
        command
    };
    let flags = sound(&tree);
    let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
    refuses_as(handed, &flags, "LISTEN_FDS - ", "ListenStream=");
}
