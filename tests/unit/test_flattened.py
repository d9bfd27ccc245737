"""Flattened rows: columns are masked as in an envelope, metadata pass by a typed allow-list, all else is redacted."""

from __future__ import annotations

import json
from typing import Any

import pytest

from cdc_masker.errors import PolicyError, Reason
from cdc_masker.events import Fate, Outcome, Record
from cdc_masker.pipeline import Masker
from cdc_masker.policies import EnvelopeShape, Policy, Rule
from tests.unit.building import KEYS, TOPIC, change, described, masker, payload, record, row_schema, rule
from tests.unit.connect_json import misfits

RULES = (rule("id", "tokenize", type="int4"), rule("email", "tokenize", domain="email"), rule("tier", "keep"))
ROW = {"id": 7, "email": "canary@example.com", "tier": "pro", "notes": "canary"}
KEY = {"id": 7}
ADDED = {
    "__deleted": "false",
    "__op": "c",
    "__table": "people",
    "__schema": "crm",
    "__name": "shop",
    "__db": "shop",
    "__lsn": 46767384,
    "__txId": 912,
    "__ts_ms": 1795242088677,
    "__source_ts_ms": 1795242088616,
    "__transaction_id": "912:46767384",
    "__transaction_total_order": 1,
    "__xmin": None,
}
TYPES: dict[str, dict[str, Any]] = {
    "id": {"type": "int32"},
    "email": {"type": "string", "optional": True},
    "tier": {"type": "string", "doc": "canary-doc"},
    "notes": {"type": "string", "default": "canary-default"},
}


def flattening(topic: str = TOPIC, **stated: str) -> Masker:
    return Masker(Policy.of(7, rules=RULES, envelopes=[EnvelopeShape(topic=topic, shape="flattened", **stated)]), KEYS)


def with_schema(row: dict[str, Any]) -> dict[str, Any]:
    added = {name: {"type": "int64" if type(row[name]) is int else "string", "optional": True} for name in row}
    return described(row_schema({name: TYPES.get(name, added[name]) for name in row}), row)


def row_of(outcome: Outcome) -> Any:
    assert outcome.fate is Fate.MASKED, outcome
    return payload(outcome.value)


@pytest.mark.parametrize(("column", "passes"), [("*", True), ("__*", False), ("__deleted", False)])
def test_what_is_added_passes_a_pattern_for_all_columns_and_no_other(column: str, passes: bool) -> None:
    every = Rule(schema="crm", table="people", column=column, pattern=True, method="redact")
    flattened = EnvelopeShape(topic=TOPIC, shape="flattened")
    policy = Policy.of(7, rules=[every], envelopes=[flattened])
    row = row_of(Masker(policy, KEYS).mask(record({"notes": "canary", "__deleted": "true"})))
    assert row == {"notes": None, "__deleted": "true" if passes else None}


@pytest.mark.parametrize("added", [{}, {"__deleted": "true"}, ADDED], ids=["bare", "rewrite", "all"])
@pytest.mark.parametrize("schemas", [False, True])
def test_a_flattened_row_is_masked_as_the_row_of_an_envelope(schemas: bool, added: dict[str, Any]) -> None:
    key = described(row_schema({"id": TYPES["id"]}, "Key"), KEY) if schemas else KEY
    outcome = flattening().mask(record(with_schema(ROW | added) if schemas else ROW | added, key))
    row = row_of(outcome)
    unflattened = masker(*RULES).mask(record(change(after=ROW), KEY))
    event = payload(unflattened.value)["after"]
    assert {name: row[name] for name in ("id", "email", "tier")} == {name: event[name] for name in ("id", "email", "tier")}
    assert payload(outcome.key) == payload(unflattened.key) == {"id": row["id"]}
    assert row["notes"] == ("" if schemas else None)
    assert {name: row[name] for name in added} == added
    assert list(row) == list(ROW | added)
    assert b"canary" not in (outcome.value or b"").replace(b"canary-doc", b"")  # of a kept column
    if schemas:
        assert outcome.value is not None
        assert misfits(outcome.value) == []


def test_names_that_nobody_knows_are_columns() -> None:
    row = row_of(flattening().mask(record({**ROW, "__x": "canary", "__before_email": "canary", "op": "canary"}, KEY)))
    assert (row["__x"], row["__before_email"], row["op"]) == (None, None, None)


def test_the_schema_of_metadata_holds_no_more_than_is_needed() -> None:
    value = with_schema(ROW | ADDED)
    for field in value["schema"]["fields"]:
        if field["field"] in ADDED:
            field |= {"doc": "canary", "default": "canary", "parameters": {"canary": "canary"}}
    outcome = flattening().mask(record(value, KEY))
    assert row_of(outcome)["__op"] == "c"
    assert b"canary" not in (outcome.value or b"").replace(b"canary-doc", b"")


