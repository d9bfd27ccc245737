"""What the tests of the core are built from: keys that are no secret, and records as Debezium and Kafka Connect write them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from cdc_masker.events import Headers, Record
from cdc_masker.keys import Keyring
from cdc_masker.keys.keyring import RootKey
from cdc_masker.pipeline import Masker
from cdc_masker.policies import Policy, Rule

__all__ = [
    "KEYS",
    "TOPIC",
    "accepting",
    "change",
    "compact",
    "described",
    "envelope_schema",
    "masker",
    "payload",
    "record",
    "row_schema",
    "rule",
    "source",
]

KEYS = Keyring.of([RootKey(id="test", epoch=1, root=bytes(range(32)))])
TOPIC = "shop.crm.people"

_TIMES = {"ts_ms": 1795242088677, "ts_us": 1795242088677714, "ts_ns": 1795242088677714791}
_INT64 = {"type": "int64", "optional": True}
_TEXT = {"type": "string", "optional": False}


def rule(column: str, method: str, *, table: str = "people", type: str | None = None, **params: Any) -> Rule:  # noqa: A002
    """A rule for a column of `crm.people` on any server."""
    return Rule(schema="crm", table=table, column=column, type=type, method=method, params=params)


def accepting(*rules: Rule) -> list[Rule]:
    """The same rules, accepting that rows of a table may get equal keys."""
    return [msgspec.structs.replace(each, allow_uniqueness_loss=True, reason="a test") for each in rules]


def masker(*rules: Rule, headers: Sequence[str] = (), max_record_bytes: int = 1_000_000) -> Masker:
    """A masker under a policy of these rules, version 7."""
    return Masker(Policy.of(7, rules=rules, headers=headers), KEYS, max_record_bytes=max_record_bytes)


def compact(value: Any) -> str:
    """JSON text as Kafka Connect writes it."""
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


def source(table: str = "people", **members: Any) -> dict[str, Any]:
    """A `source` block as the PostgreSQL connector writes it."""
    return {
        "version": "3.7.0.Final",
        "connector": "postgresql",
        "name": "shop",
        "ts_ms": 1795242088616,
        "snapshot": "false",
        "db": "shop",
        "sequence": '[null,"46767384"]',
        "ts_us": 1795242088616161,
        "ts_ns": 1795242088616161000,
        "schema": "crm",
        "table": table,
        "txId": 912,
        "lsn": 46767384,
        "xmin": None,
        "origin": None,
        "origin_lsn": None,
        **members,
    }


def change(op: str = "c", *, table: str = "people", **members: Any) -> dict[str, Any]:
    """The payload of a change event; `before` and `after` are null where they are not given."""
    images = {} if op == "t" else {"before": None, "after": None}
    return {**images, "source": source(table), "transaction": None, "op": op, **_TIMES, **members}


def record(
    value: Any = None, key: Any = None, *, headers: Headers = (), topic: str = TOPIC, partition: int = 2, offset: int = 41
) -> Record:
    """A record. Key and value are bytes as they stand, a text as it stands, or JSON values to be written compactly."""
    return Record(topic, partition, offset, 1795242089117, _bytes(key), _bytes(value), headers)


def row_schema(columns: Mapping[str, Mapping[str, Any]], name: str = "Value") -> dict[str, Any]:
    """The schema of a row or a key."""
    fields = [{"optional": False, **schema, "field": column} for column, schema in columns.items()]
    return {"type": "struct", "fields": fields, "optional": name == "Value", "name": f"{TOPIC}.{name}"}


def envelope_schema(columns: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """The schema of a change event with rows of these columns."""
    row = row_schema(columns)
    texts = {"version", "connector", "name", "db", "schema", "table"}
    fields = [{**(_TEXT if name in texts else _INT64), "field": name} for name in source()]
    for field in fields:
        if field["field"] in ("snapshot", "sequence", "origin"):
            field["type"] = "string"
    numbers = [{"type": "int64", "optional": False, "field": name} for name in ("total_order", "data_collection_order")]
    transaction = {"type": "struct", "fields": [{**_TEXT, "field": "id"}, *numbers], "optional": True, "name": "event.block"}
    return {
        "type": "struct",
        "fields": [
            {**row, "field": "before"},
            {**row, "field": "after"},
            {"type": "struct", "fields": fields, "optional": False, "name": "Source", "field": "source"},
            {**transaction, "field": "transaction"},
            {**_TEXT, "field": "op"},
            *({**_INT64, "field": name} for name in _TIMES),
        ],
        "optional": False,
        "name": f"{TOPIC}.Envelope",
        "version": 2,
    }


def described(schema: Mapping[str, Any], body: Any) -> dict[str, Any]:
    """Schema and payload, as with `schemas.enable=true`."""
    return {"schema": schema, "payload": body}


def payload(text: bytes | None) -> Any:
    """The JSON value of a masked key or value, without its schema."""
    assert text is not None
    value = json.loads(text)
    return value["payload"] if isinstance(value, dict) and set(value) == {"schema", "payload"} else value


def _bytes(value: Any) -> bytes | None:
    if value is None or isinstance(value, bytes):
        return value
    return (value if isinstance(value, str) else compact(value)).encode()
