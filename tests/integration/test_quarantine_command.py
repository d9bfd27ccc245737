"""`cdc-masker quarantine` on the real stack: what it tells of records that could not be masked, and if they could be now."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from typer.testing import CliRunner

from cdc_masker.catalog import commands, open_catalog
from cdc_masker.cli import app
from cdc_masker.errors import CdcMaskerError, Reason
from cdc_masker.events import Fate
from cdc_masker.settings import Settings, load
from cdc_masker.stack import Database
from tests.entries import entry, note
from tests.integration.kit import CANARY, Deployment, event, until
from tests.integration.test_worker import delete_records, remake

pytestmark = pytest.mark.stack

BAD = 3


def make(number: int) -> tuple[bytes | None, bytes | None]:
    return (b"{}", b"not json " + CANARY.encode()) if number == BAD else event(number)


@pytest.fixture
def deployment(deploy: Callable[..., Deployment]) -> Deployment:
    """Ten records of one partition, all quarantined: nine since the table's default says so, and one that is no JSON."""
    deployment = deploy()
    deployment.say('op.default_table("shop.customers", "quarantine")')
    deployment.create(deployment.topic, 1)
    deployment.produce(10, make=make)
    worker = deployment.ready(deployment.start())
    until(lambda: deployment.audited() == 10, 30, worker.log.read_text)
    until(lambda: len(listed(deployment)) == 10, 30, worker.log.read_text)
    assert worker.kill() != 0
    return deployment


def quarantine(deployment: Deployment, *arguments: str) -> tuple[int, str, str]:
    """Exit code, output, and complaint: none of them shows a value."""
    done = CliRunner().invoke(app, ["quarantine", *arguments], env=deployment.environment)
    refused = isinstance(done.exception, CdcMaskerError)
    code, told, complaint = (2, done.stdout, str(done.exception)) if refused else (done.exit_code, done.stdout, done.stderr)
    assert CANARY not in told + complaint
    assert "not json" not in told + complaint
    return code, told, complaint


def listed(deployment: Deployment, *arguments: str) -> list[dict[str, Any]]:
    code, told, _ = quarantine(deployment, "list", "--json", *arguments)
    assert code == 0
    return [json.loads(line) for line in told.splitlines()]


def test_what_was_quarantined_is_told_and_tried_again(deployment: Deployment) -> None:
    topic, now = deployment.topic, datetime.now(UTC)

    # Which there are.
    assert sorted(each["offset"] for each in listed(deployment)) == list(range(10))
    (bad,) = listed(deployment, "--reason", "not_json")
    assert (bad["topic"], bad["partition"], bad["offset"], bad["place"]) == (topic, 0, BAD, "value")
    assert (bad["policy_version"], bad["generation"], bad["timestamp"]) == (2, 1, 1_700_000_000_000 + BAD)
    for conditions, count in (
        (["--limit", "4"], 4),
        (["--topic", topic], 10),
        (["--topic", "another"], 0),
        (["--since", (now - timedelta(hours=1)).strftime("%Y-%m-%dT%H:%M:%S")], 10),
        (["--since", (now + timedelta(hours=1)).strftime("%Y-%m-%dT%H:%M:%S")], 0),
    ):
        assert len(listed(deployment, *conditions)) == count
    assert f"\t{topic}\t1\t0\t{BAD}\tnot_json\tvalue\t2\t" in quarantine(deployment, "list")[1]

    # One of them.
    code, told, _ = quarantine(deployment, "show", topic, "0", str(BAD))
    assert code == 0
    for word in (f"{topic}[0] offset {BAD}", "not_json at value", "policy version 2", "that means", "remedy"):
        assert word in told
    code, _, complaint = quarantine(deployment, "show", topic, "0", "10")
    assert code == 2
    assert "offset 10 was quarantined" in complaint

    # Whether it would pass: not yet, and under a version that decides.
    assert tried(deployment, 0) == (1, {"fate": "quarantined", "reason": "undecided", "place": "born", "policy_version": 2})
    deployment.say('op.default_table("shop.customers", "redact")')
    assert tried(deployment, 0) == (0, {"fate": "masked", "reason": None, "place": None, "policy_version": 3})
    assert tried(deployment, BAD) == (1, {"fate": "quarantined", "reason": "not_json", "place": "value", "policy_version": 3})
    code, told, _ = quarantine(deployment, "show", topic, "0", str(BAD), "--try")
    assert code == 1
    assert "it would not pass under policy version 3: quarantined: not_json at value" in told

    # Where the record is gone.
    delete_records(deployment, topic, before=5)
    code, _, complaint = quarantine(deployment, "show", topic, "0", str(BAD), "--try")
    assert code == 2
    assert "begins with offset 5 by now: the record at 3 expired" in complaint
    remake(deployment, topic)
    code, _, complaint = quarantine(deployment, "show", topic, "0", "7", "--try")
    assert code == 2
    assert "made anew" in complaint


def tried(deployment: Deployment, offset: int) -> tuple[int, Any]:
    code, told, complaint = quarantine(deployment, "show", deployment.topic, "0", str(offset), "--try", "--json")
    assert told, complaint
    return code, json.loads(told)["now"]


@pytest.fixture
def catalog(fresh_database: Callable[[str], Database]) -> Settings:
    """One without rows."""
    settings = load(database_url=fresh_database("notes").dsn, database_ssl="disable")
    commands.upgrade(settings)
    return settings


async def test_only_what_was_quarantined_is_told(catalog: Settings) -> None:
    notes = (note(10), note(11, Reason.SIGNAL, fate=Fate.DROPPED), note(12, Reason.TOO_LARGE))
    counts = {**dict.fromkeys(Fate, 0), Fate.QUARANTINED: 2, Fate.DROPPED: 1}
    first = entry(10, 12, counts=counts, notes=notes)
    again = entry(10, 12, counts=counts, notes=notes, generation=2, masked_at=first.masked_at + 1000, worker="another")
    async with open_catalog(catalog) as opened:
        await opened.audit.append([first, again])
        found = await opened.audit.quarantined(10)
        assert [(each.generation, each.offset, each.worker) for each in found] == [
            (2, 10, "another"),
            (2, 12, "another"),
            (1, 10, "worker-1"),
            (1, 12, "worker-1"),
        ]
        assert [each.offset for each in await opened.audit.quarantined(10, offset=12)] == [12, 12]
        assert await opened.audit.quarantined(10, partition=4) == []


@pytest.mark.parametrize("timestamp", [-(1 << 63), -1, (1 << 63) - 1, 253_402_300_800_000])
async def test_a_record_with_any_timestamp_is_told(catalog: Settings, timestamp: int, monkeypatch: pytest.MonkeyPatch) -> None:
    counts = {**dict.fromkeys(Fate, 0), Fate.QUARANTINED: 1}
    odd = replace(note(10), timestamp=timestamp)
    async with open_catalog(catalog) as opened:
        await opened.audit.append([entry(10, 10, counts=counts, notes=(odd,))])
    assert catalog.database_url is not None
    monkeypatch.setenv("CDC_MASKER_DATABASE_URL", catalog.database_url.get_secret_value())
    monkeypatch.setenv("CDC_MASKER_DATABASE_SSL", "disable")
    shown = await asyncio.to_thread(CliRunner().invoke, app, ["quarantine", "show", odd.topic, str(odd.partition), "10"])
    assert shown.exit_code == 0, shown.output
    assert (f"at {timestamp} ms" in shown.output) == (timestamp != -1)
