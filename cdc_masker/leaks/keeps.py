"""What a policy lets through: whole columns, parts of columns, and what a rule's parameters show of a value.

Of the masker's code it uses the policy and its language of paths, and nothing that masks.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from fnmatch import fnmatchcase
from typing import Any

from cdc_masker import paths
from cdc_masker.leaks.leaves import Members, Number, parse
from cdc_masker.leaks.shown import shown
from cdc_masker.paths import Decision, State
from cdc_masker.policies import ANY_SERVER, Policy, Rule

__all__ = ["NOWHERE", "Keeps", "Table"]

Table = tuple[str, str, str]
"""Server, schema and name, as in an event's `source`; of a logical message the server, '' and its prefix."""

NOWHERE: Table = ("", "", "")

_Target = tuple[str, str, str, str]

_KEEP = "keep"
_DEEPEST = 8  # texts in texts


class _Column:
    """All rules of one column."""

    def __init__(self) -> None:
        self.whole: Rule | None = None
        self.parts: list[Rule] = []
        self._states: tuple[State, ...] = ()

    def add(self, rule: Rule) -> None:
        if rule.path is None:
            self.whole = rule
        else:
            self.parts.append(rule)

    @property
    def kept(self) -> bool:
        return not self.parts and self.whole is not None and self.whole.method == _KEEP

    @property
    def states(self) -> tuple[State, ...]:
        if not self._states:
            decisions = [
                Decision(paths.parse(rule.path or "", rule.place), rule.method == _KEEP, rule.place) for rule in self.parts
            ]
            self._states = paths.automaton(decisions, keep_rest=self.whole is not None and self.whole.method == _KEEP)
        return self._states


class Keeps:
    """What this policy keeps."""

    def __init__(self, policy: Policy) -> None:
        self.headers = frozenset(policy.headers)
        self.flattened = frozenset(envelope.topic for envelope in policy.envelopes if envelope.shape == "flattened")
        self._topics = {
            envelope.topic: (envelope.server or "", envelope.schema, envelope.table)
            for envelope in policy.envelopes
            if envelope.schema is not None and envelope.table is not None
        }
        self._columns: dict[_Target, _Column] = {}
        self._patterns: dict[_Target, _Column] = {}
        self._ends: dict[str, Table] = {}
        for rule in policy.rules:
            target = (rule.server, rule.schema, rule.table, rule.column)
            if rule.pattern:
                self._patterns.setdefault(target, _Column()).add(rule)
                continue
            self._columns.setdefault(target, _Column()).add(rule)
            self._ends.setdefault(_in_topics(f".{rule.schema}.{rule.table}"), (rule.server, rule.schema, rule.table))

    def column(self, table: Table, column: str) -> bool:
        """Whether every value of a column is kept whole."""
        rules = self._rules(table, column)
        return rules is not None and rules.kept

    def divide(self, table: Table, column: str, value: Any) -> Iterator[tuple[bool, Any]]:
        """The value's parts, each with whether it is kept. What a rule shows of a masked part comes as a kept one, too."""
        rules = self._rules(table, column)
        if rules is None:
            yield False, value
        elif rules.parts:
            yield from _walk(rules, 0, value, 0)
        elif rules.kept:
            yield True, value
        else:
            yield False, value
            yield True, None if rules.whole is None else shown(rules.whole, value)

    def table_of(self, topic: str) -> Table:
        """The table that the policy says is in that topic, or whose changes would be there by name; else `NOWHERE`."""
        if topic in self._topics:
            return self._topics[topic]
        for end, (server, schema, name) in self._ends.items():
            head = topic.removesuffix(end)
            if head != topic and server in (ANY_SERVER, head):
                return head, schema, name
        if self._patterns and len(parts := topic.split(".")) == 3:
            return parts[0], parts[1], parts[2]
        return NOWHERE

    def _rules(self, table: Table, column: str) -> _Column | None:
        server, schema, name = table
        named = self._columns.get((server, schema, name, column)) or self._columns.get((ANY_SERVER, schema, name, column))
        if named is not None or not schema or not name:
            return named
        names = (server, _in_topics(schema), _in_topics(name), column)
        matching = [pattern for pattern in self._patterns if all(map(fnmatchcase, names, map(_escaped, pattern)))]
        return self._patterns[max(matching, key=_says)] if matching else None


def _walk(rules: _Column, index: int, value: Any, texts: int) -> Iterator[tuple[bool, Any]]:
    """Down the value and the compiled paths of its column, side by side; `texts` counts the texts that were opened."""
    state = rules.states[index]
    if state.others is not None and isinstance(value, Members):
        for name, inner in value:
            following = state.names.get(name, state.others)
            yield rules.states[following].name_kept, Members([(name, None)])
            yield from _walk(rules, following, inner, texts)
        return
    if state.elements is not None and isinstance(value, list) and not isinstance(value, Members):
        for inner in value:
            yield from _walk(rules, state.elements, inner, texts)
        return
    if state.goes_on and isinstance(value, str) and not isinstance(value, Number) and texts < _DEEPEST:
        try:
            yield from _walk(rules, index, parse(value), texts + 1)
            return
        except ValueError:
            pass  # a text that holds no JSON
    yield state.rule is None and state.kept, value
    if state.rule is not None:
        yield True, shown(rules.parts[state.rule], value)


def _says(pattern: _Target) -> list[tuple[bool, int]]:
    """How much a pattern says: about the column first, then about table, schema and server."""
    return [("*" not in part, len(part.replace("*", ""))) for part in reversed(pattern)]


def _escaped(part: str) -> str:
    """What else than `*` means something to fnmatch stands for itself."""
    return re.sub(r"[?\[]", r"[\g<0>]", part)


def _in_topics(name: str) -> str:
    """What a topic can't be called is replaced."""
    return re.sub(r"[^A-Za-z0-9._-]", lambda other: "_" * (len(other[0].encode("utf-16-le")) // 2), name)
