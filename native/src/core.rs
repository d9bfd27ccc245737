//! The core: records go in, what is published of them comes out; or the places of those that Python has to mask.
//!
//! What always holds: a record is masked here only if all of it is as Debezium and Kafka Connect write it, its look is one that
//! Python made a plan for, and every value is one that its cell takes. What comes out then is what Python would publish. For
//! any other record nothing is published and nothing is said but "not mine", so that Python tells the story.

use crate::envelope::{self, Image, PAYLOAD, SCHEMA};
use crate::guard::{self, Raw};
use crate::json::{Member, Scanner};
use crate::leaf;
use crate::looks::{About, Key, Looks, Place, Recent};
use crate::plans::{Action, RowPlan};
use crate::stop::{mine, require, Mine, Stop};
use crate::taken::{bytes, tell, Taken};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyList, PyString, PyTuple};
use std::collections::HashSet;
use std::io::Write;
use std::sync::Arc;

/// Kafka's own bytes around a record, as in `cdc_masker.pipeline`.
const FRAMING_BYTES: usize = 128;
const KEY_HEADERS: [&str; 2] = ["__debezium.newkey", "__debezium.oldkey"];

/// Masks records under one policy.
///
/// `teacher` makes plans, `context` the context of a record. `header` is the name of the header that each record gets, and
/// `made_by` the end of what stands in it. `headers` are let through, `excluded` are topics that Python masks, `unchanged` the
/// markers of large values that a change did not touch.
#[pyclass(frozen, module = "cdc_masker_native")]
pub struct Core {
    looks: Looks,
    context: Py<PyAny>,
    header: Py<PyString>,
    made_by: String,
    headers: HashSet<String>,
    excluded: HashSet<String>,
    unchanged: Vec<Vec<u8>>,
    most_bytes: usize,
    guard_every: i64,
}

#[pymethods]
impl Core {
    #[new]
    #[allow(clippy::too_many_arguments)] // all of them named
    #[pyo3(signature = (teacher, context, *, header, made_by, headers, excluded, unchanged, max_record_bytes, guard_every))]
    fn new(
        teacher: Py<PyAny>,
        context: Py<PyAny>,
        header: Py<PyString>,
        made_by: String,
        headers: HashSet<String>,
        excluded: HashSet<String>,
        unchanged: Vec<Vec<u8>>,
        max_record_bytes: usize,
        guard_every: i64,
    ) -> Self {
        let looks = Looks::new(teacher);
        Core { looks, context, header, made_by, headers, excluded, unchanged, most_bytes: max_record_bytes, guard_every }
    }

    /// What is published of each record (timestamp, key, value, headers) and the hash of its leaf, None for one that Python has
    /// to mask; how often each treatment was applied; and for each record with values that could not be masked its first
    /// treatment with columns and reasons.
    fn mask<'py>(
        &self,
        py: Python<'py>,
        records: &Bound<'py, PyList>,
        subjects: &Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, PyTuple>> {
        let (recent, misfits) = (Recent::default(), PyList::empty(py));
        let mut batch = Batch { core: self, py, subjects, recent, treatments: Vec::new(), misfits };
        let (rows, leaves) = (PyList::empty(py), PyList::empty(py));
        for record in records.iter() {
            match batch.mask(&record) {
                Ok((row, hash)) => {
                    rows.append(row)?;
                    leaves.append(PyBytes::new(py, &hash))?;
                }
                Err(Stop::NotMine) => {
                    rows.append(py.None())?;
                    leaves.append(py.None())?;
                }
                Err(Stop::Raised(error)) => return Err(error),
            }
        }
        let counted = batch.treatments.iter().map(|(plan, count)| (plan.treatment.clone_ref(py), *count));
        (rows, leaves, PyList::new(py, counted.collect::<Vec<_>>())?, batch.misfits).into_pyobject(py)
    }
}

struct Batch<'c, 'py> {
    core: &'c Core,
    py: Python<'py>,
    subjects: &'c Bound<'py, PyAny>,
    recent: Recent,
    treatments: Vec<(Arc<RowPlan>, usize)>,
    misfits: Bound<'py, PyList>,
}

