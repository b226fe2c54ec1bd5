//! Requests → answers built beforehand, by target.

use std::collections::HashMap;
use std::fs::{self, File};
use std::path::PathBuf;
use std::sync::Arc;

use memchr::memmem;

use crate::Result;
use crate::tree::MODIFIED_DATE;

/// Files above this are not held in memory but sent by `sendfile`.
const HELD_IN_MEMORY: u64 = 64 * 1024;

/// Response to one request, ready to be sent.
pub struct Answer {
    /// The head, and the body of a small file.
    pub bytes: Vec<u8>,
    /// A large file and its size, to be sent after `bytes`.
    pub file: Option<(File, u64)>,
}

/// All answers given so far.
pub struct Answers {
    root: PathBuf,
    known: HashMap<Vec<u8>, Arc<Answer>>,
    not_modified: Arc<Answer>,
}

/// Whether a block of bytes ends a request's head.
pub fn is_whole(received: &[u8]) -> bool {
    received.ends_with(b"\r\n\r\n")
}

/// Whether the request asks for its connection to be closed.
pub fn wants_close(request: &[u8]) -> bool {
    memmem::find(request, b"\r\nConnection: close").is_some()
}

impl Answers {
    /// No answers yet, from the files below `root`.
    pub fn new(root: PathBuf) -> Self {
        let not_modified = Arc::new(Answer { bytes: head("304 Not Modified", None), file: None });
        Self { root, known: HashMap::new(), not_modified }
    }

    /// Answer to a request for a file that was asked for before.
    pub fn find(&self, request: &[u8]) -> Option<Arc<Answer>> {
        if memmem::find(request, b"\r\nIf-Modified-Since: ").is_some() {
            return Some(Arc::clone(&self.not_modified));
        }
        self.known.get(target(request)).map(Arc::clone)
    }

    /// Builds the answer to the first request for a file.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn build(&mut self, request: &[u8]) -> Result<Arc<Answer>> {
        let target = target(request);
        let path = self.root.join(String::from_utf8_lossy(target).trim_start_matches('/'));
        let size = fs::metadata(&path)?.len();
        let mut bytes = head("200 OK", Some(size));
        let file = if size > HELD_IN_MEMORY {
            Some((File::open(&path)?, size))
        } else {
            bytes.extend_from_slice(&fs::read(&path)?);
            None
        };
        let answer = Arc::new(Answer { bytes, file });
        self.known.insert(target.to_vec(), Arc::clone(&answer));
        Ok(answer)
    }
}

/// The bytes between the first and the second blank of the request line.
fn target(request: &[u8]) -> &[u8] {
    request.split(|byte| *byte == b' ').nth(1).unwrap_or_default()
}

/// A head as long as those of real servers.
fn head(status: &str, size: Option<u64>) -> Vec<u8> {
    let length = size.map(|size| format!("Content-Length: {size}\r\n")).unwrap_or_default();
    format!(
        "HTTP/1.1 {status}\r\nServer: limit\r\nContent-Type: text/plain\r\nDate: {MODIFIED_DATE}\r\n\
         Last-Modified: {MODIFIED_DATE}\r\nAccept-Ranges: bytes\r\n{length}\r\n"
    )
    .into_bytes()
}
