//! The core: batches of records go in, what is published of them comes out.
//!
//! A batch is masked in steps: first all that needs nothing of Python's, without its lock, so that other threads go on; then
//! records with values that only a function of Python's can mask, and looks that are new; then Python fills in what is not the
//! core's own. What always holds: a record is published once, by the step that could mask all of it.

use crate::asking::Asking;
use crate::guard::Images;
use crate::leaf;
use crate::looks::{Looks, Recent};
use crate::plans::RowPlan;
use crate::record::{Masked, Work};
use crate::records::{Raw, Records};
use crate::rows::{Published, Row, Rows};
use crate::stop::Stop;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyTuple};
use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Masks records under one policy.
///
/// `teacher` makes plans, `context` the context of a record. `header` is the name of the header that each record gets, and
/// `made_by` the end of what stands in it. `headers` are let through, `excluded` are topics that Python masks, `unchanged` the
/// markers of large values that a change did not touch.
#[pyclass(frozen, module = "cdc_masker_native")]
pub struct Core {
    pub looks: Looks,
    pub context: Py<PyAny>,
    pub header: String,
    pub made_by: String,
    pub headers: HashSet<String>,
    pub excluded: HashSet<String>,
    pub unchanged: Vec<Vec<u8>>,
    pub most_bytes: usize,
    pub guard_every: i64,
    pub images: Images,
}

#[pymethods]
impl Core {
    #[new]
    #[allow(clippy::too_many_arguments)] // all of them named
    #[pyo3(signature = (teacher, context, *, header, made_by, headers, excluded, unchanged, max_record_bytes, guard_every))]
    fn new(
        teacher: Py<PyAny>,
        context: Py<PyAny>,
        header: String,
        made_by: String,
        headers: HashSet<String>,
        excluded: HashSet<String>,
        unchanged: Vec<Vec<u8>>,
        max_record_bytes: usize,
        guard_every: i64,
    ) -> Self {
        let looks = Looks::new(teacher);
        let (most_bytes, images) = (max_record_bytes, Images::new());
        Core { looks, context, header, made_by, headers, excluded, unchanged, most_bytes, guard_every, images }
    }
}

/// A batch that is being masked: consecutive records in parts, each of one partition.
#[pyclass(frozen, module = "cdc_masker_native")]
pub struct Masking {
    core: Py<Core>,
    parts: Vec<Py<Records>>,
    /// Of each record the part that it is in, and its place there.
    places: Vec<(usize, usize)>,
    done: Mutex<Done>,
}

/// What became of the records so far.
#[derive(Default)]
struct Done {
    /// Of each record its row and the hash of its leaf, where it has been masked.
    records: Vec<Option<(Option<Published>, [u8; 32])>>,
    arena: Vec<u8>,
    treatments: Vec<(Arc<RowPlan>, usize)>,
    misfits: Vec<(Arc<RowPlan>, Py<PyTuple>)>,
}

type Finished<'py> = (Vec<i64>, Rows, Bound<'py, PyBytes>, Vec<(Py<PyAny>, usize)>, Vec<(Py<PyAny>, Py<PyTuple>)>);

#[pymethods]
impl Masking {
    #[new]
    fn new(core: Py<Core>, parts: Vec<Py<Records>>) -> Self {
        let lengths = parts.iter().map(|part| part.get().len()).enumerate();
        let places: Vec<_> = lengths.flat_map(|(part, length)| (0..length).map(move |at| (part, at))).collect();
        let records = places.iter().map(|_| None).collect();
        Masking { core, parts, places, done: Mutex::new(Done { records, ..Done::default() }) }
    }

    /// Masks all that needs nothing of Python's. Other threads of Python go on meanwhile. Gives the places of the others.
    fn ahead(&self, py: Python<'_>) -> PyResult<Vec<usize>> {
        py.allow_threads(|| self.each(0..self.places.len(), None))
    }

    /// Masks those of these records that are the core's own, and gives the places of the others.
    fn go_on(&self, py: Python<'_>, places: Vec<usize>, subjects: &Bound<'_, PyAny>) -> PyResult<Vec<usize>> {
        self.each(places, Some(Asking { py, subjects }))
    }

