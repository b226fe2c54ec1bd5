//! Reading by ranges, as video players and document viewers do: seeks, aborts, pieces of 64 KiB.

use std::fs;
use std::io::Read;
use std::time::{Duration, SystemTime};

use crate::support::{Answer, Browser, Client, Server, Tree, eventually, run};

const PIECE: usize = 64 * 1024;

/// Byte at each position of a test file; positions of one piece and of another differ.
fn byte(at: usize) -> u8 {
    ((at * 31 + at / 251) % 256) as u8
}

fn bytes(len: usize) -> Vec<u8> {
    (0..len).map(byte).collect()
}

/// Sound of `seconds` seconds: 22 050 bytes each, behind a head (RIFF WAVE, PCM, one channel).
fn sound(seconds: u32) -> Vec<u8> {
    const RATE: u32 = 22_050;
    let len = RATE * seconds;
    let mut file = b"RIFF".to_vec();
    file.extend((36 + len).to_le_bytes());
    file.extend(b"WAVEfmt \x10\0\0\0\x01\0\x01\0");
    file.extend([RATE.to_le_bytes(), RATE.to_le_bytes()].concat());
    file.extend(b"\x01\0\x08\0data");
    file.extend(len.to_le_bytes());
    file.extend((0..len).map(|at| (at % 97) as u8));
    file
}

fn get(client: &mut Client, target: &str, fields: &str) -> Answer {
    client.send(format!("GET {target} HTTP/1.1\r\nHost: x\r\n{fields}\r\n"));
    client.answer("GET")
}

/// Asks until the file's entity tag is strong, and returns that and the date.
fn validators(client: &mut Client, target: &str, fields: &str) -> [String; 2] {
    let mut found = None;
    eventually("a strong entity tag", || {
        let answer = get(client, target, fields);
        let [tag, date] = ["ETag", "Last-Modified"].map(|name| answer.field(name).unwrap().to_owned());
        let is_strong = tag.starts_with('"');
        found = Some([tag, date]);
        is_strong
    });
    found.unwrap()
}

#[test]
fn a_player_in_a_browser_seeks_forward_and_back() {
    let tree = Tree::new();
    let path = tree.file("long.wav", sound(1800));
    tree.file(
        "index.html",
        "<!DOCTYPE html><title>x</title><video muted preload=metadata src=long.wav></video><script>\
         const player = document.querySelector('video'), places = [1700, 400, 1790, 3];\
         const next = () => { player.currentTime = places.shift(); };\
         player.onloadedmetadata = () => { fetch('/told?duration=' + player.duration); next(); };\
         player.onseeked = () => { fetch('/told?at=' + player.currentTime + '&'); if (places.length) next(); };\
         player.onerror = () => fetch('/told?error=' + player.error.message);</script>",
    );
    // Archives and `rsync` keep whole seconds: the entity tag of such a large file stays weak.
    let whole = SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000);
    fs::File::options().write(true).open(path).unwrap().set_modified(whole).unwrap();
    let server = Server::start(&tree, &[]);
    let mut client = server.connect();
    let fields = "Range: bytes=0-0\r\nIf-Range: Tue, 14 Nov 2023 22:13:20 GMT\r\n";
    client.send("HEAD /long.wav HTTP/1.1\r\nHost: x\r\n\r\n");
    assert!(client.answer("HEAD").field("ETag").unwrap().starts_with("W/"));
    eventually("a date that tells the version", || get(&mut client, "/long.wav", fields).status == 206);
    let before = server.log_lines().len();
    let Some(browser) = Browser::open(&tree, &server.url("/")) else { return };
    server.logged("/told?duration=1800 ");
    for place in [1700, 400, 1790, 3] {
        server.logged(&format!("/told?at={place}& "));
    }
    drop(browser);
    let lines = server.log_lines();
    let sent = lines[before..].iter().filter(|line| line.contains("/long.wav"));
    assert!(sent.clone().all(|line| line.contains("\" 206 ")), "{lines:?}");
    assert!(sent.count() >= 3, "each seek beyond what was read is a request of its own: {lines:?}");
}

#[test]
fn a_viewer_in_a_browser_stops_the_whole_and_reads_pieces() {
    let tree = Tree::new();
    let len = 40 * PIECE + 12_345;
    tree.file("a.pdf", bytes(len));
    // As pdf.js: the response to a whole request is ended when its head says that ranges are possible.
    tree.file(
        "index.html",
        "<!DOCTYPE html><title>x</title><script type=module>\
         const piece = 65536, stop = new AbortController();\
         const whole = await fetch('a.pdf', {signal: stop.signal, cache: 'no-store'});\
         const of = name => whole.headers.get(name), len = Number(of('Content-Length'));\
         stop.abort();\
         const read = async at => {\
           const end = Math.min(at + piece, len), range = `bytes=${at}-${end - 1}`;\
           const part = await fetch('a.pdf', {headers: {Range: range}, cache: 'no-store'});\
           const body = new Uint8Array(await part.arrayBuffer());\
           return part.status == 206 && part.headers.get('Content-Range') == `bytes ${at}-${end - 1}/${len}`\
             && part.headers.get('ETag') == of('ETag') && body.length == end - at\
             && body.every((b, i) => b == ((at + i) * 31 + Math.floor((at + i) / 251)) % 256);\
         };\
         const places = [40, 0, 39, 17, 18, 3, 30].map(n => n * piece).concat(len - 1);\
         const right = await Promise.all(places.map(read));\
         fetch('/told?ranges=' + of('Accept-Ranges') + '&right=' + right.join('-') + '&');</script>",
    );
    let server = Server::start(&tree, &[]);
    // Until then the tag is weak, and may become strong between two pieces.
    validators(&mut server.connect(), "/a.pdf", "Range: bytes=0-0\r\n");
    let Some(_browser) = Browser::open(&tree, &server.url("/")) else { return };
    let told = server.logged("/told?");
    assert!(told.contains(&format!("ranges=bytes&right={}& ", ["true"; 8].join("-"))), "{told}");
}

