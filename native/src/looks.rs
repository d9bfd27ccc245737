//! What records look like, and the plans that Python made for each look.
//!
//! What always holds: a plan is used only for records of the look that Python was asked about, compared by exact bytes: the
//! topic, the table's names, the names or the schema of the key, the names or the schema of the row. What is kept is bounded;
//! when there is more, it begins anew.

use crate::envelope::{Event, PAYLOAD, SCHEMA};
use crate::json::{Member, Scanner};
use crate::plans::{Row, RowPlan};
use crate::stop::{mine, require, Mine};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::PyBytes;
use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// What all looks may take together, some 20,000 columns of them.
const MOST_BYTES: usize = 32 << 20;
/// What each takes, beside the bytes that it is found by, which are kept twice, and its plans.
const LOOK_BYTES: usize = 1600;

/// An embedded schema, by its exact text.
pub struct Schema {
    id: u64,
    text: Vec<u8>,
}

/// The key of a record: the schema where one is embedded, and its columns.
pub struct Key<'a> {
    pub schema: Option<Arc<Schema>>,
    pub row: Vec<Member<'a>>,
}

/// What a record is about. `event` is None where the table is not known.
#[derive(Clone, Copy)]
pub struct About<'a> {
    pub topic: &'a str,
    pub event: Option<&'a Event<'a>>,
    pub key: Option<&'a Key<'a>>,
}

/// A table, or a topic where the table is not known, with the columns of the key: its plan and masked schema, if there is a key.
pub struct Place {
    id: u64,
    pub key: Option<Arc<RowPlan>>,
    pub schema: Option<Vec<u8>>,
}

/// What is done to events with one embedded schema.
pub struct Described {
    pub before: Option<Arc<RowPlan>>,
    pub after: Option<Arc<RowPlan>>,
    pub schema: Vec<u8>,
}

impl Described {
    /// The plan of the row image at that place.
    pub fn image(&self, name: &str) -> Option<&Arc<RowPlan>> {
        if name == "before" { &self.before } else { &self.after }.as_ref()
    }
}

/// All looks that were learned. `teacher` makes plans for new ones.
pub struct Looks {
    teacher: Py<PyAny>,
    schemas: Learned<Arc<Schema>>,
    places: Learned<Arc<Place>>,
    rows: Learned<Arc<RowPlan>>,
    described: Learned<Arc<Described>>,
    ids: AtomicU64,
    bytes: AtomicUsize,
}

/// What the records before this one looked like: most often this one looks the same.
#[derive(Default)]
pub struct Recent {
    pub key_schema: Option<Arc<Schema>>,
    pub value_schema: Option<Arc<Schema>>,
    place: Option<(Vec<u8>, Arc<Place>)>,
    rows: Option<(Vec<u8>, Arc<RowPlan>)>,
    described: Option<(Vec<u8>, Arc<Described>)>,
}

impl Looks {
    pub fn new(teacher: Py<PyAny>) -> Self {
        Looks {
            teacher,
            schemas: Learned::new(),
            places: Learned::new(),
            rows: Learned::new(),
            described: Learned::new(),
            ids: AtomicU64::new(0),
            bytes: AtomicUsize::new(0),
        }
    }

    /// Begins anew when there is too much.
    pub fn bound(&self) {
        if self.bytes.load(Ordering::Relaxed) > MOST_BYTES {
            self.bytes.store(0, Ordering::Relaxed);
            self.schemas.forget();
            self.places.forget();
            self.rows.forget();
            self.described.forget();
        }
    }

