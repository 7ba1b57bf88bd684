//! Rows of tables, in place of the ids and places that a message gives them.

use std::collections::HashMap;

use crate::profile::Refused;

/// In place of a row number: no mapping, no function.
pub const NONE: u32 = u32::MAX;

/// A profile's part of the string table.
pub struct Strings {
    pub first: usize,
    pub count: usize,
}

impl Strings {
    #[inline]
    pub fn row(&self, number: i64) -> Result<u32, Refused> {
        match usize::try_from(number) {
            Ok(place) if place < self.count => Ok(row(self.first + place)),
            _ => Err(Refused::new("bad-reference", "string", number)),
        }
    }
}

/// The rows of a table by the ids that a profile gives its records.
pub struct Rows {
    first: usize,
    count: usize,
    /// None: the ids are 1, 2, 3 and so on, as Go writes them.
    by_id: Option<HashMap<i64, u32>>,
    table: &'static str,
}

impl Rows {
    pub fn of(ids: Vec<i64>, first: usize, table: &'static str) -> Result<Self, Refused> {
        let rows = ids.len();
        let mut by_id = None;
        if !ids.iter().zip(1..).all(|(&id, number)| id == number) {
            let known: HashMap<_, _> = ids.into_iter().zip(row(first)..).collect();
            if known.len() < rows || known.contains_key(&0) {
                return Err(Refused::new("duplicate-id", table, 0));
            }
            by_id = Some(known);
        }
        Ok(Self { first, count: rows, by_id, table })
    }

    #[inline]
    pub fn row(&self, id: i64) -> Result<u32, Refused> {
        let found = match &self.by_id {
            None if id.wrapping_sub(1).cast_unsigned() < self.count as u64 => {
                Some(row(self.first + id as usize - 1))
            }
            None => None,
            Some(known) => known.get(&id).copied(),
        };
        found.ok_or_else(|| Refused::new("bad-reference", self.table, id))
    }

    #[inline]
    pub fn row_or_none(&self, id: i64) -> Result<u32, Refused> {
        if id == 0 { Ok(NONE) } else { self.row(id) }
    }

    /// Add the row of each id.
    #[inline]
    pub fn add_rows(&self, ids: &[i64], rows: &mut Vec<u32>) -> Result<(), Refused> {
        let added = rows.len();
        if self.by_id.is_none() {
            // All at once: a message has more of these than of anything else.
            let (first, mut are_known) = (row(self.first), true);
            rows.extend(ids.iter().map(|&id| {
                let place = id.wrapping_sub(1).cast_unsigned();
                are_known &= place < self.count as u64;
                first.wrapping_add(place as u32)
            }));
            if are_known {
                return Ok(());
            }
        }
        rows.truncate(added);
        ids.iter().try_for_each(|&id| self.row(id).map(|row| rows.push(row)))
    }
}

/// A place in a table as a row number. A profile has less than 2^32 records.
#[inline]
pub fn row(place: usize) -> u32 {
    u32::try_from(place).expect("fewer than 2^32 records")
}
