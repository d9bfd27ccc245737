"""Strict JSON, mostly unparsed.

Objects are read one level deep: their members stay raw text, so that a value nobody touches comes out byte by byte as it
went in, and most of an event is never parsed. The parser (msgspec) checks syntax, escapes and surrogates even of what it
leaves raw; what it lets pass is checked here: UTF-8, depth, and members that stand twice.

Duplicates are found for free where a text is compact, as Kafka Connect writes it: each member that is decoded has a known
length, a lost duplicate makes the sum too short. Only a text that does not add up is read again, slowly.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import msgspec

from cdc_masker.errors import InputError, Reason

__all__ = ["MAX_DEPTH", "Members", "check_text", "compact_length", "decode", "members", "refuse_duplicates"]

MAX_DEPTH = 100

Members = dict[str, msgspec.Raw]

_members = msgspec.json.Decoder(Members)


def check_text(text: bytes, place: str) -> None:
    """Refuses what is not UTF-8 or nests deeper than `MAX_DEPTH`. Raises `InputError`."""
    try:
        text.decode()
    except UnicodeDecodeError:
        raise InputError(Reason.NOT_UTF8, place) from None
    if text.count(b"[") + text.count(b"{") > MAX_DEPTH and _depth(text) > MAX_DEPTH:
        raise InputError(Reason.NOT_JSON, place)


def decode(decoder: msgspec.json.Decoder[Any], text: bytes | msgspec.Raw, reason: Reason, place: str) -> Any:
    """`decoder.decode(text)`. A text that is no JSON is `NOT_JSON`, one that does not fit is `reason`."""
    try:
        return decoder.decode(text)
    except msgspec.ValidationError:
        raise InputError(reason, place) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise InputError(Reason.NOT_JSON, place) from None


def members(text: bytes | msgspec.Raw, reason: Reason, place: str) -> Members:
    """The members of the object that `text` holds, as raw text. Raises `InputError(reason)` when it holds no object, and
    `AMBIGUOUS_JSON` when a name stands twice.
    """
    found: Members = decode(_members, text, reason, place)
    if compact_length(found) != len(text):
        refuse_duplicates(bytes(text), place)
    return found


def compact_length(found: Mapping[str, msgspec.Raw]) -> int:
    """Length of the object in compact form; for a name with other than plain ASCII, less than that."""
    if not found:
        return 2
    return 1 + 4 * len(found) + sum(map(len, found)) + sum(map(len, found.values()))


def refuse_duplicates(text: bytes, place: str) -> None:
    """The slow check: reads a valid text whole. Raises `InputError` when any object in it has a name twice."""
    try:
        json.loads(text, object_pairs_hook=_once, parse_int=str, parse_float=str)
    except _Twice:
        raise InputError(Reason.AMBIGUOUS_JSON, place) from None


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
