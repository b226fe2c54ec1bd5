//! Kinds of hosts: what host patterns say of a host, remembered by the host's name.

use std::cell::RefCell;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};

use super::sorted_map::SortedMap;

/// Maximum number of hosts in memory. A full table is emptied.
const MOST_HOSTS: usize = 1024;

/// Kinds of the hosts seen last.
#[derive(Debug)]
pub(super) struct HostKinds {
    /// Number that no other table of this process has, as rules are read again on a reload.
    number: usize,
    kinds: Mutex<SortedMap<Box<str>, Box<[u8]>>>,
}

/// Host that a thread has asked for, and its kind in the table of that number.
struct LastHost {
    number: usize,
    host: Box<str>,
    kind: Box<[u8]>,
}

thread_local! {
    /// Host that this thread has asked for last. Most requests name the host of the one before, and need no lock
    /// that all workers share then.
    static LAST: RefCell<Option<LastHost>> = const { RefCell::new(None) };
}

impl Default for HostKinds {
    fn default() -> HostKinds {
        static TABLES: AtomicUsize = AtomicUsize::new(0);
        HostKinds { number: TABLES.fetch_add(1, Relaxed), kinds: Mutex::default() }
    }
}

impl HostKinds {
    /// Appends the kind of `host` to `key`; `find` finds it for a host that is not remembered.
    pub(super) fn append(&self, key: &mut Vec<u8>, host: &str, find: &dyn Fn(&str) -> Box<[u8]>) {
        LAST.with_borrow_mut(|last| match last {
            Some(last) if last.number == self.number && *last.host == *host => {
                key.extend_from_slice(&last.kind);
            }
            last => {
                let kind = self.remembered(host, find);
                key.extend_from_slice(&kind);
                *last = Some(LastHost { number: self.number, host: host.into(), kind });
            }
        });
    }

    fn remembered(&self, host: &str, find: &dyn Fn(&str) -> Box<[u8]>) -> Box<[u8]> {
        let mut kinds = self.kinds.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(kind) = kinds.get(host) {
            return kind.clone();
        }
        let kind = find(host);
        kinds.insert_within(MOST_HOSTS, host.into(), kind.clone());
        kind
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;

    #[test]
    fn a_host_is_asked_about_once_by_each_table() {
        let (one, other) = (HostKinds::default(), HostKinds::default());
        let asked = Cell::new(0);
        let find = |host: &str| {
            asked.set(asked.get() + 1);
            host.to_uppercase().into_bytes().into()
        };
        let kind = |table: &HostKinds, host: &str| {
            let mut key = b"key ".to_vec();
            table.append(&mut key, host, &find);
            String::from_utf8(key).unwrap()
        };
        for host in ["a", "a", "b", "a", "b"] {
            assert_eq!(kind(&one, host), format!("key {}", host.to_uppercase()));
        }
        assert_eq!(asked.get(), 2);
        assert_eq!((kind(&other, "b"), asked.get()), ("key B".to_owned(), 3));
    }
}
