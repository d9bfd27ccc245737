//! A change event of Debezium's as it writes it: members in its order, declared names only.
//!
//! What always holds: an event that is read here comes out byte by byte as it came in when the Python core decodes it and
//! writes it again, but for its row images. So the text around the images is copied.

use crate::json::{Member, Scanner};
use crate::wire::require;

/// What stands before the schema in a text that embeds one, and between that and the payload.
pub const SCHEMA: &[u8] = b"{\"schema\":";
pub const PAYLOAD: &[u8] = b",\"payload\":";

/// A row image: where its text begins and ends in the payload, and its columns.
pub struct Image<'a> {
    pub start: usize,
    pub end: usize,
    pub row: Vec<Member<'a>>,
}

/// A change of one row. Names are those of PostgreSQL, without escapes.
pub struct Event<'a> {
    pub server: &'a [u8],
    pub schema: &'a [u8],
    pub table: &'a [u8],
    pub before: Option<Image<'a>>,
    pub after: Option<Image<'a>>,
}

enum Kind {
    Text,
    OptionalText,
    OptionalInteger,
}

use Kind::{OptionalInteger, OptionalText, Text};

// As `cdc_masker.envelope.Source` declares them.
const NAME: &[u8] = b"\"name\":";
const SCHEMA_NAME: &[u8] = b"\"schema\":";
const TABLE: &[u8] = b"\"table\":";
const SOURCE: [(&[u8], Kind); 16] = [
    (b"\"version\":", Text),
    (b"\"connector\":", Text),
    (NAME, Text),
    (b"\"ts_ms\":", OptionalInteger),
    (b"\"snapshot\":", OptionalText),
    (b"\"db\":", Text),
    (b"\"sequence\":", OptionalText),
    (b"\"ts_us\":", OptionalInteger),
    (b"\"ts_ns\":", OptionalInteger),
    (SCHEMA_NAME, Text),
    (TABLE, Text),
    (b"\"txId\":", OptionalInteger),
    (b"\"lsn\":", OptionalInteger),
    (b"\"xmin\":", OptionalInteger),
    (b"\"origin\":", OptionalText),
    (b"\"origin_lsn\":", OptionalInteger),
];
const TIMES: [&[u8]; 3] = [b"\"ts_ms\":", b"\"ts_us\":", b"\"ts_ns\":"];
const OPERATIONS: [&[u8]; 4] = [b"\"c\"", b"\"u\"", b"\"d\"", b"\"r\""];

/// The event that a payload is, if it is one of a row.
pub fn read(payload: &[u8]) -> Option<Event<'_>> {
    let mut scanner = Scanner::new(payload);
    let mut first = true;
    require(scanner.take(b"{"))?;
    let mut images = [None, None];
    for (image, label) in images.iter_mut().zip([b"\"before\":" as &[u8], b"\"after\":"]) {
        if scanner.take_member(&mut first, label) && !scanner.take(b"null") {
            let start = scanner.position();
            let row = scanner.row()?;
            *image = Some(Image { start, end: scanner.position(), row });
        }
    }
    require(scanner.take_member(&mut first, b"\"source\":"))?;
    let (server, schema, table) = source(&mut scanner)?;
    if scanner.take_member(&mut first, b"\"transaction\":") {
        transaction(&mut scanner)?;
    }
    require(scanner.take_member(&mut first, b"\"op\":"))?;
    require(OPERATIONS.iter().any(|operation| scanner.take(operation)))?;
    for label in TIMES {
        if scanner.take_member(&mut first, label) {
            optional_integer(&mut scanner)?;
        }
    }
    require(scanner.take(b"}") && scanner.at_end())?;
    let [before, after] = images;
    require(before.is_some() || after.is_some())?;
    Some(Event { server, schema, table, before, after })
}

fn source<'a>(scanner: &mut Scanner<'a>) -> Option<(&'a [u8], &'a [u8], &'a [u8])> {
    let (mut server, mut schema, mut table) = (None, None, None);
    let mut first = true;
    require(scanner.take(b"{"))?;
    for (label, kind) in &SOURCE {
        if !scanner.take_member(&mut first, label) {
            continue;
        }
        match *label {
            NAME => server = Some(scanner.name()?),
            SCHEMA_NAME => schema = Some(scanner.name()?),
            TABLE => table = Some(scanner.name()?),
            _ => match kind {
                Text => scanner.text().map(drop)?,
                OptionalText => {
                    if !scanner.take(b"null") {
                        scanner.text()?;
                    }
                }
                OptionalInteger => optional_integer(scanner)?,
            },
        }
    }
    require(scanner.take(b"}"))?;
    Some((server?, schema?, table?))
}

fn transaction(scanner: &mut Scanner) -> Option<()> {
    if scanner.take(b"null") {
        return Some(());
    }
    require(scanner.take(b"{\"id\":"))?;
    scanner.text()?;
    require(scanner.take(b",\"total_order\":"))?;
    scanner.integer()?;
    require(scanner.take(b",\"data_collection_order\":"))?;
    scanner.integer()?;
    require(scanner.take(b"}"))
}

fn optional_integer(scanner: &mut Scanner) -> Option<()> {
    if !scanner.take(b"null") {
        scanner.integer()?;
    }
    Some(())
}
