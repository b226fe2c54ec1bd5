//! Entity tags: identifiers of one version of a file's content (RFC 9110 §8.8.3).
//!
//! By default a tag is a digest of the content: servers with equal files give equal tags, and `chown`, `ln`
//! or a copy do not change a tag. Content in memory is hashed directly. A larger file is hashed once per
//! version, and the digest is kept after the file is closed. A file above [`LARGEST_HASHED`] has a tag made
//! of its length and modification time.

use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::fs::FileExt;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use sha2::{Digest as _, Sha256};

use super::content::Content;
use super::facts::{FileFacts, since_epoch};
use super::inline::Inline;
use crate::config::choice::EtagSource;
use crate::sys::stat::fstat;

/// Maximum size of a file whose content is hashed, in bytes.
const LARGEST_HASHED: u64 = 4 * 1024 * 1024;

/// Maximum number of digests in memory, about 100 bytes each.
const MOST_DIGESTS: usize = 8192;

/// Size of one read while hashing, in bytes.
const PIECE: usize = 32 * 1024;

/// Minimum age of the last change after which a further change must alter the file's times.
///
/// Kernel clocks tick in 1–10 ms.
const TICK: Duration = Duration::from_millis(50);

/// Minimum age of the last change for times without a fraction of a second.
const COARSE_TICK: Duration = Duration::from_millis(2100);

/// Entity tag with quotes and `W/`; empty = no tag.
pub type Etag = Inline<36>;

/// First 128 bits of the SHA-256 of a file's content.
type Digest = [u8; 16];

/// Reason why a file has no tag yet.
#[derive(Debug)]
pub enum Untagged {
    /// The limit of workers that hash files is reached.
    Busy,
    /// The file could not be read.
    Unreadable(io::Error),
}

/// Source of entity tags, shared by all workers.
#[derive(Debug)]
pub struct Tagger {
    source: EtagSource,
    digests: Mutex<Digests>,
    hashing: AtomicUsize,
    most_hashing: usize,
}

impl Tagger {
    /// Tagger for the given `source`; at most `most_hashing` workers hash files at once.
    pub fn new(source: EtagSource, most_hashing: usize) -> Tagger {
        Tagger { source, digests: Mutex::default(), hashing: AtomicUsize::new(0), most_hashing }
    }

    /// Tag of the file that had `facts` when opened; weak unless `settled`.
    ///
    /// # Errors
    /// [`Untagged`]; `Busy` only if the request `may_wait`.
    pub fn tag(
        &self,
        content: &Content,
        facts: &FileFacts,
        settled: bool,
        may_wait: bool,
    ) -> Result<Etag, Untagged> {
        Ok(match (self.source, content) {
            (EtagSource::None, _) => Etag::from(""),
            (EtagSource::File, _) => etag(!settled, &fingerprint(facts).to_be_bytes()),
            (EtagSource::Content, Content::Memory(bytes)) => etag(!settled, &digest_of(bytes)),
            (EtagSource::Content, Content::File(open)) => match open.file() {
                // Storage that hangs must not delay the tags of local files.
                Some(file) if facts.len <= LARGEST_HASHED && !open.is_remote() => {
                    let (digest, unchanged) = self.digest(file, facts, may_wait)?;
                    etag(!(settled && unchanged), &digest)
                }
                _ => by_time(facts, settled),
            },
        })
    }

    /// Digest of a file's content, and whether the file stayed unchanged during reading.
    fn digest(&self, file: &File, facts: &FileFacts, may_wait: bool) -> Result<(Digest, bool), Untagged> {
        if let Some(digest) = self.digests().recall(facts) {
            return Ok((digest, true));
        }
        let _slot = self.slot(may_wait).ok_or(Untagged::Busy)?;
        // Another worker may have hashed the file while this one waited.
        if let Some(digest) = self.digests().recall(facts) {
            return Ok((digest, true));
        }
        let is_quiet = is_quiet(facts, SystemTime::now());
        let digest = read_digest(file, facts.len).map_err(Untagged::Unreadable)?;
        let after = fstat(file.as_fd()).map_err(|errno| Untagged::Unreadable(errno.into()))?;
        let unchanged = FileFacts::from(&after) == *facts;
        if unchanged && is_quiet {
            self.digests().remember(*facts, digest);
        }
        Ok((digest, unchanged))
    }

