//! Decode messages `Profile` of pprof (profile.proto) to columns of numbers.
//!
//! Ids become row numbers, and each reference is checked. The columns are those of
//! `fleetpgo.pprof.codec.columns.Columns`; several profiles lie one behind the other in each.

use crate::message::{Header, How, Records, outermost};
use crate::rows::{NONE, Rows, Strings, count, index, length};
use crate::wire::{Reader, Value, each, numbers};

/// Locations of a stack that the compiler reads, from the leaf.
const COMPILER_DEPTH: usize = 2;

const LABEL: u64 = 3;
const LINE: u64 = 4;

/// Why a profile is refused: what `fleetpgo` calls the reason, what it is about, and a number for the sentence.
#[derive(Debug)]
pub struct Refused {
    pub reason: &'static str,
    pub table: &'static str,
    pub number: i64,
    /// Values that a sample has; for `wrong-value-count`.
    pub other: i64,
}

impl Refused {
    pub fn new(reason: &'static str, table: &'static str, number: i64) -> Self {
        Self { reason, table, number, other: 0 }
    }
}

impl From<crate::wire::Malformed> for Refused {
    fn from(_: crate::wire::Malformed) -> Self {
        Self::new("not-a-profile", "", 0)
    }
}

#[derive(Default)]
pub struct Profiles {
    pub headers: Vec<Header>,
    pub octets: Vec<u8>,
    pub string_ends: Vec<i64>,
    pub functions: [Vec<i64>; 4],
    pub mappings: [Vec<i64>; 9],
    pub locations: [Vec<i64>; 3],
    pub line_ends: Vec<i64>,
    pub lines: [Vec<i64>; 3],
    pub values: Vec<i64>,
    pub depths: Vec<i64>,
    pub stacks: Vec<i64>,
    pub labels: [Vec<i64>; 4],
    pub label_ends: Vec<i64>,
    /// Of each profile, the end of its rows in the table of that name.
    pub sample_ends: Vec<i64>,
    pub function_ends: Vec<i64>,
    pub mapping_ends: Vec<i64>,
    pub table_ends: Vec<i64>,
}

impl Profiles {
    /// Add the profile in a message.
    pub fn add(&mut self, message: &[u8], how: &How) -> Result<(), Refused> {
        let (records, header) = outermost(message, how)?;
        self.add_strings(&records.strings)?;
        let strings =
            Strings { first: self.string_ends.len() - records.strings.len(), count: records.strings.len() };
        let functions = self.add_functions(&records.functions, &strings)?;
        let mappings = self.add_mappings(&records.mappings, &strings)?;
        let types = header.types.len() / 2;
        if self.headers.first().is_some_and(|first| first.types.len() != header.types.len()) {
            return Err(Refused::new("incompatible", "", 0));
        }
        if how.leaves {
            self.add_leaves(&records, types, &functions, &mappings)?;
        } else {
            let first = self.locations[0].len();
            let ids: Result<_, Refused> = records
                .locations
                .iter()
                .map(|record| self.add_location(record, &functions, &mappings))
                .collect();
            let locations = Rows::of(ids?, first, "location")?;
            self.add_samples(&records.samples, types, &locations, &strings, how.depth)?;
        }
        self.headers.push(header);
        self.sample_ends.push(length(&self.depths));
        self.function_ends.push(length(&self.functions[0]));
        self.mapping_ends.push(length(&self.mappings[0]));
        self.table_ends.push(length(&self.string_ends));
        Ok(())
    }

    fn add_strings(&mut self, strings: &[&[u8]]) -> Result<(), Refused> {
        if strings.first().is_none_or(|first| !first.is_empty()) {
            return Err(Refused::new("no-strings", "", 0));
        }
        for text in strings {
            self.octets.extend_from_slice(text);
            self.string_ends.push(length(&self.octets));
        }
        Ok(())
    }

    fn add_functions(&mut self, records: &[&[u8]], strings: &Strings) -> Result<Rows, Refused> {
        let mut ids = Vec::with_capacity(records.len());
        let first = self.functions[0].len();
        for record in records {
            let [id, name, system_name, file, start] = numbers(record)?;
            ids.push(id);
            let row = [strings.row(name)?, strings.row(system_name)?, strings.row(file)?, start];
            push(&mut self.functions, row);
        }
        Rows::of(ids, first, "function")
    }

    fn add_mappings(&mut self, records: &[&[u8]], strings: &Strings) -> Result<Rows, Refused> {
        let mut ids = Vec::with_capacity(records.len());
        let first = self.mappings[0].len();
        for record in records {
            let [id, start, limit, offset, file, build, flags @ ..]: [i64; 10] = numbers(record)?;
            ids.push(id);
            let [a, b, c, d] = flags.map(|flag| i64::from(flag != 0));
            push(
                &mut self.mappings,
                [start, limit, offset, strings.row(file)?, strings.row(build)?, a, b, c, d],
            );
        }
        Rows::of(ids, first, "mapping")
    }

