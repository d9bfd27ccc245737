"""Embedded Connect schemas: read once, masked once.

A schema's text is parsed into layouts (which columns, of which types); with the masks of those columns it is written again.
What is written is an allow-list: types, optionality, names; the schema of a kept column stays whole, that of a masked one
is written from its output type and so loses its default, its comment and its labels.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from cdc_masker.codecs.json import decode, refuse_duplicates
from cdc_masker.errors import InputError, Reason
from cdc_masker.schemas import Type, from_connect, to_connect

__all__ = ["ConnectSchema", "Layout", "allowed", "parse", "write_schema"]

Layout = tuple[tuple[str, Type | None], ...]

_schema = msgspec.json.Decoder(dict[str, Any])


@dataclass(frozen=True, slots=True)
class ConnectSchema:
    """A struct schema: its own metadata, and its fields' schemas by name, as JSON values."""

    head: Mapping[str, Any]
    fields: Mapping[str, Mapping[str, Any]]

    @property
    def layout(self) -> Layout:
        """Names and types of the fields, in order."""
        return tuple((name, from_connect(field)) for name, field in self.fields.items())

    def nested(self, name: str) -> ConnectSchema | None:
        """The schema of a field that is a struct itself; None where there is no such field."""
        return _struct(self.fields[name]) if name in self.fields else None


def parse(text: bytes, place: str) -> ConnectSchema:
    """Raises `InputError(SCHEMA_MISMATCH)` for anything but the schema of a struct."""
    refuse_duplicates(text, place)
    return _struct(decode(_schema, text, Reason.SCHEMA_MISMATCH, place))


def write_schema(schema: ConnectSchema, fields: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """The struct's schema with these fields, in the order of the original; fields that are not among them are left out."""
    kept = [{**fields[name], "field": name} for name in schema.fields if name in fields]
    return {"type": "struct", "fields": kept, **schema.head}


def allowed(schema: ConnectSchema, names: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """The schemas of those fields that `names` allows, without what could hold data; `names` nests like the structs do."""
    found = {}
    for name, inner in names.items():
        if name in schema.fields:
            found[name] = _narrowed(schema.fields[name], inner)
    return found


def _narrowed(field: Mapping[str, Any], inner: Mapping[str, Any] | None) -> dict[str, Any]:
    if inner is None:
        return to_connect(from_connect(field))
    if field.get("type") == "array":
        items = field.get("items")
        return {**to_connect(from_connect(field)), "items": _narrowed(items if isinstance(items, dict) else {}, inner)}
    struct = _struct(field)
    return write_schema(struct, allowed(struct, inner))


def _struct(schema: Mapping[str, Any]) -> ConnectSchema:
    type_ = from_connect(schema)
    if type_.base != "struct":
        raise InputError(Reason.SCHEMA_MISMATCH, "schema")
    head = {name: value for name, value in to_connect(type_).items() if name not in ("type", "fields", "parameters")}
    return ConnectSchema(head, {field["field"]: field for field in schema["fields"]})
