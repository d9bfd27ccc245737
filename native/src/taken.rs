//! A record as Python holds it, and the context in which Python computes values of it.
//!
//! What always holds: the context is of this record only, and it is made when the first value is asked of Python.

use crate::json::Member;
use crate::stop::{mine, require, Mine};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyString, PyTuple};

pub struct Taken<'r, 'py> {
    pub record: &'r Bound<'py, PyAny>,
    pub topic: Bound<'py, PyString>,
    pub partition: i64,
    pub offset: i64,
    pub timestamp: i64,
    context: Option<Bound<'py, PyAny>>,
}

impl<'r, 'py> Taken<'r, 'py> {
    pub fn new(py: Python<'py>, record: &'r Bound<'py, PyAny>) -> Mine<Self> {
        let topic = record.getattr(intern!(py, "topic"))?.downcast_into().map_err(PyErr::from)?;
        let partition = record.getattr(intern!(py, "partition"))?.extract()?;
        let offset = record.getattr(intern!(py, "offset"))?.extract()?;
        let timestamp = record.getattr(intern!(py, "timestamp"))?.extract()?;
        require(partition >= 0 && offset >= 0)?;
        Ok(Taken { record, topic, partition, offset, timestamp, context: None })
    }

    /// The record's context, made by `make`, a class of Python's.
    pub fn context(&mut self, make: &Bound<'py, PyAny>, subjects: &Bound<'py, PyAny>) -> Mine<Bound<'py, PyAny>> {
        if let Some(context) = &self.context {
            return Ok(context.clone());
        }
        let context = make.call1((&self.topic, self.partition, self.offset, subjects))?;
        self.context = Some(context.clone());
        Ok(context)
    }

    /// The columns and reasons of what could not be masked, if there are any.
    pub fn misfits(&self, py: Python<'py>) -> Mine<Option<Bound<'py, PyTuple>>> {
        let context = match &self.context {
            Some(context) => context,
            None => return Ok(None),
        };
        require(!context.getattr(intern!(py, "missing"))?.is_truthy()?)?;
        let misfits = context.getattr(intern!(py, "misfits"))?;
        let misfits = misfits.downcast::<PyDict>().map_err(PyErr::from)?;
        Ok(if misfits.is_empty() { None } else { Some(misfits.keys().to_tuple()) })
    }
}

/// Tells a context which row its record is at.
pub fn tell(context: &Bound<'_, PyAny>, name: &str, row: &[Member<'_>]) -> Mine<()> {
    let py = context.py();
    let columns = PyDict::new(py);
    for member in row {
        columns.set_item(mine(std::str::from_utf8(member.name).ok())?, PyBytes::new(py, member.value))?;
    }
    context.setattr(intern!(py, "place"), name)?;
    context.setattr(intern!(py, "row"), columns)?;
    Ok(())
}

/// The content of a bytes object, or None.
pub fn bytes<'a>(value: &'a Bound<'_, PyAny>) -> Mine<Option<&'a [u8]>> {
    if value.is_none() {
        return Ok(None);
    }
    Ok(Some(value.downcast::<PyBytes>().map_err(PyErr::from)?.as_bytes()))
}
