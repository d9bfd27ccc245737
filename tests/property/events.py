"""Strategies for change events of any shape a table can have, with a canary in every place that could hold a value.

A canary is 16 hex digits of its own behind a word that no alphabet of a name has, so finding one tells where it was planted.
"""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass
from typing import Any

from hypothesis import strategies as st
from hypothesis.strategies import DrawFn, SearchStrategy

from cdc_masker.events import Record
from cdc_masker.policies import Policy, Rule
from tests.unit.building import TOPIC, change, described, envelope_schema, row_schema, source

__all__ = ["Case", "Column", "cases", "spellings"]

UUID_NAME = "io.debezium.data.Uuid"
_NAMES = st.text(st.characters(exclude_categories=["Cs"]), max_size=8) | st.sampled_from(
    ["id", "é", "e\u0301", '"', "\\", "op"]
)


@dataclass(frozen=True)
class Column:
    """A column: its schema, a value, the canaries in value and schema, and what the policy decides about it."""

    name: str
    schema: dict[str, Any]
    value: Any
    canaries: tuple[str, ...]
    method: str | None
    params: dict[str, Any]

    @property
    def kept(self) -> bool:
        return self.method == "keep"


@dataclass(frozen=True)
class Case:
    """A record, the policy it is masked under, and what may and may not be found in the outcome."""

    record: Record
    policy: Policy
    columns: tuple[Column, ...]
    key: tuple[str, ...]
    with_schema: bool
    forbidden: tuple[str, ...]


class _Canaries:
    def __init__(self) -> None:
        self.planted: list[str] = []

    def __call__(self) -> str:
        number = len(self.planted) + 1
        self.planted.append(f"Kanarie{number * 0x9E3779B97F4A7C15 % 2**64:016X}")
        return self.planted[-1]


@st.composite
def cases(draw: DrawFn) -> Case:
    """Cases with and without schemas, keys, key-change headers, and rules."""
    canary = _Canaries()
    names = draw(st.lists(_NAMES, min_size=1, max_size=5, unique=True))
    columns = tuple(draw(_columns(name, canary)) for name in names)
    key = tuple(draw(st.lists(st.sampled_from(names), max_size=3, unique=True)))
    with_schema = draw(st.booleans())
    row = {column.name: column.value for column in columns}
    forbidden = [each for column in columns if not column.kept for each in column.canaries]

    extra = {} if not draw(st.booleans()) else {canary(): canary(), "query": {"text": [canary()]}}
    block = {**source(), **extra}
    images = draw(st.sampled_from(["before", "after", "both"]))
    body: dict[str, Any] = change(draw(st.sampled_from(["c", "u", "d", "r"])), source=block) | extra
    body |= {place: row for place in ("before", "after") if images in (place, "both")}
    headers = [(name, canary().encode()) for name in draw(st.lists(_NAMES, max_size=2))]
    allowed = [(name, b"kept") for name in draw(st.lists(st.just("trace"), max_size=1))]
    forbidden += canary.planted[sum(len(column.canaries) for column in columns) :]

    types = {column.name: column.schema for column in columns}
    schema, key_schema = envelope_schema(types), row_schema({name: types[name] for name in key}, "Key")
    for struct in (schema, key_schema, schema["fields"][2]):
        struct["doc"] = "Kanarie-doc"
        struct["parameters"] = {"note": "Kanarie-parameter"}
    if extra:
        schema["fields"].append({"type": "string", "optional": True, "default": "Kanarie-default", "field": "query"})
    forbidden += ["Kanarie-doc", "Kanarie-parameter", "Kanarie-default"]

    key_row = {name: row[name] for name in key}
    other_key = draw(st.sampled_from(["", "__debezium.newkey", "__debezium.oldkey"]))
    if key and other_key:
        headers.append((other_key, _text(key_row)))
    key_text = None if not key else _text(described(key_schema, key_row) if with_schema else key_row)
    value: Any = described(schema, body) if with_schema else body
    tombstone = bool(key) and draw(st.booleans()) and draw(st.booleans())
    record = Record(TOPIC, 0, 7, 1, key_text, None if tombstone else _text(value), (*headers, *allowed))
    policy = Policy.of(1, rules=[rule for column in columns for rule in _rules(column)], headers=["trace"])
    return Case(record, policy, columns, key, with_schema, tuple(forbidden))


def spellings(canary: str) -> set[bytes]:
    """How a canary could look in bytes: plain, in another case, in base64 at each alignment, in hex."""
    raw = canary.encode()
    encoded = {base64.b64encode(b"\0" * shift + raw)[4:-4] for shift in range(3)}
    return {raw, raw.lower(), raw.upper(), raw.hex().encode(), raw.hex().upper().encode(), *encoded}


