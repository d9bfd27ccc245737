//! Why a record is not masked here: all that is ever said about it.
//!
//! What always holds: nothing of a record is in it, and what Python raised for a record is forgotten. Python raises it again.

use pyo3::exceptions::PyException;
use pyo3::{PyErr, Python};

pub enum Stop {
    /// Python has to mask it.
    NotMine,
    /// Something of it has to be asked of Python, which may not be asked now.
    Ask,
    /// The process is to end.
    Raised(PyErr),
}

pub type Mine<T> = Result<T, Stop>;

impl From<PyErr> for Stop {
    fn from(error: PyErr) -> Self {
        if Python::with_gil(|py| error.is_instance_of::<PyException>(py)) {
            Stop::NotMine
        } else {
            Stop::Raised(error)
        }
    }
}

pub fn mine<T>(found: Option<T>) -> Mine<T> {
    found.ok_or(Stop::NotMine)
}

pub fn require(holds: bool) -> Mine<()> {
    if holds {
        Ok(())
    } else {
        Err(Stop::NotMine)
    }
}