@pytest.mark.parametrize(
    "wrong",
    [
        {"__op": "canary"},
        {"__op": 1},
        {"__deleted": True},
        {"__deleted": "canary"},
        {"__lsn": "canary"},
        {"__ts_ms": 1.5},
        {"__ts_ms": 1 << 63},
        {"__db": ["canary"]},
        {"__source_ts_ms": {"canary": 1}},
    ],
    ids=str,
)
def test_metadata_of_another_type_are_quarantined(wrong: dict[str, Any]) -> None:
    assert flattening().mask(record(ROW | wrong, KEY)).reason is Reason.BAD_ENVELOPE


@pytest.mark.parametrize("wrong", [{"__table": "canary"}, {"__source_schema": "canary"}, {"__name": "canary"}], ids=str)
def test_a_row_that_says_it_is_of_another_table_is_quarantined(wrong: dict[str, Any]) -> None:
    assert flattening().mask(record(ROW | wrong, KEY)).reason is Reason.AMBIGUOUS_TABLE


def test_a_rule_goes_before_the_allow_list() -> None:
    policy = Policy.of(7, rules=[rule("__db", "fixed", value="x")], envelopes=[EnvelopeShape(topic=TOPIC, shape="flattened")])
    assert row_of(Masker(policy, KEYS).mask(record({**ROW, "__db": "shop"})))["__db"] == "x"


def test_of_a_table_that_nobody_knows_everything_is_redacted_but_neutral_metadata() -> None:
    policy = Policy.of(7, envelopes=[EnvelopeShape(topic=TOPIC, shape="flattened")])
    row = row_of(Masker(policy, KEYS).mask(record(ROW | ADDED, {"id": 7})))
    told = {name: value for name, value in row.items() if value is not None and name != "id"}
    assert told == {name: ADDED[name] for name in ADDED if name not in ("__table", "__schema", "__name", "__xmin")}
    assert row["id"] != 7


@pytest.mark.parametrize("topic", ["routed", "all.customers"])
def test_what_the_policy_states_tells_the_table_of_a_routed_topic(topic: str) -> None:
    routed = flattening(topic, schema="crm", table="people")
    direct = flattening()
    outcome, expected = (each.mask(record(ROW | {"__table": "people"}, KEY, topic=name)) for each, name in
                         ((routed, topic), (direct, TOPIC)))  # fmt: skip
    assert (outcome.key, outcome.value) == (expected.key, expected.value)
    assert row_of(flattening(topic).mask(record(ROW, KEY, topic=topic)))["tier"] is None
    tombstones = [each.mask(record(None, KEY, topic=name)) for each, name in ((routed, topic), (direct, TOPIC))]
    assert tombstones[0].key == tombstones[1].key == expected.key


def test_what_the_policy_states_serves_tombstones_of_envelopes_too() -> None:
    stated = EnvelopeShape(topic="routed", shape="debezium", schema="crm", table="people")
    routed = Masker(Policy.of(7, rules=RULES, envelopes=[stated]), KEYS)
    delete = routed.mask(record(change("d", before=ROW), KEY, topic="routed"))
    tombstone = routed.mask(record(None, KEY, topic="routed"))
    assert delete.key == tombstone.key
    assert masker(*RULES).mask(record(None, KEY, topic="routed")).key != delete.key


def test_rules_of_one_server_need_the_server_stated() -> None:
    rules = [rule("tier", "keep")]
    of_server = [
        type(each)(**{name: getattr(each, name) for name in each.__struct_fields__} | {"server": "shop"}) for each in rules
    ]
    for server, seen in ((None, None), ("shop", "pro"), ("other", None)):
        shape = EnvelopeShape(topic="routed", shape="flattened", server=server, schema="crm", table="people")
        row = row_of(Masker(Policy.of(7, rules=of_server, envelopes=[shape]), KEYS).mask(record(ROW, KEY, topic="routed")))
        assert row["tier"] == seen


@pytest.mark.parametrize("half", [{"schema": "crm"}, {"table": "people"}, {"server": "shop"}])
def test_half_a_table_is_refused(half: dict[str, str]) -> None:
    with pytest.raises(PolicyError, match=r"envelope of topic t: .*give schema and table"):
        Policy.of(1, envelopes=[EnvelopeShape(topic="t", shape="flattened", **half)])
    with pytest.raises(PolicyError, match="unknown field"):
        Policy.from_document({"envelopes": [{"topic": "t", "shape": "flattened", "database": "x"}]})


