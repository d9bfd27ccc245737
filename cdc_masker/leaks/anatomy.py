"""What a raw record gives away if nobody masks it: its values by column, and beside them what is rightly in the output.

Written from Debezium's documentation, not from the masker: it shares no code with the engine and the envelope, so that a
mistake there isn't made here again. What nobody knows counts as a value: only the columns that a rule keeps, the fields of
an event that tell of no row, the names of columns and types, and what a rule shows of a value are taken as kept.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from cdc_masker.events import Record
from cdc_masker.leaks.keeps import NOWHERE, Keeps, Table
from cdc_masker.leaks.leaves import Members, leaves, parse, words
from cdc_masker.policies import Policy

__all__ = ["Anatomy", "Dissection"]

_IMAGES = ("before", "after", "message")
_KEY_HEADERS = ("__debezium.newkey", "__debezium.oldkey")
_OPERATIONS = ("c", "r", "u", "d", "t", "m")
_TIMES = ("ts_ms", "ts_us", "ts_ns")
_EVENT = frozenset({"op", *_TIMES})
_ORIGIN = ("version", "connector", "name", "snapshot", "db", "sequence", "schema", "table", "origin", "origin_lsn")
_SOURCE = frozenset({*_TIMES, *_ORIGIN, "txId", "lsn", "xmin"})
_TRANSACTION = frozenset({"id", "total_order", "data_collection_order"})
_ADDED = frozenset(  # to flattened rows
    {"__deleted"}
    | {f"__{name}" for name in _EVENT | _SOURCE}
    | {f"__source_{name}" for name in _SOURCE}
    | {f"__transaction_{name}" for name in _TRANSACTION}
)
_BOUNDARY = frozenset({"status", "id", "event_count", "data_collections", "ts_ms"})
_BOUNDARY_KEY = frozenset({"id"})
_COLLECTION = frozenset({"data_collection", "event_count"})
_HEARTBEAT, _HEARTBEAT_KEY = frozenset({"ts_ms"}), frozenset({"serverName"})
_HEARTBEAT_TOPIC = "__debezium-heartbeat"

_SCHEMA_WORDS = frozenset({"type", "name", "version", "optional", "field"})
_SCHEMA_PARTS = frozenset({"items", "keys", "values", "fields"})
_TYPE_PARAMETERS = frozenset({"scale", "length", "connect.decimal.precision"})


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
        self._keeps = Keeps(policy)
        self._tables: dict[str, Table] = {}

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
        if record.topic in self._keeps.flattened and isinstance(payload, Members):
            self._flattened(record.topic, payload, found)
            if isinstance(schema, Members):
                self._row_schema(record.topic, schema, self._table_of(record.topic), found)
            return False
        source = payload.get("source") if isinstance(payload, Members) else None
        if isinstance(source, Members) and payload.get("op") in _OPERATIONS:
            table = _table(source, payload)
            self._tables[record.topic] = table
            self._event(record.topic, payload, table, found)
            self._schema(record.topic, schema, table, found)
            return False
        if _is_boundary(payload) or (record.topic.startswith(_HEARTBEAT_TOPIC) and _within(payload, _HEARTBEAT)):
            found.keep(payload)
            self._schema(record.topic, schema, NOWHERE, found)
            return True
        found.mask(f"{record.topic} value", payload)
        found.mask(f"{record.topic} schema", schema)
        return False

    def _event(self, topic: str, payload: Members, table: Table, found: Dissection) -> None:
        for name, value in payload:
            if name in _IMAGES and isinstance(value, Members):
                self._row(topic, value, table, found)
            elif name in ("source", "transaction") and isinstance(value, Members):
                for inner, text in value:
                    self._field(f"{topic} {name}", inner, text, _SOURCE if name == "source" else _TRANSACTION, found)
            else:
                self._field(f"{topic} value", name, value, _EVENT, found)

    def _flattened(self, topic: str, payload: Members, found: Dissection) -> None:
        for name, value in payload:
            if name in _ADDED:
                found.keep(name)
                found.keep(value)
            else:
                self._row(topic, Members([(name, value)]), self._table_of(topic), found)

    def _field(self, place: str, name: str, value: Any, known: frozenset[str], found: Dissection) -> None:
        if name in known:
            found.keep(name)
            found.keep(value)
        else:
            found.mask(place, Members([(name, value)]))

    def _row(self, topic: str, row: Members, table: Table, found: Dissection) -> None:
        for column, value in row:
            found.keep(column)
            for kept, part in self._keeps.divide(table, column, value):
                if kept:
                    found.keep(part)
                else:
                    found.mask(_label(topic, table, column), part)

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
        if name in self._keeps.headers:
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

    def _schema(self, topic: str, schema: Any, table: Table, found: Dissection) -> None:
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

    def _row_schema(self, topic: str, schema: Members, table: Table, found: Dissection) -> None:
        for name, value in schema:
            if name == "fields" and isinstance(value, list):
                for part in value:
                    column = _name(part.get("field")) if isinstance(part, Members) else ""
                    kept = self._keeps.column(table, column)
                    _described(part, f"{_label(topic, table, column)} schema", kept, found)
            else:
                _described(Members([(name, value)]), f"{topic} schema", False, found)

    def _table_of(self, topic: str) -> Table:
        return self._tables.get(topic) or self._keeps.table_of(topic)


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


def _table(source: Members, payload: Members) -> Table:
    """What rules call the table of an event: that of a logical message is in no schema, and its name is the prefix."""
    server = _name(source.get("name"))
    if payload.get("op") != "m":
        return server, _name(source.get("schema")), _name(source.get("table"))
    message = payload.get("message")
    return server, "", _name(message.get("prefix")) if isinstance(message, Members) else ""


def _label(topic: str, table: Table, column: str) -> str:
    """The column's name in reports. What is no row of a table in a schema may be named after anything: a message, after its
    prefix.
    """
    if table[1]:
        return ".".join((*table[1:], column))
    return f"{topic} {column}" if column in ("prefix", "content") else f"{topic} key"
