//! The compiled core of cdc-masker: it masks the ordinary records, and leaves all others to the Python core.
//!
//! What always holds: whatever a record is, it comes out as if Python had masked it. There is no unsafe code here, nothing
//! panics by design, and no error holds anything of a record. A record goes this way: `core` takes it, `envelope` and `json`
//! read it, `looks` find the `plans` that say what is done, `recipes` and `ff1` do it, `guard` looks at it again, `leaf` stands for it in the audit.

#![forbid(unsafe_code)]
#![warn(clippy::expect_used, clippy::indexing_slicing, clippy::panic, clippy::unwrap_used)]

mod core;
mod envelope;
mod fetched;
mod ff1;
mod guard;
mod json;
mod leaf;
mod looks;
mod plans;
mod recipes;
mod records;
mod rows;
mod stop;
mod taken;
mod wire;

use pyo3::prelude::*;
use pyo3::types::PySequence;

#[pymodule]
fn cdc_masker_native(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<crate::core::Core>()?;
    module.add_class::<plans::Row>()?;
    module.add_class::<plans::Cell>()?;
    module.add_class::<records::Records>()?;
    module.add_class::<fetched::Fetched>()?;
    module.add_class::<rows::Rows>()?;
    module.add_class::<rows::Encoded>()?;
    PySequence::register::<records::Records>(module.py())?;
    PySequence::register::<rows::Rows>(module.py())
}