def test_two_tables_of_one_topic_name_are_quarantined() -> None:
    rules = [rule("a", "keep", table=name) for name in ("a-ä", "a-ö")]
    shape = EnvelopeShape(topic="shop.crm.a-_", shape="flattened")
    outcome = Masker(Policy.of(1, rules=rules, envelopes=[shape]), KEYS).mask(record(ROW, KEY, topic="shop.crm.a-_"))
    assert outcome.reason is Reason.AMBIGUOUS_TABLE


def test_tombstones_and_key_changes_are_masked_as_ever() -> None:
    other = record(None, KEY, headers=(("__debezium.newkey", b'{"id":8}'), ("__op", b"canary")))
    outcome = flattening().mask(other)
    expected = flattening().mask(record(ROW | {"id": 8}, {"id": 8}))
    assert outcome.value is None
    assert outcome.headers[0] == ("__debezium.newkey", expected.key)
    assert len(outcome.headers) == 2


ENVELOPES = [
    change(after=ROW),
    change("d", before=ROW),
    change("x", after=ROW),
    {"op": "m", "source": {"name": "shop"}, "message": {"prefix": "p", "content": "canary"}},
]


@pytest.mark.parametrize("value", ENVELOPES, ids=lambda value: value["op"])
@pytest.mark.parametrize("schemas", [False, True])
def test_an_envelope_in_a_topic_of_flattened_rows_is_quarantined(schemas: bool, value: dict[str, Any]) -> None:
    whole = described(row_schema({"op": {"type": "string"}}), value) if schemas else value
    assert flattening().mask(record(whole, KEY)).reason is Reason.UNKNOWN_SHAPE


@pytest.mark.parametrize("schemas", [False, True])
def test_a_flattened_row_in_a_topic_of_envelopes_is_quarantined(schemas: bool) -> None:
    value = with_schema(ROW | ADDED) if schemas else ROW | ADDED
    explicit = Masker(Policy.of(1, rules=RULES, envelopes=[EnvelopeShape(topic=TOPIC, shape="debezium")]), KEYS)
    for each in (masker(*RULES), explicit, flattening("another")):
        assert each.mask(record(value, KEY)).reason is Reason.UNKNOWN_SHAPE


@pytest.mark.parametrize("value", ["[]", "{}", "5", '"canary"', "true", '[{"id":1}]', '{"schema":{},"payload":5}'])
def test_what_is_no_row_is_quarantined(value: str) -> None:
    assert flattening().mask(record(value, KEY)).reason is Reason.UNKNOWN_SHAPE


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ('{"tier":1,"tier":2}', Reason.AMBIGUOUS_JSON),
        ('{"tier":{"a":1,"a":2}}', Reason.AMBIGUOUS_JSON),
        ('{"__op":"c","__op":"d"}', Reason.AMBIGUOUS_JSON),
        ('{"schema":{},"payload":{"tier":1},"payload":{"tier":2}}', Reason.AMBIGUOUS_JSON),
        ('{"tier":NaN}', Reason.NOT_JSON),
        ('{"tier":1}x', Reason.NOT_JSON),
        (b'{"tier":"\xff"}', Reason.NOT_UTF8),
    ],
)
def test_its_json_is_read_as_strictly(value: str | bytes, reason: Reason) -> None:
    assert flattening().mask(record(value, KEY)).reason is reason


def test_a_deleted_row_stays_one() -> None:
    live = flattening().mask(record(with_schema(ROW), KEY))
    gone = flattening().mask(record(with_schema(ROW) | {"payload": None}, KEY))
    assert gone.key == live.key
    assert gone.value is not None
    assert live.value is not None
    assert gone.value.endswith(b',"payload":null}')
    assert gone.value.startswith(live.value.partition(b',"payload":')[0])
    assert flattening().mask(record("null", KEY)).value == b"null"
    assert flattening().mask(record("null")).value == b"null"


def test_a_schema_that_does_not_fit_the_row_is_quarantined() -> None:
    value = with_schema(ROW)
    value["payload"] = {**ROW, "more": "canary"}
    assert flattening().mask(record(value, KEY)).reason is Reason.SCHEMA_MISMATCH


def test_a_kept_value_keeps_its_text() -> None:
    for text in ("1.10", "123456789012345678901234567890", '{"b":1.0}', "1e400"):
        outcome = flattening().mask(Record(TOPIC, 0, 0, 0, None, f'{{"tier":{text}}}'.encode()))
        assert outcome.value == f'{{"tier":{text}}}'.encode()
    assert json.loads(repr(outcome.published).lower())
