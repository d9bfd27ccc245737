"""What the audit's Merkle trees stand for: a leaf for each record, over all that was published of it.

Whoever has the masked topic and the notes computes the same leaves from them.
"""

from __future__ import annotations

from struct import Struct

from cdc_masker.errors import Reason
from cdc_masker.events import Fate, Headers, Note, Outcome

__all__ = ["leaf", "leaf_of"]


def leaf(
    offset: int,
    fate: Fate,
    reason: Reason | None,
    place: str | None,
    timestamp: int,
    key: bytes | None,
    value: bytes | None,
    headers: Headers,
) -> bytes:
    """The leaf of one record as it was published, in this order, without anything between:

    1. offset, timestamp, and the lengths of key and value;
    2. key and value;
    3. fate, reason and place, each behind its length;
    4. for each header, the lengths of its name and its value, then both.

    Numbers are 8 bytes, big-endian, signed. Lengths are in bytes, that of null is -1. Texts are in UTF-8.
    """
    parts = [
        _FOUR(offset, timestamp, -1 if key is None else len(key), -1 if value is None else len(value)),
        key or b"",
        value or b"",
        _FATES[fate],
        _NULL if reason is None else _sized(reason),
        _NULL if place is None else _sized(place),
    ]
    for name, content in headers:
        named = name.encode()
        parts += (_TWO(len(named), -1 if content is None else len(content)), named, content or b"")
    return b"".join(parts)


def leaf_of(one: Outcome | Note) -> bytes:
    """The leaf of an outcome, or of the note that is kept of one."""
    if isinstance(one, Note):
        return leaf(one.offset, one.fate, one.reason, one.place, one.timestamp, None, None, ())
    return leaf(one.offset, one.fate, one.reason, one.place, one.timestamp, one.key, one.value, one.headers)


def _sized(text: str) -> bytes:
    """A text behind its length, as it stands in a leaf."""
    encoded = text.encode()
    return _ONE(len(encoded)) + encoded


# Parts of leaves, which are made for every record.
_ONE, _TWO, _FOUR = (Struct(f">{number}q").pack for number in (1, 2, 4))
_NULL = _ONE(-1)
_FATES = {fate: _sized(fate) for fate in Fate}
