"""Which rules decide about a column: the rules that name it, else the most specific pattern, else the default.

A rule that names server and column goes before one for any server, and any rule that names a column before a pattern. Among
patterns that match, the one that says most about the column wins, then about the table, the schema and the server; a whole name
says more than a part of one, a longer part more than a shorter one. Two patterns that say as much about one column are refused
when the policy is made.

A tombstone knows its topic only, whose name is the table's with everything else than letters, digits and `._-` replaced. So
patterns are held against schemas and tables as topics write them, and a tombstone is decided like the events before it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from itertools import combinations, groupby
from typing import NamedTuple

from cdc_masker.errors import InputError, PolicyError, Reason
from cdc_masker.policies import ANY_SERVER, Policy, Rule

__all__ = ["Group", "Lookup", "Table", "as_in_topics", "matches", "overlap", "patterns", "why"]


class Table(NamedTuple):
    """The table that a record is about, and its topic. Names as in `source`; all empty if only the topic is known."""

    server: str
    schema: str
    name: str
    topic: str


Group = tuple[Rule, ...]
"""All rules with one target but for their paths: what is decided about a column, or about those that a pattern matches."""

_Parts = tuple[str, str, str, str]


class Lookup:
    """The rules of one policy, by what they are about. Raises `PolicyError` for patterns that contradict each other."""

    def __init__(self, policy: Policy) -> None:
        groups = [tuple(group) for _, group in groupby(policy.rules, lambda rule: (rule.pattern, rule.target[:4]))]
        self._named: dict[_Parts, Group] = {group[0].target[:4]: group for group in groups if not group[0].pattern}
        self._patterns = patterns(groups)
        self._tables = {(each.server, each.schema, each.table): each.default for each in policy.tables}
        self._default = policy.default
        self._by_topic = _tables_by_topic(self._named, self._tables)
        self._stated = {each.topic: each for each in policy.envelopes if each.table is not None}

    def groups(self) -> list[Group]:
        """All of them."""
        return [*self._named.values(), *self._patterns]

    def rules(self, table: Table, column: str) -> Group:
        """What decides about that column; empty: the default."""
        return next(self._matching(table, column), ())

    def matching(self, table: Table, column: str) -> list[Group]:
        """All that is said about that column; the first decides."""
        return list(self._matching(table, column))

    def _matching(self, table: Table, column: str) -> Iterator[Group]:
        for server in dict.fromkeys((table.server, ANY_SERVER)):
            if (named := self._named.get((server, table.schema, table.name, column))) is not None:
                yield named
        if self._patterns and table.schema and table.name:  # not for logical messages, nor where the table is not known
            names = _names(table, column)
            yield from (group for group in self._patterns if all(map(_matches, group[0].target, names)))

    def default(self, table: Table) -> str:
        """What is done to the columns of that table that no rule is about."""
        for server in (table.server, ANY_SERVER):
            if (stated := self._tables.get((server, table.schema, table.name))) is not None:
                return stated
        return self._default

    def table_of(self, topic: str) -> Table:
        """The table whose changes are in that topic; with empty names, if nothing tells.

        For records that name no table. What the policy states about the topic holds; else it is the one, among those that
        rules name, whose changes Debezium writes there; else, if patterns have to know, the one that the topic's name tells.
        Raises `InputError` when that can be two.
        """
        if (stated := self._stated.get(topic)) is not None:
            return Table(stated.server or "", stated.schema or "", stated.table or "", topic)
        parts = topic.split(".")
        found = [
            Table(server, schema, name, topic)
            for start in range(1, len(parts) - 1)
            for server, end in ((".".join(parts[:start]), ".".join(parts[start:])),)
            for schema, name in sorted(self._by_topic.get(end, ()))
        ]
        if not found and self._patterns:
            found = [
                Table(".".join(parts[:start]), ".".join(parts[start:middle]), ".".join(parts[middle:]), topic)
                for start, middle in combinations(range(1, len(parts)), 2)
            ]
        if len(found) > 1:
            raise InputError(Reason.AMBIGUOUS_TABLE, "topic")
        return found[0] if found else Table("", "", "", topic)


def as_in_topics(name: str) -> str:
    """A schema's or table's name as Debezium writes it in the name of a topic, but for what `overlap` made up."""
    return name if _plain(name) else _special.sub(_replaced, name)


def patterns(groups: Iterable[Group]) -> tuple[Group, ...]:
    """Those that are patterns, the most specific first. Raises `PolicyError` for two that say as much about one column."""
    found = sorted((group for group in groups if group[0].pattern), key=_weight, reverse=True)
    for _, alike in groupby(found, _weight):
        for one, other in combinations([group[0] for group in alike], 2):
            if overlap(one, other) is not None:
                raise PolicyError(one.place, f"says as much as {other.place} about columns that both match; make one longer")
    return tuple(found)


def matches(pattern: Rule, table: Table, column: str) -> bool:
    """Whether a pattern is about that column."""
    return _matches(pattern.column, column) and all(map(_matches, pattern.target, _names(table, column)))  # most differ there


def why(winner: Rule, hidden: Rule) -> str:
    """What the one does, in words, so that it decides and not the other, where both are about a column."""
    if not winner.pattern:
        return "names the column" if hidden.pattern else "names the server"
    parts = zip(("column", "table", "schema", "server"), _weight((winner,)), _weight((hidden,)), strict=True)
    return f"says more about the {next(part for part, one, other in parts if one != other)}"


def overlap(one: Rule, other: Rule) -> _Parts | None:
    """The names of a column, made up if need be, that both are about; None, if there can't be any."""
    server, schema, table, column = map(_common, one.target[:4], other.target[:4])
    if server is None or schema is None or table is None or column is None:
        return None
    return server, schema, table, column


