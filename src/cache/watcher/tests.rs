use super::*;
use crate::docroot::DocRoot;
use crate::testing::TempTree;
use std::fs;

#[test]
fn files_leave_room_for_the_watches_of_directories() {
    let tree = TempTree::new();
    let name = |n: usize| format!("many/{n}");
    (0..MOST_WATCHES).for_each(|n| tree.file(&name(n), ""));
    tree.file("another/file", "");
    let root = DocRoot::open(tree.path(), tree.path().as_os_str().as_encoded_bytes()).unwrap();
    let (view, watcher) = (View::local(&root), Watcher::default());
    let many = watcher.watch(&view, b"many").unwrap();
    let watch = |n| watcher.watch_file(&view, name(n).as_bytes(), &many);
    let watched: Vec<WatchedPath> = (0..MOST_WATCHES).map(watch).collect();
    assert!(watched[0].chain.len() > many.chain.len(), "files are watched");
    assert!(watcher.watch(&view, b"another").is_some());
}

#[test]
fn a_directory_that_got_the_name_of_a_file_is_watched_as_before() {
    let tree = TempTree::new();
    tree.file("dir/file", "");
    let root = DocRoot::open(tree.path(), tree.path().as_os_str().as_encoded_bytes()).unwrap();
    let (view, watcher) = (View::local(&root), Watcher::default());
    let dir = watcher.watch(&view, b"dir").unwrap();
    let _ = watcher.watch_file(&view, b"dir", &dir);
    assert!(watcher.is_untouched(&dir, &Freshness::default()));
    tree.file("dir/.htpasswd", "");
    assert!(!watcher.is_untouched(&dir, &Freshness::default()));
}

#[test]
fn a_directory_that_was_taken_for_a_file_is_no_longer() {
    let tree = TempTree::new();
    tree.file("dir/file", "");
    let root = DocRoot::open(tree.path(), tree.path().as_os_str().as_encoded_bytes()).unwrap();
    let (view, watcher) = (View::local(&root), Watcher::default());
    let _ = watcher.watch_file(&view, b"dir", &watcher.watch(&view, b"").unwrap());
    let dir = watcher.watch(&view, b"dir").unwrap();
    fs::rename(tree.path().join("dir"), tree.path().join("old")).unwrap();
    tree.file("dir/file", "");
    assert!(!watcher.is_untouched(&dir, &Freshness::default()));
    let dir = watcher.watch(&view, b"dir").unwrap();
    assert!(watcher.is_untouched(&dir, &Freshness::default()));
    tree.file("dir/.htpasswd", "");
    assert!(!watcher.is_untouched(&dir, &Freshness::default()), "the new directory is watched");
}

#[test]
fn one_answer_serves_whoever_was_there_before_the_question() {
    let tree = TempTree::new();
    let root = DocRoot::open(tree.path(), tree.path().as_os_str().as_encoded_bytes()).unwrap();
    let watcher = Watcher::default();
    let watched = watcher.watch(&View::local(&root), b"").unwrap();
    let (asking, before) = (Freshness::default(), Freshness::default());
    assert!(watcher.is_unchanged(&watched, &asking));
    let after = Freshness::default();
    fs::write(tree.path().join("new"), "").unwrap();
    assert!(watcher.is_unchanged(&watched, &before), "needs no query of its own");
    assert!(!watcher.is_unchanged(&watched, &after), "came after the query");
    asking.expire();
    assert!(!watcher.is_unchanged(&watched, &asking), "is about others now");
}

#[test]
fn an_event_of_a_file_that_is_watched_no_longer_says_nothing_of_directories() {
    let tree = TempTree::new();
    let name = |n: usize| format!("many/{n}");
    (0..MOST_BESIDE_FILES).for_each(|n| tree.file(&name(n), ""));
    tree.file("another/file", "");
    let root = DocRoot::open(tree.path(), tree.path().as_os_str().as_encoded_bytes()).unwrap();
    let (view, watcher) = (View::local(&root), Watcher::default());
    let many = watcher.watch(&view, b"many").unwrap();
    let another = watcher.watch(&view, b"another").unwrap();
    let watch = |n| watcher.watch_file(&view, name(n).as_bytes(), &many);
    // Beside the watches of three directories, the table is full.
    let watched: Vec<WatchedPath> = (0..MOST_BESIDE_FILES - 3).map(watch).collect();
    tree.file(&name(0), "changed, and not read from the queue");
    drop(watched);
    watcher.watch_file(&view, b"another/file", &another);
    assert!(!watcher.table().retired.is_empty(), "the table was full");
    assert!((0..10_000).any(|_| watcher.is_quiet(&Freshness::default())), "the queue has an end");
    assert!(watcher.table().retired.is_empty());
    assert!(watcher.is_untouched(&another, &Freshness::default()), "no name leads elsewhere");
}
