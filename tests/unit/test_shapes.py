"""Shapes that nobody configured are recognised as such, whatever the topic is said to hold; and one outcome by any parser."""

from __future__ import annotations

import json
import math
from typing import Any

import msgspec
import orjson
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from cdc_masker.errors import Reason
from cdc_masker.events import Fate, Outcome
from cdc_masker.pipeline import Masker
from cdc_masker.policies import EnvelopeShape, Policy
from tests.unit.building import KEYS, TOPIC, change, compact, described, masker, record, row_schema, rule, source

CANARY = "canary-5b0e"
ROW = {"a": CANARY, "n": 1}
TEXT = {"type": "string", "optional": True}

OTHER_SHAPES: dict[str, Any] = {
    "CloudEvents": {
        "id": "name:shop;lsn:29274832;txId:565",
        "source": "/debezium/postgresql/shop",
        "specversion": "1.0",
        "type": "io.debezium.connector.postgresql.DataChangeEvent",
        "time": "2026-01-13T14:18:18.433Z",
        "datacontenttype": "application/json",
        "iodebeziumop": "c",
        "iodebeziumtable": "people",
        "data": {"before": None, "after": ROW},
    },
    "CloudEvents, data with schema": {
        "id": "1",
        "source": "/debezium",
        "specversion": "1.0",
        "type": "x",
        "data": described(row_schema({"a": TEXT}), change(after=ROW)),
    },
    "CloudEvents around an envelope": {"id": "1", "source": "/d", "specversion": "1.0", "type": "x", "data": change(after=ROW)},
    "CloudEvents, batch": [{"id": "1", "source": "/d", "specversion": "1.0", "type": "x", "data": ROW}],
    "outbox": {"eventType": "OrderCreated", "payload": compact(ROW)},
    "outbox, expanded": {"id": 1, "lineItems": [ROW], "customerId": CANARY},
    "outbox, with schema": described(row_schema({"eventType": TEXT, "payload": TEXT}), {"eventType": "x", "payload": CANARY}),
    "outbox, as text": compact(compact(ROW)),
    "outbox, with schema as text": {"schema": {"type": "string", "optional": False}, "payload": compact(ROW)},
    "Maxwell": {"database": "shop", "table": "people", "type": "insert", "ts": 1, "xid": 5, "commit": True, "data": ROW},
    "Maxwell, update": {"database": "shop", "table": "people", "type": "update", "ts": 1, "data": ROW, "old": {"a": CANARY}},
    "Canal": {"database": "shop", "table": "people", "type": "INSERT", "isDdl": False, "data": [ROW], "old": None, "sql": ""},
    "wal2json": {"change": [{"kind": "insert", "schema": "crm", "table": "people", "columnvalues": [CANARY]}]},
    "Oracle GoldenGate": {"table": "CRM.PEOPLE", "op_type": "I", "pos": "0", "before": {}, "after": ROW},
    "schema change": {"source": source(), "databaseName": "shop", "schemaName": "crm", "ddl": CANARY, "tableChanges": []},
    "signal": {"id": CANARY, "type": "execute-snapshot", "data": "{}"},
    "notification": {"id": CANARY, "aggregate_type": "Initial Snapshot", "type": "COMPLETED", "additional_data": {}},
    "MongoDB": {"before": None, "after": compact(ROW), "patch": None, "source": {"collection": "people"}, "op": "c"},
    "array": [CANARY],
    "array of rows": [ROW],
    "text": compact(CANARY),
    "integer": "5",
    "decimal": "1.5e3",
    "boolean": "true",
    "null": "null",
    "nothing": {},
}


@pytest.mark.parametrize("name", OTHER_SHAPES)
@pytest.mark.parametrize("key", [None, {"a": CANARY}, compact(CANARY)])
def test_other_shapes_are_quarantined(name: str, key: Any) -> None:
    outcome = masker(rule("a", "keep")).mask(record(OTHER_SHAPES[name], key, headers=(("h", CANARY.encode()),)))
    assert outcome.fate is Fate.QUARANTINED
    assert outcome.reason is Reason.UNKNOWN_SHAPE
    assert CANARY not in repr(outcome)


@pytest.mark.parametrize("name", OTHER_SHAPES)
def test_none_of_them_shows_anything_where_flattened_rows_are_configured(name: str) -> None:
    """An object there is a row; columns of other shapes are not those of the table, and so redacted."""
    shape = EnvelopeShape(topic=TOPIC, shape="flattened")
    outcome = Masker(Policy.of(1, rules=[rule("n", "keep")], envelopes=[shape]), KEYS).mask(record(OTHER_SHAPES[name]))
    assert CANARY.encode() not in b"%r %r" % (outcome.value, outcome.key)


# One outcome by any parser