def _names(table: Table, column: str) -> _Parts:
    """What patterns are held against."""
    return table.server, as_in_topics(table.schema), as_in_topics(table.name), column


def _common(one: str, other: str) -> str | None:
    """A name that both match. Each is whole, or has a `*` at one of its ends or at both."""
    for name, pattern in ((one, other), (other, one)):
        if "*" not in name:
            return name if _matches(pattern, name) else None
    starts = sorted((part[:-1] for part in (one, other) if not part.startswith("*")), key=len)
    ends = sorted((part[1:] for part in (one, other) if not part.endswith("*")), key=len)
    if not all(starts[-1].startswith(start) for start in starts) or not all(ends[-1].endswith(end) for end in ends):
        return None
    middle = [part.strip("*") for part in (one, other) if part.startswith("*") and part.endswith("*")]
    return _ANYTHING.join(["".join(starts[-1:]), *middle, "".join(ends[-1:])])


def _matches(pattern: str, name: str) -> bool:
    match pattern.startswith("*"), pattern.endswith("*"):
        case True, True:
            return pattern.strip("*") in name
        case True, False:
            return name.endswith(pattern[1:])
        case False, True:
            return name.startswith(pattern[:-1])
        case _:
            return name == pattern


def _weight(group: Group) -> tuple[tuple[bool, int], ...]:
    server, schema, table, column = group[0].target[:4]
    return tuple(("*" not in part, len(part.strip("*"))) for part in (column, table, schema, server))


def _tables_by_topic(named: Iterable[_Parts], tables: Iterable[tuple[str, str, str]]) -> Mapping[str, set[tuple[str, str]]]:
    """Tables by the end of their topic's name."""
    found: dict[str, set[tuple[str, str]]] = {}
    for schema, table in [*((each[1], each[2]) for each in named), *((each[1], each[2]) for each in tables)]:
        found.setdefault(as_in_topics(f"{schema}.{table}"), set()).add((schema, table))
    return found


_ANYTHING = "\udfff"
"""What stands for `*` in names that are made up: half a character, which no name holds, so that no other pattern knows it."""
_plain = re.compile(r"[A-Za-z0-9._-]*").fullmatch
_special = re.compile(rf"[^A-Za-z0-9._{_ANYTHING}-]")


def _replaced(character: re.Match[str]) -> str:
    return "_" * (len(character[0].encode("utf-16-le")) // 2)  # Debezium goes by Java's characters
