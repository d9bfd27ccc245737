//! What is done to rows of one layout, as Python's engine decided it.
//!
//! What always holds: nothing is decided here, a plan is what Python said; and no plan changes once it is made.

use crate::ff1::Permutation;
use crate::guard::Expected;
use crate::json::Member;
use crate::recipes::{Digest, OfInteger, OfString, Recipe, Token};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use std::sync::Arc;

/// What is done to the values of one column.
#[pyclass(frozen, module = "cdc_masker_native")]
pub struct Cell(pub Action);

pub enum Action {
    Keep,
    Drop,
    Constant(Vec<u8>),
    /// By the recipe where it takes the value, else by the Python function, from JSON text and context to JSON text. `of_row`:
    /// the function looks at the row, too.
    Compute {
        recipe: Option<Recipe>,
        function: Py<PyAny>,
        of_row: bool,
    },
}

#[pymethods]
impl Cell {
    /// The text as it is.
    #[staticmethod]
    fn keep() -> Self {
        Cell(Action::Keep)
    }

    /// Nothing.
    #[staticmethod]
    fn drop() -> Self {
        Cell(Action::Drop)
    }

    /// This JSON text.
    #[staticmethod]
    fn constant(text: Vec<u8>) -> Self {
        Cell(Action::Constant(text))
    }

    /// What the function gives for the text and the record's context. `of_row`: it looks at the row, too.
    #[staticmethod]
    fn call(function: Py<PyAny>, of_row: bool) -> Self {
        Cell(Action::Compute { recipe: None, function, of_row })
    }

    /// Tokens: of strings and of integers, as far as there are recipes for them.
    #[staticmethod]
    fn token(function: Py<PyAny>, of_string: Option<StringToken>, of_integer: Option<IntegerToken>) -> PyResult<Self> {
        let of_string = of_string.map(string_token).transpose()?;
        let of_integer = of_integer.map(integer_token).transpose()?;
        Ok(by(Recipe::Token(Box::new(Token { of_string, of_integer })), function))
    }

    /// The first and last characters, and `mark`, as it stands in JSON text, for each one between.
    #[staticmethod]
    fn partial(function: Py<PyAny>, first: usize, last: usize, mark: Vec<u8>) -> Self {
        by(Recipe::Partial { first, last, mark }, function)
    }

    /// The first and last digits of a card number, and `mark`, as it stands in JSON text, for each one between.
    #[staticmethod]
    fn card(function: Py<PyAny>, first: usize, last: usize, mark: Vec<u8>) -> Self {
        by(Recipe::Card { first, last, mark }, function)
    }

    /// The first characters.
    #[staticmethod]
    fn truncate(function: Py<PyAny>, length: usize) -> Self {
        by(Recipe::Truncate { length }, function)
    }
}

/// By the recipe, and by the function for values that it does not take.
fn by(recipe: Recipe, function: Py<PyAny>) -> Cell {
    Cell(Action::Compute { recipe: Some(recipe), function, of_row: false })
}

/// The form, the key, and what stands before the message.
type StringToken = (String, Vec<u8>, Vec<u8>);
/// The same, and the number of bits.
type IntegerToken = (String, Vec<u8>, Vec<u8>, u32);

fn string_token((form, key, head): StringToken) -> PyResult<OfString> {
    let digest = Digest::new(&key, &head).ok_or_else(unknown)?;
    match form.as_str() {
        "text" => Ok(OfString::Text(digest)),
        "folded" => Ok(OfString::Folded(digest)),
        "uuid" => Ok(OfString::Uuid(digest)),
        _ => Err(unknown()),
    }
}

fn integer_token((form, key, head, bits): IntegerToken) -> PyResult<OfInteger> {
    let token = match form.as_str() {
        "text" => Digest::new(&key, &head).map(OfInteger::Text),
        "permuted" => Permutation::new(&key, bits, &head).map(|permutation| OfInteger::Permuted(Box::new(permutation), bits)),
        _ => None,
    };
    token.ok_or_else(unknown)
}

fn unknown() -> PyErr {
    PyValueError::new_err("no such recipe")
}

const COLUMN_BYTES: usize = 1600;

/// A column: its name, the text of its label in the output, what is done to it, and what the guard is told if it is not kept.
pub struct Column {
    pub name: Vec<u8>,
    pub label: Vec<u8>,
    pub cell: Py<Cell>,
    pub expected: Option<Expected>,
}

pub struct RowPlan {
    pub columns: Vec<Column>,
    /// What the audit counts.
    pub treatment: Py<PyAny>,
}

impl RowPlan {
    /// About how many bytes it takes, here and in Python.
    pub fn size(&self) -> usize {
        self.columns.iter().map(|column| COLUMN_BYTES + column.name.len() + column.label.len()).sum()
    }

    /// Whether a row has just these columns, in this order.
    pub fn fits(&self, row: &[Member]) -> bool {
        row.len() == self.columns.len() && row.iter().zip(&self.columns).all(|(member, column)| member.name == column.name)
    }
}

/// A plan, on its way from Python.
#[pyclass(frozen, module = "cdc_masker_native")]
pub struct Row(pub Arc<RowPlan>);

type Told = (Vec<u8>, Vec<u8>, Py<Cell>, Option<(bool, bool, Option<Vec<u8>>)>);

#[pymethods]
impl Row {
    /// Of each column: name, label, cell, and for one that is not kept whether its values always change, whether its numbers
    /// do, and the constant that stands there always or for what could not be masked.
    #[new]
    fn new(columns: Vec<Told>, treatment: Py<PyAny>) -> Self {
        let columns = columns.into_iter().map(|(name, label, cell, told)| {
            let expected = told.map(|(changes, numbers_change, constant)| Expected { changes, numbers_change, constant });
            Column { name, label, cell, expected }
        });
        Row(Arc::new(RowPlan { columns: columns.collect(), treatment }))
    }
}
