"""Laws that hold for any change event under any policy."""

from __future__ import annotations

import json
from typing import Any

import msgspec
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cdc_masker.events import Fate, Outcome, Record
from cdc_masker.pipeline import Masker
from cdc_masker.policies import EMPTY
from tests.property.events import Case, cases, spellings
from tests.unit.building import KEYS, TOPIC, payload
from tests.unit.connect_json import misfits

many = settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])


def everything(outcome: Outcome) -> bytes:
    parts = [outcome.key, outcome.value, *(value for _, value in outcome.headers), repr(outcome).encode()]
    return b"\n".join(part or b"" for part in parts)


@many
@given(cases())
def test_no_masked_value_survives_anywhere(case: Case) -> None:
    outcome = Masker(case.policy, KEYS).mask(case.record)
    assert outcome.fate is Fate.MASKED
    written = everything(outcome)
    found = [canary for canary in case.forbidden if any(each in written for each in spellings(canary))]
    assert found == []


@many
@given(cases())
def test_the_output_fits_its_schema(case: Case) -> None:
    outcome = Masker(case.policy, KEYS).mask(case.record)
    for before, after in ((case.record.key, outcome.key), (case.record.value, outcome.value)):
        assert (before is None) == (after is None)
        if after is not None and case.with_schema:
            assert misfits(after) == []


@many
@given(cases())
def test_every_column_is_in_its_place_and_kept_ones_are_unchanged(case: Case) -> None:
    outcome = Masker(case.policy, KEYS).mask(case.record)
    rows: list[tuple[bytes | None, bytes | None, str | None]] = [(case.record.key, outcome.key, None)]
    rows += [(case.record.value, outcome.value, place) for place in ("before", "after")]
    for before, after, place in rows:
        if before is None:
            continue
        raw, masked = _texts(before, place), _texts(after, place)
        assert list(raw) == list(masked)
        for column in case.columns:
            if column.kept and column.name in raw:
                assert masked[column.name] == raw[column.name]


@many
@given(cases())
def test_key_image_and_key_change_header_agree(case: Case) -> None:
    outcome = Masker(case.policy, KEYS).mask(case.record)
    if outcome.key is None:
        return
    key = payload(outcome.key)
    for name, value in outcome.headers:
        if name.startswith("__debezium."):
            assert payload(value) == key
    for place in ("before", "after"):
        row = payload(outcome.value)[place] if outcome.value is not None else None
        if row is not None:
            assert {name: row[name] for name in key} == key


@many
@given(cases())
def test_equal_records_have_equal_bytes(case: Case) -> None:
    one = Masker(case.policy, KEYS)
    assert one.mask(case.record) == one.mask(case.record) == Masker(case.policy, KEYS).mask(case.record)


_WORDS = "schema payload type fields field optional before after source op name table message id status ts_ms serverName"
_members = st.sampled_from(_WORDS.split())
_json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5) | _members, inner, max_size=4),
    max_leaves=15,
)
_schemas: st.SearchStrategy[dict[str, Any]] = st.deferred(
    lambda: st.fixed_dictionaries(
        {},
        optional={
            "type": st.sampled_from(["struct", "string", "int64", "array", "map"]) | _json_values,
            "fields": st.lists(_schemas, max_size=3) | _json_values,
            "field": st.sampled_from(["before", "after", "source", "a"]) | _json_values,
            "optional": st.booleans() | _json_values,
            "items": _schemas | _json_values,
            "name": _json_values,
            "parameters": _json_values,
            "default": _json_values,
        },
    )
)


@many
@given(
    st.binary() | _json_values | st.fixed_dictionaries({"schema": _schemas, "payload": _json_values}),
    st.none() | st.binary() | _json_values | st.fixed_dictionaries({"schema": _schemas, "payload": _json_values}),
    st.lists(st.tuples(st.sampled_from(["__debezium.newkey", "h"]), st.none() | st.binary()), max_size=2),
    st.sampled_from([TOPIC, "__debezium-heartbeat.shop", "shop.transaction", "x"]),
)
def test_anything_at_all_has_one_outcome(
    value: object, key: object, headers: list[tuple[str, bytes | None]], topic: str
) -> None:
    _one_outcome(Record(topic, 1, 2, 3, _bytes(key), _bytes(value), tuple(headers)))


@many
@given(cases(), st.data())
def test_a_damaged_record_has_one_outcome_and_leaks_nothing(case: Case, data: st.DataObject) -> None:
    part = data.draw(st.sampled_from(["key", "value"]))
    text: bytes | None = getattr(case.record, part)
    if text is None:
        return
    start = data.draw(st.integers(0, len(text)))
    end = data.draw(st.integers(start, min(len(text), start + 8)))
    damaged = text[:start] + data.draw(st.binary(max_size=4) | st.sampled_from(_TROUBLE)) + text[end:]
    changed = {"key": case.record.key, "value": case.record.value} | {part: damaged}
    outcome = _one_outcome(Record(TOPIC, 1, 2, 3, changed["key"], changed["value"], case.record.headers))
    written = everything(outcome)
    planted = [*case.forbidden, *(canary for column in case.columns for canary in column.canaries)]
    assert [canary for canary in planted if canary.encode() in written] == []


_TROUBLE = [
    b'"',
    b"{",
    b"}",
    b"[",
    b"]",
    b",",
    b":",
    b"\\",
    b"\\ud800",
    b"\xff",
    b"1e999",
    b"null",
    b"\x00",
    b" ",
    b"-",
    b'"":0,',
]


def _one_outcome(record: Record) -> Outcome:
    outcome = Masker(EMPTY, KEYS).mask(record)
    assert (outcome.topic, outcome.partition, outcome.offset) == (record.topic, record.partition, record.offset)
    if outcome.fate is Fate.QUARANTINED:
        assert outcome.reason is not None
        assert (outcome.target, outcome.key, outcome.value, outcome.headers) == (None, None, None, ())
    else:
        assert outcome.reason is None
        assert outcome.published
        for text in (outcome.key, outcome.value):
            assert text is None or isinstance(json.loads(text), dict)
    return outcome


def _bytes(value: object) -> bytes | None:
    return value if value is None or isinstance(value, bytes) else json.dumps(value).encode("utf-8", "surrogatepass")


def _texts(document: bytes | None, place: str | None) -> dict[str, bytes]:
    """The columns of a row in a document as raw text: of the key, where no place is named."""
    assert document is not None
    text = msgspec.Raw(document)
    members = msgspec.json.decode(text, type=dict[str, msgspec.Raw])
    if set(members) == {"schema", "payload"}:
        text = members["payload"]
    if place is not None:
        text = msgspec.json.decode(text, type=dict[str, msgspec.Raw])[place]
        if bytes(text) == b"null":
            return {}
    return {name: bytes(value) for name, value in msgspec.json.decode(text, type=dict[str, msgspec.Raw]).items()}
