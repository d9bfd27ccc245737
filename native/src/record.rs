//! The way of one record.
//!
//! What always holds: a record is masked here only if all of it is as Debezium and Kafka Connect write it, its look is one that
//! Python made a plan for, and every value is one that its cell takes. What comes out then is what Python would publish. For
//! any other record nothing is published and nothing is said but "not mine", so that Python tells the story.

use crate::asking::{Asking, Functions};
use crate::core::Core;
use crate::envelope::{self, Image, PAYLOAD, SCHEMA};
use crate::guard;
use crate::json::{Member, Scanner};
use crate::leaf;
use crate::looks::{About, Key, Place, Recent};
use crate::plans::{Action, RowPlan};
use crate::records::{Raw, Records};
use crate::stop::{mine, require, Mine};
use pyo3::prelude::*;
use pyo3::types::PyTuple;
use std::borrow::Cow;
use std::io::Write;
use std::sync::Arc;

/// Kafka's own bytes around a record, as in `cdc_masker.pipeline`.
const FRAMING_BYTES: usize = 128;
const KEY_HEADERS: [&str; 2] = ["__debezium.newkey", "__debezium.oldkey"];

/// A record that is being masked.
pub struct Work<'a, 'c, 'py> {
    core: &'a Core,
    records: &'a Records,
    raw: &'a Raw<'a>,
    functions: Functions<'c, 'py>,
    recent: &'a mut Recent,
}

/// What is published of a record, and what the audit counts for it.
pub struct Masked<'a> {
    pub key: Option<Vec<u8>>,
    pub value: Option<Vec<u8>>,
    pub headers: Headers<'a>,
    pub leaf: [u8; 32],
    pub plans: Vec<Arc<RowPlan>>,
    pub misfits: Option<Py<PyTuple>>,
}

/// Names and values.
type Headers<'a> = Vec<(Cow<'a, [u8]>, Option<Cow<'a, [u8]>>)>;

/// Key and headers, with the plans that they went through.
type Around<'a> = (Option<Vec<u8>>, Headers<'a>, Vec<Arc<RowPlan>>);

/// A masked value, the schema in it, and the raw rows that it was made of.
type Shown<'r> = (&'r [u8], Option<&'r [u8]>, Vec<guard::Raw<'r>>);

impl<'a, 'c, 'py> Work<'a, 'c, 'py> {
    /// Without `asking` only what needs nothing of Python's is masked.
    pub fn new(
        core: &'a Core,
        records: &'a Records,
        raw: &'a Raw<'a>,
        asking: Option<Asking<'c, 'py>>,
        recent: &'a mut Recent,
    ) -> Self {
        Work { core, records, raw, functions: Functions::new(asking), recent }
    }

