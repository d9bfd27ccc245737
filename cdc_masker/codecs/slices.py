"""The text of an object or an array, cut into its parts and put together again without touching what lies between them.

Kept values, names with their escapes, and spaces stay as they were written; a part that is left out takes the comma before it
along. Texts must have been checked: JSON in which no name stands twice (`codecs.json`).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

import msgspec

__all__ = ["Part", "elements", "join", "members"]

_members = msgspec.json.Decoder(dict[str, msgspec.Raw])
_elements = msgspec.json.Decoder(list[msgspec.Raw])

_SPACE = b" \t\n\r"
_BEFORE_MEMBER = re.compile(rb'[ \t\n\r]*,?[ \t\n\r]*("[^"\\]*(?:\\.[^"\\]*)*")[ \t\n\r]*:[ \t\n\r]*')
_BEFORE_ELEMENT = re.compile(rb"[ \t\n\r]*,?[ \t\n\r]*")


class Part(NamedTuple):
    """A member or an element. `gap` is what stands before it, `label` its name's text, `colon` what stands behind that."""

    name: str
    gap: bytes
    label: bytes
    colon: bytes
    text: bytes


def members(text: bytes) -> Iterator[Part]:
    """The members of an object, in order."""
    position = 1
    for name, raw in _members.decode(text).items():
        match = _BEFORE_MEMBER.match(text, position)
        assert match is not None  # the text was checked
        gap_end, label_end, start = match.start(1), match.end(1), match.end()
        end = start + len(raw)
        yield Part(name, text[position:gap_end], text[gap_end:label_end], text[label_end:start], text[start:end])
        position = end


def elements(text: bytes) -> Iterator[Part]:
    """The elements of an array, in order, with empty names."""
    position = 1
    for raw in _elements.decode(text):
        match = _BEFORE_ELEMENT.match(text, position)
        assert match is not None  # it matches anywhere
        start = match.end()
        end = start + len(raw)
        yield Part("", text[position:start], b"", b"", text[start:end])
        position = end


def join(text: bytes, parts: list[Part]) -> bytes:
    """The object or array `text` with these of its parts, which may have other labels and texts now."""
    inner = text[1:-1]
    if not parts:
        return text if not inner.strip(_SPACE) else text[:1] + text[-1:]
    lead, tail = inner[: len(inner) - len(inner.lstrip(_SPACE))], inner[len(inner.rstrip(_SPACE)) :]
    first, *rest = parts
    written = [text[:1], lead, first.label, first.colon, first.text]
    for part in rest:
        written += part[1:]
    return b"".join((*written, tail, text[-1:]))
