"""Debezium's signals and notifications: dropped or masked as the policy says, and searched for either way."""

from __future__ import annotations

from typing import Any

import pytest

from cdc_masker.errors import PolicyError
from cdc_masker.events import Fate, Outcome
from cdc_masker.leaks.anatomy import Anatomy
from cdc_masker.pipeline import Masker
from cdc_masker.policies import EnvelopeShape, Policy, Rule
from tests.unit.building import KEYS, change, compact, described, payload, record, row_schema
from tests.unit.connect_json import misfits

CANARY = "canary-5b0e7c4d9a"
SIGNALS = "shop.debezium.signals"
KEY = {"id": "ad-hoc"}
SIGNAL = {**KEY, "type": "execute-snapshot", "data": compact({"additional-conditions": [{"filter": f"ssn='{CANARY}'"}]})}


def signals(*rules: Rule, topic: str = SIGNALS, **stated: str) -> Masker:
    policy = Policy.of(7, rules=rules, envelopes=[EnvelopeShape(topic=topic, shape="signals", **stated)])
    return Masker(Policy.from_document(policy.export()), KEYS)


def named(table: str = "signals", column: str = "type", **more: Any) -> Rule:
    return Rule(schema="debezium", table=table, column=column, method="keep", **more)


def sent(topic: str = SIGNALS, value: Any = None) -> Any:
    event = change(after=SIGNAL)
    event["source"] |= {"schema": "debezium", "table": "signals"}
    return record(value or event, KEY, topic=topic)


def clean(outcome: Outcome) -> Outcome:
    texts = [outcome.key or b"", outcome.value or b"", repr(outcome).encode()]
    assert not any(CANARY.encode() in text for text in texts)
    return outcome


@pytest.mark.parametrize(
    "raw",
    [sent(), record(None, KEY, topic=SIGNALS), record(None, None, topic=SIGNALS), record(b"\xff", b"{", topic=SIGNALS)],
    ids=["event", "tombstone", "nothing", "no event"],
)
def test_signals_are_dropped(raw: Any) -> None:
    outcome = clean(signals(named("customers")).mask(raw))
    assert (outcome.fate, outcome.published, outcome.key, outcome.value) == (Fate.DROPPED, False, None, None)
    assert (outcome.topic, outcome.partition, outcome.offset) == (SIGNALS, 2, 41)


def test_other_topics_and_other_shapes_are_as_ever() -> None:
    other = clean(signals().mask(sent("shop.debezium.signals2")))
    assert payload(other.value)["after"] == {"id": payload(other.key)["id"], "type": None, "data": None}
    plain = Masker(Policy.of(7, envelopes=[EnvelopeShape(topic=SIGNALS, shape="debezium")]), KEYS).mask(sent())
    assert plain.fate is Fate.MASKED


def test_signals_whose_table_a_rule_names_are_masked() -> None:
    outcome = clean(signals(named()).mask(sent()))
    assert payload(outcome.value)["after"] == {"id": payload(outcome.key)["id"], "type": "execute-snapshot", "data": None}


@pytest.mark.parametrize(
    ("rule", "stated", "masked"),
    [
        (named(), {"schema": "debezium", "table": "signals"}, True),
        (named(), {"schema": "debezium", "table": "other"}, False),
        (named(), {"schema": "crm", "table": "signals"}, False),
        (named(), {}, False),
        (named(server="shop"), {"schema": "debezium", "table": "signals"}, True),
        (named(server="shop"), {"schema": "debezium", "table": "signals", "server": "shop"}, True),
        (named(server="shop"), {"schema": "debezium", "table": "signals", "server": "other"}, False),
        (named(server="shop"), {"schema": "debezium", "table": "others"}, False),
        (named(), {"schema": "debezium", "table": "signals", "server": "other"}, True),
    ],
)
def test_the_policy_may_state_the_table_of_a_renamed_topic(rule: Rule, stated: dict[str, str], masked: bool) -> None:
    outcome = clean(signals(rule, topic="routed", **stated).mask(sent("routed")))
    assert outcome.fate is (Fate.MASKED if masked else Fate.DROPPED)


@pytest.mark.parametrize(("server", "masked"), [("shop", True), ("other", False), ("*", True)])
def test_the_name_of_a_topic_tells_the_server(server: str, masked: bool) -> None:
    assert signals(named(server=server)).mask(sent()).fate is (Fate.MASKED if masked else Fate.DROPPED)


def test_where_rules_name_two_tables_of_the_topics_name_nothing_is_dropped() -> None:
    rules = (named("signals-ä"), named("signals-ö"))
    assert signals(*rules, topic="shop.debezium.signals-_").mask(sent("shop.debezium.signals-_")).fate is Fate.MASKED


