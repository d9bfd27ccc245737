"""Heartbeats and transaction metadata: passed field by field, with nothing that nobody knows."""

from __future__ import annotations

from typing import Any

import pytest

from cdc_masker.errors import Reason
from cdc_masker.events import Fate
from tests.unit.building import compact, described, masker, payload, record
from tests.unit.connect_json import misfits

CANARY = "canary-8c1f2e"
HEARTBEAT = "__debezium-heartbeat.shop"
TRANSACTION = "shop.transaction"
BEGIN = {"status": "BEGIN", "id": "921:46789896", "event_count": None, "data_collections": None, "ts_ms": 1795242110526}
END = {
    "status": "END",
    "id": "921:46789896",
    "event_count": 3,
    "data_collections": [{"data_collection": "crm.customers", "event_count": 3}],
    "ts_ms": 1795242110530,
}
CASES = [
    (HEARTBEAT, {"serverName": "shop"}, {"ts_ms": 1795242088724}),
    (TRANSACTION, {"id": "921:46789896"}, BEGIN),
    (TRANSACTION, {"id": "921"}, {**END, "id": "921"}),
    (TRANSACTION, {"id": "921:46789896"}, END),
]


def _schema(value: Any, name: str | None = None, **more: Any) -> dict[str, Any]:
    """A schema for a value, with data wherever a schema can hold some."""
    data: dict[str, Any] = {"optional": True, "doc": CANARY, "parameters": {"allowed": CANARY}, **more}
    if name is not None:
        data["field"] = name
    match value:
        case dict():
            return {"type": "struct", "fields": [_schema(each, member) for member, each in value.items()], **data}
        case list():
            return {"type": "array", "items": _schema(value[0]), **data}
        case str():
            return {"type": "string", "default": CANARY, **data}
        case _:
            return {"type": "int64", "default": 4711, **data}


@pytest.mark.parametrize(("topic", "key", "value"), CASES)
def test_a_control_event_passes_as_it_is(topic: str, key: Any, value: Any) -> None:
    raw = record(value, key, topic=topic)
    outcome = masker().mask(raw)
    assert (outcome.fate, outcome.key, outcome.value) == (Fate.CONTROL, raw.key, raw.value)
    assert outcome.target == f"masked.{topic}"


@pytest.mark.parametrize(("topic", "key", "value"), CASES)
def test_what_nobody_knows_in_it_is_dropped(topic: str, key: Any, value: Any) -> None:
    collections = [{**each, "rows": CANARY} for each in value.get("data_collections") or []]
    more = {**value, "extra": CANARY, **({"data_collections": collections} if collections else {})}
    outcome = masker().mask(record(more, {**key, "extra": CANARY}, topic=topic, headers=(("h", CANARY.encode()),)))
    assert (payload(outcome.key), payload(outcome.value)) == (key, value)
    assert [name for name, _ in outcome.headers] == ["cdc-masker"]


@pytest.mark.parametrize(("topic", "key", "value"), CASES)
def test_its_schema_describes_it_without_holding_data(topic: str, key: Any, value: Any) -> None:
    raw_key, raw_value = {**key, "extra": CANARY}, {**value, "extra": CANARY}
    full = {**END, "extra": CANARY} if topic == TRANSACTION else raw_value
    raw = record(described(_schema(full), raw_value), described(_schema(raw_key), raw_key), topic=topic)
    assert misfits(raw.value) == misfits(raw.key) == []
    outcome = masker().mask(raw)
    assert outcome.fate is Fate.CONTROL
    assert misfits(outcome.value) == misfits(outcome.key) == []
    assert (payload(outcome.key), payload(outcome.value)) == (key, value)
    for text in (outcome.key, outcome.value):
        assert text is not None
        assert CANARY.encode() not in text
        assert b"4711" not in text


@pytest.mark.parametrize(
    ("topic", "key", "value"),
    [
        (HEARTBEAT, {"serverName": "ana@example.com"}, {"ts_ms": 1}),
        (HEARTBEAT, {"serverName": "shop"}, {"ts_ms": "ana"}),
        (HEARTBEAT, {"serverName": "shop"}, {}),
        (HEARTBEAT, {"id": "1"}, {"ts_ms": 1}),
        (HEARTBEAT, None, {"ts_ms": 1}),
        ("shop.crm.people", {"serverName": "shop"}, {"ts_ms": 1}),
        (TRANSACTION, {"id": "ana@example.com"}, BEGIN),
        (TRANSACTION, {"id": "921:1"}, {**BEGIN, "id": "ana@example.com"}),
        (TRANSACTION, {"id": "921:1"}, {**BEGIN, "status": "ana"}),
        (TRANSACTION, {"id": "921:1"}, {**BEGIN, "data_collections": ["ana"]}),
        (TRANSACTION, {"id": "921:1"}, {**BEGIN, "event_count": "3"}),
        (TRANSACTION, {"id": "921:1"}, {"id": "921:1", "status": "BEGIN"}),
        (TRANSACTION, None, BEGIN),
    ],
)
def test_what_only_resembles_a_control_event_is_quarantined(topic: str, key: Any, value: Any) -> None:
    outcome = masker().mask(record(value, key, topic=topic))
    assert (outcome.fate, outcome.reason) == (Fate.QUARANTINED, Reason.UNKNOWN_SHAPE)


@pytest.mark.parametrize(("topic", "key", "value"), CASES)
def test_a_name_that_stands_twice_in_it_is_refused(topic: str, key: Any, value: Any) -> None:
    for twice_key, twice_value in [
        (compact(key)[:-1] + f',"x":"{CANARY}","x":1}}', value),
        (key, compact(value)[:-1] + ',"ts_ms":1}'),
    ]:
        outcome = masker().mask(record(twice_value, twice_key, topic=topic))
        assert outcome.reason is Reason.AMBIGUOUS_JSON
