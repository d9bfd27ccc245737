//! Records as they were read, in the bytes that they came in.
//!
//! What always holds: the bytes were checked before, and stay as they are. Rust reads them without the GIL; an object of
//! Python's is made of a record only when Python asks for it.

use crate::wire::{self, Headers, Reader, Tail};
use pyo3::exceptions::{PyIndexError, PyValueError};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::pybacked::{PyBackedBytes, PyBackedStr};
use pyo3::types::{PyBytes, PyList, PySlice, PyTuple};
use std::ops::Range;
use std::sync::Arc;

/// A record's coordinates, and where its parts stand in the bytes.
pub struct Span {
    pub offset: i64,
    pub timestamp: i64,
    pub tail: Tail,
}

pub enum Bytes {
    Python(PyBackedBytes),
    Own(Vec<u8>),
}

impl Bytes {
    pub fn get(&self) -> &[u8] {
        match self {
            Bytes::Python(bytes) => bytes,
            Bytes::Own(bytes) => bytes,
        }
    }
}

/// Bytes and the visible records in them, all of one partition. `make`: Python's class of records.
pub struct Content {
    pub bytes: Bytes,
    pub spans: Vec<Span>,
    pub topic: PyBackedStr,
    pub partition: i64,
    pub make: Py<PyAny>,
}

impl Content {
    /// Some of the records: in bytes of their own, unless they are half of these.
    pub fn part(whole: &Arc<Self>, py: Python<'_>, range: Range<usize>) -> PyResult<Records> {
        let (from, spans) = (whole.bytes.get(), whole.spans.get(range.clone()).unwrap_or_default());
        let size = spans.iter().map(|span| span.tail.all().len()).sum::<usize>();
        if size >= from.len() / 2 {
            return Ok(Records::new(Arc::clone(whole), range));
        }
        let mut bytes = Vec::with_capacity(size);
        let mut copies = Vec::with_capacity(spans.len());
        for span in spans {
            copies.push(Span { tail: span.tail.moved(bytes.len()), ..*span });
            bytes.extend_from_slice(from.get(span.tail.all()).unwrap_or_default());
        }
        let topic = (&whole.topic).into_pyobject(py)?.extract()?;
        let (partition, make) = (whole.partition, whole.make.clone_ref(py));
        let range = 0..copies.len();
        Ok(Records::new(Arc::new(Content { bytes: Bytes::Own(bytes), spans: copies, topic, partition, make }), range))
    }
}

/// A record as it lies in the bytes.
pub struct Raw<'a> {
    pub offset: i64,
    pub timestamp: i64,
    pub key: Option<&'a [u8]>,
    pub value: Option<&'a [u8]>,
    headers: &'a [u8],
}

impl<'a> Raw<'a> {
    /// Names and values.
    pub fn headers(&self) -> Headers<'a> {
        Headers::new(self.headers)
    }
}

/// Consecutive records of one partition, in the order of their offsets.
///
/// A sequence of Python's records, each of which is made when it is asked for.
#[pyclass(frozen, sequence, module = "cdc_masker_native")]
pub struct Records {
    content: Arc<Content>,
    range: Range<usize>,
}

impl Records {
    /// `range`: which of the content's records.
    pub fn new(content: Arc<Content>, range: Range<usize>) -> Self {
        Records { content, range }
    }

    pub fn topic(&self) -> &str {
        &self.content.topic
    }

    pub fn partition(&self) -> i64 {
        self.content.partition
    }

    pub fn len(&self) -> usize {
        self.range.len()
    }

