//! Media types: thttpd's rules, the types in the recorded exchanges, and all differences from thttpd's
//! table.
//!
//! The manual lists the differences.

use super::*;
use crate::testing::TempTree;

fn describe(file_name: &[u8], charset: &[u8]) -> (Vec<u8>, String) {
    Types::new(charset).describe(file_name)
}
use proptest::prelude::*;

#[test]
fn recorded_types_are_the_same() {
    for (name, media_type, encodings) in [
        ("file.svg", "image/svg+xml", ""),
        ("file.png", "image/png", ""),
        ("file.jpg", "image/jpeg", ""),
        ("file.gif", "image/gif", ""),
        ("file.pdf", "application/pdf", ""),
        ("file.zip", "application/zip", ""),
        ("file.mpg", "video/mpeg", ""),
        ("file.tar", "application/x-tar", ""),
        ("file.tar.gz", "application/x-tar", "gzip"),
        ("file.html.Z", "text/html; charset=UTF-8", "compress"),
        ("file.ps.gz", "application/postscript", "gzip"),
        ("file.css.gz", "text/css; charset=UTF-8", "gzip"),
        ("file.en.html", "text/html; charset=UTF-8", ""),
        ("file.unknownext", "text/plain; charset=UTF-8", ""),
        ("file.", "text/plain; charset=UTF-8", ""),
        (".hidden", "text/plain; charset=UTF-8", ""),
        ("file.HTML", "text/html; charset=UTF-8", ""),
        ("a.b.c.d", "text/plain; charset=UTF-8", ""),
        ("file.txt~", "text/plain; charset=UTF-8", ""),
    ] {
        assert_eq!(describe(name.as_bytes(), b"UTF-8"), (media_type.into(), encodings.into()), "{name}");
    }
}

#[test]
fn a_compressed_svg_has_the_encoding_that_its_extension_stands_for() {
    for (name, encodings) in [
        ("a.svgz", "gzip"),
        ("a.SVGZ", "gzip"),
        ("a.svg.gz", "gzip"),
        ("a.svgz.gz", "gzip,gzip"),
        ("a.svg", ""),
    ] {
        assert_eq!(
            describe(name.as_bytes(), b"UTF-8"),
            (b"image/svg+xml".into(), encodings.into()),
            "{name}"
        );
    }
    let tree = TempTree::new();
    for (line, name, encodings) in [
        ("image/svg+xml svg svgz", "a.svgz", "gzip"),
        ("application/gzip svgz", "a.svgz", ""),
        ("image/svg+xml pic", "a.pic", ""),
    ] {
        tree.file("types", line);
        let types = Types::new(b"UTF-8").load(&tree.path().join("types")).unwrap();
        assert_eq!(types.describe(name.as_bytes()).1, encodings, "{line}");
    }
}

#[test]
fn a_type_that_thttpd_lacked_or_that_has_a_newer_name_is_the_one_of_today() {
    for (name, media_type, encodings) in [
        ("file.js", "text/javascript; charset=UTF-8", ""),
        ("file.ico", "image/x-icon", ""),
        ("file.mp3", "audio/mpeg", ""),
        ("file.webm", "video/webm", ""),
        ("file.woff", "application/font-woff", ""),
        ("file.woff2", "font/woff2", ""),
        ("file.rss", "application/rss+xml", ""),
        ("file.wasm", "application/wasm", ""),
        ("file.mjs", "application/javascript", ""),
        ("file.md", "text/markdown; charset=UTF-8", ""),
        ("file.csv", "text/csv; charset=UTF-8", ""),
        ("file.bin", "application/octet-stream", ""),
        ("file.exe", "application/octet-stream", ""),
        ("file.iso", "application/octet-stream", ""),
        ("file.doc", "application/msword", ""),
        ("file.tex", "application/x-tex", ""),
        ("file.rtf", "application/rtf", ""),
        ("file.au", "audio/basic", ""),
        ("file.mid", "audio/mid", ""),
        ("file.avi", "video/x-msvideo", ""),
        ("file.webp", "image/webp", ""),
        ("file.avif", "image/avif", ""),
        ("file.yaml", "text/x-yaml; charset=UTF-8", ""),
        ("file.toml", "text/x-toml; charset=UTF-8", ""),
        ("file.py", "text/plain; charset=UTF-8", ""),
        ("file.sh", "application/x-sh", ""),
        ("file.pl", "application/x-perl", ""),
        ("file.class", "application/x-java-applet", ""),
        ("file.jar", "application/java-archive", ""),
        ("file.swf", "application/x-shockwave-flash", ""),
        ("file.vrml", "model/vrml", ""),
        ("file.txt.gz", "text/plain; charset=UTF-8", "gzip"),
        ("file.gz", "text/plain; charset=UTF-8", "gzip"),
        ("file.Z", "text/plain; charset=UTF-8", "compress"),
        ("file.txt.uu", "text/plain; charset=UTF-8", "x-uuencode"),
        ("file.gz.txt", "text/plain; charset=UTF-8", ""),
        ("file.tgz", "application/x-compressed", ""),
        ("file.html.br", "text/plain; charset=UTF-8", ""),
        ("file.tar.bz2", "application/x-bzip2", ""),
        ("file.html.en", "text/plain; charset=UTF-8", ""),
        ("file.txt.b64", "text/plain; charset=UTF-8", ""),
        ("file.html.zst", "application/zstd", ""),
    ] {
        assert_eq!(describe(name.as_bytes(), b"UTF-8"), (media_type.into(), encodings.into()), "{name}");
    }
}

