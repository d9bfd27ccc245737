//! The egress guard: a second look at what is about to leave, after `cdc_masker.guard`.
//!
//! What always holds: it reads the encoded masked event anew, with code of its own, and shares none with what masked it. Where
//! the Python guard would find something, this one does, too; it may suspect more. A record that it suspects is given to
//! Python, whose guard decides.

use memchr::memmem;

/// What it is told about a column that is not kept, as `cdc_masker.guard.MaskedColumn` says.
pub struct Expected {
    pub changes: bool,
    pub numbers_change: bool,
    pub constant: Option<Vec<u8>>,
}

/// A raw row image: the name of its place, and all of its columns in their order.
pub struct Raw<'a> {
    pub place: &'a [u8],
    pub columns: Vec<Column<'a>>,
}

/// A column of a raw row: its name and text, what is expected if it is not kept, and whether it is left out of the masked row.
pub struct Column<'a> {
    pub name: &'a [u8],
    pub text: &'a [u8],
    pub expected: Option<&'a Expected>,
    pub dropped: bool,
}

/// A JSON text of so many bytes does not stand somewhere else by chance.
const LONG: usize = 16;

const SAYS_NOTHING: [&[u8]; 18] = [
    b"null",
    b"true",
    b"false",
    b"0",
    b"0.0",
    b"\"\"",
    b"[]",
    b"{}",
    b"\"{}\"",
    b"\"AA==\"",
    b"\"00000000-0000-0000-0000-000000000000\"",
    b"\"1970-01-01T00:00:00.000000Z\"",
    b"\"1970-01-01T00:00:00Z\"",
    b"\"1970-01-01Z\"",
    b"\"00:00:00Z\"",
    b"\"P0Y0M0DT0H0M0S\"",
    b"{\"scale\":0,\"value\":\"AA==\"}",
    b"{\"year\":1970,\"month\":1,\"day\":1,\"specialValue\":null}",
];
const MARKERS: [&[u8]; 4] = [
    b"__debezium_unavailable_value",
    b"X19kZWJleml1bV91bmF2YWlsYWJsZV92YWx1ZQ==",
    b"[95,95,100,101,98,101,122,105,117,109,95,117,110,97,118,97,105,108,97,98,108,101,95,118,97,108,117,101]",
    b"[\"b68a35a7-17ad-35b3-af2a-ae46edb4545a\"]",
];

/// Whether the masked record may show what it must not. `value` is the masked value, in which the text of `schema` is embedded
/// where there is one; `around` are the key and the values of headers.
pub fn suspects(value: &[u8], schema: Option<&[u8]>, around: &[&[u8]], rows: &[Raw]) -> bool {
    let payload = match schema {
        None => Some(value),
        Some(schema) => unwrapped(value, schema),
    };
    match payload.and_then(members) {
        Some(shown) => look(&shown, around, rows).is_none(),
        None => true,
    }
}

/// Nothing, if anything is to be suspected.
fn look(shown: &[(&[u8], &[u8])], around: &[&[u8]], rows: &[Raw]) -> Option<()> {
    let mut everything = around.join(&b'\n');
    let mut long = Vec::new();
    for row in rows {
        let fields = members(sole(shown, row.place)?)?;
        let mut fields = fields.iter();
        for Column { name, text, expected, dropped } in &row.columns {
            let mut masked = None;
            if !dropped {
                let (found, content) = fields.next()?;
                if found != name {
                    return None; // not the row that was meant
                }
                masked = Some(*content);
            }
            let expected = match expected {
                Some(expected) => expected,
                None => continue, // as Rust 1.63 has no let-else
            };
            if let Some(masked) = masked {
                everything.push(b'\n');
                everything.extend_from_slice(masked);
            }
            if SAYS_NOTHING.contains(text) || expected.constant.as_deref() == Some(*text) {
                continue;
            }
            let number = matches!(text.first(), Some(b'-' | b'0'..=b'9'));
            if number && !expected.numbers_change {
                continue;
            }
            if masked == Some(*text) && !is_marker(text) {
                if expected.changes {
                    return None;
                }
                continue;
            }
            if text.len() >= LONG {
                long.push(if number { *text } else { text.get(1..text.len() - 1)? });
            }
        }
        if fields.next().is_some() {
            return None;
        }
    }
    let seen = Seen::of(&everything);
    let found = long
        .iter()
        .any(|content| seen.may_hold(content) && memmem::find(&everything, content).is_some() && !is_marker(content));
    if found {
        None
    } else {
        Some(())
    }
}