    /// The schema that is embedded in a text, if one is, and the payload. The text is UTF-8 then.
    pub fn unwrap<'a>(&self, text: &'a [u8], recent: &mut Option<Arc<Schema>>) -> Option<(Option<Arc<Schema>>, &'a [u8])> {
        let inside = match text.strip_prefix(SCHEMA) {
            Some(inside) if inside.starts_with(b"{") => inside,
            _ => {
                std::str::from_utf8(text).ok()?;
                return Some((None, text));
            }
        };
        let known = recent.as_ref().and_then(|schema| Some((Arc::clone(schema), payload(inside, &schema.text)?)));
        let (schema, wrapped) = match known {
            Some(known) => known,
            None => {
                std::str::from_utf8(inside).ok()?;
                let schema = self.schema(Scanner::new(inside).value(1)?);
                let wrapped = payload(inside, &schema.text)?;
                *recent = Some(Arc::clone(&schema));
                (schema, wrapped)
            }
        };
        std::str::from_utf8(wrapped).ok()?;
        Some((Some(schema), wrapped))
    }

    fn schema(&self, text: &[u8]) -> Arc<Schema> {
        self.schemas.get(text).unwrap_or_else(|| {
            let schema = Arc::new(Schema { id: self.id(), text: text.to_vec() });
            self.count(text, 0);
            self.schemas.keep(text.to_vec(), Arc::clone(&schema));
            schema
        })
    }

    /// The key's plan, and what plans of rows are found by.
    /// `python` gives Python, or says that it may not be asked.
    pub fn place<'py>(
        &self,
        python: impl Fn() -> Mine<Python<'py>>,
        recent: &mut Recent,
        about: About<'_>,
    ) -> Mine<Arc<Place>> {
        let mut look = Vec::with_capacity(256);
        look.extend_from_slice(&about.topic.len().to_be_bytes());
        look.extend_from_slice(about.topic.as_bytes());
        if let Some(event) = about.event {
            for name in [event.server, event.schema, event.table] {
                look.push(1);
                look.extend_from_slice(name); // which no control character is in
            }
        }
        if let Some(key) = about.key {
            write_names(&mut look, &key.row);
            if let Some(schema) = &key.schema {
                look.push(3);
                look.extend_from_slice(&schema.id.to_be_bytes());
            }
        }
        self.places.recall(&mut recent.place, look, |look| {
            let (key, schema) = match about.key {
                None => (None, None),
                Some(key) => {
                    let py = python()?;
                    let schema = key.schema.as_ref().map(|schema| PyBytes::new(py, &schema.text));
                    let asked = (about.topic, about.table()?, names(&key.row)?, schema);
                    let learned = self.teacher.bind(py).call_method1(intern!(py, "key"), asked)?;
                    let (row, schema): (Py<Row>, Option<Vec<u8>>) = mine(learned.extract()?)?;
                    (Some(Arc::clone(&row.get().0)), schema)
                }
            };
            self.count(look, schema.as_ref().map_or(0, Vec::len) + key.as_ref().map_or(0, |plan| plan.size()));
            Ok(Arc::new(Place { id: self.id(), key, schema }))
        })
    }

    /// The plan of a row of which only the names of the columns are known.
    pub fn row<'py>(
        &self,
        python: impl Fn() -> Mine<Python<'py>>,
        recent: &mut Recent,
        place: &Place,
        about: About<'_>,
        row: &[Member<'_>],
    ) -> Mine<Arc<RowPlan>> {
        let mut look = Vec::with_capacity(512);
        look.extend_from_slice(&place.id.to_be_bytes());
        write_names(&mut look, row);
        self.rows.recall(&mut recent.rows, look, |look| {
            let py = python()?;
            let asked = (about.topic, about.table()?, about.key_names()?, names(row)?);
            let learned = self.teacher.bind(py).call_method1(intern!(py, "row"), asked)?;
            let learned: Py<Row> = mine(learned.extract()?)?;
            let plan = Arc::clone(&learned.get().0);
            require(plan.fits(row))?;
            self.count(look, plan.size());
            Ok(plan)
        })
    }

    /// The plans of the rows of an event with that schema.
    pub fn described<'py>(
        &self,
        python: impl Fn() -> Mine<Python<'py>>,
        recent: &mut Recent,
        place: &Place,
        about: About<'_>,
        schema: &Schema,
    ) -> Mine<Arc<Described>> {
        let mut look = Vec::with_capacity(16);
        look.extend_from_slice(&place.id.to_be_bytes());
        look.extend_from_slice(&schema.id.to_be_bytes());
        self.described.recall(&mut recent.described, look, |look| {
            let py = python()?;
            let asked = (about.topic, about.table()?, about.key_names()?, PyBytes::new(py, &schema.text));
            let learned = self.teacher.bind(py).call_method1(intern!(py, "event"), asked)?;
            let (before, after, schema): (Option<Py<Row>>, Option<Py<Row>>, Vec<u8>) = mine(learned.extract()?)?;
            let [before, after] = [before, after].map(|row| row.map(|row| Arc::clone(&row.get().0)));
            self.count(look, schema.len() + before.iter().chain(&after).map(|plan| plan.size()).sum::<usize>());
            Ok(Arc::new(Described { before, after, schema }))
        })
    }

    fn id(&self) -> u64 {
        self.ids.fetch_add(1, Ordering::Relaxed)
    }

    fn count(&self, look: &[u8], bytes: usize) {
        self.bytes.fetch_add(LOOK_BYTES + 2 * look.len() + bytes, Ordering::Relaxed);
    }
}