#[test]
fn encodings_are_read_from_the_right_and_listed_innermost_first() {
    for (name, media_type, encodings) in [
        ("a.html.gz.uu", "text/html; charset=koi8-r", "gzip,x-uuencode"),
        ("a.html.uu.GZ", "text/html; charset=koi8-r", "x-uuencode,gzip"),
        ("x.gz.html", "text/html; charset=koi8-r", ""),
        ("foo.gz", "text/plain; charset=koi8-r", "gzip"),
        (".gz", "text/plain; charset=koi8-r", "gzip"),
        ("gz", "text/plain; charset=koi8-r", ""),
        (".html", "text/html; charset=koi8-r", ""),
        ("x.z", "text/plain; charset=koi8-r", "compress"),
        ("x.png.Z", "image/png", "compress"),
        ("", "text/plain; charset=koi8-r", ""),
    ] {
        assert_eq!(describe(name.as_bytes(), b"koi8-r"), (media_type.into(), encodings.into()), "{name}");
    }
}

#[test]
fn only_the_last_segment_of_a_path_counts() {
    assert_eq!(describe(b"site.html/README", b"UTF-8").0, b"text/plain; charset=UTF-8");
    assert_eq!(describe(b"a.b/c.png", b"UTF-8").0, b"image/png");
}

#[test]
fn the_charset_goes_with_text_xhtml_and_xml_only() {
    for (name, media_type) in [
        ("a.css", "text/css; charset=C"),
        ("a.xhtml", "application/xhtml+xml; charset=C"),
        ("a.xht", "application/xhtml+xml; charset=C"),
        ("a.xml", "text/xml; charset=C"),
        ("a.svg", "image/svg+xml"),
        ("a.json", "application/json"),
        ("a.rss", "application/rss+xml"),
    ] {
        assert_eq!(describe(name.as_bytes(), b"C").0, media_type.as_bytes(), "{name}");
    }
}

#[test]
fn every_extension_has_the_type_that_mime_guess_gives_it_in_any_case() {
    let extensions = mime_guess::get_mime_extensions_str("*/*").unwrap();
    assert!(extensions.len() > 1000);
    let is_ours =
        |extension: &[u8]| find(&ENCODINGS, extension).or_else(|| find(&THTTPDS, extension)).is_some();
    for extension in extensions.iter().filter(|extension| !is_ours(extension.as_bytes())) {
        let media_type = mime_guess::from_ext(extension).first_raw().unwrap();
        for extension in [extension.to_string(), extension.to_ascii_uppercase()] {
            assert_eq!(
                built_in(extension.as_bytes()).as_deref().unwrap_or("text/plain"),
                media_type,
                "{extension}"
            );
        }
    }
}

/// Extensions where `mime_guess` is more exact, or uses the type's current name.
const DIFFERENT: &[(&str, &str)] = &[
    ("aif", "audio/aiff"),
    ("aifc", "audio/aiff"),
    ("aiff", "audio/aiff"),
    ("cdf", "application/x-cdf"),
    ("class", "application/x-java-applet"),
    ("crl", "application/pkix-crl"),
    ("dll", "application/x-msdownload"),
    ("etx", "text/x-setext +charset"),
    ("jar", "application/java-archive"),
    ("js", "text/javascript +charset"),
    ("lha", "application/x-lzh-compressed"),
    ("mid", "audio/mid"),
    ("midi", "audio/mid"),
    ("mml", "text/mathml +charset"),
    ("ogg", "audio/ogg"),
    ("pdb", "application/vnd.palm"),
    ("ra", "audio/x-pn-realaudio"),
    ("rm", "application/vnd.rn-realmedia"),
    ("rtf", "application/rtf"),
    ("skd", "application/vnd.koan"),
    ("skm", "application/vnd.koan"),
    ("skt", "application/vnd.koan"),
    ("smil", "application/smil+xml"),
    ("spl", "application/futuresplash"),
    ("wav", "audio/wav"),
    ("wml", "text/vnd.wap.wml +charset"),
    ("wmls", "text/vnd.wap.wmlscript +charset"),
    ("wrl", "x-world/x-vrml"),
];

