//! Root: used for what needs it, then gone for good; and the same inside a chroot.

use std::fs;
use std::os::unix::fs::{MetadataExt, chown, symlink};
use std::path::Path;
use std::process::Command;

use nix::sys::signal::Signal;

use super::{Running, read, run, stderr, stdout, thttpd, thttpd_for_every_user};
use crate::support::server::free_port;
use crate::support::{Client, Server, Tree, eventually, is_root, sees_others};

/// The numbers of a field of `/proc/PID/…/status`.
fn numbers(status: &Path, field: &str) -> Vec<u32> {
    let text = read(status);
    let line = text.lines().find(|line| line.starts_with(field)).expect(field);
    line.split_whitespace().skip(1).filter_map(|word| word.parse().ok()).collect()
}

#[test]
fn every_thread_is_the_user_and_nobody_else() {
    if !is_root() {
        return;
    }
    let tree = Tree::new();
    let server = Server::start(&tree, &["-u", "12345:23456"]);
    // Once it has answered, all threads are there.
    server.connect().get("/");
    let threads: Vec<_> = fs::read_dir(format!("/proc/{}/task", server.pid())).unwrap().flatten().collect();
    assert!(threads.len() > 3, "workers are running");
    for thread in threads {
        let status = thread.path().join("status");
        assert_eq!(numbers(&status, "Uid:"), [12345; 4]);
        assert_eq!(numbers(&status, "Gid:"), [23456; 4]);
        assert_eq!(numbers(&status, "Groups:"), [23456]);
    }
}

#[test]
fn files_that_only_root_may_read_are_not_served() {
    if !is_root() {
        return;
    }
    let tree = Tree::new();
    tree.file("dir/a.txt", "secret");
    tree.mode("dir", 0o700);
    let server = Server::start(&tree, &["-u", "nobody"]);
    assert_ne!(server.connect().get("/dir/a.txt").status, 200);
}

#[test]
fn a_server_not_started_as_root_keeps_its_user() {
    use std::os::unix::process::CommandExt;
    if !is_root() {
        return;
    }
    let tree = Tree::new();
    tree.file("a.txt", "hello");
    let port = free_port();
    let mut command = thttpd_for_every_user();
    command.args(["-D", "-h", "127.0.0.1", "-p", &port.to_string(), "-l", "-", "-u", "no-such-user"]);
    let server = Running::start(command.arg("-d").arg(tree.www()).uid(54321).gid(54321), port);
    assert_eq!(numbers(format!("/proc/{}/status", server.pid()).as_ref(), "Uid:"), [54321; 4]);
    assert_eq!(Client::connect(([127, 0, 0, 1], port).into()).get("/a.txt").text(), "hello");
}

/// `zone` in the environment, which names a file that the new root does not have.
fn in_zone(zone: &'static str) -> impl Fn(&mut Command) {
    move |command| {
        command.env("TZ", zone);
    }
}

#[test]
fn in_a_new_root_the_log_keeps_the_local_time() {
    if !is_root() || !sees_others() {
        return;
    }
    if !Path::new("/usr/share/zoneinfo/Asia/Kolkata").exists() {
        return eprintln!("skipped: no zone files here");
    }
    let tree = Tree::new();
    tree.file("a.txt", "hello");
    // Kolkata has no summer time; Jerusalem's rule is one of those that need an extension of POSIX.
    for (zone, offsets) in [("Asia/Kolkata", &[" +0530]"][..]), (":Asia/Jerusalem", &[" +0200]", " +0300]"])]
    {
        let server = Server::start_with(&tree, &["-r"], in_zone(zone));
        let root = fs::read_link(format!("/proc/{}/root", server.pid())).unwrap();
        assert_eq!(root, tree.www().canonicalize().unwrap());
        assert_eq!(server.connect().get("/a.txt").text(), "hello");
        let line = server.logged("GET /a.txt");
        assert!(offsets.iter().any(|offset| line.contains(offset)), "{zone}: {line}");
    }
}

