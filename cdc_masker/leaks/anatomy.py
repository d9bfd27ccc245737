"""What a raw record gives away if nobody masks it: its values by column, and beside them what is rightly in the output.

Written from Debezium's documentation, not from the masker: it shares no code with the engine and the envelope, so that a
mistake there isn't made here again. What nobody knows counts as a value: only the columns that a rule keeps, the fields of
an event that tell of no row, the names of columns and types, and what a rule shows of a value are taken as kept.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from cdc_masker.events import Record
from cdc_masker.leaks.leaves import Members, Number, leaves, parse, words
from cdc_masker.policies import ANY_SERVER, Policy, Rule

__all__ = ["Anatomy", "Dissection"]

_IMAGES = ("before", "after", "message")
_KEY_HEADERS = ("__debezium.newkey", "__debezium.oldkey")
_OPERATIONS = ("c", "r", "u", "d", "t", "m")
_TIMES = ("ts_ms", "ts_us", "ts_ns")
_EVENT = frozenset({"op", *_TIMES})
_ORIGIN = ("version", "connector", "name", "snapshot", "db", "sequence", "schema", "table", "origin", "origin_lsn")
_SOURCE = frozenset({*_TIMES, *_ORIGIN, "txId", "lsn", "xmin"})
_TRANSACTION = frozenset({"id", "total_order", "data_collection_order"})
_BOUNDARY = frozenset({"status", "id", "event_count", "data_collections", "ts_ms"})
_BOUNDARY_KEY = frozenset({"id"})
_COLLECTION = frozenset({"data_collection", "event_count"})
_HEARTBEAT, _HEARTBEAT_KEY = frozenset({"ts_ms"}), frozenset({"serverName"})
_HEARTBEAT_TOPIC = "__debezium-heartbeat"

_SCHEMA_WORDS = frozenset({"type", "name", "version", "optional", "field"})
_SCHEMA_PARTS = frozenset({"items", "keys", "values", "fields"})
_TYPE_PARAMETERS = frozenset({"scale", "length", "connect.decimal.precision"})

_Table = tuple[str, str, str]  # server, schema, name
_NOWHERE: _Table = ("", "", "")


@dataclass(slots=True)
class Dissection:
    """One record, taken apart: `values` are (column, value) pairs, `kept` what may be in the output."""

    values: list[tuple[str, bytes]] = field(default_factory=list, repr=False)
    kept: list[bytes] = field(default_factory=list, repr=False)

    def mask(self, column: str, value: Any) -> None:
        self.values += [(column, leaf) for leaf in leaves(value)]

    def keep(self, value: Any) -> None:
        self.kept += _as_written(value)


class Anatomy:
    """Takes records apart under a policy. Feed it a topic in order: a tombstone's table is known from the events before it."""

    def __init__(self, policy: Policy) -> None:
        self._rules = {(rule.server, rule.schema, rule.table, rule.column): rule for rule in policy.rules if rule.path is None}
        self._headers = frozenset(policy.headers)
        self._tables: dict[str, _Table] = {}
        self._ends = {_topic_end(rule): (rule.server, rule.schema, rule.table) for rule in policy.rules}

    def dissect(self, record: Record) -> Dissection:
        """The values of a record that must not be in the output, and what of it is there rightly."""
        found = Dissection()
        for text in (record.topic, str(record.offset), str(record.timestamp)):
            found.keep(text)
        control = self._value(record, found)
        self._key(record, found, control)
        for name, value in record.headers:
            self._header(record, name, value, found)
        return found

    def _value(self, record: Record, found: Dissection) -> bool:
        """Whether it is a record that tells of no row."""
        if record.value is None:
            return False
        try:
            schema, payload = _unwrapped(parse(record.value))
        except ValueError:
            found.values += [(f"{record.topic} value", word) for word in words(record.value)]
            return False
        source = payload.get("source") if isinstance(payload, Members) else None
        if isinstance(source, Members) and payload.get("op") in _OPERATIONS:
            table = (_name(source.get("name")), _name(source.get("schema")), _name(source.get("table")))
            self._tables[record.topic] = table
            self._event(record.topic, payload, table, found)
            self._schema(record.topic, schema, table, found)
            return False
        if _is_boundary(payload) or (record.topic.startswith(_HEARTBEAT_TOPIC) and _within(payload, _HEARTBEAT)):
            found.keep(payload)
            self._schema(record.topic, schema, _NOWHERE, found)
            return True
        found.mask(f"{record.topic} value", payload)
        found.mask(f"{record.topic} schema", schema)
        return False

    def _event(self, topic: str, payload: Members, table: _Table, found: Dissection) -> None:
        for name, value in payload:
            if name in _IMAGES and isinstance(value, Members):
                self._row(topic, value, table, found)
            elif name in ("source", "transaction") and isinstance(value, Members):
                for inner, text in value:
                    self._field(f"{topic} {name}", inner, text, _SOURCE if name == "source" else _TRANSACTION, found)
            else:
                self._field(f"{topic} value", name, value, _EVENT, found)

    def _field(self, place: str, name: str, value: Any, known: frozenset[str], found: Dissection) -> None:
        if name in known:
            found.keep(name)
            found.keep(value)
        else:
            found.mask(place, Members([(name, value)]))

    def _row(self, topic: str, row: Members, table: _Table, found: Dissection) -> None:
        for column, value in row:
            found.keep(column)
            rule = self._rule(table, column)
            if rule is not None and rule.method == "keep":
                found.keep(value)
                continue
            found.mask(_label(topic, table, column), value)
            if rule is not None:
                found.keep(_shown(rule, value))

    def _key(self, record: Record, found: Dissection, control: bool) -> None:
        if record.key is None:
            return
        try:
            schema, payload = _unwrapped(parse(record.key))
        except ValueError:
            found.values += [(f"{record.topic} key", word) for word in words(record.key)]
            return
        if control and (_within(payload, _BOUNDARY_KEY) or _within(payload, _HEARTBEAT_KEY)):
            found.keep(payload)
        elif isinstance(payload, Members):
            self._row(record.topic, payload, self._table_of(record.topic), found)
        else:
            found.mask(f"{record.topic} key", payload)
        if isinstance(schema, Members):
            self._row_schema(record.topic, schema, self._table_of(record.topic), found)

    def _header(self, record: Record, name: str, value: bytes | None, found: Dissection) -> None:
        if name in self._headers:
            found.kept += [name.encode(), value or b""]
        elif name in _KEY_HEADERS and value is not None:
            self._key(Record(record.topic, 0, 0, 0, value, None), found, control=False)
        else:
            place = f"{record.topic} headers"
            found.mask(place, Members([(name.removeprefix("__debezium."), None)]))
            if value is not None:
                try:
                    found.mask(place, value.decode())
                except UnicodeDecodeError:
                    found.values.append((place, value))

    def _schema(self, topic: str, schema: Any, table: _Table, found: Dissection) -> None:
        if not isinstance(schema, Members):
            return
        for name, value in schema:
            if name == "fields" and isinstance(value, list):
                for part in value:
                    if isinstance(part, Members) and part.get("field") in _IMAGES:
                        self._row_schema(topic, part, table, found)
                    else:
                        _described(part, f"{topic} schema", False, found)
            else:
                _described(Members([(name, value)]), f"{topic} schema", False, found)

    def _row_schema(self, topic: str, schema: Members, table: _Table, found: Dissection) -> None:
        for name, value in schema:
            if name == "fields" and isinstance(value, list):
                for part in value:
                    column = _name(part.get("field")) if isinstance(part, Members) else ""
                    rule = self._rule(table, column)
                    kept = rule is not None and rule.method == "keep"
                    _described(part, f"{_label(topic, table, column)} schema", kept, found)
            else:
                _described(Members([(name, value)]), f"{topic} schema", False, found)

    def _rule(self, table: _Table, column: str) -> Rule | None:
        server, schema, name = table
        return self._rules.get((server, schema, name, column)) or self._rules.get((ANY_SERVER, schema, name, column))

    def _table_of(self, topic: str) -> _Table:
        """The table of the topic's events; before the first of them, one of a rule that would write to such a topic."""
        if topic in self._tables:
            return self._tables[topic]
        for end, (server, schema, name) in self._ends.items():
            head = topic.removesuffix(end)
            if head != topic and server in (ANY_SERVER, head):
                return head, schema, name
        return _NOWHERE


