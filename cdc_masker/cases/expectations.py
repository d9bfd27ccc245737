"""What can be expected of a masked value, and whether it holds.

Every place in a row holds a list of values, so that a path may lead to several, or to none: what is expected holds for each.
A token is told by what it does, whatever method made it: equal for equal values wherever they stand, and another one under
another key.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from cdc_masker.cases.values import decode, shown, text_of
from cdc_masker.errors import Reason
from cdc_masker.paths import Path

__all__ = ["Case", "Expectation", "Observed", "Part", "Reference", "Word", "problems"]


class Word(StrEnum):
    """What a value may be expected to become, in a word."""

    KEPT = "kept"
    MASKED = "masked"
    TOKEN = "token"  # noqa: S105  # no secret
    NULL = "null"
    REDACTED = "redacted"
    DROPPED = "dropped"


@dataclass(frozen=True, slots=True)
class Part:
    """A column, or what a path leads to in it. `name` is both as they were written."""

    name: str
    column: str
    path: Path | None = None


@dataclass(frozen=True, slots=True)
class Reference:
    """A part of the row in another case, or in the same."""

    case: str
    part: Part


@dataclass(frozen=True, slots=True, kw_only=True)
class Expectation:
    """All of it has to hold. `equals` is the text of a JSON value."""

    where: str
    part: Part
    word: Word | None = None
    equals: bytes | None = None
    matches: re.Pattern[str] | None = None
    same_as: Reference | None = None
    unlike: Reference | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A row of a table, each column as JSON text, `key` those that are in the record's key, and what is expected: of its
    columns, or, with `quarantined`, that there are none, for that reason.
    """

    where: str
    name: str
    server: str
    table: tuple[str, str]
    row: dict[str, bytes]
    key: tuple[str, ...] = ()
    expect: tuple[Expectation, ...] = ()
    quarantined: Reason | None = None


@dataclass(frozen=True, slots=True)
class Observed:
    """What stands at one place: before; masked; masked at another position; masked under another key.

    `neutral` is what `redact` would put there, besides null.
    """

    raw: list[Any]
    masked: list[Any]
    elsewhere: list[Any]
    rekeyed: list[Any]
    neutral: Any


def problems(expected: Expectation, seen: Observed, others: Mapping[Reference, Observed]) -> Iterator[str]:
    """What does not hold, in words; `others` is what the references of the expectation lead to."""
    if expected.word is not None:
        yield from _by_word(expected.word, seen)
    if expected.equals is not None:
        wanted = decode(expected.equals)
        if not seen.masked or not all(_equal(value, wanted) for value in seen.masked):
            yield f"expected {shown(wanted)}, but it is {_told(seen)}"
    if expected.matches is not None and not (seen.masked and all(_matches(expected.matches, each) for each in seen.masked)):
        yield f"expected what matches {expected.matches.pattern}, but it is {_told(seen)}"
    if expected.same_as is not None:
        other = others[expected.same_as]
        if not _is_there(other):
            yield f"expected the same as {_named(expected.same_as)}, but that is {_told(other)}"
        elif seen.masked != other.masked:
            yield f"expected the same as {_named(expected.same_as)}, {_told(other)}, but it is {_told(seen)}"
    if expected.unlike is not None:
        other = others[expected.unlike]
        if not _is_there(other):
            yield f"expected another one than {_named(expected.unlike)}, but that is {_told(other)}"
        elif not _is_there(seen):
            yield f"expected another one than {_named(expected.unlike)}, but it is {_told(seen)}"
        elif any(each in other.masked for each in seen.masked):
            yield f"expected another one than {_named(expected.unlike)}, but it is the same: {_told(seen)}"


def _by_word(word: Word, seen: Observed) -> Iterator[str]:
    match word:
        case Word.KEPT:
            holds = seen.masked == seen.raw != []
        case Word.DROPPED:
            holds = not seen.masked
        case Word.NULL:
            holds = bool(seen.masked) and all(each is None for each in seen.masked)
        case Word.REDACTED:
            holds = _changed(seen, seen.masked) and all(each is None or each == seen.neutral for each in seen.masked)
        case Word.MASKED | Word.TOKEN:
            holds = _is_there(seen) and _changed(seen, seen.masked)
    if not holds:
        yield f"expected {word}, but it is {_told(seen)}"
    elif word is Word.TOKEN and seen.elsewhere != seen.masked:
        yield f"expected {word}, but in another record it would be another one: {_told(seen)}"
    elif word is Word.TOKEN and any(one == other for one, other in zip(seen.masked, seen.rekeyed, strict=False)):
        yield f"expected {word}, but it is the same under another key: {_told(seen)}"


def _changed(seen: Observed, masked: list[Any]) -> bool:
    """Whether each value became another one."""
    return len(masked) == len(seen.raw) > 0 and all(one != other for one, other in zip(masked, seen.raw, strict=True))


def _is_there(seen: Observed) -> bool:
    return bool(seen.masked) and None not in seen.masked


def _equal(value: Any, wanted: Any) -> bool:
    """JSON in a text is compared as JSON with what is no text."""
    if isinstance(value, str) and not isinstance(wanted, str):
        try:
            value = decode(value)
        except ValueError:
            return False
    return bool(value == wanted)


def _matches(pattern: re.Pattern[str], value: Any) -> bool:
    return pattern.fullmatch(text_of(value)) is not None


def _named(reference: Reference) -> str:
    return f"{reference.part.name} of {reference.case!r}"


def _told(seen: Observed) -> str:
    """What became of it, in words; never what it was."""
    if not seen.masked:
        return "not there"
    if seen.masked == [None] * len(seen.masked):
        return "null"
    return ", ".join("the value as it was" if each in seen.raw else shown(each) for each in seen.masked)
