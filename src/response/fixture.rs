//! Test fixtures of this folder: requests, files and policies made of literals.

use std::borrow::Cow;
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::{Body, ErrorPages, Parts, Policy, Response, SERVER};
use crate::config::choice::{EtagSource, ListingStyle, RedirectForm};
use crate::docroot::DocRoot;
use crate::docroot::blocking::BlockingAllowed;
use crate::representation::etag::Tagger;
use crate::representation::mime::Types;
use crate::representation::{Content, FileFacts, Representation};
use crate::request::{BodyLength, Fields, Method, Request, Version};

/// Current time of the tests.
pub fn now() -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(1_600_000_000)
}

/// Request for `target` with `fields`.
pub fn request<'b>(method: &'b str, target: &'b str, fields: &[(&'b str, &'b str)]) -> Request<'b> {
    Request {
        head: b"",
        method: Method::from_token(method.as_bytes()),
        method_text: method.as_bytes(),
        target: target.as_bytes(),
        version: Version::Http11,
        version_text: "HTTP/1.1",
        fields: lines(fields),
        host: Some("localhost"),
        path: Cow::Borrowed(&target.as_bytes()[1..]),
        query: None,
        asterisk: false,
        body: BodyLength::None,
        keep_alive: true,
        expects_continue: false,
    }
}

/// Field lines.
pub fn lines<'b>(fields: &[(&'b str, &'b str)]) -> Fields<'b> {
    let mut all = Fields::with_capacity(fields.len());
    for (name, value) in fields {
        all.push(name, value.as_bytes());
    }
    all
}

/// `Hello, world!` with a line end, of 14 July 2017, as in the recorded exchanges.
pub fn hello() -> (Arc<Representation>, Content) {
    file("hello.txt", b"Hello, world!\n")
}

/// Settled file held in memory.
pub fn file(name: &str, bytes: &[u8]) -> (Arc<Representation>, Content) {
    let old = (1_500_000_000, 0);
    let facts = FileFacts { device: 1, inode: 7, len: bytes.len() as u64, modified: old, changed: old };
    let content = Content::Memory(bytes.into());
    let mut representation = Representation::new(name.as_bytes(), &facts, &Types::new(b"UTF-8"), now());
    let tagger = Tagger::new(EtagSource::Content, 1);
    representation.etag = tagger.tag(&content, &facts, true, false).unwrap();
    (Arc::new(representation), content)
}

/// Default policy, with error pages from `pages`.
pub fn policy(pages: &ErrorPages) -> Policy<'_> {
    Policy {
        pages,
        host_dir: None,
        charset: b"UTF-8",
        hide_dotfiles: false,
        listing_style: ListingStyle::Classic,
        redirects: RedirectForm::Absolute,
        signature: SERVER,
        blocking: &BlockingAllowed,
        now: now(),
    }
}

/// Content of a response as one byte string, for bodies in memory.
pub fn content(response: &Response) -> Vec<u8> {
    match &response.body {
        Body::None => Vec::new(),
        Body::Page(page) => page.clone(),
        Body::Bytes(bytes, range) => bytes[range.clone()].to_vec(),
        Body::Parts(content) => {
            let Parts { source: Content::Memory(bytes), parts, closing } = &**content else {
                panic!("not in memory: {content:?}")
            };
            let mut all = Vec::new();
            for (head, range) in parts {
                all.extend_from_slice(head);
                all.extend_from_slice(&bytes[range.start as usize..range.end as usize]);
            }
            all.extend_from_slice(closing);
            all
        }
        Body::File(file, range) => {
            let mut bytes = vec![0; (range.end - range.start) as usize];
            file.file().unwrap().read_exact_at(&mut bytes, range.start).unwrap();
            bytes
        }
    }
}

/// Open directory of a tree.
pub fn open(tree: &crate::testing::TempTree) -> std::fs::File {
    std::fs::File::open(tree.path()).unwrap()
}

/// Tree as the root of a site.
pub fn root(tree: &crate::testing::TempTree) -> Arc<DocRoot> {
    let path = tree.path().as_os_str().as_encoded_bytes();
    Arc::new(DocRoot::open(tree.path(), path).unwrap())
}
