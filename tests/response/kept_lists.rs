//! Long directory lists are cached, and every change shows at once.

use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::time::{Duration, SystemTime};

use crate::support::{Client, Server, Tree, eventually};

const NAMES: usize = 3000;

/// Tree with a directory `many`, whose list is long enough to be cached.
fn tree() -> Tree {
    let tree = Tree::new();
    for n in 0..NAMES {
        tree.file(&format!("many/file-{n:04}.txt"), "text");
    }
    tree.file("many/sub/old", "old");
    age(&tree, "many/sub");
    tree.file("elsewhere/file", "text");
    tree
}

/// Gives a name the date of a file of last year.
fn age(tree: &Tree, name: &str) {
    let old = SystemTime::now() - Duration::from_secs(400 * 86_400);
    fs::File::open(tree.www().join(name)).unwrap().set_modified(old).unwrap();
}

fn list(client: &mut Client) -> String {
    let answer = client.get("/many/");
    assert_eq!(answer.status, 200);
    answer.text()
}

/// Clock ticks that the server has run for.
fn ticks(server: &Server) -> u64 {
    let stat = fs::read_to_string(format!("/proc/{}/stat", server.pid())).unwrap();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
    [11, 12].iter().map(|&at| fields[at].parse::<u64>().unwrap()).sum()
}

/// Ticks for so many lists.
fn cost(server: &Server, count: usize) -> u64 {
    let mut client = server.connect();
    let before = ticks(server);
    for _ in 0..count {
        list(&mut client);
    }
    ticks(server) - before
}

#[test]
fn a_list_that_is_asked_for_again_is_not_made_again() {
    let tree = tree();
    let server = Server::start(&tree, &[]);
    eventually("the list is kept", || {
        cost(&server, 5);
        cost(&server, 20) < 20
    });
    let kept = cost(&server, 40);
    tree.link("file-0000.txt", "many/link");
    let made = cost(&server, 40);
    assert!(kept * 4 < made, "{kept} ticks for kept lists, {made} for lists that are made");
}

#[test]
fn every_change_that_a_list_shows_is_shown_at_once() {
    let tree = tree();
    let server = Server::start(&tree, &[]);
    let many = tree.www().join("many");
    let first = many.join("file-0000.txt");
    type Change<'c> = (&'c str, Box<dyn Fn() + 'c>);
    let changes: [Change<'_>; 8] = [
        (
            "a size that grows",
            Box::new(|| {
                fs::File::options().append(true).open(&first).unwrap().write_all(b"more").unwrap();
            }),
        ),
        (
            "a size that shrinks",
            Box::new(|| fs::File::options().write(true).open(&first).unwrap().set_len(1).unwrap()),
        ),
        ("a date", Box::new(|| age(&tree, "many/file-0000.txt"))),
        ("permissions", Box::new(|| fs::set_permissions(&first, fs::Permissions::from_mode(0o600)).unwrap())),
        ("a new name", Box::new(|| fs::write(many.join("new"), "new").unwrap())),
        ("a name that goes", Box::new(|| fs::remove_file(many.join("new")).unwrap())),
        (
            "another name for a file",
            Box::new(|| fs::rename(many.join("file-0001.txt"), many.join("renamed")).unwrap()),
        ),
        ("a file in a subdirectory", Box::new(|| fs::write(many.join("sub/new"), "new").unwrap())),
    ];
    let mut client = server.connect();
    for (what, change) in changes {
        // Changes within one tick of the disk's clock look like one.
        std::thread::sleep(Duration::from_millis(60));
        let before = list(&mut client);
        assert!(list(&mut client) == before, "{what}");
        change();
        assert!(list(&mut client) != before, "{what} does not show");
    }
    // A second name elsewhere is no event here; once a list has seen it, none is kept.
    let before = list(&mut client);
    fs::hard_link(many.join("file-0002.txt"), tree.www().join("elsewhere/link")).unwrap();
    eventually("the second link shows", || list(&mut client) != before);
    let before = list(&mut client);
    fs::write(tree.www().join("elsewhere/link"), "much longer").unwrap();
    assert!(list(&mut client) != before, "a change by another name");
}

#[test]
fn another_directory_under_the_same_name_is_listed_anew() {
    let tree = tree();
    let server = Server::start(&tree, &[]);
    let mut client = server.connect();
    eventually("the list is kept", || cost(&server, 20) < 20);
    assert!(list(&mut client).contains("file-0000.txt"));
    fs::rename(tree.www().join("many"), tree.www().join("gone")).unwrap();
    fs::rename(tree.www().join("elsewhere"), tree.www().join("many")).unwrap();
    assert!(!list(&mut client).contains("file-0000.txt"));
}

#[test]
fn orders_and_styles_are_kept_apart() {
    let tree = tree();
    let server = Server::start(&tree, &["-o", "listing_style=modern"]);
    let mut client = server.connect();
    for _ in 0..3 {
        let first = |text: String| text.find("file-0000.txt").unwrap() < text.find("file-2999.txt").unwrap();
        assert!(first(client.get("/many/").text()));
        assert!(!first(client.get("/many/?C=N;O=D").text()));
        client.send("GET /many/ HTTP/1.1\r\nHost: x\r\nAccept: application/json\r\n\r\n");
        let json = client.answer("GET");
        assert_eq!(json.field("Content-Type"), Some("application/json"));
        assert!(serde_json::from_slice::<serde_json::Value>(&json.body).is_ok());
    }
}

#[test]
fn a_crowd_that_asks_for_one_long_list_all_get_it() {
    let tree = Tree::new();
    let dir = tree.dir_in("many");
    for n in 0..10_000 {
        fs::File::create(dir.join(format!("file-{n:06}.txt"))).unwrap();
    }
    let server = Server::start(&tree, &[]);
    std::thread::scope(|scope| {
        let ask = || server.connect().get("/many/");
        let crowd: Vec<_> = (0..12).map(|_| scope.spawn(ask)).collect();
        for answer in crowd.into_iter().map(|client| client.join().unwrap()) {
            assert_eq!(answer.status, 200);
            assert_eq!(answer.text().matches("file-").count(), 20_000);
        }
    });
}