impl<'a> About<'a> {
    /// Server, schema and table, where they are known.
    fn table(&self) -> Mine<Option<(&'a str, &'a str, &'a str)>> {
        let text = |name| mine(std::str::from_utf8(name).ok());
        self.event.map(|event| Ok((text(event.server)?, text(event.schema)?, text(event.table)?))).transpose()
    }

    fn key_names(&self) -> Mine<Vec<&'a str>> {
        self.key.map_or_else(|| Ok(Vec::new()), |key| names(&key.row))
    }
}

/// Plans, or whatever else was learned, by the bytes that they were made for.
struct Learned<T>(Mutex<HashMap<Vec<u8>, T>>);

impl<T: Clone> Learned<T> {
    fn new() -> Self {
        Learned(Mutex::new(HashMap::new()))
    }

    /// No Python runs while it is locked.
    fn lock(&self) -> MutexGuard<'_, HashMap<Vec<u8>, T>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn get(&self, look: &[u8]) -> Option<T> {
        self.lock().get(look).cloned()
    }

    fn keep(&self, look: Vec<u8>, learned: T) {
        let before = self.lock().insert(look, learned);
        drop(before); // unlocked, since dropping what Python gave may run Python
    }

    fn forget(&self) {
        let all = std::mem::take(&mut *self.lock());
        drop(all);
    }

    /// What is known of this look: most often what was asked for last, else what is kept, else what is learned now.
    fn recall(&self, recent: &mut Option<(Vec<u8>, T)>, look: Vec<u8>, learn: impl FnOnce(&[u8]) -> Mine<T>) -> Mine<T> {
        if let Some((_, known)) = recent.as_ref().filter(|(of, _)| *of == look) {
            return Ok(known.clone());
        }
        let known = match self.get(&look) {
            Some(known) => known,
            None => {
                let learned = learn(&look)?;
                self.keep(look.clone(), learned.clone());
                learned
            }
        };
        *recent = Some((look, known.clone()));
        Ok(known)
    }
}

/// The payload, if `inside` is this schema with a payload behind it.
fn payload<'a>(inside: &'a [u8], schema: &[u8]) -> Option<&'a [u8]> {
    inside.strip_prefix(schema)?.strip_prefix(PAYLOAD)?.strip_suffix(b"}")
}

/// Names, each behind a control character, which no name has.
fn write_names(look: &mut Vec<u8>, row: &[Member<'_>]) {
    for member in row {
        look.push(2);
        look.extend_from_slice(member.name);
    }
}

/// The names, none of which may stand twice: Python refuses such a row before it makes a plan.
fn names<'a>(row: &[Member<'a>]) -> Mine<Vec<&'a str>> {
    let distinct: HashSet<&[u8]> = row.iter().map(|member| member.name).collect();
    require(distinct.len() == row.len())?;
    row.iter().map(|member| mine(std::str::from_utf8(member.name).ok())).collect()
}
