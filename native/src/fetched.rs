//! What a broker answered for one partition, read as a `read_committed` consumer reads it.
//!
//! What always holds: an answer is read here only if each whole batch in it is of format 2, not compressed, with a right
//! CRC-32C, well-formed to the last byte, and with offsets that ascend. What is read of it then is what aiokafka would read.
//! Of any other answer nothing is said but "not mine", so that aiokafka tells the story.

use crate::records::{Bytes, Content, Records, Span};
use crate::wire::{self, require, Reader};
use pyo3::prelude::*;
use pyo3::pybacked::{PyBackedBytes, PyBackedStr};
use std::collections::HashSet;
use std::ops::Range;
use std::sync::Arc;

const COMPRESSION: i16 = 0x07;
const LOG_APPEND_TIME: i16 = 0x08;
const CONTROL: i16 = 0x20;
/// Version and type, which are both 0, in the key of the control record that ends a transaction so.
const ABORTED: [u8; 4] = [0; 4];

/// Which records of the answer are not taken yet.
#[pyclass(module = "cdc_masker_native")]
pub struct Fetched {
    content: Arc<Content>,
    taken: usize,
    end: i64,
    /// The offset of the record after what was taken, or of one that is not visible.
    #[pyo3(get)]
    position: i64,
    /// Whether there may be more.
    #[pyo3(get)]
    more: bool,
}

#[pymethods]
impl Fetched {
    /// Reads an answer, or gives None if aiokafka has to. `offset`: the one that was asked for. `aborted`: producer ids and
    /// first offsets of transactions that were aborted.
    #[staticmethod]
    fn read(
        py: Python<'_>,
        raw: PyBackedBytes,
        topic: PyBackedStr,
        partition: i64,
        offset: i64,
        aborted: Vec<(i64, i64)>,
        make: Py<PyAny>,
    ) -> Option<Self> {
        let (spans, end) = py.allow_threads(|| read(&raw, offset, aborted))?;
        let content = Arc::new(Content { bytes: Bytes::Python(raw), spans, topic, partition, make });
        Some(Fetched { content, taken: 0, end, position: offset, more: true })
    }

    /// How many records there may be.
    #[getter]
    fn left(&self) -> usize {
        self.content.spans.len() - self.taken
    }

    /// The next records, and their size: they end with the one that makes them `most_records` or `most_bytes`, which counts
    /// keys, values and headers, and `record_bytes` for each record. Of an answer that holds more than twice as much they are
    /// copies, so that a few records don't hold all of it.
    fn take(
        &mut self,
        py: Python<'_>,
        most_records: usize,
        most_bytes: usize,
        record_bytes: usize,
    ) -> PyResult<(Records, usize)> {
        let start = self.taken;
        let mut size = 0_usize;
        let mut full = false;
        for span in self.content.spans.iter().skip(start) {
            self.taken += 1;
            self.position = span.offset + 1;
            size = size.saturating_add(record_bytes).saturating_add(span.tail.size);
            full = self.taken - start >= most_records || size >= most_bytes;
            if full {
                break;
            }
        }
        if !full {
            self.position = self.end;
            self.more = false;
        }
        Ok((Content::part(&self.content, py, start..self.taken)?, size))
    }
}

/// The visible records from `offset` on, and the offset after the last whole batch.
fn read(bytes: &[u8], offset: i64, mut aborted: Vec<(i64, i64)>) -> Option<(Vec<Span>, i64)> {
    aborted.sort_by_key(|(_, first)| *first);
    let mut aborted = aborted.into_iter().peekable();
    let mut aborting = HashSet::new();
    let mut spans = Vec::new();
    let mut end = None;
    let mut at = 0;
    while let Some(range) = whole(bytes, at)? {
        at = range.end;
        let batch = Batch::read(bytes, range)?;
        // A broker gives no batch that ends before what it was asked for; aiokafka would go back to it.
        require(batch.base >= end.unwrap_or(0) && batch.next > offset)?;
        while let Some((producer, _)) = aborted.next_if(|(_, first)| *first <= batch.base) {
            aborting.insert(producer);
        }
        let before = spans.len();
        batch.records(bytes, &mut spans)?;
        if batch.is(CONTROL) {
            let key = spans.get(before)?.tail.key.clone()?;
            if bytes.get(key)?.get(..ABORTED.len())? == ABORTED {
                aborting.remove(&batch.producer);
            }
        }
        if batch.is(CONTROL) || batch.is(wire::TRANSACTIONAL) && aborting.contains(&batch.producer) {
            spans.truncate(before);
        }
        end = Some(batch.next);
    }
    let below = spans.partition_point(|span| span.offset < offset);
    spans.drain(..below);
    spans.shrink_to_fit();
    Some((spans, end?))
}

