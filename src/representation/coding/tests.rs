//! Selection of variants, and validation of precompressed files.

use super::*;
use crate::representation::mime::Types;
use crate::testing::TempTree;

fn representation(len: u64, tag: &str) -> Arc<Representation> {
    let facts = FileFacts { device: 1, inode: 1, len, modified: (1_500_000_000, 0), changed: (0, 0) };
    let now = std::time::SystemTime::now();
    let plain = Representation::new(b"a.js", &facts, &Types::new(b"UTF-8"), now);
    Arc::new(Representation { etag: tag.into(), ..plain })
}

fn selected(accept_encoding: &[&str], if_none_match: &str) -> &'static str {
    selected_of(accept_encoding, if_none_match, &Coding::ALL)
}

/// Selection for a file of 100 bytes, with variants in gzip (50), brotli (40) and zstd (45 bytes).
///
/// The client may have the codings in `permitted`.
fn selected_of(accept_encoding: &[&str], if_none_match: &str, permitted: &[Coding]) -> &'static str {
    let variant = |coding: Coding, len| Variant {
        coding,
        name: b"a.js"[..].into(),
        representation: representation(len, &format!("\"{}\"", coding.name())),
        content: Content::Memory(Arc::new([])),
        covering: Covering::default(),
    };
    let variants = [variant(Coding::Gzip, 50), variant(Coding::Brotli, 40), variant(Coding::Zstd, 45)];
    let mut fields = Fields::default();
    accept_encoding.iter().for_each(|value| fields.push("Accept-Encoding", value.as_bytes()));
    fields.push("If-None-Match", if_none_match.as_bytes());
    let plain = representation(100, "\"identity\"");
    let chosen = select(&variants, &plain, &fields, |variant| permitted.contains(&variant.coding));
    chosen.map_or("identity", |variant| variant.coding.name())
}

#[test]
fn the_highest_weight_counts_and_then_the_smallest() {
    for (value, expected) in [
        ("gzip", "gzip"),
        ("x-gzip", "gzip"),
        ("GZIP, deflate", "gzip"),
        ("gzip, deflate, br, zstd", "br"),
        ("gzip, zstd", "zstd"),
        ("gzip;q=1, br;q=0.9", "gzip"),
        ("gzip;q=0.001", "gzip"),
        ("br;q=0, gzip", "gzip"),
        ("*", "identity"),
        ("*, br;q=0", "identity"),
        ("identity;q=0, *", "br"),
        ("identity;q=0, *, br;q=0", "zstd"),
        ("gzip, *", "gzip"),
        ("gzip;q=0.5, *", "identity"),
        ("gzip;q=0.8, *;q=0.1", "gzip"),
        ("gzip, *;q=0", "gzip"),
        ("identity, gzip;q=0.5", "identity"),
        ("identity, gzip", "gzip"),
        ("identity;q=0.5, gzip;q=0.2", "identity"),
        ("identity;q=0, gzip;q=0.1", "gzip"),
        ("identity;q=0", "identity"),
        ("*;q=0", "identity"),
        ("deflate", "identity"),
        ("", "identity"),
    ] {
        assert_eq!(selected(&[value], ""), expected, "{value}");
    }
    assert_eq!(selected(&[], ""), "identity");
    assert_eq!(selected(&["gzip;q=0.5", "br;q=0.4"], ""), "gzip", "two lines are one list");
}

#[test]
fn the_form_that_a_client_has_goes_first_if_accepted() {
    for (accept, had, expected) in [
        ("gzip, br", "\"gzip\"", "gzip"),
        ("gzip, br", "\"x\", W/\"gzip\"", "gzip"),
        ("br", "\"gzip\"", "br"),
        ("gzip, br", "\"identity\"", "identity"),
        ("gzip, br, identity;q=0", "\"identity\"", "br"),
        ("gzip, br", "*", "br"),
        ("gzip, br", "gzip", "br"),
    ] {
        assert_eq!(selected(&[accept], had), expected, "{accept} {had}");
    }
}

#[test]
fn forms_that_a_client_may_not_have_are_skipped() {
    for (permitted, expected) in
        [(&[Coding::Gzip, Coding::Zstd][..], "zstd"), (&[Coding::Gzip], "gzip"), (&[], "identity")]
    {
        assert_eq!(selected_of(&["gzip, br, zstd"], "\"br\"", permitted), expected);
    }
    assert_eq!(selected_of(&["gzip, identity;q=0"], "", &[]), "identity", "never 406");
}

#[test]
fn a_variant_is_told_by_its_format_and_the_length_that_it_names() {
    let tree = TempTree::new();
    let gzip =
        |len: u32| [&[0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3, 3, 0, 0, 0, 0, 0][..], &len.to_le_bytes()].concat();
    let zstd = |bytes: &[u8]| [&[0x28, 0xb5, 0x2f, 0xfd][..], bytes].concat();
    for (coding, bytes, fits) in [
        (Coding::Gzip, gzip(300), true),
        (Coding::Gzip, gzip(301), false),
        (Coding::Gzip, b"plain text, and enough of it".to_vec(), false),
        (Coding::Gzip, gzip(300)[..10].to_vec(), false),
        (Coding::Brotli, b"x".to_vec(), true),
        (Coding::Brotli, Vec::new(), false),
        (Coding::Zstd, zstd(&[0x60, 44, 0]), true),
        (Coding::Zstd, zstd(&[0x60, 45, 0]), false),
        (Coding::Zstd, zstd(&[0x00, 0x58]), true),
        (Coding::Zstd, zstd(&[0x00, 0x68]), true),
        (Coding::Zstd, zstd(&[0x00, 0x69]), false),
        (Coding::Zstd, zstd(&[0x00, 0xff]), false),
        (Coding::Zstd, zstd(&[0xa0, 44, 1, 0, 0]), true),
        (Coding::Zstd, zstd(&[0x40, 0x58, 44, 0]), true),
        (Coding::Zstd, zstd(&[0x61, 1, 44, 0]), false),
        (Coding::Zstd, zstd(&[0xa0, 44]), false),
        (Coding::Zstd, zstd(&[]), false),
        (Coding::Zstd, Vec::new(), false),
    ] {
        tree.file("f", &bytes);
        let file = File::open(tree.path().join("f")).unwrap();
        let misfit = coding.misfit(&file, bytes.len() as u64, 300).unwrap();
        assert_eq!(misfit.is_none(), fits, "{} {}: {misfit:?}", coding.name(), bytes.escape_ascii());
    }
}

#[test]
fn a_variant_may_not_be_older_by_the_precision_of_its_time() {
    let facts = |modified| FileFacts { device: 1, inode: 1, len: 1, modified, changed: (0, 0) };
    for (variant, plain, older) in [
        ((10, 0), (10, 5), false),
        ((10, 0), (11, 0), true),
        ((10, 4), (10, 5), true),
        ((10, 5), (10, 5), false),
        ((11, 1), (10, 5), false),
    ] {
        assert_eq!(is_older(&facts(variant), &facts(plain)), older, "{variant:?} {plain:?}");
    }
}
