//! A small map in one vector.

use std::borrow::Borrow;

/// Entries in the order of their keys. Looking up halves the vector; putting in moves what lies behind, so
/// this is for some thousand entries that change seldom. A hash map is 1.5 KB of code for each type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SortedMap<K, V>(Vec<(K, V)>);

impl<K, V> Default for SortedMap<K, V> {
    fn default() -> SortedMap<K, V> {
        SortedMap(Vec::new())
    }
}

impl<K: Ord, V> SortedMap<K, V> {
    /// The value of `key`.
    pub fn get<Q: Ord + ?Sized>(&self, key: &Q) -> Option<&V>
    where
        K: Borrow<Q>,
    {
        self.place(key).ok().map(|place| &self.0[place].1)
    }

    /// Puts `value` at `key`, in the place of the one that is there.
    pub fn insert(&mut self, key: K, value: V) {
        match self.place(&key) {
            Ok(place) => self.0[place].1 = value,
            Err(place) => self.0.insert(place, (key, value)),
        }
    }

    /// Inserts an entry; a map of `most` entries is emptied first.
    pub fn insert_within(&mut self, most: usize, key: K, value: V) {
        if self.0.len() >= most {
            self.0.clear();
        }
        self.insert(key, value);
    }

    /// Tells whether there is no entry.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn place<Q: Ord + ?Sized>(&self, key: &Q) -> Result<usize, usize>
    where
        K: Borrow<Q>,
    {
        self.0.binary_search_by(|(own, _)| own.borrow().cmp(key))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_put_in_last_is_found() {
        let mut map: SortedMap<Box<str>, usize> = SortedMap::default();
        assert!(map.is_empty());
        for (key, value) in [("b", 1), ("a", 2), ("c", 3), ("a", 4)] {
            map.insert(key.into(), value);
        }
        assert_eq!(["a", "b", "c", "d"].map(|key| map.get(key).copied()), [Some(4), Some(1), Some(3), None]);
    }

    #[test]
    fn a_full_map_forgets() {
        let mut map: SortedMap<Box<str>, usize> = SortedMap::default();
        for (key, value) in [("a", 1), ("b", 2), ("c", 3)] {
            map.insert_within(2, key.into(), value);
        }
        assert_eq!(["a", "b", "c"].map(|key| map.get(key).copied()), [None, None, Some(3)]);
    }
}