/// Where the next batch stands: none if it was cut off, or if there is none.
fn whole(bytes: &[u8], at: usize) -> Option<Option<Range<usize>>> {
    let length = match bytes.get(at + wire::LENGTH_AT..at + wire::AFTER_LENGTH) {
        Some(length) => i32::from_be_bytes(length.try_into().ok()?),
        None => return Some(None),
    };
    let length = usize::try_from(length).ok()?;
    require(length >= wire::HEAD_BYTES - wire::AFTER_LENGTH)?;
    let end = at.checked_add(wire::AFTER_LENGTH)?.checked_add(length)?;
    Some(if end <= bytes.len() { Some(at..end) } else { None })
}

/// A batch's head, and where its records stand. `next`: the offset after the batch.
struct Batch {
    base: i64,
    next: i64,
    attributes: i16,
    first_timestamp: i64,
    max_timestamp: i64,
    producer: i64,
    count: i32,
    records: Range<usize>,
}

impl Batch {
    fn read(bytes: &[u8], range: Range<usize>) -> Option<Self> {
        let end = range.end;
        let mut head = Reader::new(bytes.get(..end)?, range.start);
        let base = i64::from_be_bytes(head.array()?);
        head.take(wire::MAGIC_AT - wire::LENGTH_AT)?;
        require(head.byte()? == wire::MAGIC)?;
        let checksum = u32::from_be_bytes(head.array()?);
        require(crc32c::crc32c(bytes.get(head.position()..end)?) == checksum)?;
        let attributes = i16::from_be_bytes(head.array()?);
        require(attributes & COMPRESSION == 0)?;
        let last = i32::from_be_bytes(head.array()?);
        require(last >= 0)?;
        let first_timestamp = i64::from_be_bytes(head.array()?);
        let max_timestamp = i64::from_be_bytes(head.array()?);
        let producer = i64::from_be_bytes(head.array()?);
        head.take(wire::EPOCH_AND_SEQUENCE)?;
        let count = i32::from_be_bytes(head.array()?);
        let next = base.checked_add(i64::from(last))?.checked_add(1)?;
        let records = head.position()..end;
        Some(Batch { base, next, attributes, first_timestamp, max_timestamp, producer, count, records })
    }

    fn is(&self, attribute: i16) -> bool {
        self.attributes & attribute != 0
    }

    /// All its records.
    fn records(&self, bytes: &[u8], spans: &mut Vec<Span>) -> Option<()> {
        let mut reader = Reader::new(bytes.get(..self.records.end)?, self.records.start);
        let mut earliest = self.base;
        for _ in 0..self.count {
            let length = usize::try_from(reader.number()?).ok()?;
            let record = reader.take(length)?;
            let mut record = Reader::new(bytes.get(..record.end)?, record.start);
            require(record.byte()? == 0)?;
            let created = self.first_timestamp.wrapping_add(record.number()?);
            let timestamp = if self.is(LOG_APPEND_TIME) { self.max_timestamp } else { created };
            let offset = self.base.checked_add(record.number()?)?;
            require(offset >= earliest && offset < self.next)?;
            earliest = offset + 1;
            let tail = record.tail()?;
            require(record.at_end())?;
            spans.push(Span { offset, timestamp, tail });
        }
        require(self.count >= 0 && reader.at_end())
    }
}
