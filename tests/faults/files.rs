//! Files and directories that change under a response.

use std::fs;

use super::{LARGE, assert_serves, tree};
use crate::support::Server;

#[test]
fn a_file_cut_short_while_it_is_sent_ends_its_connection_and_is_not_padded() {
    let tree = tree();
    let mut server = Server::start(&tree, &[]);
    let mut client = server.download("/large");
    fs::File::options().write(true).open(tree.www().join("large")).unwrap().set_len(100).unwrap();
    let rest = client.rest().unwrap_or_default();
    assert!(rest.len() < LARGE - 1000, "{} bytes of a file that is 100 bytes long", rest.len());
    // The kernel may have blanked the end of what was on its way; nothing else may come.
    assert!(rest.iter().all(|&byte| byte == b'o' || byte == 0), "bytes that were never in the file");
    assert!(server.is_alive());
    let line = server.logged("GET /large");
    assert!(line.contains("\" 200 ") && !line.contains(&LARGE.to_string()), "{line}");
    assert_eq!(server.connect().get("/large").body.len(), 100);
}

#[test]
fn a_file_replaced_or_removed_while_it_is_sent_arrives_as_it_was() {
    let tree = tree();
    let server = Server::start(&tree, &[]);
    let path = tree.www().join("large");
    for replaced in [true, false] {
        tree.file("large", vec![b'o'; LARGE]);
        let mut client = server.download("/large");
        if replaced {
            tree.file("next", vec![b'n'; LARGE]);
            fs::rename(tree.www().join("next"), &path).unwrap();
        } else {
            fs::remove_file(&path).unwrap();
        }
        let rest = client.rest().expect("no reset");
        assert!(rest.len() + 1000 > LARGE && rest.iter().all(|&byte| byte == b'o'), "replaced: {replaced}");
        let now = server.connect().get("/large");
        let as_it_is = if replaced { now.body == vec![b'n'; LARGE] } else { now.status == 404 };
        assert!(as_it_is, "replaced: {replaced}, {}", now.head);
    }
}

#[test]
fn a_file_that_grows_while_it_is_sent_arrives_with_its_announced_length() {
    let tree = tree();
    let server = Server::start(&tree, &[]);
    let mut client = server.connect();
    client.send("GET /large HTTP/1.1\r\nHost: x\r\n\r\n");
    std::io::Read::read_exact(&mut client.stream(), &mut [0; 1]).unwrap();
    let mut file = fs::File::options().append(true).open(tree.www().join("large")).unwrap();
    std::io::Write::write_all(&mut file, &[b'n'; 1_000_000]).unwrap();
    // The next response on the connection begins where the first was announced to end.
    let answer = client.answer("GET");
    assert!(answer.body.len() == LARGE && answer.body.iter().all(|&byte| byte == b'o'));
    assert_eq!(client.get("/a").text(), "a");
}

#[test]
fn the_root_renamed_away_and_back_is_served_all_the_while() {
    let tree = tree();
    let mut server = Server::start(&tree, &[]);
    let (here, away) = (tree.www(), tree.dir().join("away"));
    let mut client = server.connect();
    super::rest(&server, "/a");
    for round in 0..3 {
        assert_eq!(client.get("/a").text(), "a");
        fs::rename(&here, &away).unwrap();
        assert_eq!(client.get("/a").text(), "a");
        assert_eq!(client.get("/none").status, 404);
        let fresh = format!("fresh{round}");
        fs::write(away.join(&fresh), "fresh").unwrap();
        assert_eq!(client.get(&format!("/{fresh}")).text(), "fresh");
        fs::rename(&away, &here).unwrap();
    }
    assert_eq!(client.get("/large").body.len(), LARGE);
    fs::remove_dir_all(&here).unwrap();
    assert_eq!(client.get("/a").status, 404, "what is gone is not served from memory");
    assert_eq!(client.get("/large").status, 404);
    assert!(server.is_alive());
}

#[test]
fn a_directory_replaced_above_a_remembered_file_is_seen_at_once() {
    let tree = tree();
    tree.file("one/two/three/f", "old");
    let server = Server::start(&tree, &[]);
    let mut client = server.connect();
    super::rest(&server, "/one/two/three/f");
    for _ in 0..3 {
        assert_eq!(client.get("/one/two/three/f").text(), "old");
    }
    tree.file("other/two/three/f", "new");
    fs::rename(tree.www().join("one"), tree.www().join("former")).unwrap();
    fs::rename(tree.www().join("other"), tree.www().join("one")).unwrap();
    assert_eq!(client.get("/one/two/three/f").text(), "new");
    fs::remove_dir_all(tree.www().join("one")).unwrap();
    assert_eq!(client.get("/one/two/three/f").status, 404);
}