    /// Takes a hashing slot; `None` if all are taken, unless the request may not wait.
    fn slot(&self, may_wait: bool) -> Option<Slot<'_>> {
        let is_free = |taken: usize| (!may_wait || taken < self.most_hashing).then_some(taken + 1);
        self.hashing.fetch_update(SeqCst, SeqCst, is_free).is_ok().then(|| Slot(&self.hashing))
    }

    fn digests(&self) -> std::sync::MutexGuard<'_, Digests> {
        self.digests.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Hashing slot, returned on drop.
struct Slot<'t>(&'t AtomicUsize);

impl Drop for Slot<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, SeqCst);
    }
}

/// Digests by file version, in two generations.
///
/// When the younger generation is full, it becomes the older one, and digests unused since the last change
/// of generations are dropped.
#[derive(Debug, Default)]
struct Digests {
    young: HashMap<FileFacts, Digest>,
    old: HashMap<FileFacts, Digest>,
}

impl Digests {
    fn recall(&mut self, version: &FileFacts) -> Option<Digest> {
        if let Some(digest) = self.young.get(version) {
            return Some(*digest);
        }
        let digest = self.old.remove(version)?;
        self.remember(*version, digest);
        Some(digest)
    }

    fn remember(&mut self, version: FileFacts, digest: Digest) {
        if self.young.len() >= MOST_DIGESTS / 2 {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(version, digest);
    }
}

/// Tells whether a change after `now` must alter the file's times.
fn is_quiet(facts: &FileFacts, now: SystemTime) -> bool {
    let tick = if facts.changed.1 == 0 { COARSE_TICK } else { TICK };
    now.duration_since(since_epoch(facts.changed)).is_ok_and(|age| age > tick)
}

fn read_digest(file: &File, len: u64) -> io::Result<Digest> {
    let (mut hash, mut at) = (Sha256::new(), 0);
    let mut piece = vec![0; PIECE];
    while at < len {
        let most = PIECE.min(usize::try_from(len - at).unwrap_or(PIECE));
        let n = file.read_at(&mut piece[..most], at)?;
        if n == 0 {
            // The file was truncated: its facts have changed, so the digest is not kept.
            break;
        }
        hash.update(&piece[..n]);
        at += n as u64;
    }
    Ok(first_half(&hash.finalize()))
}

fn digest_of(bytes: &[u8]) -> Digest {
    first_half(&Sha256::digest(bytes))
}

fn first_half(hash: &[u8]) -> Digest {
    let mut half = [0; 16];
    half.copy_from_slice(&hash[..16]);
    half
}

/// Tag of a file that is too large to be hashed, made of length and modification time.
///
/// A modification time in whole seconds may have been truncated, and two versions within one second would
/// share it. If the time tells no change, inode number and change time are used instead.
fn by_time(facts: &FileFacts, settled: bool) -> Etag {
    if !facts.has_date() {
        return etag(!settled, &fingerprint(facts).to_be_bytes());
    }
    let (seconds, nanos) = facts.modified;
    let mut bytes = [0; 16];
    bytes[..4].copy_from_slice(&nanos.to_be_bytes());
    bytes[4..10].copy_from_slice(&seconds.to_be_bytes()[2..]);
    bytes[10..].copy_from_slice(&facts.len.to_be_bytes()[2..]);
    etag(!settled || nanos == 0, &bytes)
}

fn etag(weak: bool, bytes: &[u8]) -> Etag {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    let mut text = String::from(if weak { "W/\"" } else { "\"" });
    for byte in bytes {
        text.push(char::from(HEX[usize::from(byte >> 4)]));
        text.push(char::from(HEX[usize::from(byte & 15)]));
    }
    text.push('"');
    Etag::from(&*text)
}

/// Hash of all facts of a file (FNV-1a, 64 bits).
///
/// The change time is included because unpacking and copying tools set the modification time back. The
/// facts are hashed so that clients do not see inode numbers.
fn fingerprint(facts: &FileFacts) -> u64 {
    const BASIS: u64 = 0xcbf2_9ce4_8422_2325;
    const PRIME: u64 = 0x0000_0100_0000_01b3;
    let nanoseconds = u64::from(facts.modified.1) << 32 | u64::from(facts.changed.1);
    [facts.len, facts.inode, facts.modified.0 as u64, facts.changed.0 as u64, nanoseconds]
        .iter()
        .flat_map(|word| word.to_le_bytes())
        .fold(BASIS, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(PRIME))
}

#[cfg(test)]
mod tests;
