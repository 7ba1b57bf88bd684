//! Rows of tables, in place of the ids and places that a message gives them.

use std::collections::HashMap;

use crate::profile::Refused;

/// In place of a row number: no mapping, no function.
pub const NONE: i64 = -1;

/// A profile's part of the string table.
pub struct Strings {
    pub first: usize,
    pub count: usize,
}

impl Strings {
    #[inline]
    pub fn row(&self, number: i64) -> Result<i64, Refused> {
        match usize::try_from(number) {
            Ok(place) if place < self.count => Ok(count(self.first + place)),
            _ => Err(Refused::new("bad-reference", "string", number)),
        }
    }
}

/// The rows of a table by the ids that a profile gives its records.
pub struct Rows {
    first: usize,
    count: usize,
    /// None: the ids are 1, 2, 3 and so on, as Go writes them.
    by_id: Option<HashMap<i64, i64>>,
    table: &'static str,
}

impl Rows {
    pub fn of(ids: Vec<i64>, first: usize, table: &'static str) -> Result<Self, Refused> {
        let rows = ids.len();
        let mut by_id = None;
        if !ids.iter().zip(1..).all(|(&id, number)| id == number) {
            let known: HashMap<_, _> = ids.into_iter().zip(count(first)..).collect();
            if known.len() < rows || known.contains_key(&0) {
                return Err(Refused::new("duplicate-id", table, 0));
            }
            by_id = Some(known);
        }
        Ok(Self { first, count: rows, by_id, table })
    }

    #[inline]
    pub fn row(&self, id: i64) -> Result<i64, Refused> {
        let row = match &self.by_id {
            None => match usize::try_from(id.wrapping_sub(1)) {
                Ok(place) if place < self.count => Some(count(self.first + place)),
                _ => None,
            },
            Some(known) => known.get(&id).copied(),
        };
        row.ok_or_else(|| Refused::new("bad-reference", self.table, id))
    }

    #[inline]
    pub fn row_or_none(&self, id: i64) -> Result<i64, Refused> {
        if id == 0 { Ok(NONE) } else { self.row(id) }
    }
}

pub fn length<T>(column: &[T]) -> i64 {
    count(column.len())
}

pub fn count(number: usize) -> i64 {
    i64::try_from(number).expect("no more items than bytes of memory")
}

pub fn index(row: i64) -> usize {
    usize::try_from(row).expect("a row that was checked")
}
