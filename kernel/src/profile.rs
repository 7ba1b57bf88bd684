//! Decode messages `Profile` of pprof (profile.proto) to tables of numbers.
//!
//! Ids become row numbers, and each reference is checked. Several profiles lie one behind the other in each table.

use crate::message::{Header, How, Records, outermost};
use crate::rows::{NONE, Rows, Strings, row};
use crate::wire::{Reader, numbers, packed};

/// Locations of a stack that the compiler reads, from the leaf.
const COMPILER_DEPTH: usize = 2;

/// No source file has more lines: so that lines can be subtracted from each other.
const LAST_LINE: i64 = (1 << 31) - 1;

/// Tags of a location's fields.
mod location {
    use crate::wire::{number, octets};

    pub const ID: u64 = number(1);
    pub const MAPPING: u64 = number(2);
    pub const ADDRESS: u64 = number(3);
    pub const LINE: u64 = octets(4);
    pub const IS_FOLDED: u64 = number(5);
}

/// Tags of a sample's fields. Repeated numbers may be packed or not.
mod sample {
    use crate::wire::{number, octets};

    pub const LOCATIONS: u64 = octets(1);
    pub const LOCATION: u64 = number(1);
    pub const VALUES: u64 = octets(2);
    pub const VALUE: u64 = number(2);
    pub const LABEL: u64 = octets(3);
}

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

pub struct Function {
    /// Name, system name and file: rows of the string table.
    pub texts: [u32; 3],
    pub start_line: i32,
}

pub struct Mapping {
    pub start: i64,
    pub limit: i64,
    pub offset: i64,
    /// File and build id: rows of the string table.
    pub texts: [u32; 2],
    /// Has functions, file names, line numbers, inline frames.
    pub flags: [bool; 4],
}

pub struct Location {
    /// A row, or NONE.
    pub mapping: u32,
    pub is_folded: bool,
    pub address: i64,
    pub line_end: u32,
}

pub struct Line {
    /// A row, or NONE.
    pub function: u32,
    pub number: i32,
    pub column: i64,
}

pub struct Label {
    /// Key, text and unit: rows of the string table.
    pub texts: [u32; 3],
    pub number: i64,
}

pub struct Sample {
    pub depth: u32,
    pub label_end: u32,
}

#[derive(Default)]
pub struct Profiles {
    pub headers: Vec<Header>,
    pub octets: Vec<u8>,
    pub string_ends: Vec<usize>,
    pub functions: Vec<Function>,
    pub mappings: Vec<Mapping>,
    pub locations: Vec<Location>,
    pub lines: Vec<Line>,
    pub values: Vec<i64>,
    pub samples: Vec<Sample>,
    /// Rows of `locations`.
    pub stacks: Vec<u32>,
    pub labels: Vec<Label>,
    /// Of each profile, the end of its rows in the table of that name.
    pub sample_ends: Vec<usize>,
    pub function_ends: Vec<usize>,
    pub mapping_ends: Vec<usize>,
    pub table_ends: Vec<usize>,
    ids: Vec<i64>,
}