#[test]
fn a_tree_that_is_changed_without_pause_is_served_without_fault() {
    let tree = tree();
    let mut server = Server::start(&tree, &[]);
    let www = tree.www();
    let over = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for round in 0..2000 {
                let (name, dir) = (www.join("f"), www.join("d"));
                let _ = fs::write(&name, vec![b'f'; round % 200_000]);
                let _ = fs::create_dir(&dir);
                let _ = fs::write(dir.join("index.html"), "index");
                let _ = fs::rename(&dir, www.join("e"));
                let _ = std::os::unix::fs::symlink("e", &dir);
                let _ = fs::remove_file(&dir);
                let _ = fs::remove_dir_all(www.join("e"));
                let _ = fs::remove_file(&name);
            }
            over.store(true, std::sync::atomic::Ordering::Relaxed);
        });
        let mut client = server.connect();
        while !over.load(std::sync::atomic::Ordering::Relaxed) {
            for target in ["/f", "/d/", "/d", "/e/index.html", "/", "/d/index.html"] {
                client.send(format!("GET {target} HTTP/1.1\r\nHost: x\r\n\r\n"));
                match client.try_answer("GET") {
                    Some(answer) => {
                        assert!(
                            matches!(answer.status, 200 | 302 | 403 | 404 | 503),
                            "{target}: {}",
                            answer.head
                        );
                    }
                    // Cut short while it was sent.
                    None => client = server.connect(),
                }
            }
        }
    });
    assert!(server.is_alive());
    assert_serves(&server);
}

#[test]
fn a_name_in_a_deep_tree_costs_no_more_than_its_length() {
    let tree = tree();
    let dir = |depth: usize| vec!["d"; depth].join("/");
    let (deep, half) = (dir(900), dir(450));
    tree.file(&format!("{deep}/a"), "deep");
    tree.file(&format!("{half}/a"), "deep");
    let mut server = Server::start(&tree, &["-nor"]);
    let mut client = server.connect();
    let mut fastest = |target: String, status| {
        let ask = |_| {
            let began = std::time::Instant::now();
            assert_eq!(client.get(&target).status, status);
            began.elapsed()
        };
        (0..20).map(ask).min().unwrap()
    };
    // Twice as deep costs twice as much; a look at all directories above each one would cost four times.
    for (target, status) in [("a", 200), ("none", 404), ("none/and/more", 404), ("a/b", 403)] {
        let mut objection = String::new();
        // The machine may have been busy with something else during one of the two.
        let holds = (0..5).any(|_| {
            let time = fastest(format!("/{deep}/{target}"), status);
            let of_half = fastest(format!("/{half}/{target}"), status);
            objection = format!("{target}: {time:?}, at half the depth {of_half:?}");
            time < 3 * of_half + std::time::Duration::from_millis(1)
        });
        assert!(holds, "{objection}");
    }
    assert!(server.is_alive());
}

#[test]
fn long_lists_for_many_keep_nobody_waiting_for_a_small_file() {
    const CLIENTS: usize = 8;
    let tree = tree();
    let names = tree.dir_in("names");
    for n in 0..20_000 {
        fs::File::create(names.join(format!("name-{n}"))).unwrap();
    }
    let server = Server::start(&tree, &[]);
    super::rest(&server, "/a");
    std::thread::scope(|scope| {
        let lists: Vec<_> =
            (0..CLIENTS).map(|_| scope.spawn(|| server.connect().get("/names/").status)).collect();
        let mut slowest = std::time::Duration::ZERO;
        let mut client = server.connect();
        while lists.iter().any(|list| !list.is_finished()) {
            let began = std::time::Instant::now();
            assert_eq!(client.get("/a").text(), "a");
            slowest = slowest.max(began.elapsed());
        }
        assert!(slowest < std::time::Duration::from_millis(700), "{slowest:?}");
        let answered = lists.into_iter().map(|list| list.join().unwrap());
        assert!(answered.into_iter().all(|status| matches!(status, 200 | 503)));
    });
}
