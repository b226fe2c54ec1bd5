//! Slow or hanging storage does not delay requests for other files.

use std::fs;
use std::net::TcpStream;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use super::rest;
use crate::support::{Client, FuseMount, Server, Tree, eventually};

/// A tree with a local file `a`, and a mount `far` of another file system with two files in it.
fn tree_with_mount() -> Option<(Tree, FuseMount)> {
    let tree = Tree::new();
    tree.file("a", "a");
    let large = vec![b'l'; 300_000];
    let files: [(&str, &[u8]); 3] = [("small", b"small"), ("large", &large), ("passwords", b"u:x\n")];
    let mount = FuseMount::new(&tree.dir_in("far"), &files)?;
    Some((tree, mount))
}

/// Connections that ask for `target`, one each.
fn ask(server: &Server, target: &str, count: usize) -> Vec<Client> {
    let connect = |_| {
        let mut client = server.connect();
        client.send(format!("GET {target} HTTP/1.1\r\nHost: x\r\n\r\n"));
        client
    };
    (0..count).map(connect).collect()
}

/// Asks for a local file in several ways, known and unknown, each within a second.
fn assert_local_files_are_served(server: &Server, tree: &Tree) {
    for round in 0..5 {
        let fresh = format!("new-{round}/fresh");
        tree.file(&fresh, &fresh);
        tree.link(&fresh, &format!("link-{round}"));
        let (unknown, link) = (format!("/{fresh}"), format!("/link-{round}"));
        for (target, text) in [("/a", "a"), (&*unknown, &*fresh), (&*link, &*fresh)] {
            let began = Instant::now();
            let mut client = Client::of(TcpStream::connect(server.address()).unwrap());
            client.stream().set_read_timeout(Some(Duration::from_secs(3))).unwrap();
            client.send(format!("GET {target} HTTP/1.1\r\nHost: x\r\n\r\n"));
            let answer =
                client.try_answer("GET").unwrap_or_else(|| panic!("{target}, round {round}: no answer"));
            assert_eq!(answer.text(), text, "{target}");
            assert!(began.elapsed() < Duration::from_secs(2), "{target} after {:?}", began.elapsed());
        }
    }
}

#[test]
fn local_files_are_served_while_names_of_another_file_system_hang() {
    let Some((tree, mount)) = tree_with_mount() else { return };
    tree.file("protected/file", "x");
    tree.link("../far/passwords", "protected/.htpasswd");
    tree.link("far/small", "link-to-far");
    let server = Server::start(&tree, &[]);
    for target in ["/a", "/far/small"] {
        rest(&server, target);
    }
    for target in ["/a", "/far/small", "/far/large"] {
        assert_eq!(server.connect().get(target).status, 200);
    }
    assert_eq!(server.connect().get("/protected/file").status, 401);
    let _hang = mount.hang();
    let targets = [
        "/far/small",
        "/far/large",
        "/far/unknown",
        "/far/",
        "/",
        "/link-to-far",
        "/protected/file",
        "/far/x/y",
    ];
    let hung: Vec<_> = targets.iter().map(|target| ask(&server, target, 30)).collect();
    assert_local_files_are_served(&server, &tree);
    drop(hung);
}

#[test]
fn one_processor_serves_local_files_while_another_file_system_hangs() {
    let Some((tree, mount)) = tree_with_mount() else { return };
    let server = Server::start_after(&tree, "taskset -p -c 0 $$ >/dev/null", &[]);
    for target in ["/a", "/far/small"] {
        rest(&server, target);
    }
    let _hang = mount.hang();
    let _hung = ask(&server, "/far/small", 40);
    assert_local_files_are_served(&server, &tree);
}

#[test]
fn a_request_that_finds_no_worker_for_storage_is_refused_after_a_while_and_served_when_there_is_one() {
    let Some((tree, mount)) = tree_with_mount() else { return };
    tree.file("errors/err503.html", "local page");
    let server = Server::start(&tree, &[]);
    let hang = mount.hang();
    let mut clients = ask(&server, "/far/small", 80);
    // Most get an answer; as many as are in the file system get none.
    let refused = clients.pop().unwrap().answer("GET");
    assert_eq!((refused.status, refused.text().as_str()), (503, "local page"));
    assert!(refused.field("Retry-After").is_some(), "{}", refused.head);
    let mut waiting = ask(&server, "/far/small", 10);
    drop(hang);
    for client in &mut waiting {
        assert_eq!(client.answer("GET").text(), "small");
    }
}

