"""What can't be masked is quarantined: coordinates and a reason, and nothing else of the record."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec import structs

from cdc_masker.envelope import KEY_HEADERS
from cdc_masker.errors import Reason
from cdc_masker.events import Fate, Outcome
from cdc_masker.pipeline import Masker
from cdc_masker.policies import Policy, TableDefault
from tests.unit.building import KEYS, TOPIC, change, described, envelope_schema, masker, record, rule, source

KEEP = rule("a", "keep")
ROW = {"a": "canary-8c1f2e"}

FLATTENED = [
    ROW,
    {**ROW, "__deleted": "false", "__op": "c", "__table": "people"},
    {**ROW, "op": "c", "source": "shop"},
    {**ROW, "op": "c"},
]
CLOUD_EVENT = {
    "id": "name:shop;lsn:29274832",
    "source": "/debezium/postgresql/shop",
    "specversion": "1.0",
    "type": "io.debezium.connector.postgresql.DataChangeEvent",
    "time": "2026-01-13T14:18:18.433Z",
    "iodebeziumop": "c",
    "data": {"before": None, "after": ROW},
}
UNKNOWN: list[Any] = [
    *FLATTENED,
    CLOUD_EVENT,
    [change(after=ROW)],
    {},
    [],
    "canary-8c1f2e",
    '"canary-8c1f2e"',
    "5",
    "true",
    "null",
    "1e400",
    {"payload": change(after=ROW)},
    {"schema": None, "payload": change(after=ROW)},
    {"payload": change(after=ROW), "schema": envelope_schema({"a": {"type": "string"}})},
    described(envelope_schema({"a": {"type": "string"}}), None),
    described(envelope_schema({"a": {"type": "string"}}), ROW),
    change("x", after=ROW),
    change("C", after=ROW),
    change(None, after=ROW),  # type: ignore[arg-type]
    change("m", after=ROW),
    {**change(after=ROW), "source": None},
    {**change(after=ROW), "source": "shop"},
    change(after=ROW, source={name: value for name, value in source().items() if name != "table"}),
    change(after=ROW, source=source(name=5)),
    change(after=ROW, source=source(schema=None)),
    change(after=ROW, source=source(lsn="canary-8c1f2e")),
    change(after=ROW, ts_ms="canary-8c1f2e"),
    change(after=ROW, transaction="canary-8c1f2e"),
    change(after=ROW, transaction={"id": "1:2"}),
]


def quarantined(outcome: Outcome, reason: Reason, place: str) -> None:
    assert outcome == Outcome(Fate.QUARANTINED, TOPIC, 2, 41, 1795242089117, reason=reason, place=place)
    assert not outcome.published
    assert (outcome.key, outcome.value, outcome.headers, outcome.target) == (None, None, (), None)
    assert "canary" not in repr(outcome)


@pytest.mark.parametrize("value", [each for each in UNKNOWN if each != "canary-8c1f2e"], ids=lambda value: str(value)[:40])
@pytest.mark.parametrize("key", [None, {"a": "canary-8c1f2e"}, {"id": "1"}])
def test_a_shape_that_nobody_knows_is_quarantined(key: Any, value: Any) -> None:
    outcome = masker(KEEP).mask(record(value, key, headers=(("h", b"canary"),)))
    quarantined(outcome, Reason.UNKNOWN_SHAPE, "value")


@pytest.mark.parametrize("image", ["canary-8c1f2e", 5, True, [ROW], []])
@pytest.mark.parametrize("place", ["before", "after"])
@pytest.mark.parametrize("with_schema", [False, True])
def test_an_image_that_is_no_row_is_quarantined(with_schema: bool, place: str, image: Any) -> None:
    images = {place: image}
    body: Any = change("u") | images
    value = described(envelope_schema({"a": {"type": "string"}}), body) if with_schema else body
    quarantined(masker(KEEP).mask(record(value)), Reason.BAD_ENVELOPE, place)


@pytest.mark.parametrize(
    ("value", "key", "reason", "place"),
    [
        (b"\xffcanary", None, Reason.NOT_UTF8, "value"),
        (b"", None, Reason.NOT_JSON, "value"),
        (b"canary", None, Reason.NOT_JSON, "value"),
        (b"\x00\x00\x00\x00\x01canary", None, Reason.NOT_JSON, "value"),  # Confluent's wire format, of Avro
        (change(after=ROW), b"\xffcanary", Reason.NOT_UTF8, "key"),
        (change(after=ROW), b"canary", Reason.NOT_JSON, "key"),
        (change(after=ROW), b"", Reason.NOT_JSON, "key"),
        (change(after=ROW), b'"canary"', Reason.BAD_KEY, "key"),
        (None, b"canary", Reason.NOT_JSON, "key"),
        (None, b"\xff", Reason.NOT_UTF8, "key"),
    ],
)
def test_each_reason_is_told_with_its_place(value: Any, key: bytes | None, reason: Reason, place: str) -> None:
    quarantined(masker(KEEP).mask(record(value, key)), reason, place)


@pytest.mark.parametrize("place", ["value", "key", *KEY_HEADERS])
def test_a_name_that_stands_twice_is_told_with_its_place(place: str) -> None:
    twice = b'{"a":1,"a":"canary"}'
    good = record(change(after=ROW), {"a": 1}, headers=((KEY_HEADERS[0], b'{"a":1}'), (KEY_HEADERS[1], b'{"a":1}')))
    bad = {
        "value": structs.replace(good, value=(good.value or b"").replace(b'"op":"c"', b'"op":"c","op":"c"')),
        "key": structs.replace(good, key=twice),
        **{name: structs.replace(good, headers=((name, twice),)) for name in KEY_HEADERS},
    }
    quarantined(masker(KEEP).mask(bad[place]), Reason.AMBIGUOUS_JSON, place)


@pytest.mark.parametrize("place", ["value", "key"])
@pytest.mark.parametrize("topic", ["__debezium-heartbeat.shop", "shop.transaction"])
def test_a_broken_control_event_is_told_with_its_place(topic: str, place: str) -> None:
    broken = b'{"canary":1}'
    heartbeat = topic.startswith("__")
    value = (
        {"ts_ms": 5} if heartbeat else {"status": "BEGIN", "id": "1", "event_count": None, "data_collections": None, "ts_ms": 5}
    )
    good = structs.replace(record(value, {"serverName": "shop"} if heartbeat else {"id": "1"}), topic=topic)
    assert masker().mask(good).fate is Fate.CONTROL
    outcome = masker().mask(structs.replace(good, value=broken) if place == "value" else structs.replace(good, key=broken))
    assert (outcome.reason, outcome.place) == (Reason.UNKNOWN_SHAPE, place)


def test_a_masked_record_that_is_too_large_is_quarantined() -> None:
    raw = record(change(after={"a": "x" * 5000, "b": "y" * 5000}), {"a": "x"}, headers=(("h", b"z" * 1000),))
    small = masker(KEEP, max_record_bytes=5000)
    quarantined(small.mask(raw), Reason.TOO_LARGE, "record")
    assert masker(KEEP, max_record_bytes=9000).mask(raw).reason is None
    quarantined(masker(KEEP, headers=["h"], max_record_bytes=6500).mask(raw), Reason.TOO_LARGE, "record")


def test_a_header_name_counts_by_its_bytes() -> None:
    name = "ü" * 1000
    raw = record(change(after=ROW), headers=((name, None),))
    size = len(raw.value or b"") + 2000
    quarantined(masker(KEEP, headers=[name], max_record_bytes=size).mask(raw), Reason.TOO_LARGE, "record")


def test_what_masking_takes_away_does_not_count_for_the_size() -> None:
    assert masker(max_record_bytes=2000).mask(record(change(after={"a": "x" * 5000}))).reason is None


def test_the_next_record_goes_on() -> None:
    good = record(change(after=ROW))
    made = masker().mask_batch([record(b"canary"), good, record("{}"), good])
    assert made.fates == {Fate.QUARANTINED: 2, Fate.MASKED: 2}


@pytest.mark.parametrize("name", ["c\0", "c" * 1001], ids=["nul", "long"])
def test_a_name_that_no_row_of_the_audit_can_hold_is_not_told(name: str) -> None:
    tables = [TableDefault(schema="crm", table="people", default="quarantine")]
    strict = Masker(Policy.of(7, tables=tables), KEYS)
    outcome = strict.mask(record(change(after={name: 1})))
    assert (outcome.fate, outcome.reason, outcome.place) == (Fate.QUARANTINED, Reason.UNDECIDED, None)
    assert strict.mask(record(change(after={"d": 1}))).place == "d"
