//! Entity tags: equal and different ones, weak and strong ones.

use std::sync::Arc;

use super::*;
use crate::testing::TempTree;

const FACTS: FileFacts =
    FileFacts { device: 1, inode: 7, len: 14, modified: (1_500_000_000, 5), changed: (1_500_000_100, 6) };

fn memory(bytes: &[u8]) -> Content {
    Content::Memory(bytes.into())
}

fn tagged(source: EtagSource, content: &Content, facts: &FileFacts, settled: bool) -> String {
    Tagger::new(source, 1).tag(content, facts, settled, true).expect("a tag").to_string()
}

/// File of `len` bytes on disk, open, with its facts.
fn on_disk(tree: &TempTree, len: u64) -> (Content, FileFacts) {
    tree.file("f", b"");
    let file = File::options().read(true).write(true).open(tree.path().join("f")).expect("open");
    file.set_len(len).expect("length");
    let facts = FileFacts::from(&fstat(file.as_fd()).expect("stat"));
    (Content::File(Arc::new(file.into())), facts)
}

#[test]
fn a_tag_of_content_is_the_same_whatever_else_is_known_of_the_file() {
    let tag = tagged(EtagSource::Content, &memory(b"Hello, world!\n"), &FACTS, true);
    // Result of `printf 'Hello, world!\n' | sha256sum`.
    assert_eq!(tag, "\"d9014c4624844aa5bac314773d6b689a\"");
    let other = FileFacts { device: 2, inode: 8, modified: (0, 0), changed: (1_600_000_000, 0), ..FACTS };
    assert_eq!(tag, tagged(EtagSource::Content, &memory(b"Hello, world!\n"), &other, true));
    assert_ne!(tag, tagged(EtagSource::Content, &memory(b"Hello, World!\n"), &FACTS, true));
    assert_eq!(
        format!("W/{tag}"),
        tagged(EtagSource::Content, &memory(b"Hello, world!\n"), &FACTS, false),
        "a file that may change unseen"
    );
}

#[test]
fn content_on_disk_has_the_tag_that_it_would_have_in_memory() {
    let tree = TempTree::new();
    for len in [0, 1, PIECE as u64, PIECE as u64 + 1, 100_000] {
        let (content, facts) = on_disk(&tree, len);
        let zeros = memory(&vec![0; len as usize]);
        assert_eq!(
            tagged(EtagSource::Content, &content, &facts, true),
            tagged(EtagSource::Content, &zeros, &facts, true)
        );
    }
}

#[test]
fn every_fact_changes_a_tag_of_the_file_and_none_is_no_tag() {
    let of = |facts: &FileFacts| tagged(EtagSource::File, &memory(b""), facts, true);
    let tag = of(&FACTS);
    for other in [
        FileFacts { len: 15, ..FACTS },
        FileFacts { inode: 8, ..FACTS },
        FileFacts { modified: (1_500_000_001, 5), ..FACTS },
        FileFacts { modified: (1_500_000_000, 6), ..FACTS },
        FileFacts { changed: (1_500_000_101, 6), ..FACTS },
        FileFacts { changed: (1_500_000_100, 7), ..FACTS },
    ] {
        assert_ne!(tag, of(&other), "{other:?}");
    }
    assert_eq!(format!("W/{tag}"), tagged(EtagSource::File, &memory(b""), &FACTS, false));
    assert_eq!(tagged(EtagSource::None, &memory(b""), &FACTS, true), "");
}

#[test]
fn a_file_too_large_to_hash_is_known_by_its_length_and_time() {
    let tree = TempTree::new();
    let (content, facts) = on_disk(&tree, LARGEST_HASHED + 1);
    let facts = FileFacts { modified: (1_500_000_000, 5), ..facts };
    let of = |facts: &FileFacts, settled| tagged(EtagSource::Content, &content, facts, settled);
    let tag = of(&facts, true);
    assert!(tag.starts_with('"'), "{tag}");
    let elsewhere = FileFacts { device: 9, inode: 9, changed: (1_600_000_000, 1), ..facts };
    assert_eq!(tag, of(&elsewhere, true), "chown, ln, cp -p");
    assert_eq!(format!("W/{tag}"), of(&facts, false));
    for other in [
        FileFacts { len: facts.len + 1, ..facts },
        FileFacts { modified: (1_500_000_001, 5), ..facts },
        FileFacts { modified: (1_500_000_000, 6), ..facts },
    ] {
        assert_ne!(tag, of(&other, true), "{other:?}");
    }
    let whole_second = FileFacts { modified: (1_500_000_000, 0), ..facts };
    assert!(of(&whole_second, true).starts_with("W/"), "two versions within a second would share it");
    let frozen = FileFacts { modified: (1, 0), ..facts };
    assert!(of(&frozen, true).starts_with('"'));
    assert_ne!(of(&frozen, true), of(&FileFacts { changed: (1_600_000_000, 1), ..frozen }, true));
}

#[test]
fn a_version_is_hashed_once_and_a_busy_server_puts_requests_off() {
    let tree = TempTree::new();
    let (content, facts) = on_disk(&tree, 100_000);
    let resting = FileFacts { changed: (1_500_000_000, 0), ..facts };
    let tagger = Tagger::new(EtagSource::Content, 1);
    let first = {
        let _taken = tagger.slot(true).expect("a slot");
        assert!(matches!(tagger.tag(&content, &facts, true, true), Err(Untagged::Busy)));
        tagger.tag(&content, &facts, true, false).expect("one that may not wait is served all the same")
    };
    assert!(tagger.digests().young.is_empty(), "a file that has just changed may change again unseen");
    let Content::File(file) = &content else { unreachable!() };
    tagger.digests().remember(resting, read_digest(file.file().expect("open"), facts.len).expect("read"));
    let _taken = tagger.slot(true).expect("the slot is free again");
    assert_eq!(tagger.tag(&content, &resting, true, true).expect("known"), first);
}

#[test]
fn a_file_that_changes_while_it_is_hashed_has_a_weak_tag() {
    let tree = TempTree::new();
    let (content, facts) = on_disk(&tree, 100_000);
    let as_it_was = FileFacts { changed: (1_500_000_000, 0), ..facts };
    assert!(tagged(EtagSource::Content, &content, &as_it_was, true).starts_with("W/"));
}

#[test]
fn the_table_of_digests_is_bounded_and_keeps_what_is_asked_for() {
    let mut digests = Digests::default();
    let version = |n: usize| FileFacts { inode: n as u64, ..FACTS };
    for n in 0..3 * MOST_DIGESTS {
        digests.remember(version(n), [0; 16]);
        assert!(digests.recall(&version(0)).is_some(), "{n}");
        assert!(digests.young.len() + digests.old.len() <= MOST_DIGESTS);
    }
    assert!(digests.recall(&version(1)).is_none());
}