def _text(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode()


def _rules(column: Column) -> list[Rule]:
    if column.method is None:
        return []
    return [
        Rule(
            schema="crm",
            table="people",
            column=column.name,
            method=column.method,
            params=column.params,
            allow_uniqueness_loss=True,
            reason="a test",
        )
    ]


@st.composite
def _columns(draw: DrawFn, name: str, canary: _Canaries) -> Column:
    first = len(canary.planted)
    schema, value = draw(_values(canary))
    if draw(st.booleans()):
        schema = {**schema, "doc": canary(), "parameters": {**schema.get("parameters", {}), "note": canary()}}
    schema["optional"] = draw(st.booleans())
    if schema["optional"] and draw(st.booleans()):
        value = None
    method, params = draw(_METHODS)
    if method in ("bucket", "round") and schema.get("name", "").endswith(".Decimal"):
        method, params = None, {}  # of so large a number they show all but the end, as they say
    return Column(name, schema, value, tuple(canary.planted[first:]), method, params)


_METHODS: SearchStrategy[tuple[str | None, dict[str, Any]]] = st.one_of(
    st.tuples(st.sampled_from([None, "keep", "keep", "null", "redact", "tokenize"]), st.builds(dict)),
    st.tuples(st.just("tokenize"), st.fixed_dictionaries({"domain": st.sampled_from(["email", "d"])})),
    st.tuples(st.just("truncate"), st.fixed_dictionaries({"length": st.integers(0, 5)})),
    st.tuples(st.just("partial"), st.fixed_dictionaries({"first": st.integers(0, 3), "last": st.integers(1, 3)})),
    st.tuples(st.just("fixed"), st.fixed_dictionaries({"value": st.sampled_from(["x", 3, 2.5, True])})),
    st.sampled_from(
        [
            ("encrypt", {}),
            ("encrypt", {"domain": "e"}),
            ("pseudonym", {"kind": "name"}),
            ("fpe", {"alphabet": "alphanumeric"}),
            ("card", {}),
            ("phone", {}),
            ("ip", {}),
            ("postcode", {"sparse": []}),
            ("bucket", {"size": 1000}),
            ("round", {"digits": -2}),
            ("age", {}),
            ("geo", {"degrees": 0.5}),
        ]
    ),
)


@st.composite
def _values(draw: DrawFn, canary: _Canaries) -> tuple[dict[str, Any], Any]:
    """A schema and a value of it that holds a canary where its type has room for one."""
    kind = draw(st.sampled_from(["text", "enum", "json", "bytes", "decimal", "array", "map", "struct", "int", "uuid", "other"]))
    text = {"type": "string", "optional": False}
    match kind:
        case "text":
            return {"type": "string", "default": canary()}, draw(st.text(max_size=3)) + canary() + draw(st.text(max_size=3))
        case "enum":
            label = canary()
            return {"type": "string", "name": "io.debezium.data.Enum", "version": 1, "parameters": {"allowed": label}}, label
        case "json":
            return {"type": "string", "name": "io.debezium.data.Json", "version": 1}, json.dumps({canary(): [canary(), 1.10]})
        case "bytes":
            return {"type": "bytes"}, base64.b64encode(canary().encode()).decode()
        case "decimal":
            name = "org.apache.kafka.connect.data.Decimal"
            content = base64.b64encode(canary().encode()).decode()
            return {"type": "bytes", "name": name, "version": 1, "parameters": {"scale": "2"}}, content
        case "array":
            return {"type": "array", "items": {**text, "doc": canary()}}, [canary(), canary()]
        case "map":
            return {"type": "map", "keys": text, "values": {"type": "string", "optional": True}}, {canary(): canary()}
        case "struct":
            return {"type": "struct", "fields": [{**text, "field": "a", "default": canary()}]}, {"a": canary()}
        case "int":
            bits = draw(st.sampled_from([8, 16, 32, 64]))
            return {"type": f"int{bits}"}, draw(st.integers(-(1 << (bits - 1)), (1 << (bits - 1)) - 1))
        case "uuid":
            return {"type": "string", "name": UUID_NAME, "version": 1}, str(draw(st.uuids()))
    number = draw(st.floats(allow_nan=False, allow_infinity=False))
    return draw(st.sampled_from([({"type": "boolean"}, True), ({"type": "double"}, number), ({"type": "float"}, 0.5)]))