    /// Add a location; return its id.
    fn add_location(&mut self, record: &[u8], functions: &Rows, mappings: &Rows) -> Result<i64, Refused> {
        let (mut id, mut mapping, mut address, mut folded) = (0, 0, 0, 0);
        let mut fields = Reader::new(record);
        while !fields.is_done() {
            match fields.field()? {
                (1, Value::Varint(number)) => id = number.cast_signed(),
                (2, Value::Varint(number)) => mapping = number.cast_signed(),
                (3, Value::Varint(number)) => address = number.cast_signed(),
                (5, Value::Varint(number)) => folded = i64::from(number != 0),
                (LINE, Value::Bytes(line)) => {
                    let [function, line, column] = numbers(line)?;
                    push(&mut self.lines, [functions.row_or_none(function)?, line, column]);
                }
                _ => {}
            }
        }
        push(&mut self.locations, [mappings.row_or_none(mapping)?, address, folded]);
        self.line_ends.push(length(&self.lines[0]));
        Ok(id)
    }

    fn add_samples(
        &mut self,
        records: &[&[u8]],
        types: usize,
        locations: &Rows,
        strings: &Strings,
        deepest: usize,
    ) -> Result<(), Refused> {
        let mut deepest_found = 0;
        let mut wrong = None;
        for record in records {
            let (stack, values) = (self.stacks.len(), self.values.len());
            let mut fields = Reader::new(record);
            while !fields.is_done() {
                match fields.field()? {
                    (1, ids) => each(&ids, |id| self.stacks.push(id))?,
                    (2, numbers) => each(&numbers, |number| self.values.push(number))?,
                    (LABEL, Value::Bytes(label)) => {
                        let [key, text, number, unit] = numbers(label)?;
                        let row = [strings.row(key)?, strings.row(text)?, number, strings.row(unit)?];
                        push(&mut self.labels, row);
                    }
                    _ => {}
                }
            }
            wrong = wrong.or_else(|| of_types(self.values.len() - values, types));
            deepest_found = deepest_found.max(self.stacks.len() - stack);
            self.depths.push(count(self.stacks.len() - stack));
            self.label_ends.push(length(&self.labels[0]));
            if deepest_found <= deepest {
                for id in &mut self.stacks[stack..] {
                    *id = locations.row(*id)?;
                }
            }
        }
        if deepest_found > deepest {
            return Err(Refused::new("too-deep", "", count(deepest_found)));
        }
        wrong.map_or(Ok(()), Err)
    }

    /// Add what a compiler reads of the samples, and the locations that it needs for that.
    fn add_leaves(
        &mut self,
        records: &Records,
        types: usize,
        functions: &Rows,
        mappings: &Rows,
    ) -> Result<(), Refused> {
        let ids = records.locations.iter().map(|record| numbers::<1>(record).map(|[id]| id));
        let ids = Rows::of(ids.collect::<Result<_, _>>()?, 0, "location")?;
        let (stacks, mut wrong) = (self.stacks.len(), None);
        for record in &records.samples {
            let (stack, values) = (self.stacks.len(), self.values.len());
            let mut fields = Reader::new(record);
            while !fields.is_done() {
                match fields.field()? {
                    (1, Value::Varint(id)) => self.stacks.push(id.cast_signed()),
                    (1, Value::Bytes(packed)) => {
                        let mut packed = Reader::new(packed);
                        while !packed.is_done() && self.stacks.len() < stack + COMPILER_DEPTH {
                            self.stacks.push(packed.varint()?.cast_signed());
                        }
                    }
                    (2, numbers) => each(&numbers, |number| self.values.push(number))?,
                    _ => {}
                }
            }
            wrong = wrong.or_else(|| of_types(self.values.len() - values, types));
            self.stacks.truncate(stack + COMPILER_DEPTH);
            self.depths.push(count(self.stacks.len() - stack));
            self.label_ends.push(length(&self.labels[0]));
        }
        if let Some(wrong) = wrong {
            return Err(wrong);
        }
        let mut used = vec![false; records.locations.len()];
        for id in &mut self.stacks[stacks..] {
            *id = ids.row(*id)?;
            used[index(*id)] = true;
        }
        let mut places = vec![NONE; used.len()];
        for (row, record) in records.locations.iter().enumerate().filter(|(row, _)| used[*row]) {
            places[row] = length(&self.locations[0]);
            self.add_location(record, functions, mappings)?;
        }
        for row in &mut self.stacks[stacks..] {
            *row = places[index(*row)];
        }
        Ok(())
    }
}

fn of_types(values: usize, types: usize) -> Option<Refused> {
    (values != types)
        .then(|| Refused { other: count(values), ..Refused::new("wrong-value-count", "", count(types)) })
}

#[inline]
fn push<const N: usize>(columns: &mut [Vec<i64>; N], row: [i64; N]) {
    for (column, number) in columns.iter_mut().zip(row) {
        column.push(number);
    }
}
