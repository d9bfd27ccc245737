"""The egress guard: a second look at what is about to leave, which shares no code with what masked it.

It reads the encoded masked event anew and looks in it for the raw texts of the columns that are not kept. Of rules and methods
it knows nothing but which columns those are, and which of them have a method that never gives back what it got. It finds:

- one of the latter that stands in its field as it came in;
- a long text of any column that is not kept, standing in another such column, in the key or in a header.

Null, neutral constants and the markers of unchanged large values say nothing. A text that a kept column of the same raw row
holds too was decided to be seen, and so was one that a method shows in its own column, as the first of a month where dates are
cut to it. A number or date that is cut or moved may be what another column held. None of these is a finding. A finding names
the column and never the value. Which records are looked at follows from their offsets, so that a replay looks at the same ones.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import NamedTuple, Protocol

import msgspec

from cdc_masker.errors import InputError, Reason
from cdc_masker.events import Outcome

__all__ = ["WHOLE", "EgressGuard", "Expectation", "MaskedColumn"]

LONG = 16
"""A JSON text of so many bytes does not stand somewhere else by chance."""

WHOLE = "value"
"""The place of a row that is all of the value."""

_SAYS_NOTHING = frozenset(
    (
        b"null",
        b"true",
        b"false",
        b"0",
        b"0.0",
        b'""',
        b"[]",
        b"{}",
        b'"{}"',
        b'"AA=="',
        b'"00000000-0000-0000-0000-000000000000"',
        b'"1970-01-01T00:00:00.000000Z"',
        b'"1970-01-01T00:00:00Z"',
        b'"1970-01-01Z"',
        b'"00:00:00Z"',
        b'"P0Y0M0DT0H0M0S"',
        b'{"scale":0,"value":"AA=="}',
        b'{"year":1970,"month":1,"day":1,"specialValue":null}',
    )
)
_MARKERS = (
    b"__debezium_unavailable_value",
    b"X19kZWJleml1bV91bmF2YWlsYWJsZV92YWx1ZQ==",
    b"[95,95,100,101,98,101,122,105,117,109,95,117,110,97,118,97,105,108,97,98,108,101,95,118,97,108,117,101]",
    b'["b68a35a7-17ad-35b3-af2a-ae46edb4545a"]',
)

_OF_NUMBERS = b"-0123456789"
_MEASURE = re.compile(rb'"[-+0-9.:TZ ]+"')

_Row = Mapping[str, msgspec.Raw]


class MaskedColumn(NamedTuple):
    """A column that is not kept: its name, whether its values always change, whether its numbers do, and the text that stands
    there always, or for what could not be masked. A raw value that happens to be this text says nothing.

    `near`: what comes out is a value like those that go in, so that it can be what another column held.
    """

    name: str
    changes: bool
    numbers_change: bool = True
    constant: bytes | None = None
    near: bool = False


class Expectation(Protocol):
    """What the guard is told about the columns of a row."""

    @property
    def kept(self) -> frozenset[str]: ...
    @property
    def masked(self) -> tuple[MaskedColumn, ...]: ...


_Rows = Mapping[str, tuple[_Row, Expectation]]


class EgressGuard:
    """Looks at every `every`-th offset of each partition; 1 is all of them."""

    def __init__(self, every: int = 1) -> None:
        self.every = every
        self._beginning = b""  # of the last value with a schema, up to its payload: those that follow mostly begin so, too

    def check(self, outcome: Outcome, rows: _Rows) -> None:
        """Raises `InputError(EGRESS_GUARD)` naming the column when the masked record shows what it must not.

        `rows` are the raw row images by their place; that of a flattened row is `WHOLE`.
        """
        if outcome.value is None or outcome.offset % self.every:
            return
        payload = self._payload(outcome.value)
        shown = {WHOLE: _row.decode(payload)} if WHOLE in rows else _images(payload)
        parts: list[bytes | msgspec.Raw] = [*_around(outcome)]
        long: list[tuple[str, MaskedColumn, bytes]] = []
        for place, (row, expected) in rows.items():
            fields = shown[place]
            for column in expected.masked:
                name = column.name
                raw, masked = row[name], fields.get(name)
                if masked == raw:
                    if column.changes and _tells(column, bytes(raw)):
                        raise InputError(Reason.EGRESS_GUARD, f"{place}.{name}")
                elif len(raw) >= LONG:
                    long.append((place, column, bytes(raw)))
                if masked is not None:  # else it was dropped
                    parts.append(masked)
        everything = b"\n".join(parts)
        for place, column, text in long:
            content = text[1:-1] if text[0] not in _OF_NUMBERS else text
            if (
                content in everything
                and _tells(column, text)
                and _stands_elsewhere(column, text, content, outcome, shown, rows)
            ):
                raise InputError(Reason.EGRESS_GUARD, f"{place}.{column.name}")

    def _payload(self, value: bytes) -> bytes | msgspec.Raw:
        if not value.startswith(b'{"schema":{'):
            return value
        if self._beginning and value.startswith(self._beginning):
            return value[len(self._beginning) : -1]
        wrapped = _wrapped.decode(value)
        self._beginning = b"".join((b'{"schema":', wrapped.schema, b',"payload":'))
        return wrapped.payload


class _Part(NamedTuple):
    """Where no raw text may stand: the column, '' for key and headers, and the form of raw values that can stand there."""

    column: str
    text: bytes
    form: bytes = b""


def _stands_elsewhere(
    column: MaskedColumn, text: bytes, content: bytes, outcome: Outcome, shown: Mapping[str, _Row], rows: _Rows
) -> bool:
    """Whether the content of a long text stands in a part that is not a field of its name, nor in any kept column."""
    form = _form(text)
    return any(
        content in part.text
        for part in _masked_parts(outcome, shown, rows)
        if part.column != column.name and not (form and part.form == form)
    ) and not any(content in bytes(row[kept]) for row, expected in rows.values() for kept in expected.kept)


def _tells(column: MaskedColumn, text: bytes) -> bool:
    """Whether the raw text says something, and may not come out of that column."""
    return (
        text not in _SAYS_NOTHING
        and text != column.constant
        and (column.numbers_change or text[0] not in _OF_NUMBERS)
        and not any(marker in text for marker in _MARKERS)
    )


def _around(outcome: Outcome) -> list[bytes]:
    """The key and the headers."""
    return [outcome.key or b"", *(value or b"" for _, value in outcome.headers)]


def _masked_parts(outcome: Outcome, shown: Mapping[str, _Row], rows: _Rows) -> list[_Part]:
    """Masked fields with their names, the key and the headers."""
    fields = (
        _Part(column.name, bytes(shown[place][column.name]), _form(bytes(row[column.name])) if column.near else b"")
        for place, (row, expected) in rows.items()
        for column in expected.masked
        if column.name in shown[place]  # else it was dropped
    )
    return [*(_Part("", part) for part in _around(outcome)), *fields]


def _form(text: bytes) -> bytes:
    """Alike for numbers, for numbers and dates as texts, and for structs such as decimals and points; empty for other texts."""
    if text[0] in _OF_NUMBERS:
        return b"0"
    return text[:1] if text.startswith(b"{") or _MEASURE.fullmatch(text) else b""


class _Images(msgspec.Struct):
    before: dict[str, msgspec.Raw] | None = None
    after: dict[str, msgspec.Raw] | None = None
    message: dict[str, msgspec.Raw] | None = None


class _Wrapped(msgspec.Struct):
    schema: msgspec.Raw
    payload: msgspec.Raw


_event = msgspec.json.Decoder(_Images)
_row = msgspec.json.Decoder(dict[str, msgspec.Raw])
_wrapped = msgspec.json.Decoder(_Wrapped)


def _images(payload: bytes | msgspec.Raw) -> dict[str, dict[str, msgspec.Raw]]:
    images = _event.decode(payload)
    found = {"before": images.before, "after": images.after, "message": images.message}
    return {place: image for place, image in found.items() if image is not None}
