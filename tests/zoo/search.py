"""Looks for what was planted, in everything that the masker gives out.

A needle is a text that a raw value can be told by. The search indexes the haystack by its 8-byte windows, so that thousands of
needles cost one pass; it is independent of what `cdc-masker leaks` does.
"""

from __future__ import annotations

import base64
import ipaddress
import json
import uuid
from collections.abc import Iterable, Iterator
from typing import Any

from cdc_masker.events import Outcome, Record
from tests.zoo.animals import ANIMALS
from tests.zoo.capture import Capture

__all__ = ["Haystack", "forms", "leaves", "texts_of"]

_WINDOW = 8
_ANIMALS = {animal.name: animal for animal in ANIMALS}
# What Debezium puts where there is no value: it says nothing.
_SAYS_NOTHING = (
    "__debezium_unavailable_value",
    "X19kZWJleml1bV91bmF2YWlsYWJsZV92YWx1ZQ",
    "b68a35a7-17ad-35b3-af2a-ae46edb4545a",
    "00000000-0000-0000",
    "1970-01-01",
)


class Haystack:
    """Texts that are searched as one."""

    def __init__(self, texts: Iterable[bytes]) -> None:
        self._text = b"\n".join(set(texts))
        self._windows = {self._text[at : at + _WINDOW] for at in range(len(self._text) - _WINDOW + 1)}

    def __contains__(self, needle: bytes) -> bool:
        assert len(needle) >= _WINDOW
        return needle[:_WINDOW] in self._windows and needle in self._text


def forms(place: str, seed: bytes) -> set[bytes]:
    """What a planted seed looks like: as hex and as bytes, each plain, in base64 at every alignment, and in hex; and as the
    value of its column.
    """
    digits = seed.hex().encode()
    found = {digits, digits.upper(), digits.hex().encode(), digits.hex().upper().encode(), digits[::-1]}
    for text in (digits, seed):
        for skipped in range(3):
            encoded = base64.b64encode(b"\0" * skipped + text)[4 * bool(skipped) : -4]
            found |= {encoded, encoded.replace(b"+", b"-").replace(b"/", b"_")}
    found |= {str(uuid.UUID(bytes=seed)).encode(), str(ipaddress.IPv6Address(seed)).encode(), seed[:6].hex(":").encode()}
    animal = _ANIMALS.get(place.rpartition("/")[2])
    if animal is not None:
        found.add(json.dumps(animal.value(seed), ensure_ascii=False)[1:-1].encode())
    return {form for form in found if len(form) >= _WINDOW}


def leaves(capture: Capture, kept: frozenset[str]) -> set[bytes]:
    """The scalars in rows and keys of the capture, as they stand in JSON, but for those of columns named in `kept`, short ones,
    and those that also stand in what the masker lets pass.
    """
    found: set[str] = set()
    passed: list[bytes] = []
    for topic, records in capture.topics.items():
        if not topic.startswith("zoo.") and topic != "message":
            passed += (text for one in records for text in (one.key, one.value) if text and topic != "notifications")
            continue
        for event in capture.values(topic):
            for place in ("before", "after", "message"):
                for name, value in (event.pop(place, None) or {}).items():
                    if name not in kept:
                        found.update(_scalars(value))
            passed.append(json.dumps(event).encode())
    beside = Haystack(passed)
    needles = (text.encode() for text in found if not any(nothing in text for nothing in _SAYS_NOTHING))
    return {needle for needle in needles if len(needle) >= _WINDOW and needle not in beside}


def texts_of(outcomes: Iterable[Record | Outcome]) -> Iterator[bytes]:
    """Every text that a record or an outcome holds."""
    for one in outcomes:
        yield from (text for text in (one.key, one.value) if text is not None)
        for name, value in one.headers:
            yield name.encode()
            yield value or b""


def _scalars(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for inner in value.values():
            yield from _scalars(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _scalars(inner)
    elif isinstance(value, str):
        yield json.dumps(value, ensure_ascii=False)[1:-1]
    elif value is not None and not isinstance(value, bool):
        yield json.dumps(value)