/// Which runs of four bytes stand in a text, give or take a few: most texts that are not in it are told apart by their first.
struct Seen([u64; 128]);

impl Seen {
    fn of(text: &[u8]) -> Self {
        let mut seen = Seen([0; 128]);
        for run in text.windows(4) {
            let (word, bit) = Self::place(run);
            if let Some(word) = seen.0.get_mut(word) {
                *word |= bit;
            }
        }
        seen
    }

    fn may_hold(&self, text: &[u8]) -> bool {
        text.chunks_exact(4).all(|run| {
            let (word, bit) = Self::place(run);
            self.0.get(word).map_or(true, |word| word & bit != 0)
        })
    }

    fn place(run: &[u8]) -> (usize, u64) {
        let run = <[u8; 4]>::try_from(run).map_or(0, u32::from_le_bytes);
        let hash = run.wrapping_mul(0x9E37_79B1) >> 19; // 13 bits
        ((hash >> 6) as usize, 1 << (hash & 63))
    }
}

fn is_marker(text: &[u8]) -> bool {
    MARKERS.iter().any(|marker| memmem::find(text, marker).is_some())
}

/// The value of the one member of that name.
fn sole<'a>(members: &[(&[u8], &'a [u8])], wanted: &[u8]) -> Option<&'a [u8]> {
    let mut found = members.iter().filter(|(name, _)| *name == wanted);
    match (found.next(), found.next()) {
        (Some((_, value)), None) => Some(value),
        _ => None,
    }
}

fn unwrapped<'a>(value: &'a [u8], schema: &[u8]) -> Option<&'a [u8]> {
    value.strip_prefix(b"{\"schema\":")?.strip_prefix(schema)?.strip_prefix(b",\"payload\":")?.strip_suffix(b"}")
}

/// The members of an object in compact JSON: the text between the quotes of each name, and that of each value.
fn members(object: &[u8]) -> Option<Vec<(&[u8], &[u8])>> {
    let mut rest = object.strip_prefix(b"{")?;
    let mut found = Vec::with_capacity(32);
    while rest != b"}" {
        if !found.is_empty() {
            rest = rest.strip_prefix(b",")?;
        }
        rest = rest.strip_prefix(b"\"")?;
        let (name, behind) = split(rest, closing_quote(rest)?)?;
        let value = behind.strip_prefix(b"\":")?;
        let (text, others) = split(value, end_of_value(value)?)?;
        found.push((name, text));
        rest = others;
    }
    Some(found)
}

fn split(text: &[u8], at: usize) -> Option<(&[u8], &[u8])> {
    Some((text.get(..at)?, text.get(at..)?))
}

/// Where a string ends whose opening quote has been taken off.
fn closing_quote(text: &[u8]) -> Option<usize> {
    let mut at = 0;
    loop {
        at += memchr::memchr2(b'"', b'\\', text.get(at..)?)?;
        if text.get(at) == Some(&b'"') {
            return Some(at);
        }
        at += 2;
    }
}

/// Where a value ends: at the comma or bracket behind it.
fn end_of_value(text: &[u8]) -> Option<usize> {
    let (mut at, mut open) = (0, 0usize);
    loop {
        match text.get(at)? {
            b'"' => at += closing_quote(text.get(at + 1..)?)? + 1,
            b'{' | b'[' => open += 1,
            b',' if open == 0 => return Some(at),
            b'}' | b']' => match open.checked_sub(1) {
                Some(fewer) => open = fewer,
                None => return Some(at),
            },
            _ => {}
        }
        at += 1;
    }
}
