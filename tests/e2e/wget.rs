//! wget -r over listings: every file of a tree is found and arrives whole.

use std::fs;

use crate::support::{Server, Tree, run};

#[test]
fn a_tree_is_mirrored_through_its_listings() {
    let tree = Tree::new();
    let names = ["a.txt", "sub/b.txt", "sub/deep/c d&e.txt", "sub/deep/100%.txt", "sub/q?.txt", "sub/é.txt"];
    for name in names {
        tree.file(name, format!("content of {name}"));
    }
    let server = Server::start(&tree, &[]);
    let copy = tree.dir().join("copy");
    let arguments =
        ["-q", "-r", "-np", "-nH", "--restrict-file-names=unix,nocontrol", "-P", copy.to_str().unwrap()];
    let url = server.url("/");
    let Some(output) = run("wget", &[&arguments[..], &[url.as_str()]].concat()) else { return };
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    for name in names {
        let got = fs::read_to_string(copy.join(name)).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(got, format!("content of {name}"));
    }
}