#[test]
fn a_download_that_hangs_keeps_no_other_waiting_and_goes_on_afterwards() {
    let Some((tree, mount)) = tree_with_mount() else { return };
    let large = tree.file("large", vec![b'l'; 300_000]);
    assert!(fs::metadata(large).is_ok());
    let server = Server::start(&tree, &[]);
    mount.slow_down(Duration::ZERO);
    assert_eq!(server.connect().get("/far/large").body.len(), 300_000);
    let hang = mount.hang();
    let mut clients = ask(&server, "/far/large", 10);
    assert_eq!(server.connect().get("/large").body.len(), 300_000);
    assert_local_files_are_served(&server, &tree);
    drop(hang);
    assert_eq!(clients[0].answer("GET").body.len(), 300_000);
}

#[test]
fn a_compressed_form_that_is_a_link_to_storage_that_hangs_is_not_looked_at() {
    let Some((tree, mount)) = tree_with_mount() else { return };
    for ending in ["gz", "br", "zst"] {
        tree.link("far/small", &format!("a.{ending}"));
    }
    let server = Server::start(&tree, &["-o", "precompressed"]);
    let _hang = mount.hang();
    let _taken = ask(&server, "/far/small", 80);
    for _ in 0..3 {
        let mut client = server.connect();
        client.stream().set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        client.send("GET /a HTTP/1.1\r\nHost: x\r\nAccept-Encoding: gzip, br, zstd\r\n\r\n");
        let answer = client.try_answer("GET").expect("an answer at once");
        assert_eq!((answer.status, answer.text().as_str()), (200, "a"));
        assert_eq!(answer.field("Content-Encoding"), None);
    }
}

#[test]
fn a_root_that_hangs_is_refused_too() {
    let tree = Tree::new();
    let Some(mount) = FuseMount::new(&tree.www(), &[("small", b"small")]) else { return };
    let server = Server::start(&tree, &[]);
    assert_eq!(server.connect().get("/small").text(), "small");
    assert_eq!(server.connect().get("/none").status, 404);
    let hang = mount.hang();
    let mut clients = ask(&server, "/small", 20);
    let refused = clients.pop().unwrap().answer("GET");
    assert_eq!(refused.status, 503);
    let mut client = server.connect();
    client.send("nonsense\r\n\r\n");
    assert_eq!(client.answer("GET").status, 400);
    drop(hang);
    assert_eq!(server.connect().get("/small").text(), "small");
}

#[test]
fn slow_storage_leaves_the_latency_of_local_files_alone() {
    let Some((tree, mount)) = tree_with_mount() else { return };
    let server = Server::start(&tree, &[]);
    for target in ["/a", "/far/small"] {
        rest(&server, target);
    }
    let mut client = server.connect();
    client.get("/a");
    mount.slow_down(Duration::from_millis(100));
    let done = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                while !done.load(std::sync::atomic::Ordering::Relaxed) {
                    assert!(matches!(server.connect().get("/far/small").status, 200 | 503));
                }
            });
        }
        let _end = crate::support::Done(&done);
        let mut times: Vec<_> = (0..200)
            .map(|_| {
                let began = Instant::now();
                assert_eq!(client.get("/a").text(), "a");
                std::thread::sleep(Duration::from_millis(2));
                began.elapsed()
            })
            .collect();
        times.sort();
        assert!(times[100] < Duration::from_millis(30), "p50 {:?}", times[100]);
    });
}

#[test]
fn signals_are_obeyed_while_storage_hangs_that_holds_known_files() {
    let Some((tree, mount)) = tree_with_mount() else { return };
    let mut server = Server::start(&tree, &[]);
    rest(&server, "/far/small");
    let mut client = server.connect();
    assert_eq!(["/far/large", "/a"].map(|target| client.get(target).status), [200, 200]);
    mount.wait_until_unused();
    let _hang = mount.hang();
    // Longer than the interval at which files kept open are looked through.
    std::thread::sleep(Duration::from_secs(11));
    server.signal(Signal::SIGHUP);
    server.signal(Signal::SIGUSR2);
    eventually("statistics", || fs::read_to_string(&server.stderr).unwrap().contains("up "));
    let began = Instant::now();
    assert!(server.end(Signal::SIGTERM).success());
    assert!(began.elapsed() < Duration::from_secs(5));
}