    /// Fills in what Python published of a record: nothing without a row.
    #[pyo3(signature = (place, leaf, row))]
    fn fill(&self, place: usize, leaf: [u8; 32], row: Option<Row>) -> PyResult<()> {
        let mut done = self.done();
        let published = row.map(|row| Published::of(row, &mut done.arena));
        let filled = done.records.get_mut(place).ok_or_else(|| PyValueError::new_err("no such record"))?;
        *filled = Some((published, leaf));
        Ok(())
    }

    /// The offsets of all records, the rows of those that are published, the root over the leaves of all, how often each
    /// treatment was applied, and for each record with values that could not be masked its first treatment with columns and
    /// reasons. Nothing is left here. Raises `ValueError` unless each record has been masked.
    fn finish<'py>(&self, py: Python<'py>) -> PyResult<Finished<'py>> {
        let done = std::mem::take(&mut *self.done());
        if done.records.len() != self.places.len() {
            return Err(PyValueError::new_err("the batch was given already, or a step of it did not end"));
        }
        let mut rows = Vec::with_capacity(done.records.len());
        let mut leaves = Vec::with_capacity(done.records.len());
        for record in done.records {
            let (published, leaf) = record.ok_or_else(|| PyValueError::new_err("a record is not masked"))?;
            rows.extend(published);
            leaves.push(leaf);
        }
        let root = py.allow_threads(|| leaf::root(leaves));
        let treatments = done.treatments.iter().map(|(plan, count)| (plan.treatment.clone_ref(py), *count)).collect();
        let misfits = done.misfits.into_iter().map(|(plan, misfits)| (plan.treatment.clone_ref(py), misfits)).collect();
        let offsets = (0..self.places.len()).filter_map(|place| Some(self.record(place)?.1.offset)).collect();
        Ok((offsets, Rows { arena: done.arena, rows }, PyBytes::new(py, &root), treatments, misfits))
    }
}

impl Masking {
    fn done(&self) -> MutexGuard<'_, Done> {
        self.done.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn record(&self, place: usize) -> Option<(&Records, Raw<'_>)> {
        let (part, at) = self.places.get(place)?;
        let records = self.parts.get(*part)?.get();
        Some((records, records.get(*at)?))
    }

    /// Masks these records as far as that can be done. Nothing is locked while Python is asked.
    fn each(&self, places: impl IntoIterator<Item = usize>, asking: Option<Asking<'_, '_>>) -> PyResult<Vec<usize>> {
        let mut others = Vec::new();
        let mut recent = Recent::default();
        let mut done = std::mem::take(&mut *self.done());
        for place in places {
            let (records, raw) = match self.record(place) {
                Some(found) => found,
                None => continue,
            };
            let mut work = Work::new(self.core.get(), records, &raw, asking, &mut recent);
            match work.mask() {
                Ok(masked) => done.keep(place, &raw, masked),
                Err(Stop::Raised(error)) => return Err(error),
                Err(Stop::NotMine | Stop::Ask) => others.push(place),
            }
        }
        *self.done() = done;
        Ok(others)
    }
}

impl Done {
    fn keep(&mut self, place: usize, raw: &Raw<'_>, masked: Masked) {
        let headers: Vec<_> = masked.headers.iter().map(|(name, content)| (name.as_ref(), content.as_deref())).collect();
        let (key, value) = (masked.key.as_deref(), masked.value.as_deref());
        let published = Published::write(&mut self.arena, raw.timestamp, key, value, &headers);
        if let Some(record) = self.records.get_mut(place) {
            *record = Some((Some(published), masked.leaf));
        }
        if let (Some(misfits), Some(first)) = (masked.misfits, masked.plans.first()) {
            self.misfits.push((Arc::clone(first), misfits));
        }
        for plan in masked.plans {
            match self.treatments.iter_mut().find(|(counted, _)| Arc::ptr_eq(counted, &plan)) {
                Some((_, count)) => *count += 1,
                None => self.treatments.push((plan, 1)),
            }
        }
    }
}