@pytest.mark.parametrize("topic", [SIGNALS, f"eu.{SIGNALS}"])
@pytest.mark.parametrize(
    ("schema", "table", "masked"), [("*", "*", False), ("*", "signals", False), ("debezium", "signals", True)]
)
def test_a_pattern_names_a_table_if_it_writes_the_name_out(topic: str, schema: str, table: str, masked: bool) -> None:
    pattern = Rule(schema=schema, table=table, column="dat*", method="redact", pattern=True)
    assert clean(signals(pattern, topic=topic).mask(sent(topic))).fate is (Fate.MASKED if masked else Fate.DROPPED)


def test_half_a_table_is_refused_here_too() -> None:
    with pytest.raises(PolicyError, match="give schema and table"):
        signals(schema="debezium")


def test_what_was_dropped_is_searched_for_all_the_same() -> None:
    policy = Policy.of(7, envelopes=[EnvelopeShape(topic=SIGNALS, shape="signals")])
    found = Anatomy(policy).dissect(sent())
    assert ("debezium.signals.data", f"ssn='{CANARY}'".encode()) in found.values
    assert ("debezium.signals.id", b"ad-hoc") in found.values
    lost = Anatomy(policy).dissect(record(f'{{"op":"c",{CANARY}', CANARY, topic=SIGNALS))
    assert {value for _, value in lost.values} >= {CANARY.encode()}


NOTIFICATIONS = "debezium.notifications"
DATA = {"current_collection_in_progress": "crm.people", "maximum_key": CANARY, "last_processed_key": CANARY}
NOTIFICATION = {
    "id": "4d9f",
    "type": "IN_PROGRESS",
    "aggregate_type": "Incremental Snapshot",
    "additional_data": DATA,
    "timestamp": 1795242088677,
}


def told(column: str, method: str = "keep", path: str | None = None) -> Rule:
    return Rule(schema="debezium", table="notifications", column=column, method=method, path=path)


TOLD = (
    told("id"),
    told("type"),
    told("aggregate_type"),
    told("additional_data", path="$.current_collection_in_progress"),
    told("timestamp"),
)


def notifications(*rules: Rule) -> Masker:
    shape = EnvelopeShape(topic=NOTIFICATIONS, shape="flattened", schema="debezium", table="notifications")
    return Masker(Policy.of(7, rules=rules, envelopes=[shape]), KEYS)


def notified(value: dict[str, Any], schemas: bool) -> Any:
    text = {"type": "string"}
    data: dict[str, Any] = {
        "type": "map",
        "keys": text | {"optional": False},
        "values": text | {"optional": False},
        "optional": True,
    }
    types = {"id": text, "type": text, "aggregate_type": text, "additional_data": data, "timestamp": {"type": "int64"}}
    key: Any = {"id": value["id"]}
    if schemas:
        return record(described(row_schema(types), value), described(row_schema({"id": text}, "Key"), key), topic=NOTIFICATIONS)
    return record(value, key, topic=NOTIFICATIONS)


@pytest.mark.parametrize("schemas", [False, True])
@pytest.mark.parametrize("data", [DATA, None, {}])
def test_notifications_are_masked_where_rules_name_what_may_be_seen(schemas: bool, data: Any) -> None:
    raw = notified({**NOTIFICATION, "additional_data": data}, schemas)
    outcome = clean(notifications(*TOLD).mask(raw))
    assert outcome.fate is Fate.MASKED
    seen = {"current_collection_in_progress": "crm.people"} if data else data
    assert payload(outcome.value) == {**NOTIFICATION, "additional_data": seen}
    assert payload(outcome.key) == {"id": "4d9f"}
    assert not schemas or misfits(outcome.value) == misfits(outcome.key) == []


@pytest.mark.parametrize("schemas", [False, True])
def test_of_a_notification_nothing_is_seen_that_no_rule_names(schemas: bool) -> None:
    raw = notified({**NOTIFICATION, "id": CANARY, "type": CANARY, "additional_data": {CANARY: "x"}}, schemas)
    outcome = clean(notifications().mask(raw))
    row = payload(outcome.value)
    assert row.pop("id") == payload(outcome.key)["id"]
    assert set(row.values()) <= {None, "", 0}
    assert not schemas or misfits(outcome.value) == misfits(outcome.key) == []


def test_the_search_for_leaks_reads_notifications_by_the_same_rules() -> None:
    policy = notifications(*TOLD).policy
    found = Anatomy(policy).dissect(notified(NOTIFICATION, True))
    assert set(found.values) == {("debezium.notifications.additional_data", CANARY.encode())}
    assert {b"crm.people", b"IN_PROGRESS", b"4d9f"} <= set(found.kept)
