"""Capture lines: Kafka records, and what became of them, as one JSON object a line.

A record is `{"topic","partition","offset","timestamp","headers":[[name,value]…],"key","value"}`; key, value and header
values are the exact bytes as text, `null`, or `{"base64":…}` where they are not UTF-8. An outcome is the same with `outcome`
and `target` in front, or `{"outcome":"quarantined","reason",…}` with coordinates only.
"""

from __future__ import annotations

import base64
import binascii
import re
from typing import Annotated

import msgspec

from cdc_masker.errors import CdcMaskerError
from cdc_masker.events import Count, Fate, Headers, Number, Outcome, Record, RecordTime

__all__ = ["CaptureError", "decode_line", "encode_line", "encode_outcome"]


class CaptureError(CdcMaskerError):
    """A line that is no capture line: the input file is not what the command takes."""


class _Binary(msgspec.Struct, forbid_unknown_fields=True):
    base64: str


_Bytes = str | _Binary | None


class _Line(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    topic: Annotated[str, msgspec.Meta(min_length=1)]
    partition: Number
    offset: Count
    timestamp: RecordTime
    headers: list[tuple[str, _Bytes]] = []
    key: _Bytes
    value: _Bytes


class _Published(msgspec.Struct, kw_only=True):
    outcome: Fate
    target: str | None
    topic: str
    partition: int
    offset: int
    timestamp: int
    headers: list[tuple[str, _Bytes]]
    key: _Bytes
    value: _Bytes


class _Withheld(msgspec.Struct, kw_only=True, omit_defaults=True):
    outcome: Fate
    reason: str | None = None
    topic: str
    partition: int
    offset: int


_line = msgspec.json.Decoder(_Line)
_place = re.compile(rf"\b({'|'.join(_Line.__struct_fields__)})\b")


def decode_line(line: bytes) -> Record:
    """Raises `CaptureError`, which tells what is wrong and never what stood there."""
    try:
        parsed = _line.decode(line)
        return Record(
            parsed.topic,
            parsed.partition,
            parsed.offset,
            parsed.timestamp,
            _bytes(parsed.key),
            _bytes(parsed.value),
            tuple((name, _bytes(value)) for name, value in parsed.headers),
        )
    except msgspec.ValidationError as error:  # its text may quote a name that stood there
        place = _place.search(str(error))
        problem = f"{place[0] if place else 'a member'} is not as it has to be"
    except (msgspec.DecodeError, binascii.Error, ValueError):
        problem = "not JSON, UTF-8 or base64"
    raise CaptureError(f"not a capture line: {problem}")


def encode_line(record: Record) -> bytes:
    """The line of a record, without the line end."""
    return msgspec.json.encode(
        _Line(
            topic=record.topic,
            partition=record.partition,
            offset=record.offset,
            timestamp=record.timestamp,
            headers=_headers(record.headers),
            key=_text(record.key),
            value=_text(record.value),
        )
    )


def encode_outcome(outcome: Outcome) -> bytes:
    """The line of an outcome, without the line end."""
    if outcome.fate is Fate.QUARANTINED:
        return msgspec.json.encode(
            _Withheld(
                outcome=outcome.fate,
                reason=outcome.reason,
                topic=outcome.topic,
                partition=outcome.partition,
                offset=outcome.offset,
            )
        )
    return msgspec.json.encode(
        _Published(
            outcome=outcome.fate,
            target=outcome.target,
            topic=outcome.topic,
            partition=outcome.partition,
            offset=outcome.offset,
            timestamp=outcome.timestamp,
            headers=_headers(outcome.headers),
            key=_text(outcome.key),
            value=_text(outcome.value),
        )
    )


def _bytes(text: _Bytes) -> bytes | None:
    if text is None:
        return None
    return text.encode() if isinstance(text, str) else base64.b64decode(text.base64, validate=True)


def _text(data: bytes | None) -> _Bytes:
    if data is None:
        return None
    try:
        return data.decode()
    except UnicodeDecodeError:
        return _Binary(base64.b64encode(data).decode())


def _headers(headers: Headers) -> list[tuple[str, _Bytes]]:
    return [(name, _text(value)) for name, value in headers]
