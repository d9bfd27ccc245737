"""JSON values as tests compare them, and the parts of them that paths lead to.

Numbers keep their text and are compared by their value, of almost any size; no number equals a text or a boolean.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from decimal import Decimal, InvalidOperation
from typing import Any

import msgspec

from cdc_masker.paths import Path, Step

__all__ = ["Number", "decode", "found", "printable", "shown", "text_of"]

_LONGEST = 80


class Number:
    """A number of JSON."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Number) and self._value == other._value

    def __hash__(self) -> int:
        return hash(self._value)

    @property
    def _value(self) -> Decimal | str:
        try:
            return Decimal(self._text)
        except InvalidOperation:  # an exponent of twenty digits: as it is written
            return self._text

    def raw(self) -> msgspec.Raw:
        """As it is written."""
        return msgspec.Raw(self._text.encode())


def decode(text: bytes | str) -> Any:
    """The value that a JSON text holds."""
    return json.loads(text, parse_int=Number, parse_float=Number)


def found(value: Any, path: Path | None) -> list[Any]:
    """What a path leads to, in order; nothing, where there is no such place. A text is opened where a path goes on into it."""
    reached = [value]
    for step in () if path is None else path.steps:
        reached = [inner for each in reached for inner in _step(each, step)]
    return reached


def text_of(value: Any) -> str:
    """A text as it is, any other value as JSON."""
    return value if isinstance(value, str) else _json(value)


def shown(value: Any) -> str:
    """A value as JSON that a terminal can show."""
    return printable(_json(value))


def printable(text: str) -> str:
    """A text as a terminal can show it: not too long, and nothing in it that is not printable."""
    text = "".join(letter if letter.isprintable() else f"\\u{ord(letter):04x}" for letter in text)
    return text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"


def _json(value: Any) -> str:
    return msgspec.json.encode(value, enc_hook=Number.raw).decode()


def _step(value: Any, step: Step) -> Iterable[Any]:
    if isinstance(value, str):
        try:
            value = decode(value)
        except json.JSONDecodeError:
            return ()
    if step.elements:
        return value if isinstance(value, list) else ()
    if not isinstance(value, dict):
        return ()
    return value.values() if step.name is None else [value[step.name]] if step.name in value else ()
