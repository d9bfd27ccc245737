"""Flattened rows as Debezium's own transformation makes them: masked like envelopes of the same changes, and told alike."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import pytest

from cdc_masker.connect import Connector
from cdc_masker.events import Fate, Outcome, Record
from cdc_masker.pipeline import Masker
from cdc_masker.policies import EnvelopeShape, Policy, Rule
from cdc_masker.settings import load
from cdc_masker.stack import Database, Stack
from tests.integration.kit import until
from tests.kafka import records
from tests.unit.building import KEYS, payload
from tests.unit.connect_json import misfits

pytestmark = pytest.mark.stack

TABLE = """
create schema crm;
create table crm.people (id int primary key, email text, tier text, notes text, tags text[], born date, profile jsonb);
alter table crm.people replica identity full;
insert into crm.people values (1, 'canary-1@example.com', 'pro', 'canary one', '{canary}', '1970-02-03', '{"canary": "x"}');
"""
CHANGES = """
insert into crm.people values (2, 'canary-2@example.com', 'free', 'canary two', null, null, null);
update crm.people set email = 'canary-3@example.com' where id = 1;
update crm.people set id = 3 where id = 2;
delete from crm.people where id = 1;
"""
CANARY = b"canary"

_UNWRAP = {"transforms": "unwrap", "transforms.unwrap.type": "io.debezium.transforms.ExtractNewRecordState"}
_FIELDS = "op,table,schema,db,name,lsn,txId,ts_ms,source.ts_ms,source.snapshot,source.version,transaction.id"
VARIANTS: dict[str, tuple[str, dict[str, str]]] = {
    "envelopes": ("json", {}),
    "bare": ("json", _UNWRAP),
    "rewrite": (
        "json",
        {
            **_UNWRAP,
            "transforms.unwrap.add.fields": _FIELDS,
            "transforms.unwrap.add.headers": "op,source.ts_ms",
            "transforms.unwrap.delete.tombstone.handling.mode": "rewrite",
        },
    ),
    "described": (
        "json-schema",
        {
            **_UNWRAP,
            "transforms.unwrap.add.fields": _FIELDS,
            "transforms.unwrap.delete.tombstone.handling.mode": "rewrite-with-tombstone",
        },
    ),
    "bare, described": ("json-schema", _UNWRAP),
    "dropped": ("json-schema", {**_UNWRAP, "transforms.unwrap.delete.tombstone.handling.mode": "drop"}),
}


def _rule(column: str, method: str, type_: str, **params: Any) -> Rule:
    return Rule(schema="crm", table="people", column=column, type=type_, method=method, params=params)


RULES = (_rule("id", "tokenize", "int4"), _rule("email", "tokenize", "text", domain="email"), _rule("tier", "keep", "text"))


@dataclass(frozen=True)
class Captured:
    """What one connector wrote about the table, and what became of it."""

    records: tuple[Record, ...]
    outcomes: tuple[Outcome, ...]

    @property
    def rows(self) -> list[dict[str, Any]]:
        """The masked rows: values of flattened topics, the newest images of envelopes."""
        values = [payload(outcome.value) for outcome in self.outcomes if outcome.value is not None]
        return [value["after"] or value["before"] if "after" in value else value for value in values if value is not None]


@pytest.fixture(scope="module")
def captured(
    stack: Stack, fresh_database: Callable[[str], Database], unique: Callable[[str], str]
) -> Iterator[Mapping[str, Captured]]:
    database = fresh_database("flattened")
    stack.sql(TABLE, database.name)
    names = {variant: unique(variant.replace(", ", "_")) for variant in VARIANTS}
    connectors = {variant: _connector(stack, database, names[variant], *VARIANTS[variant]) for variant in VARIANTS}
    try:
        with ThreadPoolExecutor() as pool:
            list(pool.map(lambda connector: connector.apply(120), connectors.values()))
        for statement in CHANGES.strip().splitlines():
            stack.sql(statement, database.name)
        records = {variant: _records(stack, f"{names[variant]}.crm.people", variant) for variant in VARIANTS}
    finally:
        for name in names.values():
            request = urllib.request.Request(f"{stack.connect_url}/connectors/{name}", method="DELETE")
            with urllib.request.urlopen(request, timeout=30):
                pass
    yield {variant: Captured(found, _masked(found, variant)) for variant, found in records.items()}


def _connector(stack: Stack, database: Database, name: str, format_: str, options: dict[str, str]) -> Connector:
    variables = stack.environment(database.name) | {
        "CDC_MASKER_CONNECTOR_NAME": name,
        "CDC_MASKER_CONNECTOR_FORMAT": format_,
        "CDC_MASKER_SOURCE_SERVER": name,
        "CDC_MASKER_SOURCE_SLOT": name,
        "CDC_MASKER_SOURCE_PUBLICATION": name,
        "CDC_MASKER_SOURCE_TABLES": "crm.people",
    }
    settings = load(**{variable.removeprefix("CDC_MASKER_").lower(): value for variable, value in variables.items()})
    # One partition, so that records come in the order of the changes; slots go with their connectors.
    more = {"topic.creation.default.partitions": "1", "slot.drop.on.stop": "true"}
    return Connector(settings, {**more, **options})


# Insert from the snapshot, insert, update, key change (delete, tombstone, insert), delete, tombstone.
_COUNT = {"envelopes": 8, "bare": 6, "rewrite": 6, "described": 8, "bare, described": 6, "dropped": 4}


def _records(stack: Stack, topic: str, variant: str) -> tuple[Record, ...]:
    def read() -> list[Any]:
        return records(stack.kafka_brokers, topic)

    until(lambda: len(read()) >= _COUNT[variant], 60, lambda: (variant, [(each.key, each.value) for each in read()]), every=0.5)
    return tuple(
        Record(topic, each.partition, each.offset, each.timestamp, each.key, each.value, tuple(each.headers)) for each in read()
    )


def _masked(records: tuple[Record, ...], variant: str) -> tuple[Outcome, ...]:
    shapes = [] if variant == "envelopes" else [EnvelopeShape(topic=records[0].topic, shape="flattened")]
    masker = Masker(Policy.of(1, rules=RULES, envelopes=shapes), KEYS)
    return tuple(masker.mask(record) for record in records)


@pytest.mark.parametrize("variant", VARIANTS)
def test_all_of_it_is_masked(captured: Mapping[str, Captured], variant: str) -> None:
    found = captured[variant]
    assert [outcome.fate for outcome in found.outcomes] == [Fate.MASKED] * _COUNT[variant], found.outcomes
    raw = b"".join((record.key or b"") + (record.value or b"") for record in found.records)
    written = b"".join((outcome.key or b"") + (outcome.value or b"") for outcome in found.outcomes)
    assert CANARY in raw
    assert CANARY not in written
    for outcome in found.outcomes:
        for document in (outcome.key, outcome.value):
            assert document is None or VARIANTS[variant][0] == "json" or misfits(document) == []


@pytest.mark.parametrize("variant", [variant for variant in VARIANTS if variant != "envelopes"])
def test_it_joins_with_envelopes_of_the_same_rows(captured: Mapping[str, Captured], variant: str) -> None:
    def told(rows: list[dict[str, Any]]) -> set[tuple[Any, ...]]:
        return {(row["id"], row["email"], row["tier"]) for row in rows}

    envelopes, flattened = told(captured["envelopes"].rows), told(captured[variant].rows)
    assert flattened == envelopes
    keys = [{json.dumps(payload(outcome.key)) for outcome in captured[each].outcomes} for each in ("envelopes", variant)]
    assert keys[1] == (keys[0] if variant != "dropped" else keys[0] & keys[1])


@pytest.mark.parametrize("variant", ["rewrite", "described"])
def test_what_the_transformation_adds_passes(captured: Mapping[str, Captured], variant: str) -> None:
    found = captured[variant]
    raw = [payload(record.value) for record in found.records if record.value is not None]
    assert {row["__deleted"] for row in raw} == {"true", "false"}
    assert {row["__op"] for row in raw} == {"r", "c", "u", "d"}
    for before, after in zip(raw, found.rows, strict=True):
        added = {name: value for name, value in before.items() if name.startswith("__")}
        assert len(added) == len(_FIELDS.split(",")) + 1
        assert {name: after[name] for name in added} == added
        assert list(after) == list(before)


def test_a_topic_is_what_the_policy_says_or_quarantined(captured: Mapping[str, Captured]) -> None:
    for variant, found in captured.items():
        topic = found.records[0].topic
        swapped = "flattened" if variant == "envelopes" else "debezium"
        shape = EnvelopeShape(topic=topic, shape=swapped)  # type: ignore[arg-type]
        masker = Masker(Policy.of(1, rules=RULES, envelopes=[shape]), KEYS)
        values = [record for record in found.records if record.value is not None]
        assert {str(masker.mask(value).reason) for value in values} == {"unknown_shape"}