#[test]
fn thttpds_types_hold_but_for_the_differences_listed() {
    let mut differing = Vec::new();
    for line in include_str!("thttpd-types.txt").lines().filter(|line| !line.starts_with('#')) {
        let (thttpds, extensions) = line.split_once(": ").unwrap();
        for extension in extensions.split(' ') {
            let ours = String::from_utf8(describe(format!("x.{extension}").as_bytes(), b"C").0)
                .unwrap()
                .replace("; charset=C", " +charset");
            if ours != thttpds {
                differing.push((extension, ours));
            }
        }
    }
    differing.sort();
    let listed: Vec<_> = DIFFERENT.iter().map(|&(extension, ours)| (extension, ours.to_owned())).collect();
    assert_eq!(differing, listed);
}

#[test]
fn every_extension_that_mime_guess_knows_has_its_type() {
    for extension in mime_guess::get_mime_extensions_str("*/*").unwrap() {
        let found = look_up(extension.as_bytes());
        assert_eq!(found.as_deref(), mime_guess::from_ext(extension).first_raw(), "{extension}");
    }
}

proptest! {
    #[test]
    fn any_name_has_a_type(name: Vec<u8>) {
        let (media_type, _) = describe(&name, b"UTF-8");
        prop_assert!(media_type.contains(&b'/'));
    }

    #[test]
    fn look_up_agrees_with_mime_guess(extension in "[a-z0-9~ \\n-]{0,4}") {
        let found = look_up(extension.as_bytes());
        prop_assert_eq!(found.as_deref(), mime_guess::from_ext(&extension).first_raw());
    }
}

#[test]
fn own_types_count_before_the_built_in_ones_and_before_encodings() {
    let tree = TempTree::new();
    tree.file(
        "types",
        "\u{feff}text/x-own Own\r\n# ours\ntext/x-own Own JS\t# two\n\napplication/gzip gz\nimage/x-none\n",
    );
    let types = Types::new(b"UTF-8").with_default("application/octet-stream");
    let types = types.load(&tree.path().join("types")).unwrap();
    for (name, media_type, encodings) in [
        ("a.own", "text/x-own; charset=UTF-8", ""),
        ("a.OWN", "text/x-own; charset=UTF-8", ""),
        ("a.js", "text/x-own; charset=UTF-8", ""),
        ("a.css.gz", "application/gzip", ""),
        ("a.css.Z", "text/css; charset=UTF-8", "compress"),
        ("README", "application/octet-stream", ""),
        ("a.nosuch", "application/octet-stream", ""),
    ] {
        assert_eq!(types.describe(name.as_bytes()), (media_type.into(), encodings.into()), "{name}");
    }
}

#[test]
fn types_of_the_systems_file_are_read() {
    let tree = TempTree::new();
    // Lines of Debian's /etc/mime.types. An ending of two parts means no file here.
    let lines =
        "application/cwl+json\t\tcwl.json\napplication/x-font-pcf\tpcf pcf.Z\napplication/x-trash ~ % bak\n";
    tree.file("types", lines);
    let types = Types::new(b"UTF-8").load(&tree.path().join("types")).unwrap();
    for (name, media_type) in [
        ("a.pcf", "application/x-font-pcf"),
        ("a.pcf.Z", "application/x-font-pcf"),
        ("a.cwl.json", "application/json"),
        ("a.~", "application/x-trash"),
    ] {
        assert_eq!(types.describe(name.as_bytes()).0, media_type.as_bytes(), "{name}");
    }
    let system = std::path::Path::new("/etc/mime.types");
    if system.exists() {
        assert_eq!(Types::new(b"UTF-8").load(system).err().map(|error| error.to_string()), None);
    }
}

#[test]
fn a_line_that_names_no_type_is_told_with_its_place() {
    let tree = TempTree::new();
    tree.file("types", "text/plain txt\ntypes {\ntext/html html;\ntext/css .css\n");
    let path = tree.path().join("types");
    let said = Types::new(b"UTF-8").load(&path).unwrap_err().to_string();
    let lines: Vec<&str> = said.lines().collect();
    assert_eq!(lines.len(), 3, "{said}");
    assert!(lines[2].ends_with("types:4: .css: not an extension"), "{said}");
    assert!(lines[0].ends_with("types:2: types: not a media type (type/subtype)"), "{said}");
    assert!(lines[1].ends_with("types:3: html;: not an extension"), "{said}");
    assert!(Types::new(b"UTF-8").load(&tree.path().join("none")).is_err());
}
