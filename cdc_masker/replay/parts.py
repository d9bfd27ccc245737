"""A masked record taken apart, so that two can be held against each other part by part.

What always holds: two records whose bytes differ, but for the header that tells what they were made by, differ in a part. A
record that can't be taken apart is one part of its own.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import msgspec

from cdc_masker import envelope
from cdc_masker.codecs import json
from cdc_masker.envelope import EVENT_FIELDS, IMAGES, KEY_HEADERS
from cdc_masker.errors import InputError, Reason
from cdc_masker.events import Outcome, Record
from cdc_masker.pipeline import HEADER

__all__ = ["Kind", "Part", "apart", "differing"]

Kind = str
"""`key` and `column` (each with a column's name, or none for what is around columns), `header` (with its name), `envelope`
(with the name of a field), `tombstone`, `timestamp` and `outcome`.
"""

_ENVELOPE = frozenset((*EVENT_FIELDS, *IMAGES))


class Part(NamedTuple):
    """A part of a record, as it is told of."""

    kind: Kind
    name: str | None = None


_Place = tuple[Part, str]
"""A part, and where it stands: of a column, the image, or the schema of one."""


def differing(one: Record | Outcome, other: Record | Outcome, *, flattened: bool) -> set[Part]:
    """The parts in which two masked records differ. `flattened`: their values are rows."""
    if (one.key, one.value, one.timestamp, _told(one)) == (other.key, other.value, other.timestamp, _told(other)):
        return set()
    if (one.value is None) != (other.value is None):
        return {Part("tombstone")}
    ours, theirs = apart(one, flattened=flattened), apart(other, flattened=flattened)
    found = {place[0] for place in ours.keys() | theirs.keys() if ours.get(place) != theirs.get(place)}
    for kind, same in (("key", one.key == other.key), ("envelope", one.value == other.value)):
        if not same and not any(part.kind in _INSIDE[kind] for part in found):  # written otherwise: a space, another order
            found.add(Part(kind))
    return found or {Part("header")}


def apart(record: Record | Outcome, *, flattened: bool) -> Mapping[_Place, bytes | None]:
    """What stands in each part of a record, but for the header that tells what it was made by."""
    found: dict[_Place, bytes | None] = {(Part("timestamp"), ""): str(record.timestamp).encode()}
    if record.key is not None:
        found |= _key(record.key, "key")
    if record.value is not None:
        found |= _value(record.value, flattened=flattened)
    for name, value in _told(record):
        found |= _key(value, name) if name in KEY_HEADERS and value is not None else {(Part("header", name), ""): value}
    return found


def _told(record: Record | Outcome) -> tuple[tuple[str, bytes | None], ...]:
    """The headers but for ours, which is the last one."""
    headers = tuple(record.headers)
    return headers[:-1] if headers and headers[-1][0] == HEADER else headers


def _key(text: bytes, place: str) -> dict[_Place, bytes | None]:
    try:
        schema, payload = envelope.unwrap(text, "key")
        columns = json.members(payload, Reason.BAD_KEY, "key")
    except InputError:
        return {(Part("key"), place): text}
    found: dict[_Place, bytes | None] = {(Part("key", name), place): bytes(value) for name, value in columns.items()}
    return found | {(Part("key", name), f"{place} schema"): said for name, said in _described(_read(schema))}


def _value(text: bytes, *, flattened: bool) -> dict[_Place, bytes | None]:
    found: dict[_Place, bytes | None] = {}
    try:
        schema, payload = envelope.unwrap(text, "value")
        if payload == b"null":
            return {(Part("envelope"), "schema"): schema}
        members = json.members(payload, Reason.UNKNOWN_SHAPE, "value")
        for name, member in members.items():
            if flattened:
                found[Part("column", name), "row"] = bytes(member)
            elif name in IMAGES and bytes(member) != b"null":
                row = json.members(bytes(member), Reason.BAD_ENVELOPE, name)
                found |= {(Part("column", column), name): bytes(value) for column, value in row.items()}
                found[Part("envelope", name), "is there"] = b""
            else:
                found[Part("envelope", name if name in _ENVELOPE else None), name] = bytes(member)
    except InputError:
        return {(Part("envelope"), ""): text}
    return found | _schemas(_read(schema), flattened=flattened)


def _schemas(schema: Any, *, flattened: bool) -> dict[_Place, bytes | None]:
    """What an event's schema says about each column, and the rest of it."""
    if flattened:
        return {(Part("column", name), "schema"): said for name, said in _described(schema)}
    found: dict[_Place, bytes | None] = {}
    rest = []
    for field in _fields(schema):
        place = field.get("field")
        if place in IMAGES:
            found |= {(Part("column", name), f"{place} schema"): said for name, said in _described(field)}
        else:
            rest.append(field)
    if schema is not None:
        found[Part("envelope", "schema"), ""] = _encode([_head(schema), rest])
    return found


def _described(schema: Any) -> Iterator[tuple[str | None, bytes]]:
    """What a struct's schema says about each of its fields, by name, and about itself."""
    if schema is not None:
        yield None, _encode(_head(schema))
    for field in _fields(schema):
        yield str(field.get("field")), _encode(field)


def _fields(schema: Any) -> list[dict[str, Any]]:
    fields = schema.get("fields") if isinstance(schema, dict) else None
    return [field for field in fields if isinstance(field, dict)] if isinstance(fields, list) else []


def _head(schema: Any) -> Any:
    return {name: value for name, value in schema.items() if name != "fields"} if isinstance(schema, dict) else schema


def _read(schema: bytes | None) -> Any:
    return None if schema is None else _decode(schema)


_INSIDE = {"key": ("key",), "envelope": ("envelope", "column")}
_encode = msgspec.json.encode
_decode = msgspec.json.decode
