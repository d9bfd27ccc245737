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

/// Finds where a row image may begin. In a box, since finders are aligned as Python aligns none of its objects.
pub struct Images(Box<[memmem::Finder<'static>; 2]>);

impl Images {
    pub fn new() -> Self {
        Images(Box::new([memmem::Finder::new(b"\"before\":"), memmem::Finder::new(b"\"after\":")]))
    }

    fn any_in(&self, text: &[u8]) -> bool {
        self.0.iter().any(|image| image.find(text).is_some())
    }
}

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
/// where there is one; `around` are the key and the values of headers. `rows` are in the order in which they stand in it.
pub fn suspects(images: &Images, value: &[u8], schema: Option<&[u8]>, around: &[&[u8]], rows: &[Raw]) -> bool {
    let payload = match schema {
        None => Some(value),
        Some(schema) => unwrapped(value, schema),
    };
    payload.and_then(|payload| look(images, payload, around, rows)).is_none()
}

/// Nothing, if anything is to be suspected.
fn look(images: &Images, payload: &[u8], around: &[&[u8]], rows: &[Raw]) -> Option<()> {
    let mut reader = Reader { rest: payload };
    let mut everything = Vec::with_capacity(payload.len());
    for part in around {
        everything.extend_from_slice(part);
        everything.push(b'\n');
    }
    let mut long = Vec::new();
    let mut before = b"{";
    for row in rows {
        reader.take(before)?;
        while reader.name()? != row.place {
            reader.take(b"null,")?; // the image that this event has not
        }
        before = b"{";
        for Column { name, text, expected, dropped } in &row.columns {
            let mut masked = None;
            if !dropped {
                reader.take(before)?;
                before = b",";
                reader.named(name)?; // else it is not the row that was meant
                masked = Some(reader.value()?);
            }
            let expected = match expected {
                Some(expected) => expected,
                None => continue, // as Rust 1.63 has no let-else
            };
            if let Some(masked) = masked {
                everything.extend_from_slice(masked);
                everything.push(b'\n');
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
        if before == b"{" {
            reader.take(b"{")?; // all columns were dropped
        }
        reader.take(b"}")?;
        before = b",";
    }
    let rest = reader.rest.strip_prefix(b",\"after\":null").unwrap_or(reader.rest);
    if !rest.starts_with(b",\"") || images.any_in(rest) {
        return None; // it goes on as no event does, or with another row than those that were looked at
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

/// Which runs of `RUN` bytes stand at every `STEP`th place of a text, give or take a few. Of `STEP` runs that follow each other
/// in a text one stands at such a place, so most contents that are not in the text are told by their first runs.
struct Seen([u64; 64]);

const RUN: usize = 4;
const STEP: usize = 8;

impl Seen {
    fn of(text: &[u8]) -> Self {
        let mut seen = Seen([0; 64]);
        for run in text.windows(RUN).step_by(STEP) {
            let (word, bit) = Self::place(run);
            if let Some(word) = seen.0.get_mut(word) {
                *word |= bit;
            }
        }
        seen
    }

    /// Whether a content of at least `RUN + STEP - 1` bytes may stand in the text.
    fn may_hold(&self, content: &[u8]) -> bool {
        content.windows(RUN).zip(0..STEP).any(|(run, at)| {
            // The next such place may lie in the content, too: a masked text often has the first characters of the raw one.
            self.holds(run) && content.get(at + STEP..at + STEP + RUN).map_or(true, |next| self.holds(next))
        })
    }

    fn holds(&self, run: &[u8]) -> bool {
        let (word, bit) = Self::place(run);
        self.0.get(word).map_or(true, |word| word & bit != 0)
    }

    fn place(run: &[u8]) -> (usize, u64) {
        let run = <[u8; RUN]>::try_from(run).map_or(0, u32::from_le_bytes);
        let hash = run.wrapping_mul(0x9E37_79B1) >> 20; // 12 bits
        ((hash >> 6) as usize, 1 << (hash & 63))
    }
}

fn is_marker(text: &[u8]) -> bool {
    MARKERS.iter().any(|marker| memmem::find(text, marker).is_some())
}

fn unwrapped<'a>(value: &'a [u8], schema: &[u8]) -> Option<&'a [u8]> {
    value.strip_prefix(b"{\"schema\":")?.strip_prefix(schema)?.strip_prefix(b",\"payload\":")?.strip_suffix(b"}")
}

/// Reads compact JSON, member by member.
struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    fn take(&mut self, expected: &[u8]) -> Option<()> {
        self.rest = self.rest.strip_prefix(expected)?;
        Some(())
    }

    /// The text between the quotes of a member's name.
    fn name(&mut self) -> Option<&'a [u8]> {
        self.take(b"\"")?;
        let name = self.until(closing_quote(self.rest)?)?;
        self.take(b"\":")?;
        Some(name)
    }

    /// Takes the name of a member, which has to be this one.
    fn named(&mut self, name: &[u8]) -> Option<()> {
        self.take(b"\"")?;
        self.take(name)?;
        self.take(b"\":")
    }

    /// The text of a value.
    fn value(&mut self) -> Option<&'a [u8]> {
        self.until(end_of_value(self.rest)?)
    }

    fn until(&mut self, at: usize) -> Option<&'a [u8]> {
        let (text, rest) = (self.rest.get(..at)?, self.rest.get(at..)?);
        self.rest = rest;
        Some(text)
    }
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

/// Where a value ends. Whoever reads on finds what stands behind it, space and all.
fn end_of_value(text: &[u8]) -> Option<usize> {
    match text.first()? {
        b'"' => Some(closing_quote(text.get(1..)?)? + 2),
        b'{' | b'[' => closing_bracket(text),
        _ => text.iter().position(|byte| !matches!(byte, b'-' | b'+' | b'.' | b'0'..=b'9' | b'A'..=b'Z' | b'a'..=b'z')),
    }
}

/// Behind the bracket that closes the first one.
fn closing_bracket(text: &[u8]) -> Option<usize> {
    let (mut at, mut open) = (0, 0usize);
    loop {
        match text.get(at)? {
            b'"' => at += closing_quote(text.get(at + 1..)?)? + 1,
            b'{' | b'[' => open += 1,
            b'}' | b']' => open -= 1,
            _ => {}
        }
        at += 1;
        if open == 0 {
            return Some(at);
        }
    }
}
