//! Different strings of bytes, numbered in the order in which they first come.

use std::hash::BuildHasher;

use foldhash::quality::RandomState;
use hashbrown::HashTable;

/// Where an item is known by its hash.
struct Entry {
    hash: u64,
    number: u32,
}

#[derive(Default)]
pub struct Distinct {
    octets: Vec<u8>,
    /// The end of each item in `octets`.
    ends: Vec<usize>,
    table: HashTable<Entry>,
    state: RandomState,
}

impl Distinct {
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    pub fn octets(&self) -> &[u8] {
        &self.octets
    }

    pub fn ends(&self) -> &[usize] {
        &self.ends
    }

    fn item(octets: &[u8], ends: &[usize], number: u32) -> (usize, usize) {
        let number = number as usize;
        let start = if number == 0 { 0 } else { ends[number - 1] };
        debug_assert!(ends[number] <= octets.len());
        (start, ends[number])
    }

    /// Return the number of each item: a new one if it has not come before.
    ///
    /// First all are hashed, then all are looked up: so the processor can begin a lookup before another one ends.
    pub fn numbers(&mut self, items: &[&[u8]]) -> Vec<i64> {
        let hashes: Vec<u64> = items.iter().map(|item| self.state.hash_one(item)).collect();
        hashes.into_iter().zip(items).map(|(hash, item)| i64::from(self.number(hash, item))).collect()
    }

    fn number(&mut self, hash: u64, item: &[u8]) -> u32 {
        let (octets, ends) = (&self.octets, &self.ends);
        let same = |entry: &Entry| {
            entry.hash == hash && {
                let (start, end) = Self::item(octets, ends, entry.number);
                &octets[start..end] == item
            }
        };
        if let Some(entry) = self.table.find(hash, same) {
            return entry.number;
        }
        let number = u32::try_from(self.ends.len()).expect("fewer than 2^32 different items");
        self.octets.extend_from_slice(item);
        self.ends.push(self.octets.len());
        self.table.insert_unique(hash, Entry { hash, number }, |entry| entry.hash);
        number
    }
}