def _described(part: Any, column: str, kept: bool, found: Dissection) -> None:
    """A part of a schema. Names and types are kept; comments, defaults and labels go with their column."""
    if not isinstance(part, Members):
        found.mask(column, part)
        return
    for name, value in part:
        if kept or name in _SCHEMA_WORDS:
            found.keep(value)
        elif name in _SCHEMA_PARTS:
            for inner in value if isinstance(value, list) and not isinstance(value, Members) else [value]:
                _described(inner, column, kept, found)
        elif name == "parameters" and isinstance(value, Members):
            for parameter, text in value:
                if parameter in _TYPE_PARAMETERS:
                    found.keep(text)
                else:
                    found.mask(column, Members([(parameter, text)]))
        else:
            found.mask(column, value)


def _as_written(value: Any) -> Iterator[bytes]:
    """Every text and number of a value that is kept, texts whole, names too."""
    if isinstance(value, Members):
        for name, inner in value:
            yield from _as_written(name)
            yield from _as_written(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _as_written(inner)
    elif isinstance(value, str):
        yield value.encode("utf-8", "surrogatepass")
        yield from leaves(value)


def _shown(rule: Rule, value: Any) -> Any:
    """What a rule's parameters say that it shows: the start or the end of a text, or a constant."""
    if rule.method == "fixed":
        return str(rule.params.get("value", ""))
    if isinstance(value, Number) or not isinstance(value, str):
        return None
    if rule.method == "truncate":
        return value[: rule.params.get("length", 0)]
    if rule.method == "partial":
        first, last = rule.params.get("first", 0), rule.params.get("last", 0)
        return [value[:first], value[len(value) - last :]] if first + last < len(value) else None
    return None


def _unwrapped(value: Any) -> tuple[Any, Any]:
    """Embedded schema and payload; (None, value) where none is embedded."""
    if isinstance(value, Members) and [name for name, _ in value] == ["schema", "payload"]:
        return value.get("schema"), value.get("payload")
    return None, value


def _is_boundary(payload: Any) -> bool:
    """Whether it is an event of the transaction topic, with nothing of a row in it."""
    if not _within(payload, _BOUNDARY) or payload.get("status") not in ("BEGIN", "END"):
        return False
    collections = payload.get("data_collections")
    return collections is None or (isinstance(collections, list) and all(_within(one, _COLLECTION) for one in collections))


def _within(value: Any, names: frozenset[str]) -> bool:
    return isinstance(value, Members) and bool(value) and names.issuperset(name for name, _ in value)


def _name(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _label(topic: str, table: _Table, column: str) -> str:
    """The column's name in reports. Members of what is no row of a known table may be named after anything."""
    if table[2]:
        return ".".join((*table[1:], column))
    return f"{topic} {column}" if column in ("prefix", "content") else f"{topic} key"


def _topic_end(rule: Rule) -> str:
    """How the names of topics with changes of the rule's table end: what a topic can't be called is replaced."""
    name = f".{rule.schema}.{rule.table}"
    return re.sub(r"[^A-Za-z0-9._-]", lambda other: "_" * (len(other[0].encode("utf-16-le")) // 2), name)
