//! The wire format of protobuf: <https://protobuf.dev/programming-guides/encoding/>.

/// The bytes are no protobuf message.
#[derive(Debug)]
pub struct Malformed;

/// The value of a field, as it is written.
pub enum Value<'a> {
    Varint(u64),
    Bytes(&'a [u8]),
    /// Eight or four bytes, which no field of a profile has.
    Fixed,
}

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
            0 => self.varint().is_err() && self.rest.len() < 10,
            1 | 5 => true,
            2 => self.varint().is_ok() || self.rest.len() < 10,
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
    fn bytes(&mut self) -> Result<&'a [u8], Malformed> {
        let size = usize::try_from(self.varint()?).map_err(|_| Malformed)?;
        self.pass(size)
    }

    #[inline]
    fn pass(&mut self, size: usize) -> Result<&'a [u8], Malformed> {
        let (head, rest) = self.rest.split_at_checked(size).ok_or(Malformed)?;
        self.rest = rest;
        Ok(head)
    }

    /// Return the next field's number and value. Groups, which are no more than history, are refused.
    #[inline]
    pub fn field(&mut self) -> Result<(u64, Value<'a>), Malformed> {
        let tag = self.varint()?;
        if tag < 8 || tag > u64::from(u32::MAX) {
            return Err(Malformed);
        }
        let value = match tag & 7 {
            0 => Value::Varint(self.varint()?),
            1 => self.pass(8).map(|_| Value::Fixed)?,
            2 => Value::Bytes(self.bytes()?),
            5 => self.pass(4).map(|_| Value::Fixed)?,
            _ => return Err(Malformed),
        };
        Ok((tag >> 3, value))
    }
}

/// Call `push` for each number of a repeated field, be it packed or not. Other values are passed over.
#[inline]
pub fn each(value: &Value, mut push: impl FnMut(i64)) -> Result<(), Malformed> {
    match value {
        Value::Varint(number) => push(number.cast_signed()),
        Value::Bytes(packed) => {
            let mut numbers = Reader::new(packed);
            while !numbers.is_done() {
                push(numbers.varint()?.cast_signed());
            }
        }
        Value::Fixed => {}
    }
    Ok(())
}

/// Read the fields 1 to `N` of a message that are single numbers; 0 if missing, the last one if given twice.
#[inline]
pub fn numbers<const N: usize>(message: &[u8]) -> Result<[i64; N], Malformed> {
    let mut found = [0; N];
    let mut fields = Reader::new(message);
    while !fields.is_done() {
        if let (field, Value::Varint(number)) = fields.field()?
            && let Some(slot) = usize::try_from(field - 1).ok().and_then(|place| found.get_mut(place))
        {
            *slot = number.cast_signed();
        }
    }
    Ok(found)
}
