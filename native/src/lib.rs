//! The compiled core of cdc-masker: it masks the ordinary records, and leaves all others to the Python core.
//!
//! What always holds: whatever a record is, it comes out as if Python had masked it. There is no unsafe code here, nothing
//! panics by design, and no error holds anything of a record. A batch goes this way: `records` reads it as it lies in a broker's
//! answer, `core` has each record masked by `record`, and `rows` writes batches for the broker. Of a record, `envelope` and
//! `json` read the event, `looks` find the `plans` that say what is done, `recipes` and `ff1` do it, or a function of Python's
//! (`asking`), `guard` looks at it again, and `leaf` stands for it in the audit.

#![forbid(unsafe_code)]
#![warn(clippy::expect_used, clippy::indexing_slicing, clippy::panic, clippy::unwrap_used)]

mod asking;
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
mod record;
mod records;
mod rows;
mod stop;
mod wire;

use pyo3::prelude::*;
use pyo3::types::PySequence;

#[pymodule]
fn cdc_masker_native(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<crate::core::Core>()?;
    module.add_class::<crate::core::Masking>()?;
    module.add_class::<fetched::Fetched>()?;
    module.add_class::<records::Records>()?;
    module.add_class::<rows::Rows>()?;
    module.add_class::<rows::Encoded>()?;
    module.add_class::<plans::Row>()?;
    module.add_class::<plans::Cell>()?;
    PySequence::register::<records::Records>(module.py())?;
    PySequence::register::<rows::Rows>(module.py())
}
