//! curl: ranges, resumed downloads, conditions, reuse of connections, refused uploads.

use crate::support::{Server, Tree, run};

fn curl(arguments: &[&str]) -> Option<String> {
    let output = run("curl", &[&["-sS", "--max-time", "20"], arguments].concat())?;
    assert!(output.status.success(), "curl {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    Some(String::from_utf8_lossy(&output.stdout).into_owned())
}

fn bytes(n: usize) -> Vec<u8> {
    (0..n).map(|i| (i * 31 % 251) as u8).collect()
}

#[test]
fn a_file_arrives_whole_with_its_metadata() {
    let tree = Tree::new();
    tree.file("a.txt", "Hello\n");
    let server = Server::start(&tree, &[]);
    let Some(text) = curl(&["-i", &server.url("/a.txt")]) else { return };
    for part in
        ["HTTP/1.1 200 OK\r\n", "Server: thttpd/3.0.0\r\n", "Content-Length: 6\r\n", "\r\n\r\nHello\n"]
    {
        assert!(text.contains(part), "{part:?} in {text}");
    }
    let line = server.logged("/a.txt");
    assert!(line.starts_with("127.0.0.1 - - ["), "{line}");
    assert!(line.contains("] \"GET /a.txt HTTP/1.1\" 200 6 \"\" \"curl/"), "{line}");
}

#[test]
fn a_download_is_resumed_where_it_broke_off() {
    let tree = Tree::new();
    let whole = bytes(3_000_000);
    tree.file("big.bin", &whole);
    let server = Server::start(&tree, &[]);
    let part = tree.dir().join("part");
    std::fs::write(&part, &whole[..1_234_567]).unwrap();
    if curl(&["-C", "-", "-o", part.to_str().unwrap(), &server.url("/big.bin")]).is_none() {
        return;
    }
    assert_eq!(std::fs::read(&part).unwrap(), whole);
    let line = server.logged("206");
    assert!(line.contains(&format!(" 206 {} ", 3_000_000 - 1_234_567)), "{line}");
}

#[test]
fn ranges_are_cut_out_of_small_and_large_files() {
    let tree = Tree::new();
    let whole = bytes(200_000);
    tree.file("large", &whole);
    tree.file("small", &whole[..1000]);
    let server = Server::start(&tree, &[]);
    for (name, length) in [("small", 1000), ("large", 200_000)] {
        for (range, expected) in
            [("0-9", &whole[0..10]), ("990-", &whole[990..length]), ("-10", &whole[length - 10..length])]
        {
            let file = tree.dir().join("out");
            let arguments = ["-r", range, "-o", file.to_str().unwrap(), &server.url(&format!("/{name}"))];
            if curl(&arguments).is_none() {
                return;
            }
            assert_eq!(std::fs::read(&file).unwrap(), expected, "{name} {range}");
        }
        let Some(several) = curl(&["-i", "-r", "0-1,5-6", &server.url(&format!("/{name}"))]) else { return };
        assert!(several.contains("multipart/byteranges; boundary="), "{several}");
        assert!(several.contains(&format!("Content-Range: bytes 5-6/{length}")), "{several}");
    }
}

#[test]
fn conditions_answer_304_and_412() {
    let tree = Tree::new();
    tree.file("a.txt", "Hello\n");
    let server = Server::start(&tree, &[]);
    let url = server.url("/a.txt");
    let Some(head) = curl(&["-I", &url]) else { return };
    let field = |name: &str| {
        let line = head.lines().find(|line| line.starts_with(name)).unwrap();
        line.split_once(": ").unwrap().1.trim().to_owned()
    };
    let status =
        |condition: &str| curl(&["-o", "/dev/null", "-w", "%{http_code}", "-H", condition, &url]).unwrap();
    let (tag, date) = (field("ETag"), field("Last-Modified"));
    let opaque = tag.trim_start_matches("W/");
    assert_eq!(status(&format!("If-None-Match: {tag}")), "304");
    assert_eq!(status(&format!("If-None-Match: \"other\", W/{opaque}")), "304");
    assert_eq!(status(&format!("If-Modified-Since: {date}")), "304");
    assert_eq!(status("If-Modified-Since: Sun, 06 Nov 1994 08:49:37 GMT"), "200");
    assert_eq!(status("If-Match: \"other\""), "412");
    assert_eq!(status("If-Unmodified-Since: Sun, 06 Nov 1994 08:49:37 GMT"), "412");
}

#[test]
fn one_connection_serves_many_requests() {
    let tree = Tree::new();
    tree.file("a", "a");
    tree.file("big", bytes(300_000));
    let server = Server::start(&tree, &[]);
    let urls: Vec<String> = ["/a", "/big", "/none", "/a"].iter().map(|path| server.url(path)).collect();
    let urls: Vec<&str> = urls.iter().map(String::as_str).collect();
    let arguments = [&["-o", "/dev/null", "-w", "%{num_connects}\n"][..], &urls].concat();
    let Some(connects) = curl(&arguments) else { return };
    let total: u32 = connects.lines().filter_map(|line| line.trim().parse::<u32>().ok()).sum();
    assert_eq!(total, 1, "{connects}");
}

#[test]
fn an_upload_nobody_wants_is_answered_405_whatever_its_size() {
    let tree = Tree::new();
    tree.file("a.txt", "a");
    let server = Server::start(&tree, &[]);
    let upload = tree.dir().join("upload");
    for size in [10, 100_000, 5_000_000] {
        std::fs::write(&upload, bytes(size)).unwrap();
        for chunked in [false, true] {
            let data = format!("@{}", upload.display());
            let mut arguments = vec!["-o", "/dev/null", "-w", "%{http_code}", "--data-binary", &data];
            if chunked {
                arguments.extend(["-H", "Transfer-Encoding: chunked"]);
            }
            let url = server.url("/a.txt");
            arguments.push(&url);
            let Some(output) = run("curl", &[&["-sS", "--max-time", "20"], &arguments[..]].concat()) else {
                return;
            };
            // curl may get the answer while it still sends, and reports that in its exit status.
            assert_eq!(String::from_utf8_lossy(&output.stdout), "405", "{size} bytes, chunked: {chunked}");
        }
    }
}

#[test]
fn http_1_0_and_keep_alive_on_it() {
    let tree = Tree::new();
    tree.file("a.txt", "a");
    let server = Server::start(&tree, &[]);
    let Some(text) = curl(&["-0", "-i", &server.url("/a.txt")]) else { return };
    assert!(text.starts_with("HTTP/1.1 200 OK"), "{text}");
    assert!(!text.contains("keep-alive"), "{text}");
    let Some(text) = curl(&["-0", "-i", "-H", "Connection: keep-alive", &server.url("/a.txt")]) else {
        return;
    };
    assert!(text.contains("Connection: keep-alive"), "{text}");
}