    pub fn get(&self, index: usize) -> Option<Raw<'_>> {
        let span = self.content.spans.get(self.range.clone())?.get(index)?;
        let (bytes, tail) = (self.content.bytes.get(), &span.tail);
        Some(Raw {
            offset: span.offset,
            timestamp: span.timestamp,
            key: wire::part(bytes, &tail.key)?,
            value: wire::part(bytes, &tail.value)?,
            headers: bytes.get(tail.headers.clone())?,
        })
    }

    fn record<'py>(&self, py: Python<'py>, index: usize) -> PyResult<Bound<'py, PyAny>> {
        let raw = self.get(index).ok_or_else(|| PyIndexError::new_err("no such record"))?;
        let bytes = |part: Option<&[u8]>| part.map(|part| PyBytes::new(py, part));
        let headers: Vec<_> = raw.headers().map(|(name, value)| (name, bytes(value))).collect();
        let content = &self.content;
        content.make.bind(py).call1((
            &content.topic,
            content.partition,
            raw.offset,
            raw.timestamp,
            bytes(raw.key),
            bytes(raw.value),
            PyTuple::new(py, headers)?,
        ))
    }
}

#[pymethods]
impl Records {
    /// Copies records of Python's. Raises `ValueError` if there are none, or if they are not of one partition.
    #[staticmethod]
    fn of(records: &Bound<'_, PyList>, make: Py<PyAny>) -> PyResult<Self> {
        let mut bytes = Vec::new();
        let mut spans = Vec::with_capacity(records.len());
        let mut place: Option<(PyBackedStr, i64)> = None;
        for record in records.iter() {
            // What Python says of a record that is none may hold a part of it.
            let (here, span) = copy(&record, &mut bytes).map_err(|_| PyValueError::new_err("not a record"))?;
            match &place {
                None => place = Some(here),
                Some((topic, partition)) if **topic == *here.0 && *partition == here.1 => {}
                Some(_) => return Err(PyValueError::new_err("records of more than one partition")),
            }
            spans.push(span);
        }
        let (topic, partition) = place.ok_or_else(|| PyValueError::new_err("no records"))?;
        let range = 0..spans.len();
        Ok(Records::new(Arc::new(Content { bytes: Bytes::Own(bytes), spans, topic, partition, make }), range))
    }

    fn __len__(&self) -> usize {
        self.len()
    }

    /// A record, or with a slice without a step the records in it, which share the bytes.
    fn __getitem__<'py>(&self, index: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        let py = index.py();
        if let Ok(slice) = index.downcast::<PySlice>() {
            let indices = slice.indices(self.len() as isize)?;
            if indices.step != 1 {
                return Err(PyValueError::new_err("records are sliced without a step"));
            }
            let start = self.range.start + indices.start as usize;
            let part = Records::new(Arc::clone(&self.content), start..start + indices.slicelength);
            return Ok(part.into_pyobject(py)?.into_any());
        }
        let index: isize = index.extract()?;
        let from_start = if index < 0 { index + self.len() as isize } else { index };
        self.record(py, usize::try_from(from_start).unwrap_or(usize::MAX))
    }
}

/// Writes a record of Python's, and gives its partition and what it is.
fn copy(record: &Bound<'_, PyAny>, bytes: &mut Vec<u8>) -> PyResult<((PyBackedStr, i64), Span)> {
    let py = record.py();
    let place = (record.getattr(intern!(py, "topic"))?.extract()?, record.getattr(intern!(py, "partition"))?.extract()?);
    let offset = record.getattr(intern!(py, "offset"))?.extract()?;
    let timestamp = record.getattr(intern!(py, "timestamp"))?.extract()?;
    let key: Option<PyBackedBytes> = record.getattr(intern!(py, "key"))?.extract()?;
    let value: Option<PyBackedBytes> = record.getattr(intern!(py, "value"))?.extract()?;
    let headers: Vec<(PyBackedStr, Option<PyBackedBytes>)> = record.getattr(intern!(py, "headers"))?.extract()?;
    let headers: Vec<_> = headers.iter().map(|(name, content)| (name.as_bytes(), content.as_deref())).collect();
    let start = bytes.len();
    wire::tail(bytes, key.as_deref(), value.as_deref(), &headers);
    let tail = Reader::new(bytes, start).tail().ok_or_else(|| PyValueError::new_err("not a record"))?;
    Ok((place, Span { offset, timestamp, tail }))
}
