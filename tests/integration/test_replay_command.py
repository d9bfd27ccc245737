"""`cdc-masker replay` on the real stack: exactly once whatever is killed, never a weaker mask, and what expired is told."""

from __future__ import annotations

import asyncio
import json
import signal
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil
import pytest

from cdc_masker.catalog import open_catalog
from cdc_masker.errors import SetupError
from cdc_masker.kafka.cluster import Cluster
from cdc_masker.replay.planning import Plan, Wanted, plan
from tests.integration.exactness import assert_covered, assert_exactly_once
from tests.integration.kit import CANARY, Deployment, Worker, until
from tests.integration.test_worker import delete_records

pytestmark = pytest.mark.stack

Deploy = Callable[..., Deployment]

PARTITIONS = 4
RECORDS = 6_000
TOKEN = 'op.mask_column("shop.customers", "name", method="tokenize", type="text", reason="joins")'


class Replaying:
    """A command that runs workers, and what it tells as JSON."""

    def __init__(self, deployment: Deployment, *arguments: str) -> None:
        self._told = deployment.home / f"told-{len([*deployment.home.glob('told-*')])}"
        self.log = self._told.with_name(f"log-of-{self._told.name}")
        program = Path(sys.executable).parent / "cdc-masker"
        with self._told.open("wb") as out, self.log.open("wb") as errors:
            self.process = subprocess.Popen(
                [program, "replay", *arguments, "--json"],
                cwd=deployment.home,
                env=deployment.environment,
                stdout=out,
                stderr=errors,
                stdin=subprocess.DEVNULL,
            )
        deployment.workers.append(Worker(self.process, self.log, 0))  # so that it ends with the test

    def told(self) -> list[dict[str, Any]]:
        """Progress so far: whole lines, without the plan and the number that come first."""
        lines = self._told.read_text().split("\n")[:-1]
        return [each for each in map(json.loads, lines) if "done" in each]

    def done(self) -> int:
        told = self.told()
        return told[-1]["done"] if told else 0

    def kill(self) -> None:
        """Kills it, and sees its workers end."""
        workers = psutil.Process(self.process.pid).children(recursive=True)
        assert workers
        self.process.kill()
        self.process.wait(10)
        _, left = psutil.wait_procs(workers, 10)
        assert not left

    def ends(self) -> int:
        try:
            return self.process.wait(120)
        except subprocess.TimeoutExpired:
            pytest.fail(self.log.read_text())


def started(deployment: Deployment, *arguments: str) -> Replaying:
    return Replaying(deployment, "start", "--reason", "T-17: all of it anew", *arguments)


def copy(deployment: Deployment, generation: int) -> list[tuple[Any, ...]]:
    """The records of a generation, with all that a consumer sees of them but its number."""
    topic = deployment.masked_topic() + ("" if generation == 1 else f".g{generation}")
    return [
        (
            each.partition,
            each.timestamp,
            each.key,
            each.value,
            [(name, value.replace(b";g=%d;" % generation, b";g=_;")) for name, value in each.headers],
        )
        for each in deployment.records(topic)
    ]


def by_partition(records: list[tuple[Any, ...]]) -> dict[int, list[tuple[Any, ...]]]:
    return {partition: [each for each in records if each[0] == partition] for partition in range(PARTITIONS)}


def live(deployment: Deployment, records: int) -> None:
    """Masks what is there into the first generation, and ends."""
    worker = deployment.ready(deployment.start())
    until(lambda: deployment.audited() >= records, 60, worker.log.read_text)
    until(lambda: worker.metric("cdc_masker_audit_lag") == 0, 20)
    assert worker.kill(signal.SIGTERM) == 0


