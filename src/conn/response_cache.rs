//! Cache of one worker: responses to requests that come again byte for byte within a second.
//!
//! Probes, monitors and package managers send the same head again and again. Within a second its response stays the
//! same, Date included, while the file is unchanged. Such a request is neither parsed nor resolved again.
//!
//! A response is kept only if nothing decides it but the bytes of the request, the configuration and the file's
//! [`CacheEntry`], which must still be valid: neither the client's address, nor its connection, nor a password.

use std::rc::Rc;
use std::sync::{Arc, Weak};

use super::log_record::LogRecord;
use crate::cache::CacheEntry;
use crate::log::access::AccessEntry;
use crate::request::Request;
use crate::resource::ThrottleName;
use crate::response::Response;
use crate::site::Site;

/// Number of responses that a worker keeps, of which each counts for the second in which it was made.
///
/// With the two lengths below, they take some 400 KiB at most.
const SLOTS: usize = 64;

/// Maximum length of the head of a request, in bytes.
const LONGEST_REQUEST: usize = 1024;

/// Maximum length of a response, in bytes, its head included.
const LONGEST_RESPONSE: usize = 4096;

/// Factor of the hash: the golden ratio of 2^64, which spreads bits well.
const FACTOR: u64 = 0x9e37_79b9_7f4a_7c15;

/// Facts that alone decide a response, beside the configuration.
#[derive(Debug, Clone, Copy)]
pub struct ResponseSource<'a> {
    /// Head of the request.
    request: &'a [u8],
    /// Look-up of the file.
    entry: &'a Arc<CacheEntry>,
}

/// Response that may be sent again.
#[derive(Debug)]
pub struct CachedResponse {
    request: Box<[u8]>,
    /// Look-up on which the response depends.
    pub entry: Weak<CacheEntry>,
    /// Head and content.
    pub bytes: Box<[u8]>,
    /// Length of the content.
    pub content: usize,
    /// Facts for the access log.
    pub record: LogRecord,
}

/// Slot of the requests with the same hash, owned by the first that came in its second.
#[derive(Debug)]
struct ResponseSlot {
    second: u64,
    hash: u64,
    response: Option<Rc<CachedResponse>>,
}

impl ResponseSlot {
    const FREE: ResponseSlot = ResponseSlot { second: 0, hash: 0, response: None };
}

/// Responses to requests of the current second.
#[derive(Debug)]
pub struct ResponseCache {
    /// Slots by hash; `None` where responses depend on more than their source.
    slots: Option<Box<[ResponseSlot; SLOTS]>>,
}

impl ResponseCache {
    /// Empty cache for the responses of `site`.
    ///
    /// Nothing is ever kept where more than a [`ResponseSource`] decides: the client that a trusted proxy names, a
    /// password file for everything, or which virtual hosts have a directory. The same holds where the log has facts
    /// that a [`LogRecord`] lacks.
    pub fn new(site: &Site) -> ResponseCache {
        let config = &site.config;
        let depends_on_more = config.proxies.trusts_any()
            || config.global_passwd
            || config.vhost_default.is_some()
            || site.log.has_details();
        ResponseCache { slots: (!depends_on_more).then(|| Box::new([const { ResponseSlot::FREE }; SLOTS])) }
    }

    /// Response to the request `head` in `second`, counted from the epoch.
    pub fn get(&self, head: &[u8], second: u64) -> Option<Rc<CachedResponse>> {
        let slots = self.slots.as_ref().filter(|_| head.len() <= LONGEST_REQUEST)?;
        let hash = hash(head);
        let slot = &slots[hash as usize % SLOTS];
        let cached = slot.response.as_ref().filter(|_| slot.second == second && slot.hash == hash)?;
        (*cached.request == *head).then(|| Rc::clone(cached))
    }

    /// Keeps the response `bytes`, logged as `log_entry`, for the rest of `second`, if its request came before in it.
    ///
    /// Its slot is free if no other request of this second has taken it: requests that come often come early.
    pub fn keep(
        &mut self,
        source: ResponseSource<'_>,
        second: u64,
        log_entry: &AccessEntry<'_>,
        bytes: &[u8],
    ) {
        let Some(slots) = &mut self.slots else { return };
        if source.request.len() > LONGEST_REQUEST || bytes.len() > LONGEST_RESPONSE {
            return;
        }
        let hash = hash(source.request);
        let slot = &mut slots[hash as usize % SLOTS];
        if slot.second != second {
            *slot = ResponseSlot { second, hash, response: None };
        } else if slot.hash == hash {
            slot.response = Some(Rc::new(CachedResponse {
                request: source.request.into(),
                entry: Arc::downgrade(source.entry),
                bytes: bytes.into(),
                content: log_entry.bytes as usize,
                record: LogRecord::from_entry(log_entry),
            }));
        }
    }
}

/// Source of `response`, if that is a file called `name` that any client may have.
pub fn sole_source<'a>(
    request: &Request<'a>,
    response: &Response,
    name: &'a ThrottleName,
) -> Option<ResponseSource<'a>> {
    match name {
        // A request without a host has the virtual host of its connection's address.
        ThrottleName::Cached(entry)
            if request.host.is_some() && response.status.is_of_file() && entry.is_for_all() =>
        {
            Some(ResponseSource { request: request.head, entry })
        }
        _ => None,
    }
}

/// Hash of a head. It is fast, not hard to forge: heads of one hash are compared, and at worst are not cached.
fn hash(head: &[u8]) -> u64 {
    let (words, rest) = head.as_chunks();
    let mut hash = 0_u64;
    for word in words {
        hash = (hash.rotate_left(5) ^ u64::from_ne_bytes(*word)).wrapping_mul(FACTOR);
    }
    for byte in rest {
        hash = (hash.rotate_left(5) ^ u64::from(*byte)).wrapping_mul(FACTOR);
    }
    hash >> 32
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &[u8] = b"GET /a.txt HTTP/1.1\r\nHost: x\r\n\r\n";

    /// Other bytes of the same hash: the second word undoes the change of the first.
    fn colliding(head: &[u8]) -> Vec<u8> {
        let (words, rest) = head.as_chunks::<8>();
        let mut words: Vec<u64> = words.iter().map(|word| u64::from_ne_bytes(*word)).collect();
        let state = |word: u64| word.wrapping_mul(FACTOR).rotate_left(5);
        words[1] ^= state(words[0]) ^ state(words[0] ^ 1);
        words[0] ^= 1;
        let bytes = words.into_iter().flat_map(u64::to_ne_bytes);
        bytes.chain(rest.iter().copied()).collect()
    }

    #[test]
    fn heads_of_one_hash_are_told_apart() {
        let other = colliding(HEAD);
        assert!(other != HEAD && hash(&other) == hash(HEAD));
        let mut cache = ResponseCache { slots: Some(Box::new([const { ResponseSlot::FREE }; SLOTS])) };
        let record = LogRecord::from_entry(&AccessEntry::PLAIN);
        let cached = CachedResponse {
            request: HEAD.into(),
            entry: Weak::new(),
            bytes: Box::default(),
            content: 0,
            record,
        };
        let hash = hash(HEAD);
        if let Some(slots) = &mut cache.slots {
            slots[hash as usize % SLOTS] = ResponseSlot { second: 7, hash, response: Some(Rc::new(cached)) };
        }
        assert!(cache.get(HEAD, 7).is_some());
        assert!(cache.get(HEAD, 8).is_none() && cache.get(&other, 7).is_none());
    }
}
