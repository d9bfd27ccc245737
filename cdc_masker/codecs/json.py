"""Strict JSON, mostly unparsed.

Objects are read one level deep: their members stay raw text, so that a value nobody touches comes out byte by byte as it
went in, and most of an event is never parsed. The parser (msgspec) checks syntax, escapes and surrogates even of what it
leaves raw; what it lets pass is checked here: UTF-8, depth, and members that stand twice, on every level.

Duplicates are found for free where a text is compact, as Kafka Connect writes it: each member that is decoded has a known
length, a lost duplicate makes the sum too short. Only a text that does not add up is read again, slowly, and so are the
objects and arrays in it that stay raw, which real rows seldom have.

An `InputError` is raised where no other exception is being handled: those of parsers hold the text that they were given.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

import msgspec

from cdc_masker.errors import InputError, Reason

__all__ = [
    "MAX_DEPTH",
    "Members",
    "check_text",
    "compact_length",
    "decode",
    "members",
    "refuse_duplicates",
    "refuse_nested_duplicates",
]

MAX_DEPTH = 100

Members = dict[str, msgspec.Raw]

_members = msgspec.json.Decoder(Members)


def check_text(text: bytes, place: str, most: int = MAX_DEPTH) -> None:
    """Refuses what is not UTF-8 or nests deeper than `most`. Raises `InputError`."""
    try:
        text.decode()
        if text.count(b"[") + text.count(b"{") <= most or _depth(text) <= most:
            return
        refusal = Reason.NOT_JSON
    except UnicodeDecodeError:
        refusal = Reason.NOT_UTF8
    raise InputError(refusal, place)


def decode(decoder: msgspec.json.Decoder[Any], text: bytes | msgspec.Raw, reason: Reason, place: str) -> Any:
    """`decoder.decode(text)`. A text that is no JSON is `NOT_JSON`, one that does not fit is `reason`."""
    try:
        return decoder.decode(text)
    except msgspec.ValidationError:
        refusal = reason
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        refusal = Reason.NOT_JSON
    raise InputError(refusal, place)


def members(text: bytes, reason: Reason, place: str) -> Members:
    """The members of the object that `text` holds, as raw text. Raises `InputError(reason)` when it holds no object, and
    `AMBIGUOUS_JSON` when a name stands twice in it or in anything inside.
    """
    found: Members = decode(_members, text, reason, place)
    if compact_length(found) != len(text):
        refuse_duplicates(text, place)
    else:
        refuse_nested_duplicates(text, found, place)
    return found


def compact_length(found: Mapping[str, msgspec.Raw]) -> int:
    """Length of the object in compact form; for a name with other than plain ASCII, less than that."""
    if not found:
        return 2
    return 1 + 4 * len(found) + sum(map(len, found)) + sum(map(len, found.values()))


def refuse_duplicates(text: bytes, place: str) -> None:
    """The slow check: reads a valid text whole. Raises `InputError` when any object in it has a name twice."""
    if _has_duplicates(text):
        raise InputError(Reason.AMBIGUOUS_JSON, place)


def refuse_nested_duplicates(text: bytes, found: Members, place: str) -> None:
    """The same for the objects inside the members that were found in a compact text. Costs little where there are none."""
    if text.count(b"{") > 1 and (b'":{' in text or b'":[' in text):
        for member in _with_objects(b"\0".join((b"", *found.values()))):  # JSON has no \0 in it
            refuse_duplicates(member, place)


_with_objects = re.compile(rb"\0((?:\{|\[[^\0]*\{)[^\0]*)").findall


def _has_duplicates(text: bytes) -> bool:
    try:
        json.loads(text, object_pairs_hook=_once, parse_int=str, parse_float=str)
    except _Twice:
        return True
    return False


class _Twice(Exception):
    pass


def _once(pairs: list[tuple[str, Any]]) -> None:
    if len({name for name, _ in pairs}) != len(pairs):
        raise _Twice


def _depth(text: bytes) -> int:
    """How deep the brackets outside of strings nest."""
    deepest = depth = 0
    in_string = escaped = False
    for byte in text:
        if escaped:
            escaped = False
        elif in_string:
            if byte == 0x5C:
                escaped = True
            elif byte == 0x22:
                in_string = False
        elif byte == 0x22:
            in_string = True
        elif byte in b"[{":
            depth += 1
            deepest = max(deepest, depth)
        elif byte in b"]}":
            depth -= 1
    return deepest
