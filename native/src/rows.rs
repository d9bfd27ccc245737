//! Masked records, and the batches in which they are published.
//!
//! What always holds: a batch is what aiokafka's producer would make of the same rows, byte for byte, and the same however
//! often it is built.

use crate::wire::{self, Headers, Reader};
use pyo3::exceptions::{PyIndexError, PyValueError};
use pyo3::prelude::*;
use pyo3::pybacked::{PyBackedBytes, PyBackedStr};
use pyo3::types::{PyBytes, PyList};
use std::ops::Range;

/// What is built with the GIL: less takes less time than to release it.
const SHORT: usize = 4096;
const NO_LEADER_EPOCH: i32 = -1;

/// A masked record: its timestamp in ms since the epoch, and where its tail stands.
pub struct Published {
    pub timestamp: i64,
    pub tail: Range<usize>,
}

impl Published {
    /// Writes a record behind those that are in the arena.
    pub fn write(
        arena: &mut Vec<u8>,
        timestamp: i64,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
        headers: &[(&[u8], Option<&[u8]>)],
    ) -> Self {
        let start = arena.len();
        wire::tail(arena, key, value, headers);
        Published { timestamp, tail: start..arena.len() }
    }

    /// Writes a row of Python's there.
    pub fn of((timestamp, key, value, headers): Row, arena: &mut Vec<u8>) -> Self {
        let headers: Vec<_> = headers.iter().map(|(name, content)| (name.as_bytes(), content.as_deref())).collect();
        Self::write(arena, timestamp, key.as_deref(), value.as_deref(), &headers)
    }
}

/// Masked records to publish, in their order.
#[pyclass(frozen, sequence, module = "cdc_masker_native")]
pub struct Rows {
    pub(crate) arena: Vec<u8>,
    pub(crate) rows: Vec<Published>,
}

/// As many rows as fit into a batch. `size`: the batch's, in bytes.
#[pyclass(frozen, module = "cdc_masker_native")]
pub struct Encoded {
    rows: Py<Rows>,
    range: Range<usize>,
    #[pyo3(get)]
    size: usize,
}

/// Timestamp, key, value and headers, as Python has them.
pub type Row = (i64, Option<PyBackedBytes>, Option<PyBackedBytes>, Vec<(PyBackedStr, Option<PyBackedBytes>)>);

#[pymethods]
impl Rows {
    /// Copies rows of Python's. Raises `ValueError` for what is none.
    #[staticmethod]
    fn of(rows: &Bound<'_, PyList>) -> PyResult<Self> {
        let mut arena = Vec::new();
        let mut published = Vec::with_capacity(rows.len());
        for row in rows.iter() {
            // What Python says of a row that is none may hold a part of it.
            let row = row.extract().map_err(|_| PyValueError::new_err("not a row"))?;
            published.push(Published::of(row, &mut arena));
        }
        Ok(Rows { arena, rows: published })
    }

    fn __len__(&self) -> usize {
        self.rows.len()
    }

    /// Timestamp, key, value and headers.
    fn __getitem__<'py>(&self, py: Python<'py>, index: isize) -> PyResult<Bound<'py, PyAny>> {
        let from_start = if index < 0 { index + self.rows.len() as isize } else { index };
        let index = usize::try_from(from_start).unwrap_or(usize::MAX);
        self.row(py, index).ok_or_else(|| PyIndexError::new_err("no such row"))?
    }

    /// All rows, in as few batches of less than `most_bytes` as they fit in. A row that is too large for one gets its own.
    fn encode(slf: &Bound<'_, Self>, most_bytes: usize) -> Vec<Encoded> {
        let rows = &slf.get().rows;
        let mut encoded = Vec::new();
        let mut start = 0;
        while let Some(left) = rows.get(start..).filter(|left| !left.is_empty()) {
            let (count, size) = fitting(left, most_bytes);
            encoded.push(Encoded { rows: slf.clone().unbind(), range: start..start + count, size });
            start += count;
        }
        encoded
    }
}

