"""`cdc-masker audit verify` on the real stack: what workers leave verifies, and what was changed is named."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from typing import Any

import pytest
from aiokafka import AIOKafkaProducer

from tests.copies import documented_script
from tests.integration.conftest import Deploy
from tests.integration.kit import CANARY, Deployment, event, until


def some_poison(number: int) -> tuple[bytes | None, bytes | None]:
    """Every seventh record is no JSON."""
    key, value = event(number)
    return (key, b"{" + CANARY.encode()) if number % 7 == 3 else (key, value)


@pytest.fixture
def deployment(deploy: Deploy) -> Deployment:
    """Two partitions with aborted and poisonous records, masked in small batches under two policy versions."""
    made = deploy(batch_records="40")
    made.create(made.topic, 2)
    made.produce(200, partitions=2, make=some_poison)
    made.produce(20, partitions=2, first=200, abort=True)
    made.produce(100, partitions=2, first=220, transactional=True)
    worker = made.ready(made.start())
    until(lambda: made.audited() >= 300, 60, made.audited)
    made.say("op.keep_column('shop.customers', 'born', reason='a test')")
    until(lambda: worker.metric("cdc_masker_policy_version") == 2, 60, lambda: worker.log.read_text()[-2000:])
    made.produce(100, partitions=2, first=320)
    until(lambda: made.audited() >= 400, 60, made.audited)
    return made


def verify(deployment: Deployment, *options: str) -> tuple[int, dict[str, Any]]:
    code, out, problem = deployment.run("audit", "verify", "--json", *options)
    assert out, (code, problem)
    return code, json.loads(out)


def places(report: dict[str, Any]) -> set[tuple[str, int, int | None]]:
    return {(each["code"], each["partition"], each["offset"]) for each in report["first_findings"]}


def test_what_workers_leave_verifies_and_recomputes_and_what_is_changed_is_named(deployment: Deployment) -> None:
    code, report = verify(deployment, "--recompute")
    assert (code, report["findings"]) == (0, 0), report
    assert [(chain["partition"], chain["records"], chain["recomputed"]) for chain in report["chains"]] == [
        (0, 200, 200),
        (1, 200, 200),
    ]
    assert all(not chain["unchecked"] for chain in report["chains"])

    code, out, _ = deployment.run("audit", "verify", "--recompute", "--sample", "0.1", "--seed", "7")
    assert code == 0
    assert "seed 7" in out
    assert "the audit fits all that was looked at" in out

    for offset in (20, 21, 24):  # masked, masked, quarantined
        code, out, problem = deployment.run(
            "audit", "prove", "--topic", deployment.topic, "--partition", "1", "--offset", str(offset)
        )
        assert code == 0, problem
        assert script(deployment, out) == 0
        assert CANARY not in out
        assert script(deployment, out.replace(f'"offset": {offset}', f'"offset": {offset + 1}')) != 0
    code, _, problem = deployment.run("audit", "prove", "--topic", deployment.topic, "--partition", "1", "--offset", "9999")
    assert (code, problem.count("the audit has no row for offset 9999")) == (2, 1)

    forge(deployment)
    code, report = verify(deployment)
    assert code == 1
    assert places(report) == {("extra", 0, 9000)}
    assert CANARY not in json.dumps(report)


def script(deployment: Deployment, proof: str) -> int:
    """What the script in the docs says of a proof."""
    (deployment.home / "check_proof.py").write_text(documented_script())
    (deployment.home / "proof.json").write_text(proof)
    return subprocess.run([sys.executable, "-I", "check_proof.py", "proof.json"], cwd=deployment.home).returncode


def forge(deployment: Deployment) -> None:
    """Adds a masked record of no entry."""
    like = next(record for record in deployment.records(deployment.masked_topic()) if record.partition == 0)
    header = dict(like.headers)["cdc-masker"].replace(b";o=%d;" % _offset(like), b";o=9000;")

    async def run() -> None:
        async with AIOKafkaProducer(bootstrap_servers=deployment.stack.kafka_brokers) as producer:
            await producer.send_and_wait(like.topic, like.value, like.key, 0, like.timestamp, [("cdc-masker", header)])

    asyncio.run(run())


def _offset(record: Any) -> int:
    header = dict(item.split("=") for item in dict(record.headers)["cdc-masker"].decode().split(";"))
    return int(header["o"])