def by_json(text: bytes) -> Any:
    """Python's own, made strict."""
    return json.loads(text.decode(), object_pairs_hook=_once, parse_constant=_refuse, parse_int=_number, parse_float=_number)


def by_orjson(text: bytes) -> Any:
    return _rounded(orjson.loads(text))


def by_msgspec(text: bytes) -> Any:
    return _rounded(msgspec.json.decode(text))


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len(dict(pairs)) != len(pairs):
        raise ValueError("twice")
    for text in (text for pair in pairs for text in pair if isinstance(text, str)):
        text.encode()  # a lone surrogate is an error
    return dict(pairs)


def _refuse(text: str) -> Any:
    raise ValueError(text)


def _number(text: str) -> float:
    return float(text)


def _rounded(value: Any) -> Any:
    """Numbers as doubles, which is all that the three agree upon."""
    if isinstance(value, dict):
        return {name: _rounded(each) for name, each in value.items()}
    if isinstance(value, list):
        return [_rounded(each) for each in value]
    return float(value) if isinstance(value, int) and not isinstance(value, bool) else value


def readings(text: bytes) -> list[Any]:
    found = []
    for parse in (by_json, by_orjson, by_msgspec):
        try:
            found.append(parse(text))
        except (ValueError, msgspec.DecodeError, RecursionError):
            found.append(parse)  # equal to nothing that another one reads
    return found


PIECES = (
    *('"a"', '"b"', '"\\u0061"', '"\\ud83d\\ude00"', '"\\ud800"', '"\\udc00x"', '"\\/"', '"\\x"', '"é"', '"\t"', '"\\t"', '"'),
    *(
        "1",
        "-0",
        "01",
        "1.",
        ".5",
        "1e5",
        "1E+2",
        "+1",
        "NaN",
        "Infinity",
        "-Infinity",
        "9223372036854775808",
        "1" * 40,
        "1.10",
    ),
    *("{", "}", "[", "]", ":", ",", " ", "\n", "\x00", "\ufeff", "true", "null", "nul", "{}", "[]", "//", "/**/", "'a'"),
    *('{"a":1,"a":2}', '{"a":1,"\\u0061":2}', '{"a":{"b":1,"b":1}}', '[{"a":1},{"a":1}]', "[" * 120 + "]" * 120),
)


def outcomes(fragment: bytes) -> dict[bytes, Outcome]:
    """What becomes of records that hold the fragment in a kept column, an undecided one, a key and a field nobody knows."""
    event = compact(change(after={"a": "HERE", "u": "THERE"})).encode()
    shape = EnvelopeShape(topic="flat", shape="flattened", schema="crm", table="people")
    one = Masker(Policy.of(1, rules=[rule("a", "keep"), rule("t", "tokenize")], envelopes=[shape]), KEYS)
    values = [event.replace(b'"HERE"', fragment), event.replace(b'"THERE"', fragment), event[:-1] + b',"x":' + fragment + b"}"]
    found = {value: one.mask(record(value)) for value in values}
    for column in (b"a", b"u", b"t"):
        row = b'{"' + column + b'":' + fragment + b"}"
        found[row] = one.mask(record(row, topic="flat"))
        key = b'{"k":' + fragment + b',"l":1}'
        found[key] = one.mask(record(event, key))
    return found


@settings(max_examples=300, deadline=None)
@given(st.lists(st.sampled_from(PIECES), min_size=1, max_size=7).map("".join).map(str.encode) | st.binary(max_size=4))
@example(b'"\xed\xa0\x80"')
@example(b'"\xc0\x80"')
@example(b"1e400")
def test_what_is_masked_is_read_alike_by_every_parser(fragment: bytes) -> None:
    for text, outcome in outcomes(fragment).items():
        if outcome.fate is Fate.QUARANTINED:
            assert outcome.reason is not None
            continue
        written = [part for part in (outcome.key, outcome.value) if part is not None]
        for each in (text, *written):
            read = readings(each)
            if not any(isinstance(value, float) and math.isinf(value) for value in _leaves(read[0])):
                assert read[0] == read[1] == read[2], each


@settings(max_examples=200, deadline=None)
@given(st.recursive(
    st.none() | st.booleans() | st.integers(-(1 << 53), 1 << 53) | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), inner),
    max_leaves=8,
))  # fmt: skip
def test_what_every_parser_reads_alike_is_masked(value: Any) -> None:
    for pretty in (None, 1):
        fragment = json.dumps(value, ensure_ascii=pretty is None, indent=pretty).encode()
        assert {outcome.reason for outcome in outcomes(fragment).values()} == {None}


def _leaves(value: Any) -> list[Any]:
    if isinstance(value, dict):
        return [leaf for each in value.values() for leaf in _leaves(each)]
    if isinstance(value, list):
        return [leaf for each in value for leaf in _leaves(each)]
    return [value]