#[test]
fn in_a_new_root_hup_opens_the_log_anew_though_it_lies_outside() {
    if !is_root() {
        return;
    }
    let tree = Tree::new();
    tree.file("a.txt", "hello");
    let logs = tree.dir().join("logs");
    fs::create_dir(&logs).unwrap();
    chown(&logs, Some(65534), Some(65534)).unwrap();
    let log = logs.join("log");
    let server = Server::start(&tree, &["-r", "-u", "nobody", "-l", log.to_str().unwrap()]);
    server.connect().get("/a.txt");
    eventually("the first line is written", || read(&log).contains("GET /a.txt"));
    fs::rename(&log, logs.join("old")).unwrap();
    server.signal(Signal::SIGHUP);
    eventually("there is a new file", || log.exists());
    server.connect().get("/a.txt?2");
    eventually("the next line is in it", || read(&log).contains("GET /a.txt?2"));
    assert!(!read(&logs.join("old")).contains("?2"));
    assert_eq!(fs::metadata(&log).unwrap().uid(), 65534);
}

#[test]
fn a_password_file_that_only_an_absolute_link_leads_to_is_told_in_a_new_root() {
    if !is_root() {
        return;
    }
    let tree = Tree::new();
    tree.file("a.txt", "hello");
    let users = tree.beside("users", "alice:x\n");
    symlink(&users, tree.dir().join("absolute")).unwrap();
    symlink("users", tree.dir().join("relative")).unwrap();
    let text = "after chroot no absolute link leads to the file";
    for (flag, name, is_told) in
        [("-r", "absolute", true), ("-r", "relative", false), ("-nor", "absolute", false)]
    {
        let rule = format!("rule=** auth {}", tree.dir().join(name).display());
        let flags = [flag, "-o", &rule];
        let server = Server::start(&tree, &flags);
        assert_eq!(read(&server.stderr).contains(text), is_told, "{flags:?}");
        assert_eq!(server.connect().get("/a.txt").status, if is_told { 403 } else { 401 }, "{flags:?}");
        let checked = run(thttpd().arg("-d").arg(tree.www()).args(flags).arg("--check"));
        assert_eq!(stdout(&checked).contains(text), is_told, "{}", stderr(&checked));
    }
}

#[test]
fn a_data_directory_lies_in_the_new_root() {
    if !is_root() {
        return;
    }
    let tree = Tree::new();
    tree.file("data/a.txt", "inside");
    tree.file("a.txt", "above");
    let server = Server::start(&tree, &["-r", "-dd", "/data"]);
    assert_eq!(server.connect().get("/a.txt").text(), "inside");
}

#[test]
fn a_log_file_is_given_to_the_user_and_kept_from_the_world() {
    if !is_root() {
        return;
    }
    let tree = Tree::new();
    let log = tree.dir().join("fresh");
    let _server = Server::start(&tree, &["-u", "12345:23456", "-l", log.to_str().unwrap()]);
    let meta = fs::metadata(&log).unwrap();
    assert_eq!((meta.uid(), meta.gid()), (12345, 23456));
    assert_eq!(meta.mode() & 0o027, 0);
}

#[test]
fn a_log_file_keeps_the_group_that_reads_it() {
    if !is_root() {
        return;
    }
    let tree = Tree::new();
    let log = tree.dir().join("log");
    // Owner and group before the start; the group after it.
    for (owner, before, after) in
        [(0, 4, 4), (12345, 4, 4), (12345, 0, 23456), (0, 0, 23456), (7, 23456, 23456)]
    {
        fs::write(&log, "").unwrap();
        chown(&log, Some(owner), Some(before)).unwrap();
        let server = Server::start(&tree, &["-u", "12345:23456", "-l", log.to_str().unwrap()]);
        let meta = fs::metadata(&log).unwrap();
        assert_eq!((meta.uid(), meta.gid()), (12345, after), "{owner}:{before}");
        drop(server);
        fs::remove_file(&log).unwrap();
    }
}

