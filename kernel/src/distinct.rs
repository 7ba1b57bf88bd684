//! Different items, which are slices, numbered in the order in which they first come.

use std::hash::{BuildHasher, Hash};

use foldhash::quality::RandomState;
use hashbrown::HashTable;

/// Where an item is known by its hash: the high half of it, and the item's number.
struct Entry {
    high: u32,
    number: u32,
}

#[derive(Default)]
pub struct Distinct<T> {
    /// All items, one behind the other.
    parts: Vec<T>,
    /// The end of each item in `parts`.
    ends: Vec<usize>,
    hashes: Vec<u64>,
    table: HashTable<Entry>,
    state: RandomState,
}

impl<T: Copy + Eq + Hash> Distinct<T> {
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    pub fn parts(&self) -> &[T] {
        &self.parts
    }

    pub fn ends(&self) -> &[usize] {
        &self.ends
    }

    pub fn item(&self, number: u32) -> &[T] {
        item(&self.parts, &self.ends, number)
    }

    /// Return the number of each item: a new one if it has not come before.
    ///
    /// First all are hashed, then all are looked up: so the processor can begin a lookup before another one ends.
    pub fn numbers<'a>(&mut self, items: impl Iterator<Item = &'a [T]> + Clone) -> Vec<u32>
    where
        T: 'a,
    {
        let hashes: Vec<u64> = items.clone().map(|item| self.state.hash_one(item)).collect();
        let likely: Vec<u32> = hashes.iter().map(|&hash| self.likely(hash)).collect();
        let found = hashes.into_iter().zip(likely).zip(items);
        found
            .map(|((hash, likely), item)| {
                if likely != u32::MAX && self.item(likely) == item { likely } else { self.number(hash, item) }
            })
            .collect()
    }

    /// The first item with that hash, as far as it is compared here.
    fn likely(&self, hash: u64) -> u32 {
        let high = (hash >> 32) as u32;
        self.table.find(hash, |entry| entry.high == high).map_or(u32::MAX, |entry| entry.number)
    }

    fn number(&mut self, hash: u64, wanted: &[T]) -> u32 {
        let (parts, ends, hashes) = (&self.parts, &self.ends, &self.hashes);
        let high = (hash >> 32) as u32;
        let same = |entry: &Entry| entry.high == high && item(parts, ends, entry.number) == wanted;
        if let Some(entry) = self.table.find(hash, same) {
            return entry.number;
        }
        let number = u32::try_from(self.ends.len()).expect("fewer than 2^32 different items");
        let hash_of = |entry: &Entry| hashes[entry.number as usize];
        self.table.insert_unique(hash, Entry { high, number }, hash_of);
        self.parts.extend_from_slice(wanted);
        self.ends.push(self.parts.len());
        self.hashes.push(hash);
        number
    }
}

fn item<'a, T>(parts: &'a [T], ends: &[usize], number: u32) -> &'a [T] {
    let number = number as usize;
    let start = if number == 0 { 0 } else { ends[number - 1] };
    &parts[start..ends[number]]
}
