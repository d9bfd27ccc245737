//! Kafka's records as bytes (format 2): numbers of variable length, and a record's tail, which is its key, value and headers.
//!
//! What always holds: what is read is well-formed to the last byte, each number in its one shortest form, so that what is
//! written again is the same. Anything else ends in `None`, which says nothing about it. Nothing here can panic.

use std::ops::Range;

// A batch's head: base offset (8 bytes), length of what follows (4), the partition leader's epoch (4), magic (1), CRC-32C of
// what follows (4), attributes (2), last offset delta (4), first and greatest timestamp (8 each), producer's id (8), its epoch
// (2), base sequence (4), and number of records (4).
pub const LENGTH_AT: usize = 8;
pub const AFTER_LENGTH: usize = 12;
pub const MAGIC_AT: usize = 16;
pub const CRC_AT: usize = 17;
pub const AFTER_CRC: usize = 21;
pub const EPOCH_AND_SEQUENCE: usize = 6;
pub const HEAD_BYTES: usize = 61;
pub const MAGIC: u8 = 2;
pub const TRANSACTIONAL: i16 = 0x10;

/// Where the parts of a record stand. `headers`: their number and they themselves. `size`: the bytes of key, value, names and
/// values.
#[derive(Clone)]
pub struct Tail {
    pub key: Option<Range<usize>>,
    pub value: Option<Range<usize>>,
    pub headers: Range<usize>,
    pub size: usize,
}

impl Tail {
    /// From the first part to the last.
    pub fn all(&self) -> Range<usize> {
        let first = self.key.as_ref().or(self.value.as_ref()).unwrap_or(&self.headers);
        first.start..self.headers.end
    }

    /// The same parts, where the first begins at `start`.
    pub fn moved(&self, start: usize) -> Self {
        let before = self.all().start;
        let moved = |range: &Range<usize>| range.start - before + start..range.end - before + start;
        Tail {
            key: self.key.as_ref().map(moved),
            value: self.value.as_ref().map(moved),
            headers: moved(&self.headers),
            ..*self
        }
    }
}

/// What stands there; or null.
pub fn part<'a>(bytes: &'a [u8], range: &Option<Range<usize>>) -> Option<Option<&'a [u8]>> {
    match range {
        None => Some(None),
        Some(range) => bytes.get(range.clone()).map(Some),
    }
}

/// Reads from some place on.
pub struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    pub fn new(bytes: &'a [u8], at: usize) -> Self {
        Reader { bytes, at }
    }

    /// The place of what comes next.
    pub fn position(&self) -> usize {
        self.at
    }

    pub fn at_end(&self) -> bool {
        self.at == self.bytes.len()
    }

    pub fn byte(&mut self) -> Option<u8> {
        let byte = *self.bytes.get(self.at)?;
        self.at += 1;
        Some(byte)
    }

    /// So many bytes: they themselves.
    pub fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let range = self.take(N)?;
        self.bytes.get(range)?.try_into().ok()
    }

    /// A zig-zag varint of at most 64 bits.
    pub fn number(&mut self) -> Option<i64> {
        let mut folded = 0;
        let mut shift = 0;
        loop {
            let byte = self.byte()?;
            require(shift < 63 || byte <= 1)?;
            folded |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                require(byte > 0 || shift == 0)?;
                return Some((folded >> 1) as i64 ^ -((folded & 1) as i64));
            }
            shift += 7;
        }
    }

    /// So many bytes: where they stand.
    pub fn take(&mut self, length: usize) -> Option<Range<usize>> {
        let end = self.at.checked_add(length)?;
        require(end <= self.bytes.len())?;
        let start = std::mem::replace(&mut self.at, end);
        Some(start..end)
    }

    /// A length and so many bytes; of length -1: null.
    fn nullable(&mut self) -> Option<Option<Range<usize>>> {
        match self.number()? {
            -1 => Some(None),
            length => self.take(usize::try_from(length).ok()?).map(Some),
        }
    }

    pub fn tail(&mut self) -> Option<Tail> {
        let (key, value) = (self.nullable()?, self.nullable()?);
        let mut size = length(&key) + length(&value);
        let start = self.at;
        let count = self.number()?;
        require(count >= 0)?;
        for _ in 0..count {
            let (name, content) = self.header()?;
            size += name.len() + content.map_or(0, <[u8]>::len);
        }
        Some(Tail { key, value, headers: start..self.at, size })
    }

    fn header(&mut self) -> Option<(&'a str, Option<&'a [u8]>)> {
        let name = self.nullable()??;
        let name = std::str::from_utf8(self.bytes.get(name)?).ok()?;
        let content = part(self.bytes, &self.nullable()?)?;
        Some((name, content))
    }
}

/// The names and values of a record's headers.
pub struct Headers<'a> {
    reader: Reader<'a>,
    left: i64,
}

impl<'a> Headers<'a> {
    /// `bytes`: what a tail says are its headers.
    pub fn new(bytes: &'a [u8]) -> Self {
        let mut reader = Reader::new(bytes, 0);
        let left = reader.number().unwrap_or(0);
        Headers { reader, left }
    }
}

impl<'a> Iterator for Headers<'a> {
    type Item = (&'a str, Option<&'a [u8]>);

    fn next(&mut self) -> Option<Self::Item> {
        require(self.left > 0)?;
        self.left -= 1;
        self.reader.header()
    }
}

/// Writes a zig-zag varint.
pub fn number(out: &mut Vec<u8>, number: i64) {
    let mut folded = fold(number);
    while folded > 0x7f {
        out.push(folded as u8 | 0x80);
        folded >>= 7;
    }
    out.push(folded as u8);
}

/// How many bytes a zig-zag varint takes.
pub fn size(number: i64) -> usize {
    (70 - (fold(number) | 1).leading_zeros() as usize) / 7
}

/// Writes a record's tail: key, value, and the names and values of headers.
pub fn tail(out: &mut Vec<u8>, key: Option<&[u8]>, value: Option<&[u8]>, headers: &[(&[u8], Option<&[u8]>)]) {
    nullable(out, key);
    nullable(out, value);
    number(out, headers.len() as i64);
    for (name, content) in headers {
        nullable(out, Some(name));
        nullable(out, *content);
    }
}

fn nullable(out: &mut Vec<u8>, bytes: Option<&[u8]>) {
    number(out, bytes.map_or(-1, |bytes| bytes.len() as i64));
    out.extend_from_slice(bytes.unwrap_or(b""));
}

fn fold(number: i64) -> u64 {
    ((number << 1) ^ (number >> 63)) as u64
}

fn length(part: &Option<Range<usize>>) -> usize {
    part.as_ref().map_or(0, Range::len)
}

pub fn require(holds: bool) -> Option<()> {
    if holds {
        Some(())
    } else {
        None
    }
}