def test_a_replay_that_is_killed_and_run_again_is_the_live_copy_byte_by_byte(deploy: Deploy) -> None:
    deployment = deploy(batch_records="20")
    deployment.say(TOKEN)
    deployment.create(deployment.topic, PARTITIONS)
    deployment.produce(RECORDS, partitions=PARTITIONS)
    live(deployment, RECORDS)

    replay = started(deployment, "--workers", "2")
    topic = deployment.masked_topic(f"{deployment.topic}.g2")
    until(lambda: topic in deployment.topics(), 60, replay.log.read_text)
    until(lambda: sum(deployment.end_offsets(topic).values()) > 100, 60, replay.log.read_text, every=0.01)  # some are committed
    replay.kill()
    code, out, errors = deployment.run("replay", "status", "--json")
    assert code == 0, errors
    (found,) = map(json.loads, out.splitlines())
    assert (found["generation"], found["state"], found["records"]) == (2, "running", RECORDS)
    assert 0 < found["done"] < RECORDS

    again = Replaying(deployment, "run", "2", "--workers", "2", "--exit")
    assert again.ends() == 0, again.log.read_text()
    last = again.told()[-1]
    assert (last["state"], last["done"], last["open"], last["lag"]) == ("live", RECORDS, 0, 0)
    assert last["bytes"] > RECORDS * 100

    expected = dict.fromkeys(range(PARTITIONS), RECORDS // PARTITIONS)
    masked = deployment.masked(f"{deployment.topic}.g2")
    assert_exactly_once(masked, expected)
    assert_covered([entry for entry in deployment.audit() if entry.generation == 2], expected)
    assert by_partition(copy(deployment, 2)) == by_partition(copy(deployment, 1))
    until(lambda: len(deployment.audit_rows()) == len(deployment.audit()), 30)
    code, out, errors = deployment.run("audit", "verify")
    assert code == 0, out + errors
    assert CANARY not in replay.log.read_text() + again.log.read_text()


def planned(deployment: Deployment, **wanted: Any) -> Plan:
    async def run() -> Plan:
        settings = deployment.settings()
        async with open_catalog(settings) as catalog:
            cluster = Cluster(settings)
            await cluster.start()
            try:
                return await plan(settings, catalog, cluster, Wanted(**wanted))
            finally:
                await cluster.close()

    return asyncio.run(run())


def test_a_weaker_policy_is_refused_and_a_weakening_that_was_released_accepted(deploy: Deploy) -> None:
    deployment = deploy()
    deployment.create(deployment.topic)
    deployment.produce(10)
    live(deployment, 10)
    deployment.release("keep")  # with op.allow_weaker
    code, out, errors = deployment.run("replay", "start", "--dry-run", "--json")
    assert code == 0, errors
    found = json.loads(out)
    changes = found["changes"]
    assert (found["policy_version"], changes["compared"], changes["same"]) == (2, 10, 0)
    assert [(each["kind"], each["name"], each["why"]) for each in changes["differences"]] == [("column", "name", "method")]
    assert CANARY not in out + errors
    deployment.release("null")
    assert planned(deployment).policy.version == 3
    assert planned(deployment, policy=1).policy.version == 1, "it shows no more than version 3"
    code, _, errors = deployment.run("replay", "start", "--policy", "2", "--reason", "T-1", "--workers", "0")
    assert code == 2
    assert "version 2: shows more than version 3" in errors
    assert "shop.customers.name was null(), would be keep()" in errors
    assert deployment.run("replay", "status")[1].startswith("there is no replay")


def test_what_expired_is_told_and_places_are_found(deploy: Deploy) -> None:
    deployment = deploy()
    deployment.create(deployment.topic)
    deployment.produce(20)
    assert planned(deployment).incomplete == ()
    delete_records(deployment, deployment.topic, before=5)
    found = planned(deployment)
    assert found.incomplete == ((deployment.topic, 0, 5),)
    assert found.sample.tables == ("shop.customers",)
    (all_of_it,) = found.stretches
    assert (all_of_it.start, all_of_it.end, found.stays) == (5, 20, True)
    since = datetime(2023, 11, 14, 22, 13, 20, 7000, tzinfo=UTC)  # the event n was made n ms after 22:13:20
    (middle,) = planned(deployment, start=since, end=12).stretches
    assert (middle.start, middle.end) == (7, 12)
    with pytest.raises(SetupError, match="no record from --from to --to"):
        planned(deployment, start=20)
    deployment.produce(5, abort=True)
    (same,) = planned(deployment).stretches
    assert same.end == 20, "a bound that nothing leads up to"
    code, out, errors = deployment.run("replay", "start", "--dry-run", "--from", "earliest")
    assert code == 0, errors
    assert f"INCOMPLETE {deployment.topic}[0]: records before offset 5 expired" in out


def test_a_replay_ends_at_its_bound_and_another_is_paused_resumed_and_cancelled_from_elsewhere(deploy: Deploy) -> None:
    deployment = deploy()
    deployment.create(deployment.topic)
    deployment.produce(20)
    replay = started(deployment, "--from", "5", "--to", "12")
    assert replay.ends() == 0, replay.log.read_text()
    assert [each.offset for each in deployment.masked(f"{deployment.topic}.g2")] == [*range(5, 12)]
    assert replay.told()[-1]["state"] == "complete"

    code, out, errors = deployment.run("replay", "start", "--reason", "T-18", "--workers", "0")
    assert code == 0, errors
    assert "generation 3 has begun" in out
    code, _, errors = deployment.run("replay", "pause", "3")
    assert code == 0, errors
    replay = Replaying(deployment, "run", "3")
    until(lambda: len(replay.told()) > 0, 30, replay.log.read_text)
    assert (replay.told()[-1]["state"], replay.done()) == ("paused", 0)
    assert deployment.run("replay", "resume", "3")[0] == 0
    until(lambda: replay.done() == 20, 30, replay.log.read_text)
    assert deployment.run("replay", "cancel", "3", "--reason", "T-18: no")[0] == 1, "nobody answered"
    code, _, errors = deployment.run("replay", "cancel", "3", "--reason", "T-18: no", "--yes")
    assert code == 0, errors
    assert replay.ends() == 2
    assert "was cancelled" in replay.log.read_text()
