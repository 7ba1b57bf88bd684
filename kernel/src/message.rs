//! Take a message apart, before its records are read, and within the limits.

use crate::profile::Refused;
use crate::wire::{Malformed, Reader, VARINT, number, numbers, octets, packed};

/// Numbers in all samples, and in all locations, for each record that a profile may have.
const NUMBERS: usize = 8;

// Tags of the fields that are read.
const SAMPLE_TYPE: u64 = octets(1);
const SAMPLE: u64 = octets(2);
const MAPPING: u64 = octets(3);
const LOCATION: u64 = octets(4);
const FUNCTION: u64 = octets(5);
const STRING: u64 = octets(6);
const PERIOD_TYPE: u64 = octets(11);
const COMMENTS: u64 = octets(13);
const COMMENT: u64 = number(13);
// Of a value type.
const TYPE: u64 = number(1);
const UNIT: u64 = number(2);

/// How a profile is read.
pub struct How {
    /// Read of each stack no more than its two innermost locations, and no locations that only others use.
    pub leaves: bool,
    /// Most samples, locations, functions, mappings and strings together.
    pub records: usize,
    /// Most locations in one sample.
    pub depth: usize,
}

/// A profile's fields outside its tables; texts as rows of its own string table.
#[derive(Default)]
pub struct Header {
    pub types: Vec<i64>,
    pub comments: Vec<i64>,
    pub period_type: [i64; 2],
    /// By field number.
    pub numbers: [i64; 16],
}

/// The records of one message, as they are written.
#[derive(Default)]
pub struct Records<'a> {
    pub samples: Vec<&'a [u8]>,
    pub mappings: Vec<&'a [u8]>,
    pub locations: Vec<&'a [u8]>,
    pub functions: Vec<&'a [u8]>,
    pub strings: Vec<&'a [u8]>,
}

/// Take a message apart, within the limits.
pub fn outermost<'a>(message: &'a [u8], how: &How) -> Result<(Records<'a>, Header), Refused> {
    let too_large = || Refused::new("too-large", "", 0);
    let (mut records, mut header) = (Records::default(), Header::default());
    let mut fields = 0;
    let mut reader = Reader::new(message);
    let (mut broken, mut whole) = (false, true);
    while !reader.is_done() {
        if fields >= how.records {
            return Err(too_large());
        }
        fields += 1;
        let Ok((tag, octets, number)) = reader.field() else {
            whole = false;
            break;
        };
        match tag {
            SAMPLE_TYPE => {
                numbers::<2>(octets).map_or_else(|_| broken = true, |kind| header.types.extend(kind))
            }
            SAMPLE => records.samples.push(octets),
            MAPPING => records.mappings.push(octets),
            LOCATION => records.locations.push(octets),
            FUNCTION => records.functions.push(octets),
            STRING => records.strings.push(octets),
            PERIOD_TYPE => broken |= period_type(octets, &mut header.period_type).is_err(),
            COMMENTS => {
                fields += octets.len().saturating_sub(1);
                if fields > how.records {
                    return Err(too_large());
                }
                broken |= packed(octets, |comment| header.comments.push(comment)).is_err();
            }
            COMMENT => header.comments.push(number.cast_signed()),
            _ if tag & 7 == VARINT && matches!(tag >> 3, 7..=10 | 12 | 14 | 15) => {
                header.numbers[(tag >> 3) as usize] = number.cast_signed();
            }
            _ => {}
        }
    }
    let most = NUMBERS.saturating_mul(how.records);
    if message.len() > most && varints(&records.samples).max(varints(&records.locations)) > most {
        return Err(too_large());
    }
    if !whole && ends_early(message) {
        return Err(Refused::new("truncated", "", 0));
    }
    if broken || !whole {
        return Err(Malformed.into());
    }
    Ok((records, header))
}

/// Whether a message that cannot be read ends inside one of its fields.
fn ends_early(message: &[u8]) -> bool {
    let mut reader = Reader::new(message);
    loop {
        let before = reader.clone();
        if reader.field().is_err() {
            return before.ends_inside_a_field();
        }
    }
}

/// A message that is given twice is merged: of each field the last one counts.
fn period_type(message: &[u8], kind: &mut [i64; 2]) -> Result<(), Malformed> {
    let mut fields = Reader::new(message);
    while !fields.is_done() {
        let (tag, _, number) = fields.field()?;
        if tag == TYPE || tag == UNIT {
            kind[(tag >> 3) as usize - 1] = number.cast_signed();
        }
    }
    Ok(())
}

/// How many varints some records may hold: the last octet of each, and no other one, lacks the highest bit.
fn varints(records: &[&[u8]]) -> usize {
    records.iter().flat_map(|record| *record).filter(|&&octet| octet < 0x80).count()
}