impl Rows {
    fn row<'py>(&self, py: Python<'py>, index: usize) -> Option<PyResult<Bound<'py, PyAny>>> {
        let row = self.rows.get(index)?;
        let mut reader = Reader::new(self.arena.get(..row.tail.end)?, row.tail.start);
        let tail = reader.tail()?;
        let (key, value) = (wire::part(&self.arena, &tail.key)?, wire::part(&self.arena, &tail.value)?);
        let bytes = |part: Option<&[u8]>| part.map(|part| PyBytes::new(py, part));
        let headers = Headers::new(self.arena.get(tail.headers)?);
        let headers: Vec<_> = headers.map(|(name, content)| (name, bytes(content))).collect();
        Some((row.timestamp, bytes(key), bytes(value), headers).into_pyobject(py).map(Bound::into_any))
    }
}

/// How many rows go into a batch, at least one, and its size.
fn fitting(rows: &[Published], most_bytes: usize) -> (usize, usize) {
    let mut size = wire::HEAD_BYTES;
    let base = rows.first().map_or(0, |row| row.timestamp);
    for (number, row) in rows.iter().enumerate() {
        let length = length(number, base, row);
        let with = size + wire::size(length as i64) + length;
        if with >= most_bytes && number > 0 {
            return (number, size);
        }
        size = with;
    }
    (rows.len(), size)
}

/// How many bytes the record takes that a row is in a batch, without its length.
fn length(number: usize, base: i64, row: &Published) -> usize {
    1 + wire::size(row.timestamp.wrapping_sub(base)) + wire::size(number as i64) + row.tail.len()
}

#[pymethods]
impl Encoded {
    #[getter]
    fn count(&self) -> usize {
        self.range.len()
    }

    /// The batch. Raises `ValueError` if it is too large for Kafka.
    fn build<'py>(
        &self,
        py: Python<'py>,
        producer_id: i64,
        producer_epoch: i16,
        base_sequence: i32,
    ) -> PyResult<Bound<'py, PyBytes>> {
        let rows = self.rows.get();
        let build = || self.batch(rows, producer_id, producer_epoch, base_sequence);
        let built = if self.size > SHORT { py.allow_threads(build) } else { build() };
        let built = built.ok_or_else(|| PyValueError::new_err("the batch is too large"))?;
        Ok(PyBytes::new(py, &built))
    }
}

impl Encoded {
    fn batch(&self, rows: &Rows, producer_id: i64, producer_epoch: i16, base_sequence: i32) -> Option<Vec<u8>> {
        let (arena, rows) = (&rows.arena, rows.rows.get(self.range.clone())?);
        let base = rows.first()?.timestamp;
        let latest = rows.iter().map(|row| row.timestamp).max()?;
        let count = i32::try_from(rows.len()).ok()?;
        let length = i32::try_from(self.size - wire::AFTER_LENGTH).ok()?;
        let mut out = Vec::with_capacity(self.size);
        out.extend_from_slice(&0_i64.to_be_bytes()); // the broker gives offsets
        out.extend_from_slice(&length.to_be_bytes());
        out.extend_from_slice(&NO_LEADER_EPOCH.to_be_bytes());
        out.push(wire::MAGIC);
        out.extend_from_slice(&0_u32.to_be_bytes());
        out.extend_from_slice(&wire::TRANSACTIONAL.to_be_bytes());
        out.extend_from_slice(&(count - 1).to_be_bytes());
        for number in [base, latest, producer_id] {
            out.extend_from_slice(&number.to_be_bytes());
        }
        out.extend_from_slice(&producer_epoch.to_be_bytes());
        out.extend_from_slice(&base_sequence.to_be_bytes());
        out.extend_from_slice(&count.to_be_bytes());
        for (number, row) in rows.iter().enumerate() {
            wire::number(&mut out, self::length(number, base, row) as i64);
            out.push(0);
            wire::number(&mut out, row.timestamp.wrapping_sub(base));
            wire::number(&mut out, number as i64);
            out.extend_from_slice(arena.get(row.tail.clone())?);
        }
        let checksum = crc32c::crc32c(out.get(wire::AFTER_CRC..)?);
        out.get_mut(wire::CRC_AT..wire::AFTER_CRC)?.copy_from_slice(&checksum.to_be_bytes());
        Some(out)
    }
}
