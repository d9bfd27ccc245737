"""Writes docs/types.md: `python -m tests.zoo.page`. A test says when it is out of date."""

from __future__ import annotations

import json
from collections import defaultdict
from dataclasses import replace
from pathlib import Path

from cdc_masker.kinds import kind_of
from cdc_masker.schemas import Type, neutral
from tests.zoo.animals import ANIMALS, Animal
from tests.zoo.representations import OPTIONS, represented

__all__ = ["PAGE", "text"]

PAGE = Path(__file__).resolve().parent.parent.parent / "docs" / "types.md"

_DEFAULTS = {option: next(iter(values)) for option, values in OPTIONS.items()}

_NAMES = {
    "zoo.mood": "enums",
    'zoo."Mixed Mood"': "enums",
    "zoo.address": "composite types",
    "zoo.text_range": "ranges of one's own",
    "varchar(80)": "`varchar`",
    "char(40)": "`char`",
    "int8multirange": "multiranges",
    "numeric(30,6)": "`numeric(p,s)`",
    "numeric(25)": "`numeric(p,s)`",
    "bit(128)": "`bit(n)`",
    "varbit(200)": "`varbit`",
    "time(3)": "`time(0)` to `time(3)`",
    "timestamp(3)": "`timestamp(0)` to `timestamp(3)`",
}

_HEAD = """# Types

What `redact` makes of each PostgreSQL type: null where the column may be null, else the neutral value of the type that
Debezium gives it in the connector's handling mode. The value fits the schema of the output, which Kafka Connect's converters
read, and is the same whatever the value was. The schema says no default, no comment, no labels of an enum and no metadata of
the source column.

Where events carry no schema, a rule's `type` tells the type, in the default modes: write the type as PostgreSQL does
(`numeric(10,2)`, `timestamp(3)`, `text[]`), `enum` for an enum, and for a domain the type below it. A rule without `type`
redacts to null.

The kind is what [methods](methods.md) say they take. A method that can't take a column's real type redacts it.

| PostgreSQL type | handling mode | type in the event | neutral value | kind |
| --- | --- | --- | --- | --- |
"""

_TAIL = """
An array is null or `[]`; the schema of its items stays. Types that the connector does not know (those in the row with
`tsquery`, and types of other extensions) come as bytes, and only with `include.unknown.datatypes`.

## What the connector itself does not say

Seen with Debezium 3.7.0, and worth knowing when rules are written:

- It leaves out arrays of `money`, `interval`, `xml` and geometries, and writes null for arrays of enums, domains, composite
  types, bit strings and `ltree`.
- A large value that an update did not touch is `__debezium_unavailable_value` in one form or another. It stays where a method
  computes from the value, as a text where the method's output is one. For `bytea` in the base64 modes, for arrays of `bytea` as
  text, of dates in other than numeric modes and of numbers with decimals there is no such form: there they are null.
- With `time.precision.mode=connect`, dates and times in the headers of a key change are not JSON. Such a record is quarantined
  (`not_json`): use another mode for tables whose key has a date or a time.
"""


def text() -> str:
    """The whole page."""
    alike: dict[tuple[Type, ...], list[Animal]] = defaultdict(list)
    for animal in ANIMALS:
        if not animal.type.endswith("[]") and not animal.name.startswith("domain"):
            alike[tuple(replace(type_, parameters=()) for type_ in _forms(animal))].append(animal)
    lines = [line for animals in alike.values() for line in _lines(animals)]
    return _HEAD + "\n".join(lines) + "\n" + _TAIL


def _forms(animal: Animal) -> dict[Type, dict[str, list[str]]]:
    """The types that a column can have in an event, with the modes, by option, in which it does; the default one first."""
    forms: dict[Type, dict[str, list[str]]] = {represented(animal, _DEFAULTS): {}}
    for option, values in OPTIONS.items():
        for value in values:
            type_ = represented(animal, {**_DEFAULTS, option: value})
            if forms.get(type_) != {}:
                forms.setdefault(type_, {}).setdefault(option, []).append(value)
    return forms


def _lines(animals: list[Animal]) -> list[str]:
    names = ", ".join(dict.fromkeys(_NAMES.get(animal.type, f"`{animal.type}`") for animal in animals))
    return [
        f"| {names} | {_modes(modes)} | {_shown(type_)} | `{json.dumps(neutral(type_))}` | {kind_of(type_)} |"
        for type_, modes in _forms(animals[0]).items()
    ]


def _modes(modes: dict[str, list[str]]) -> str:
    return "; ".join(f"`{option}`: {', '.join(f'`{value}`' for value in values)}" for option, values in modes.items())


def _shown(type_: Type) -> str:
    return f"{type_.base} `{type_.name}`" if type_.name else type_.base


if __name__ == "__main__":
    PAGE.write_text(text())