/// What is published of a record, and what the guard and the audit are told about it.
struct Masked<'a, 'py> {
    key: Option<Vec<u8>>,
    headers: Headers<'py>,
    value: Option<Vec<u8>>,
    schema: Option<&'a [u8]>,
    rows: Vec<Raw<'a>>,
    plans: Vec<Arc<RowPlan>>,
}

/// Names and values.
type Headers<'py> = Vec<(Bound<'py, PyString>, Option<Bound<'py, PyBytes>>)>;

/// Key and headers, with the plans that they went through.
type Around<'py> = (Option<Vec<u8>>, Headers<'py>, Vec<Arc<RowPlan>>);

type Published<'py> = (Bound<'py, PyTuple>, [u8; 32]);

impl<'py> Batch<'_, 'py> {
    fn mask(&mut self, record: &Bound<'py, PyAny>) -> Mine<Published<'py>> {
        let py = self.py;
        self.core.looks.bound();
        let mut taken = Taken::new(py, record)?;
        let topic = taken.topic.clone();
        let topic = topic.to_str()?;
        require(!self.core.excluded.contains(topic))?;
        let (key, value) = (record.getattr(intern!(py, "key"))?, record.getattr(intern!(py, "value"))?);
        let key = bytes(&key)?.map(|text| self.key(text)).transpose()?;
        match bytes(&value)? {
            Some(text) => self.event(&mut taken, topic, key.as_ref(), text),
            None => self.tombstone(&mut taken, topic, mine(key)?),
        }
    }

    fn key<'a>(&mut self, text: &'a [u8]) -> Mine<Key<'a>> {
        let (schema, payload) = mine(self.core.looks.unwrap(text, &mut self.recent.key_schema))?;
        let mut scanner = Scanner::new(payload);
        let row = mine(scanner.row())?;
        require(scanner.at_end())?;
        Ok(Key { schema, row })
    }

    fn tombstone(&mut self, taken: &mut Taken<'_, 'py>, topic: &str, key: Key<'_>) -> Mine<Published<'py>> {
        let (key, headers, plans) = self.around(taken, About { topic, event: None, key: Some(&key) })?.1;
        self.published(taken, Masked { key, headers, value: None, schema: None, rows: Vec::new(), plans })
    }

    fn event(&mut self, taken: &mut Taken<'_, 'py>, topic: &str, key: Option<&Key<'_>>, text: &[u8]) -> Mine<Published<'py>> {
        let (core, py) = (self.core, self.py);
        let (schema, payload) = mine(core.looks.unwrap(text, &mut self.recent.value_schema))?;
        let event = mine(envelope::read(payload))?;
        let about = About { topic, event: Some(&event), key };
        let (place, (key, headers, mut plans)) = self.around(taken, about)?;
        let described = schema.map(|schema| core.looks.described(py, &mut self.recent, &place, about, &schema)).transpose()?;
        let schema = described.as_ref().map(|described| described.schema.as_slice());
        let mut value = Vec::with_capacity(text.len() + 256);
        begin(schema, &mut value);
        let mut copied = 0;
        let mut rows: Vec<(&str, &Image<'_>, Arc<RowPlan>)> = Vec::with_capacity(2);
        for (name, image) in [("before", &event.before), ("after", &event.after)] {
            if let Some(image) = image {
                let plan = match &described {
                    None => core.looks.row(py, &mut self.recent, &place, about, &image.row)?,
                    Some(described) => Arc::clone(mine(described.image(name).filter(|plan| plan.fits(&image.row)))?),
                };
                value.extend_from_slice(mine(payload.get(copied..image.start))?);
                self.row(taken, &plan, &image.row, name, &mut value)?;
                copied = image.end;
                plans.push(Arc::clone(&plan));
                rows.push((name, image, plan));
            }
        }
        value.extend_from_slice(mine(payload.get(copied..))?);
        end(schema, &mut value);
        let rows = rows.iter().map(|(name, image, plan)| guarded(name, image, plan)).collect();
        self.published(taken, Masked { key, headers, value: Some(value), schema, rows, plans })
    }

    /// What is masked whatever the value is: key and headers, with the plans that they went through; and what plans of rows are
    /// found by.
    fn around(&mut self, taken: &mut Taken<'_, 'py>, about: About<'_>) -> Mine<(Arc<Place>, Around<'py>)> {
        let place = self.core.looks.place(self.py, &mut self.recent, about)?;
        let mut plans = Vec::with_capacity(3);
        let key = match (about.key, &place.key) {
            (Some(key), Some(plan)) => {
                plans.push(Arc::clone(plan));
                Some(self.wrapped(taken, plan, place.schema.as_deref(), &key.row, "key")?)
            }
            _ => None,
        };
        let headers = self.headers(taken, about, &place, &mut plans)?;
        Ok((place, (key, headers, plans)))
    }

    /// The headers that the policy allows, the other key of a key change, and the one that tells where the record came from.
    fn headers(
        &mut self,
        taken: &mut Taken<'_, 'py>,
        about: About<'_>,
        place: &Place,
        plans: &mut Vec<Arc<RowPlan>>,
    ) -> Mine<Headers<'py>> {
        let py = self.py;
        let headers = taken.record.getattr(intern!(py, "headers"))?;
        let mut kept = Vec::with_capacity(4);
        for header in headers.downcast::<PyTuple>().map_err(PyErr::from)?.iter() {
            let pair = header.downcast::<PyTuple>().map_err(PyErr::from)?;
            let name = pair.get_item(0)?.downcast_into::<PyString>().map_err(PyErr::from)?;
            let text = name.to_str()?;
            if KEY_HEADERS.contains(&text) {
                let other = pair.get_item(1)?;
                let other = self.other_key(taken, about, place, text, mine(bytes(&other)?)?, plans)?;
                kept.push((name, Some(PyBytes::new(py, &other))));
            } else if self.core.headers.contains(text) {
                kept.push(pair.extract()?);
            }
        }
        let mut origin = Vec::with_capacity(64);
        let written = write!(origin, "v=1;p={};o={};{}", taken.partition, taken.offset, self.core.made_by);
        require(written.is_ok())?;
        kept.push((self.core.header.bind(py).clone(), Some(PyBytes::new(py, &origin))));
        Ok(kept)
    }

    /// The key before or after a change of it. One without a schema goes through the plan of the record's own key.
    fn other_key(
        &mut self,
        taken: &mut Taken<'_, 'py>,
        about: About<'_>,
        place: &Place,
        name: &str,
        text: &[u8],
        plans: &mut Vec<Arc<RowPlan>>,
    ) -> Mine<Vec<u8>> {
        require(about.key.is_some())?;
        let other = self.key(text)?;
        let (plan, schema) = match &other.schema {
            None => (place.key.clone(), None),
            Some(_) => {
                let place = self.core.looks.place(self.py, &mut self.recent, About { key: Some(&other), ..about })?;
                (place.key.clone(), place.schema.clone())
            }
        };
        let plan = mine(plan)?;
        let masked = self.wrapped(taken, &plan, schema.as_deref(), &other.row, name)?;
        plans.push(plan);
        Ok(masked)
    }

    /// A masked row, with its schema if there is one.
    fn wrapped(
        &mut self,
        taken: &mut Taken<'_, 'py>,
        plan: &RowPlan,
        schema: Option<&[u8]>,
        row: &[Member<'_>],
        name: &str,
    ) -> Mine<Vec<u8>> {
        require(plan.fits(row))?;
        let mut out = Vec::with_capacity(128);
        begin(schema, &mut out);
        self.row(taken, plan, row, name, &mut out)?;
        end(schema, &mut out);
        Ok(out)
    }

    /// Writes a masked row.
    fn row(
        &mut self,
        taken: &mut Taken<'_, 'py>,
        plan: &RowPlan,
        row: &[Member<'_>],
        name: &str,
        out: &mut Vec<u8>,
    ) -> Mine<()> {
        let mut told = false;
        let mut separator = b'{';
        for (column, member) in plan.columns.iter().zip(row) {
            let action = &column.cell.get().0;
            if matches!(action, Action::Drop) {
                continue;
            }
            out.push(separator);
            separator = b',';
            out.extend_from_slice(&column.label);
            match action {
                Action::Drop => {}
                Action::Keep => out.extend_from_slice(member.value),
                Action::Constant(text) => out.extend_from_slice(text),
                Action::Compute { .. } if member.value == b"null" => out.extend_from_slice(b"null"),
                Action::Compute { recipe, function, of_row } => {
                    let marker = self.core.unchanged.iter().any(|marker| marker == member.value);
                    if marker || !recipe.as_ref().map_or(false, |recipe| recipe.write(member.value, out)) {
                        let context = taken.context(self.core.context.bind(self.py), self.subjects)?;
                        if *of_row && !told {
                            tell(&context, name, row)?;
                            told = true;
                        }
                        let masked = function.bind(self.py).call1((PyBytes::new(self.py, member.value), context))?;
                        out.extend_from_slice(masked.downcast::<PyBytes>().map_err(PyErr::from)?.as_bytes());
                    }
                }
            }
        }
        if separator == b'{' {
            out.push(b'{');
        }
        out.push(b'}');
        Ok(())
    }

    fn published(&mut self, taken: &Taken<'_, 'py>, masked: Masked<'_, 'py>) -> Mine<Published<'py>> {
        let (core, py) = (self.core, self.py);
        let mut named: Vec<(&[u8], Option<&[u8]>)> = Vec::with_capacity(masked.headers.len());
        for (name, content) in &masked.headers {
            named.push((name.to_str()?.as_bytes(), content.as_ref().map(|content| content.as_bytes())));
        }
        let (key, value) = (masked.key.as_deref(), masked.value.as_deref());
        let length = |bytes: Option<&[u8]>| bytes.map_or(0, <[u8]>::len);
        let around: usize = named.iter().map(|(name, content)| name.len() + length(*content)).sum();
        require(length(key) + length(value) + around + FRAMING_BYTES <= core.most_bytes)?;
        let passed_over = taken.offset.checked_rem(core.guard_every).map_or(false, |rest| rest != 0);
        if let (Some(value), false) = (value, passed_over) {
            let mut beside = vec![key.unwrap_or(b"")];
            beside.extend(named.iter().map(|(_, content)| content.unwrap_or(b"")));
            require(!guard::suspects(value, masked.schema, &beside, &masked.rows))?;
        }
        let hash = leaf::hash(taken.offset, taken.timestamp, key, value, &named);
        let misfits = taken.misfits(py)?;

        let (key, value) = (key.map(|key| PyBytes::new(py, key)), value.map(|value| PyBytes::new(py, value)));
        let row = (taken.timestamp, key, value, PyList::new(py, &masked.headers)?).into_pyobject(py)?;
        if let (Some(misfits), Some(first)) = (misfits, masked.plans.first()) {
            self.misfits.append((&first.treatment, misfits))?;
        }
        for plan in masked.plans {
            match self.treatments.iter_mut().find(|(counted, _)| counted.treatment.is(&plan.treatment)) {
                Some((_, count)) => *count += 1,
                None => self.treatments.push((plan, 1)),
            }
        }
        Ok((row, hash))
    }
}

/// What the guard is told about a row.
fn guarded<'a>(name: &'a str, image: &'a Image<'_>, plan: &'a RowPlan) -> Raw<'a> {
    let columns = plan.columns.iter().zip(&image.row).map(|(column, member)| guard::Column {
        name: &column.name,
        text: member.value,
        expected: column.expected.as_ref(),
        dropped: matches!(column.cell.get().0, Action::Drop),
    });
    Raw { place: name.as_bytes(), columns: columns.collect() }
}

/// What stands before the payload, if a schema is embedded.
fn begin(schema: Option<&[u8]>, out: &mut Vec<u8>) {
    if let Some(schema) = schema {
        for part in [SCHEMA, schema, PAYLOAD] {
            out.extend_from_slice(part);
        }
    }
}

/// What stands behind it.
fn end(schema: Option<&[u8]>, out: &mut Vec<u8>) {
    out.extend(schema.map(|_| b'}'));
}
