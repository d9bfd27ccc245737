"""Why a part of a masked record comes out otherwise now: another decision, another key epoch, another shape, another program.

What always holds: a cause is named only where it can change that very part, so that what nobody decided stays unexplained.
"""

from __future__ import annotations

from enum import StrEnum
from functools import lru_cache
from typing import NamedTuple

import msgspec

from cdc_masker import envelope
from cdc_masker.comparison import decided, in_words
from cdc_masker.envelope import Event, LogicalMessage, RowChange
from cdc_masker.errors import InputError
from cdc_masker.events import Record
from cdc_masker.evidence import PROGRAM
from cdc_masker.lookup import Group, Lookup, Table
from cdc_masker.policies import Policy, Rule
from cdc_masker.replay.parts import Part

__all__ = ["Cause", "Causes", "Made", "Why"]


class Why(StrEnum):
    """The kinds of causes."""

    METHOD = "method"
    PARAMETERS = "parameters"
    POLICY = "policy"
    KEY_EPOCH = "key_epoch"
    SHAPE = "shape"
    PROGRAM = "program"
    UNKNOWN = "unknown"


class Cause(NamedTuple):
    """Why, and in words what was and what is now."""

    why: Why
    words: str = ""


class Made(NamedTuple):
    """What masked records are made by: a policy, for rows in the shape that they have under another one."""

    policy: Policy
    shape: Policy


class Causes:
    """Those between what was made by `before` and what is made by `after`."""

    def __init__(self, before: Made, after: Made) -> None:
        self.differ = before != after
        self.versions = before.policy.version, after.policy.version
        self._before, self._after = _Side(before), _Side(after)
        self._of_column = lru_cache(self._column)

    def table(self, record: Record) -> Table:
        """The table that a raw record is about; with empty names, if nothing tells."""
        found = self._after.table(record)
        named = self._before.prefixes | self._after.prefixes  # of logical messages: there may be as many as messages
        return found if found.schema or found.name in named else found._replace(name="")

    def flattened(self, topic: str) -> bool:
        """Whether the values of that topic's records are rows, before or after."""
        return any(side.shape_of(topic) == "flattened" for side in (self._before, self._after))

    def headers(self) -> frozenset[str]:
        """The names of headers that either lets through."""
        return self._before.headers | self._after.headers

    def of(self, part: Part, table: Table, program: str) -> Cause:
        """Why that part differs in a record of the table that was masked by that program."""
        found = None
        match part.kind:
            case "key" | "column" if part.name is not None:
                found = self._of_column(table, part.name)
            case "header" if part.name in self._before.headers ^ self._after.headers:
                let = ["let through" if part.name in side.headers else "left out" for side in (self._before, self._after)]
                found = Cause(Why.POLICY, " → ".join(let))
            case "outcome" if self._before.made.policy.digest != self._after.made.policy.digest:
                found = self._versions()
        if found is None and part.kind != "timestamp":
            found = self._topic(table.topic)
        if found is None and program != PROGRAM:
            found = Cause(Why.PROGRAM, f"{program} → {PROGRAM}")
        return found or Cause(Why.UNKNOWN)

    def _column(self, table: Table, column: str) -> Cause | None:
        before, after = self._before.made, self._after.made
        rules = _changed(self._before.lookup, self._after.lookup, table, column)
        if rules is not None:
            return rules
        if (domain := self._domain(table, column)) is not None:
            return Cause(Why.POLICY, f"domain {domain} is declared otherwise")
        if before.policy.key_epoch != after.policy.key_epoch:
            return Cause(Why.KEY_EPOCH, f"{before.policy.key_epoch} → {after.policy.key_epoch}")
        shapes = self._before.shape_lookup, self._after.shape_lookup
        if _changed(*shapes, table, column) is not None:
            return Cause(Why.SHAPE, f"rows as under version {before.shape.version} → {after.shape.version}")
        return None

    def _domain(self, table: Table, column: str) -> str | None:
        """A domain of the column's rules about which something else was declared."""
        for rule in self._after.lookup.rules(table, column):
            name = rule.params.get("domain")
            if name is not None and self._before.domains.get(name) != self._after.domains.get(name):
                return str(name)
        return None

    def _topic(self, topic: str) -> Cause | None:
        if self._before.shape_of(topic) == self._after.shape_of(topic):
            return None
        return Cause(Why.POLICY, f"shape of the topic: {self._before.shape_of(topic)} → {self._after.shape_of(topic)}")

    def _versions(self) -> Cause:
        return Cause(Why.POLICY, f"version {self._before.made.policy.version} → {self._after.made.policy.version}")


class _Side:
    def __init__(self, made: Made) -> None:
        self.made = made
        self.lookup = Lookup(made.policy)
        self.shape_lookup = Lookup(made.shape)
        self.headers = frozenset(made.policy.headers)
        self.domains = {each.name: each for each in made.policy.domains}
        named = [(each.schema, each.table) for each in made.policy.rules]
        named += [(each.schema, each.table) for each in made.policy.tables]
        self.prefixes = {table for schema, table in named if not schema}
        self._shapes = {each.topic: each.shape for each in made.policy.envelopes}

    def shape_of(self, topic: str) -> str:
        return self._shapes.get(topic, "debezium")

    def table(self, record: Record) -> Table:
        try:
            if record.value is not None and self.shape_of(record.topic) != "flattened":
                match envelope.read(record):
                    case Event(body=RowChange(source=source)):
                        return Table(source.name, source.schema, source.table, record.topic)
                    case Event(body=LogicalMessage() as body):
                        return Table(body.source.name, "", body.prefix(), record.topic)
            return self.lookup.table_of(record.topic)
        except InputError:
            return Table("", "", "", record.topic)


def _changed(before: Lookup, after: Lookup, table: Table, column: str) -> Cause | None:
    """How what is decided about a column changed, None if it did not."""
    one, other = before.rules(table, column), after.rules(table, column)
    default_before, default_after = before.default(table), after.default(table)
    if _decided(one) == _decided(other) and (one or default_before == default_after):
        return None
    words = in_words(one, default_before), in_words(other, default_after)
    if words[0] == words[1]:  # of other rules that say the same: the column's own domain is named after the rule
        words = f"{words[0]} of {one[0].place}", f"{words[1]} of {other[0].place}"
    same = [(rule.path, rule.method) for rule in one] == [(rule.path, rule.method) for rule in other]
    return Cause(Why.PARAMETERS if same and one else Why.METHOD, " → ".join(words))


def _decided(group: Group) -> list[Rule]:
    """What rules decide that shows in a masked record."""
    return [msgspec.structs.replace(rule, classification=None) for rule in decided(group)]
