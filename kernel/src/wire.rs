//! The wire format of protobuf: <https://protobuf.dev/programming-guides/encoding/>.

/// The bytes are no protobuf message.
#[derive(Debug)]
pub struct Malformed;

pub const VARINT: u64 = 0;
const BYTES: u64 = 2;

/// Reads one message field by field.
#[derive(Clone)]
pub struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    pub fn new(message: &'a [u8]) -> Self {
        Self { rest: message }
    }

    /// Whether the message ends inside its next field, rather than holding something that is none.
    pub fn ends_inside_a_field(mut self) -> bool {
        let Ok(tag) = self.varint() else { return self.rest.len() < 10 };
        match tag & 7 {
            _ if tag < 8 => false,
            VARINT => self.varint().is_err() && self.rest.len() < 10,
            1 | 5 => true,
            BYTES => self.varint().is_ok() || self.rest.len() < 10,
            _ => false,
        }
    }

    pub fn is_done(&self) -> bool {
        self.rest.is_empty()
    }

    #[inline]
    pub fn varint(&mut self) -> Result<u64, Malformed> {
        match *self.rest {
            [first, ref rest @ ..] if first < 0x80 => {
                self.rest = rest;
                Ok(u64::from(first))
            }
            [first, second, ref rest @ ..] if second < 0x80 => {
                self.rest = rest;
                Ok(u64::from(first & 0x7f) | u64::from(second) << 7)
            }
            _ => self.long_varint(),
        }
    }

    fn long_varint(&mut self) -> Result<u64, Malformed> {
        if let Some(word) = self.rest.first_chunk() {
            // Eight octets at once: the last one of the number is the first without the highest bit.
            let word = u64::from_le_bytes(*word);
            let last = (!word & 0x8080_8080_8080_8080).trailing_zeros();
            if last < 64 {
                let octets = word & (u64::MAX >> (63 - last)) & 0x7f7f_7f7f_7f7f_7f7f;
                let pairs = octets & 0x007f_007f_007f_007f | (octets & 0x7f00_7f00_7f00_7f00) >> 1;
                let fours = pairs & 0x0000_3fff_0000_3fff | (pairs & 0x3fff_0000_3fff_0000) >> 2;
                self.rest = &self.rest[last as usize / 8 + 1..];
                return Ok(fours & 0x0fff_ffff | (fours & 0x0fff_ffff_0000_0000) >> 4);
            }
        }
        let mut number = 0;
        for (place, &octet) in self.rest.iter().take(10).enumerate() {
            number |= u64::from(octet & 0x7f) << (7 * place);
            if octet < 0x80 {
                self.rest = &self.rest[place + 1..];
                return Ok(number);
            }
        }
        Err(Malformed)
    }

    #[inline]
    pub fn bytes(&mut self) -> Result<&'a [u8], Malformed> {
        let size = usize::try_from(self.varint()?).map_err(|_| Malformed)?;
        self.pass(size)
    }

    #[inline]
    fn pass(&mut self, size: usize) -> Result<&'a [u8], Malformed> {
        let (head, rest) = self.rest.split_at_checked(size).ok_or(Malformed)?;
        self.rest = rest;
        Ok(head)
    }

    /// Return the next field's tag: its number, and how its value is written.
    #[inline]
    pub fn tag(&mut self) -> Result<u64, Malformed> {
        let tag = self.varint()?;
        if (8..=u64::from(u32::MAX)).contains(&tag) { Ok(tag) } else { Err(Malformed) }
    }

    /// Return the next field's tag, and its octets or its number.
    #[inline]
    pub fn field(&mut self) -> Result<(u64, &'a [u8], u64), Malformed> {
        let tag = self.tag()?;
        match tag & 7 {
            VARINT => Ok((tag, &[], self.varint()?)),
            BYTES => Ok((tag, self.bytes()?, 0)),
            _ => self.skip(tag).map(|()| (tag, &[][..], 0)),
        }
    }

    /// Pass over the value of a field. Groups, which are no more than history, are refused.
    pub fn skip(&mut self, tag: u64) -> Result<(), Malformed> {
        match tag & 7 {
            VARINT => self.varint().map(drop),
            1 => self.pass(8).map(drop),
            BYTES => self.bytes().map(drop),
            5 => self.pass(4).map(drop),
            _ => Err(Malformed),
        }
    }
}

/// The tag of a field that is a number.
pub const fn number(field: u64) -> u64 {
    field << 3 | VARINT
}

/// The tag of a field that is a text, a message, or packed numbers.
pub const fn octets(field: u64) -> u64 {
    field << 3 | BYTES
}

/// Call `push` for each of some packed numbers.
#[inline]
pub fn packed(octets: &[u8], mut push: impl FnMut(i64)) -> Result<(), Malformed> {
    let mut numbers = Reader::new(octets);
    while !numbers.is_done() {
        push(numbers.varint()?.cast_signed());
    }
    Ok(())
}

/// Read the fields 1 to `N` of a message that are single numbers; 0 if missing, the last one if given twice.
#[inline]
pub fn numbers<const N: usize>(message: &[u8]) -> Result<[i64; N], Malformed> {
    let mut found = [0; N];
    let mut fields = Reader::new(message);
    while !fields.is_done() {
        let tag = fields.tag()?;
        match found.get_mut((tag >> 3) as usize - 1) {
            Some(slot) if tag & 7 == VARINT => *slot = fields.varint()?.cast_signed(),
            _ => fields.skip(tag)?,
        }
    }
    Ok(found)
}