#[test]
fn signals_are_obeyed_while_the_storage_of_the_configuration_hangs() {
    let tree = Tree::new();
    tree.file("a", "a");
    let far = tree.dir().join("far");
    fs::create_dir(&far).unwrap();
    let Some(mount) = FuseMount::new(&far, &[("conf", b"reload_on_hup\n")]) else { return };
    let conf = far.join("conf");
    let mut server = Server::start(&tree, &["-C", conf.to_str().unwrap()]);
    let said = |text: &str| {
        eventually(text, || fs::read_to_string(&server.stderr).unwrap().contains(text));
    };
    // The start, which looks at the directory of the configuration to confine itself, is over.
    assert_eq!(server.connect().get("/a").text(), "a");
    let hang = mount.hang();
    for _ in 0..100 {
        server.signal(Signal::SIGHUP);
    }
    server.signal(Signal::SIGUSR2);
    said("up ");
    assert_eq!(server.connect().get("/a").text(), "a");
    drop(hang);
    said("configuration read again");
    // A thread that is in a call to the mount keeps the process, but neither its port nor its last words.
    let hang = mount.hang();
    server.signal(Signal::SIGHUP);
    server.signal(Signal::SIGTERM);
    said("exiting due to signal 15");
    assert!(TcpStream::connect(server.address()).is_err());
    drop(hang);
    assert!(server.wait().success());
}

#[test]
fn password_files_of_rules_on_hung_storage_hold_no_worker_that_others_need() {
    let tree = Tree::new();
    tree.file("a", "a");
    tree.file("private/file", "x");
    let far = tree.dir().join("far");
    fs::create_dir(&far).unwrap();
    let Some(mount) = FuseMount::new(&far, &[("passwords", b"u:x\n")]) else { return };
    let rules = tree.beside("rules", &format!("/private/** auth {}\n", far.join("passwords").display()));
    let server = Server::start(&tree, &["-o", &format!("rules={}", rules.display())]);
    assert_eq!(server.connect().get("/private/file").status, 401);
    let _hang = mount.hang();
    let waiting = ask(&server, "/private/file", 200);
    assert_local_files_are_served(&server, &tree);
    drop(waiting);
}

#[test]
fn lists_with_links_to_storage_that_hangs_leave_other_lists_alone() {
    let Some((tree, mount)) = tree_with_mount() else { return };
    tree.file("plain/file", "x");
    tree.file("linked/file", "x");
    tree.link("../far/small", "linked/link");
    let server = Server::start(&tree, &["-nos"]);
    assert!(server.connect().get("/linked/").text().contains("link"));
    mount.wait_until_unused();
    let _hang = mount.hang();
    let waiting = ask(&server, "/linked/", 60);
    mount.wait_until_asked();
    for _ in 0..20 {
        let began = Instant::now();
        let answer = server.connect().get("/plain/");
        assert_eq!(answer.status, 200);
        assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
    }
    drop(waiting);
}

#[test]
fn a_request_that_is_tried_again_counts_once() {
    let tree = Tree::new();
    tree.file("a", "a");
    let far = tree.dir().join("far");
    fs::create_dir(&far).unwrap();
    let Some(_mount) = FuseMount::new(&far, &[("passwords", b"u:x\n")]) else { return };
    // The request is counted before its password file turns out to be elsewhere.
    let passwords = far.join("passwords");
    let rules = format!("** requests per-address 3/h burst 3\n** auth {}\n", passwords.display());
    let rules = tree.beside("rules", &rules);
    let server = Server::start(&tree, &["-o", &format!("rules={}", rules.display())]);
    let mut client = server.connect();
    let statuses = [(); 4].map(|()| client.get("/a").status);
    assert_eq!(statuses, [401, 401, 401, 429]);
}

#[test]
fn uploads_whose_disk_hangs_are_kept_in_memory_and_hold_no_worker() {
    let Some((tree, _far)) = tree_with_mount() else { return };
    tree.file("script.cgi", "#!/bin/sh\nprintf 'Content-Type: text/plain\\n\\n'; wc -c");
    tree.mode("script.cgi", 0o755);
    let disk = tree.dir().join("disk");
    fs::create_dir(&disk).unwrap();
    let Some(mount) = FuseMount::new(&disk, &[]) else { return };
    let script = format!("export TMPDIR={}", disk.display());
    let server = Server::start_after(&tree, &script, &["-c", "**.cgi"]);
    let assert_taken = |count: usize| {
        let post = "POST /script.cgi HTTP/1.1\r\nHost: x\r\nContent-Length: 200000\r\n\r\n";
        let connect = |_| {
            let mut client = server.connect();
            client.send(format!("{post}{}", "x".repeat(200_000)));
            client
        };
        for mut client in (0..count).map(connect).collect::<Vec<Client>>() {
            assert_eq!(client.answer("POST").text().trim(), "200000");
        }
    };
    let hang = mount.hang();
    assert_taken(40);
    assert_local_files_are_served(&server, &tree);
    assert_eq!(server.connect().get("/far/small").text(), "small", "storage that answers is served");
    drop(hang);
    // Known to be another machine's, the disk is not used any more, whether it answers or not.
    assert_taken(1);
    let _hang = mount.hang();
    assert_taken(1);
}
