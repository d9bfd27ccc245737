"""What a search came to: values without a raw value among them, fit to be printed and kept."""

from __future__ import annotations

import msgspec

__all__ = ["Column", "Hit", "Report", "Searched"]


class Hit(msgspec.Struct, frozen=True):
    """A raw value that was found, named by what it isn't: where, in which encoding, of which columns."""

    place: str
    encoding: str
    columns: tuple[str, ...]


class Searched(msgspec.Struct, frozen=True):
    """One sink: how many of its units were read, of how many bytes."""

    sink: str
    unit: str
    count: int
    bytes: int


class Column(msgspec.Struct, frozen=True):
    """One column: its needles; how many of them something kept holds, too; how often a value said too little to be one."""

    column: str
    needles: int
    ambiguous: int
    not_searched: int


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """The whole answer. `hits` counts all, `first_hits` names the first; `ambiguous_hits` were found but prove nothing.

    `patterns` counts the byte strings that were looked for, `planted` the markers of the self-test, all of them found.
    """

    policy_version: int
    policy_digest: str
    raw_records: int
    needles: int
    ambiguous: int
    patterns: int
    planted: int
    columns: tuple[Column, ...]
    searched: tuple[Searched, ...]
    hits: int
    ambiguous_hits: int
    first_hits: tuple[Hit, ...]