    pub fn mask(&mut self) -> Mine<Masked<'a>> {
        self.core.looks.bound();
        require(self.records.partition() >= 0 && self.raw.offset >= 0)?;
        require(!self.core.excluded.contains(self.records.topic()))?;
        let key = self.raw.key.map(|text| self.key(text)).transpose()?;
        match self.raw.value {
            Some(text) => self.event(key.as_ref(), text),
            None => self.tombstone(mine(key)?),
        }
    }

    fn key<'t>(&mut self, text: &'t [u8]) -> Mine<Key<'t>> {
        let (schema, payload) = mine(self.core.looks.unwrap(text, &mut self.recent.key_schema))?;
        let mut scanner = Scanner::new(payload);
        let row = mine(scanner.row())?;
        require(scanner.at_end())?;
        Ok(Key { schema, row })
    }

    fn tombstone(&mut self, key: Key<'_>) -> Mine<Masked<'a>> {
        let around = self.around(self.about(None, Some(&key)))?.1;
        self.masked(around, None)
    }

    fn event(&mut self, key: Option<&Key<'_>>, text: &[u8]) -> Mine<Masked<'a>> {
        let looks = &self.core.looks;
        let (schema, payload) = mine(looks.unwrap(text, &mut self.recent.value_schema))?;
        let event = mine(envelope::read(payload))?;
        let about = self.about(Some(&event), key);
        let (place, (key, headers, mut plans)) = self.around(about)?;
        let described = match schema {
            None => None,
            Some(schema) => Some(looks.described(|| self.functions.python(), self.recent, &place, about, &schema)?),
        };
        let schema = described.as_ref().map(|described| described.schema.as_slice());
        let mut value = Vec::with_capacity(text.len() + 256);
        begin(schema, &mut value);
        let mut copied = 0;
        let mut rows: Vec<(&str, &Image<'_>, Arc<RowPlan>)> = Vec::with_capacity(2);
        for (name, image) in [("before", &event.before), ("after", &event.after)] {
            if let Some(image) = image {
                let plan = match &described {
                    None => looks.row(|| self.functions.python(), self.recent, &place, about, &image.row)?,
                    Some(described) => Arc::clone(mine(described.image(name).filter(|plan| plan.fits(&image.row)))?),
                };
                value.extend_from_slice(mine(payload.get(copied..image.start))?);
                self.row(&plan, &image.row, name, &mut value)?;
                copied = image.end;
                plans.push(Arc::clone(&plan));
                rows.push((name, image, plan));
            }
        }
        value.extend_from_slice(mine(payload.get(copied..))?);
        end(schema, &mut value);
        let rows = rows.iter().map(|(name, image, plan)| guarded(name, image, plan)).collect();
        let mut masked = self.masked((key, headers, plans), Some((&value, schema, rows)))?;
        masked.value = Some(value);
        Ok(masked)
    }

    fn about<'b>(&self, event: Option<&'b envelope::Event<'b>>, key: Option<&'b Key<'b>>) -> About<'b>
    where
        'a: 'b,
    {
        About { topic: self.records.topic(), event, key }
    }

    /// What is masked whatever the value is: key and headers, with the plans that they went through; and what plans of rows are
    /// found by.
    fn around(&mut self, about: About<'_>) -> Mine<(Arc<Place>, Around<'a>)> {
        let place = self.core.looks.place(|| self.functions.python(), self.recent, about)?;
        let mut plans = Vec::with_capacity(3);
        let key = match (about.key, &place.key) {
            (Some(key), Some(plan)) => {
                plans.push(Arc::clone(plan));
                Some(self.wrapped(plan, place.schema.as_deref(), &key.row, "key")?)
            }
            _ => None,
        };
        let headers = self.headers(about, &place, &mut plans)?;
        Ok((place, (key, headers, plans)))
    }

    /// The headers that the policy allows, the other key of a key change, and the one that tells where the record came from.
    fn headers(&mut self, about: About<'_>, place: &Place, plans: &mut Vec<Arc<RowPlan>>) -> Mine<Headers<'a>> {
        let mut kept = Vec::with_capacity(4);
        for (name, content) in self.raw.headers() {
            if KEY_HEADERS.contains(&name) {
                let other = self.other_key(about, place, name, mine(content)?, plans)?;
                kept.push((Cow::Borrowed(name.as_bytes()), Some(Cow::Owned(other))));
            } else if self.core.headers.contains(name) {
                kept.push((Cow::Borrowed(name.as_bytes()), content.map(Cow::Borrowed)));
            }
        }
        let mut origin = Vec::with_capacity(64);
        let written = write!(origin, "v=1;p={};o={};{}", self.records.partition(), self.raw.offset, self.core.made_by);
        require(written.is_ok())?;
        kept.push((Cow::Borrowed(self.core.header.as_bytes()), Some(Cow::Owned(origin))));
        Ok(kept)
    }

    /// The key before or after a change of it. One without a schema goes through the plan of the record's own key.
    fn other_key(
        &mut self,
        about: About<'_>,
        place: &Place,
        name: &str,
        text: &[u8],
        plans: &mut Vec<Arc<RowPlan>>,
    ) -> Mine<Vec<u8>> {
        require(about.key.is_some())?;
        let other = self.key(text)?;
        let (plan, schema) = match &other.schema {
            None => (place.key.clone(), None),
            Some(_) => {
                let about = About { key: Some(&other), ..about };
                let place = self.core.looks.place(|| self.functions.python(), self.recent, about)?;
                (place.key.clone(), place.schema.clone())
            }
        };
        let plan = mine(plan)?;
        let masked = self.wrapped(&plan, schema.as_deref(), &other.row, name)?;
        plans.push(plan);
        Ok(masked)
    }

    /// A masked row, with its schema if there is one.
    fn wrapped(&mut self, plan: &RowPlan, schema: Option<&[u8]>, row: &[Member<'_>], name: &str) -> Mine<Vec<u8>> {
        require(plan.fits(row))?;
        let mut out = Vec::with_capacity(128);
        begin(schema, &mut out);
        self.row(plan, row, name, &mut out)?;
        end(schema, &mut out);
        Ok(out)
    }

    /// Writes a masked row.
    fn row(&mut self, plan: &RowPlan, row: &[Member<'_>], name: &str, out: &mut Vec<u8>) -> Mine<()> {
        let mut told = false;
        let mut separator = b'{';
        for (column, member) in plan.columns.iter().zip(row) {
            let action = &column.cell.get().0;
            if matches!(action, Action::Drop) {
                continue;
            }
            out.push(separator);
            separator = b',';
            out.extend_from_slice(&column.label);
            match action {
                Action::Drop => {}
                Action::Keep => out.extend_from_slice(member.value),
                Action::Constant(text) => out.extend_from_slice(text),
                Action::Compute { .. } if member.value == b"null" => out.extend_from_slice(b"null"),
                Action::Compute { recipe, function, of_row } => {
                    let marker = self.core.unchanged.iter().any(|marker| marker == member.value);
                    if marker || !recipe.as_ref().map_or(false, |recipe| recipe.write(member.value, out)) {
                        let shown = if *of_row && !told { Some((name, row)) } else { None };
                        told |= *of_row;
                        let of = (self.records, self.raw);
                        let masked = self.functions.call(function, member.value, shown, &self.core.context, of)?;
                        out.extend_from_slice(masked.as_bytes());
                    }
                }
            }
        }
        if separator == b'{' {
            out.push(b'{');
        }
        out.push(b'}');
        Ok(())
    }

    /// The record without its value, which is only looked at.
    fn masked(&mut self, (key, headers, plans): Around<'a>, shown: Option<Shown<'_>>) -> Mine<Masked<'a>> {
        let core = self.core;
        let value = shown.as_ref().map(|(value, _, _)| *value);
        let named: Vec<(&[u8], Option<&[u8]>)> = headers.iter().map(|(name, content)| (&**name, content.as_deref())).collect();
        let length = |bytes: Option<&[u8]>| bytes.map_or(0, <[u8]>::len);
        let around: usize = named.iter().map(|(name, content)| name.len() + length(*content)).sum();
        require(length(key.as_deref()) + length(value) + around + FRAMING_BYTES <= core.most_bytes)?;
        let passed_over = self.raw.offset.checked_rem(core.guard_every).map_or(false, |rest| rest != 0);
        if let (Some((value, schema, rows)), false) = (shown, passed_over) {
            let mut beside = vec![key.as_deref().unwrap_or(b"")];
            beside.extend(named.iter().map(|(_, content)| content.unwrap_or(b"")));
            require(!guard::suspects(&core.images, value, schema, &beside, &rows))?;
        }
        let leaf = leaf::hash(self.raw.offset, self.raw.timestamp, key.as_deref(), value, &named);
        let misfits = self.functions.misfits()?;
        Ok(Masked { key, value: None, headers, leaf, plans, misfits })
    }
}

/// What the guard is told about a row.
fn guarded<'r>(name: &'r str, image: &'r Image<'_>, plan: &'r RowPlan) -> guard::Raw<'r> {
    let columns = plan.columns.iter().zip(&image.row).map(|(column, member)| guard::Column {
        name: &column.name,
        text: member.value,
        expected: column.expected.as_ref(),
        dropped: matches!(column.cell.get().0, Action::Drop),
    });
    guard::Raw { place: name.as_bytes(), columns: columns.collect() }
}

/// What stands before the payload, if a schema is embedded.
fn begin(schema: Option<&[u8]>, out: &mut Vec<u8>) {
    if let Some(schema) = schema {
        for part in [SCHEMA, schema, PAYLOAD] {
            out.extend_from_slice(part);
        }
    }
}

/// What stands behind it.
fn end(schema: Option<&[u8]>, out: &mut Vec<u8>) {
    out.extend(schema.map(|_| b'}'));
}