#[test]
fn a_whole_response_that_is_dropped_is_gone_on_with_from_any_place() {
    let tree = Tree::new();
    let (len, content) = (6_000_000, bytes(6_000_000));
    tree.file("a.mp4", &content);
    let server = Server::start(&tree, &[]);
    let [tag, date] = validators(&mut server.connect(), "/a.mp4", "Range: bytes=0-0\r\n");
    for validator in ["", &tag, &date] {
        let condition =
            if validator.is_empty() { String::new() } else { format!("If-Range: {validator}\r\n") };
        for place in [1_234_567, 5_999_999, 0, 65_536] {
            // The first request is read a little and dropped, as at a seek.
            let mut first = server.connect();
            first.send("GET /a.mp4 HTTP/1.1\r\nHost: x\r\nRange: bytes=0-\r\n\r\n");
            let mut start = [0; 1000];
            first.into_stream().read_exact(&mut start).unwrap();
            assert!(start.starts_with(b"HTTP/1.1 206 "), "{}", String::from_utf8_lossy(&start));
            let mut second = server.connect();
            let answer = get(&mut second, "/a.mp4", &format!("Range: bytes={place}-\r\n{condition}"));
            assert_eq!(answer.status, 206, "{condition}");
            let range = format!("bytes {place}-{}/{len}", len - 1);
            assert_eq!(answer.field("Content-Range"), Some(&*range));
            assert!(answer.body == content[place..], "{place} {condition}");
        }
    }
    let mut client = server.connect();
    let ranges: Vec<String> =
        [3, 50, 7].iter().map(|n| format!("{}-{}", n * PIECE, n * PIECE + PIECE - 1)).collect();
    let several =
        get(&mut client, "/a.mp4", &format!("Range: bytes={}\r\nIf-Range: {tag}\r\n", ranges.join(",")));
    assert_eq!(several.status, 206);
    for n in [3, 50, 7] {
        let (start, end) = (n * PIECE, n * PIECE + PIECE);
        let head = format!("Content-Range: bytes {start}-{}/{len}\r\n\r\n", end - 1);
        let part = [head.as_bytes(), &content[start..end], b"\r\n--"].concat();
        assert!(several.body.windows(part.len()).any(|window| window == part), "part {n}");
    }
    // Another version is sent whole, whichever validator was kept.
    tree.file("a.mp4", &content[1..]);
    for validator in [&tag, "Mon, 01 Jan 2024 00:00:00 GMT"] {
        let answer = get(&mut client, "/a.mp4", &format!("Range: bytes=9-\r\nIf-Range: {validator}\r\n"));
        assert_eq!((answer.status, answer.body.len()), (200, len - 1), "{validator}");
    }
}

#[test]
fn a_form_compressed_beforehand_is_gone_on_with_at_another_replica() {
    let (first, second) = (Tree::new(), Tree::new());
    let text: String = (0..30_000).map(|n| format!("line {n}\n")).collect();
    for tree in [&first, &second] {
        let path = tree.file("a.js", &text);
        let path = path.to_str().unwrap();
        // Without name and time in its head, a form is equal wherever it is made.
        for command in ["gzip -kn", "brotli -k", "zstd -q -k"] {
            let words: Vec<&str> = command.split(' ').chain([path]).collect();
            if run(words[0], &words[1..]).is_none() {
                return;
            }
        }
    }
    let servers = [&first, &second].map(|tree| Server::start(tree, &["-o", "precompressed"]));
    let mut clients = [servers[0].connect(), servers[1].connect()];
    for coding in ["gzip", "br", "zstd", "identity"] {
        let accept = format!("Accept-Encoding: {coding}\r\n");
        let tags = clients.each_mut().map(|client| validators(client, "/a.js", &accept)[0].clone());
        assert_eq!(tags[0], tags[1], "{coding}");
        let [one, other] = &mut clients;
        let whole = get(one, "/a.js", &accept).body;
        let begin = get(one, "/a.js", &format!("{accept}Range: bytes=0-9999\r\n"));
        let condition = format!("{accept}If-Range: {}\r\n", tags[0]);
        let rest = get(other, "/a.js", &format!("{condition}Range: bytes={}-\r\n", begin.body.len()));
        assert_eq!((begin.status, rest.status), (206, 206), "{coding}");
        assert!([begin.body, rest.body].concat() == whole, "{coding}");
        other.send(format!("HEAD /a.js HTTP/1.1\r\nHost: x\r\n{condition}Range: bytes=1-2\r\n\r\n"));
        let head = other.answer("HEAD");
        assert_eq!((head.status, head.field("ETag")), (200, Some(&*tags[0])), "{coding}");
        assert_eq!(head.field("Content-Length"), Some(&*whole.len().to_string()), "{coding}");
        assert_eq!(get(other, "/a.js", &format!("{accept}If-None-Match: {}\r\n", tags[0])).status, 304);
        // The tag of one form is not that of another.
        let wrong = if coding == "gzip" { "br" } else { "gzip" };
        let answer = get(
            other,
            "/a.js",
            &format!("Accept-Encoding: {wrong}\r\nIf-Range: {}\r\nRange: bytes=5-9\r\n", tags[0]),
        );
        assert_eq!((answer.status, answer.field("Content-Encoding")), (200, Some(wrong)), "{coding}");
    }
}