/// Output of a start as root without `capabilities`; `None` if the server starts.
fn refusal_without(capabilities: &str, flags: &[&str]) -> Option<String> {
    use std::io::Read;
    let tree = Tree::new();
    let port = free_port().to_string();
    let mut command = Command::new("setpriv");
    command.arg(format!("--bounding-set={capabilities}")).arg(format!("--inh-caps={capabilities}"));
    command.arg(env!("CARGO_BIN_EXE_thttpd")).args([
        "-D",
        "-h",
        "127.0.0.1",
        "-p",
        &port,
        "-l",
        "/dev/stderr",
    ]);
    command.args(flags).arg("-d").arg(tree.www()).env("THTTPD_SYSLOG_SOCKET", "/nonexistent/log");
    let mut child = command.stderr(std::process::Stdio::piped()).spawn().unwrap();
    eventually("the server serves or has ended", || {
        std::net::TcpStream::connect(format!("127.0.0.1:{port}")).is_ok()
            || child.try_wait().unwrap().is_some()
    });
    let serves = child.try_wait().unwrap().is_none();
    child.kill().unwrap();
    child.wait().unwrap();
    let mut said = String::new();
    child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
    (!serves).then_some(said)
}

#[test]
fn root_that_may_not_change_its_user_is_told_what_to_do_in_one_line() {
    if !is_root() {
        return;
    }
    for (capabilities, flags) in
        [("-all", &[][..]), ("-all", &["-u", "12345:23456"]), ("-setuid", &[]), ("-setgid", &[])]
    {
        let said = refusal_without(capabilities, flags).expect("no start");
        assert_eq!(said.lines().count(), 1, "{said}");
        for word in ["CAP_SETUID", "CAP_SETGID", "--user "] {
            assert!(said.contains(word), "{word} is not in: {said}");
        }
        let user = if flags.is_empty() { "nobody" } else { "12345:23456" };
        assert!(said.contains(user), "{said}");
    }
}

#[test]
fn a_user_that_a_namespace_lacks_is_told_as_such() {
    let tree = Tree::new();
    let mut command = Command::new("unshare");
    command.args(["--user", "--map-root-user", env!("CARGO_BIN_EXE_thttpd"), "-D", "-h", "127.0.0.1", "-p"]);
    command.args([&free_port().to_string(), "-l", "/dev/null", "-d"]).arg(tree.www());
    let output = run(command.env("THTTPD_SYSLOG_SOCKET", "/nonexistent/log"));
    let said = stderr(&output);
    if said.starts_with("unshare: ") {
        return eprintln!("skipped: no user namespace here: {said}");
    }
    assert_eq!(output.status.code(), Some(1));
    assert!(said.contains("(65534:65534) is not mapped into this user namespace"), "{said}");
}

#[test]
fn root_that_was_told_to_stay_root_needs_no_capability_for_that() {
    if is_root() {
        assert_eq!(refusal_without("-all", &["-u", "root"]), None);
    }
}

#[test]
fn a_log_that_cannot_be_given_to_the_user_is_written_and_told() {
    if !is_root() {
        return;
    }
    let tree = Tree::new();
    tree.file("a.txt", "hello");
    // The log is a file that root's start makes anew.
    let without_chown = "set -- \"$0\" \"$@\" && exec setpriv --bounding-set=-chown --inh-caps=-chown \"$@\"";
    let log = tree.dir().join("new-log");
    let server = Server::start_after(&tree, without_chown, &["-l", log.to_str().unwrap()]);
    server.connect().get("/a.txt");
    eventually("the line is written", || read(&log).contains("GET /a.txt"));
    assert_eq!(fs::metadata(&log).unwrap().uid(), 0);
    let said = fs::read_to_string(&server.stderr).unwrap();
    assert!(said.contains("fchown logfile - Operation not permitted"), "{said}");
}

#[test]
fn root_without_the_right_to_low_ports_is_not_told_to_start_as_root() {
    if !is_root() {
        return;
    }
    let said = refusal_without("-net_bind_service", &["-p", "9"]).expect("no start");
    assert!(said.contains("CAP_NET_BIND_SERVICE") && said.contains("-p"), "{said}");
    assert!(!said.contains("start as root"), "{said}");
}
