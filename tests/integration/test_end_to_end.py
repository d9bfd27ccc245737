"""The main job on the real stack: rows change in PostgreSQL, and what Debezium makes of it is masked, in both JSON modes."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from cdc_masker import settings
from cdc_masker.catalog import open_catalog
from cdc_masker.catalog.commands import upgrade
from cdc_masker.connect import Connector
from cdc_masker.events import Record
from cdc_masker.keys import FileKeys, new_keyring, write
from cdc_masker.pipeline import Masker
from cdc_masker.policies import Policy
from cdc_masker.stack import Database, Stack
from demo import checks, shop
from demo.records import origin
from tests.integration.kit import Deployment, until
from tests.unit.connect_json import misfits

ROOT = Path(__file__).resolve().parent.parent.parent


@pytest.fixture(params=["json", "json-schema"])
def deployed(
    request: pytest.FixtureRequest, stack: Stack, tmp_path: Path, unique: Callable[[str], str]
) -> Iterator[Deployment]:
    """A shop that Debezium captures, a catalog with the demo's policy, and everything that a worker needs."""
    name = unique("endtoend")
    shop.create(stack, name)
    write(new_keyring(), tmp_path / "keys.json")
    ours = stack.environment(name) | {
        "CDC_MASKER_CONNECTOR_NAME": name,
        "CDC_MASKER_CONNECTOR_FORMAT": request.param,
        "CDC_MASKER_SOURCE_SERVER": name,
        "CDC_MASKER_SOURCE_SLOT": name,
        "CDC_MASKER_SOURCE_PUBLICATION": name,
        "CDC_MASKER_SOURCE_TABLES": "crm.customers,crm.orders,crm.sessions",
        "CDC_MASKER_SOURCE_TOPICS": rf"{name}\..*|__debezium-heartbeat\.{name}",
        "CDC_MASKER_OUTPUT_PREFIX": "masked.",
        "CDC_MASKER_KEYS_FILE": str(tmp_path / "keys.json"),
        "CDC_MASKER_APP_ID": f"{name}.app",
        "CDC_MASKER_AUDIT_TOPIC": f"{name}.audit",
        "CDC_MASKER_QUARANTINE_TOPIC": f"{name}.quarantine",
        "CDC_MASKER_TOPIC_REFRESH": "1",
    }
    loaded = settings.load(**{key.removeprefix(settings.PREFIX).lower(): value for key, value in ours.items()})
    upgrade(loaded, ROOT / "demo" / "policy")
    Connector(loaded).apply(90)
    deployment = Deployment(stack, tmp_path, name, {**os.environ, **ours})
    yield deployment
    deployment.close()


@pytest.mark.stack
def test_snapshot_and_live_changes_are_masked(deployed: Deployment, stack: Stack) -> None:
    name = deployed.name
    tables = [f"{name}.crm.{table}" for table in ("customers", "orders", "sessions")]
    others = [f"{name}.transaction", f"__debezium-heartbeat.{name}"]
    until(lambda: len(deployed.end_offsets(tables[2])) == 4, 60)
    worker = deployed.ready(deployed.start())
    for _ in shop.changes(stack, name):
        pass
    until(lambda: sum(sum(deployed.end_offsets(topic).values()) for topic in tables) == shop.EXPECTED_RECORDS, 60)
    raw = {topic: _records(deployed, topic) for topic in (*tables, *others)}
    masked: dict[str, list[Record]] = {}

    def all_masked() -> bool:
        masked.update({topic: _records(deployed, f"masked.{topic}") for topic in raw})
        return all(len(masked[topic]) >= len(raw[topic]) for topic in raw)

    until(all_masked, 60, lambda: worker.log.read_text()[-3000:])
    everything = [record for topic in raw for record in raw[topic]]
    output = [record for topic in raw for record in masked[topic]]

    checks.one_outcome_each(everything, output, [], "masked.")
    assert not deployed.records(deployed.environment["CDC_MASKER_QUARANTINE_TOPIC"])
    assert checks.raw_values_gone(everything, {"the output": b"\n".join(map(_all_bytes, output))}) > 20
    joined = checks.joined_rows(record for topic in tables for record in masked[topic])
    assert joined == checks.joined_rows(record for topic in tables for record in raw[topic]) > 0
    if deployed.environment["CDC_MASKER_CONNECTOR_FORMAT"] == "json-schema":
        documents = [document for record in output for document in (record.key, record.value) if document is not None]
        assert [found for document in documents for found in misfits(document)] == []

    # Masking is a function of record, policy and keys: whoever has them can make each byte again.
    policy = Policy.from_document((ROOT / "examples" / "shop-policy.json").read_bytes())
    masker = Masker(policy, FileKeys(deployed.home / "keys.json").load())
    again = {(one.topic, one.partition, one.offset): one for one in map(masker.mask, everything)}
    for record in output:
        if (expected := again.get(origin(record, "masked."))) is not None:
            assert (record.key, record.value, record.headers) == (expected.key, expected.value, expected.headers)
            assert record.timestamp == expected.timestamp


@pytest.mark.stack
async def test_the_example_policy_is_what_the_demo_releases(fresh_database: Callable[[str], Database]) -> None:
    loaded = settings.load(database_url=fresh_database("policies").dsn)
    await asyncio.to_thread(upgrade, loaded, ROOT / "demo" / "policy")
    async with open_catalog(loaded) as catalog:
        released = await catalog.policies.current()
    assert released.digest == Policy.from_document((ROOT / "examples" / "shop-policy.json").read_bytes()).digest


def _records(deployed: Deployment, topic: str) -> list[Record]:
    return [
        Record(one.topic, one.partition, one.offset, one.timestamp, one.key, one.value, tuple(one.headers))
        for one in deployed.records(topic)
    ]


def _all_bytes(record: Record) -> bytes:
    return b"\n".join([record.key or b"", record.value or b"", *(value or b"" for _, value in record.headers)])