impl Profiles {
    /// Let go of the profiles, but not of the memory: new memory costs as much time as what is done with it.
    pub fn clear(&mut self) {
        self.headers.clear();
        self.octets.clear();
        self.functions.clear();
        self.mappings.clear();
        self.locations.clear();
        self.lines.clear();
        self.values.clear();
        self.samples.clear();
        self.stacks.clear();
        self.labels.clear();
        for ends in [
            &mut self.string_ends,
            &mut self.sample_ends,
            &mut self.function_ends,
            &mut self.mapping_ends,
            &mut self.table_ends,
        ] {
            ends.clear();
        }
    }

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
            let first = self.locations.len();
            let ids: Result<_, Refused> = records
                .locations
                .iter()
                .map(|record| self.add_location(record, &functions, &mappings))
                .collect();
            let locations = Rows::of(ids?, first, "location")?;
            self.add_samples(&records.samples, types, &locations, &strings, how.depth)?;
        }
        self.headers.push(header);
        self.sample_ends.push(self.samples.len());
        self.function_ends.push(self.functions.len());
        self.mapping_ends.push(self.mappings.len());
        self.table_ends.push(self.string_ends.len());
        Ok(())
    }

    fn add_strings(&mut self, strings: &[&[u8]]) -> Result<(), Refused> {
        if strings.first().is_none_or(|first| !first.is_empty()) {
            return Err(Refused::new("no-strings", "", 0));
        }
        for text in strings {
            self.octets.extend_from_slice(text);
            self.string_ends.push(self.octets.len());
        }
        Ok(())
    }

    fn add_functions(&mut self, records: &[&[u8]], strings: &Strings) -> Result<Rows, Refused> {
        let mut ids = Vec::with_capacity(records.len());
        let first = self.functions.len();
        for record in records {
            let [id, name, system_name, file, start] = numbers(record)?;
            ids.push(id);
            self.functions.push(Function {
                texts: [strings.row(name)?, strings.row(system_name)?, strings.row(file)?],
                start_line: line_number(start)?,
            });
        }
        Rows::of(ids, first, "function")
    }

    fn add_mappings(&mut self, records: &[&[u8]], strings: &Strings) -> Result<Rows, Refused> {
        let mut ids = Vec::with_capacity(records.len());
        let first = self.mappings.len();
        for record in records {
            let [id, start, limit, offset, file, build, flags @ ..]: [i64; 10] = numbers(record)?;
            ids.push(id);
            self.mappings.push(Mapping {
                start,
                limit,
                offset,
                texts: [strings.row(file)?, strings.row(build)?],
                flags: flags.map(|flag| flag != 0),
            });
        }
        Rows::of(ids, first, "mapping")
    }

    /// Add a location; return its id.
    fn add_location(&mut self, record: &[u8], functions: &Rows, mappings: &Rows) -> Result<i64, Refused> {
        let (mut id, mut mapping, mut address, mut is_folded) = (0, 0, 0, false);
        let mut fields = Reader::new(record);
        while !fields.is_done() {
            match fields.tag()? {
                location::ID => id = fields.varint()?.cast_signed(),
                location::MAPPING => mapping = fields.varint()?.cast_signed(),
                location::ADDRESS => address = fields.varint()?.cast_signed(),
                location::IS_FOLDED => is_folded = fields.varint()? != 0,
                location::LINE => {
                    let [function, number, column] = numbers(fields.bytes()?)?;
                    let function = functions.row_or_none(function)?;
                    self.lines.push(Line { function, number: line_number(number)?, column });
                }
                tag => fields.skip(tag)?,
            }
        }
        let mapping = mappings.row_or_none(mapping)?;
        self.locations.push(Location { mapping, is_folded, address, line_end: row(self.lines.len()) });
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
        let (mut deepest_found, mut wrong, mut unknown) = (0, None, None);
        for record in records {
            self.ids.clear();
            let values = self.values.len();
            let mut fields = Reader::new(record);
            while !fields.is_done() {
                match fields.tag()? {
                    sample::LOCATIONS => packed(fields.bytes()?, |id| self.ids.push(id))?,
                    sample::LOCATION => self.ids.push(fields.varint()?.cast_signed()),
                    sample::VALUES => packed(fields.bytes()?, |value| self.values.push(value))?,
                    sample::VALUE => self.values.push(fields.varint()?.cast_signed()),
                    sample::LABEL => {
                        let [key, text, number, unit] = numbers(fields.bytes()?)?;
                        let texts = [strings.row(key)?, strings.row(text)?, strings.row(unit)?];
                        self.labels.push(Label { texts, number });
                    }
                    tag => fields.skip(tag)?,
                }
            }
            wrong = wrong.or_else(|| of_types(self.values.len() - values, types));
            unknown = unknown.or(locations.add_rows(&self.ids, &mut self.stacks).err());
            deepest_found = deepest_found.max(self.ids.len());
            self.samples.push(Sample { depth: row(self.ids.len()), label_end: row(self.labels.len()) });
        }
        if deepest_found > deepest {
            return Err(Refused::new("too-deep", "", deepest_found as i64));
        }
        wrong.or(unknown).map_or(Ok(()), Err)
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
            self.ids.clear();
            let values = self.values.len();
            let mut fields = Reader::new(record);
            while !fields.is_done() {
                match fields.tag()? {
                    sample::LOCATIONS => {
                        let mut packed = Reader::new(fields.bytes()?);
                        while !packed.is_done() && self.ids.len() < COMPILER_DEPTH {
                            self.ids.push(packed.varint()?.cast_signed());
                        }
                    }
                    sample::LOCATION => self.ids.push(fields.varint()?.cast_signed()),
                    sample::VALUES => packed(fields.bytes()?, |value| self.values.push(value))?,
                    sample::VALUE => self.values.push(fields.varint()?.cast_signed()),
                    tag => fields.skip(tag)?,
                }
            }
            wrong = wrong.or_else(|| of_types(self.values.len() - values, types));
            self.ids.truncate(COMPILER_DEPTH);
            self.samples.push(Sample { depth: row(self.ids.len()), label_end: row(self.labels.len()) });
            ids.add_rows(&self.ids, &mut self.stacks)?;
        }
        if let Some(wrong) = wrong {
            return Err(wrong);
        }
        let mut places = vec![NONE; records.locations.len()];
        for &row in &self.stacks[stacks..] {
            places[row as usize] = 0;
        }
        for (place, record) in places.iter_mut().zip(&records.locations).filter(|(place, _)| **place != NONE)
        {
            *place = row(self.locations.len());
            self.add_location(record, functions, mappings)?;
        }
        for row in &mut self.stacks[stacks..] {
            *row = places[*row as usize];
        }
        Ok(())
    }
}

fn of_types(values: usize, types: usize) -> Option<Refused> {
    (values != types)
        .then(|| Refused { other: values as i64, ..Refused::new("wrong-value-count", "", types as i64) })
}

#[inline]
fn line_number(number: i64) -> Result<i32, Refused> {
    match i32::try_from(number) {
        Ok(line) if number >= -LAST_LINE => Ok(line),
        _ => Err(Refused::new("bad-line", "", number)),
    }
}
