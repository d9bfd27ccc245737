//! What Python is asked while a record is masked: to mask a value by a function of its own, or to make a plan.
//!
//! What always holds: who may not ask is told to stop, and nothing came of the record; the context in which functions compute
//! is of this record only, and it is made when the first of them is called.

use crate::json::Member;
use crate::records::{Raw, Records};
use crate::stop::{mine, require, Mine, Stop};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyTuple};

/// Python, and the keys of subjects that its functions may need.
#[derive(Clone, Copy)]
pub struct Asking<'c, 'py> {
    pub py: Python<'py>,
    pub subjects: &'c Bound<'py, PyAny>,
}

/// The functions of Python, for one record.
pub struct Functions<'c, 'py> {
    asking: Option<Asking<'c, 'py>>,
    context: Option<Bound<'py, PyAny>>,
}

impl<'c, 'py> Functions<'c, 'py> {
    pub fn new(asking: Option<Asking<'c, 'py>>) -> Self {
        Functions { asking, context: None }
    }

    pub fn python(&self) -> Mine<Python<'py>> {
        self.asking.map(|asking| asking.py).ok_or(Stop::Ask)
    }

    /// What the function gives for a value. `row` is where it stands, where the function looks at that, too: the name of the
    /// place and the columns. `make` is the class of contexts.
    pub fn call(
        &mut self,
        function: &Py<PyAny>,
        value: &[u8],
        row: Option<(&str, &[Member<'_>])>,
        make: &Py<PyAny>,
        of: (&Records, &Raw<'_>),
    ) -> Mine<Bound<'py, PyBytes>> {
        let Asking { py, subjects } = self.asking.ok_or(Stop::Ask)?;
        let context = match &self.context {
            Some(context) => context.clone(),
            None => {
                let (records, raw) = of;
                let made = make.bind(py).call1((records.topic(), records.partition(), raw.offset, subjects))?;
                self.context.insert(made).clone()
            }
        };
        if let Some((name, columns)) = row {
            tell(&context, name, columns)?;
        }
        let masked = function.bind(py).call1((PyBytes::new(py, value), context))?;
        Ok(masked.downcast_into().map_err(PyErr::from)?)
    }

    /// The columns and reasons of what could not be masked, if there are any.
    pub fn misfits(&self) -> Mine<Option<Py<PyTuple>>> {
        let context = match &self.context {
            Some(context) => context,
            None => return Ok(None),
        };
        let py = context.py();
        require(!context.getattr(intern!(py, "missing"))?.is_truthy()?)?;
        let misfits = context.getattr(intern!(py, "misfits"))?;
        let misfits = misfits.downcast::<PyDict>().map_err(PyErr::from)?;
        Ok(if misfits.is_empty() { None } else { Some(misfits.keys().to_tuple().unbind()) })
    }
}

/// Tells a context which row its record is at.
fn tell(context: &Bound<'_, PyAny>, name: &str, row: &[Member<'_>]) -> Mine<()> {
    let py = context.py();
    let columns = PyDict::new(py);
    for member in row {
        columns.set_item(mine(std::str::from_utf8(member.name).ok())?, PyBytes::new(py, member.value))?;
    }
    context.setattr(intern!(py, "place"), name)?;
    context.setattr(intern!(py, "row"), columns)?;
    Ok(())
}
