"""Versions of the policy that are released while workers mask, on the real stack."""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import groupby
from threading import Event, Thread
from typing import Any

import pytest

from cdc_masker.catalog import open_catalog
from cdc_masker.catalog.commands import upgrade
from cdc_masker.events import Record
from cdc_masker.keys.providers import FileKeys
from cdc_masker.pipeline import HEADER, Masker
from cdc_masker.policies import Policy
from cdc_masker.settings import Settings
from cdc_masker.stack import Stack
from tests.integration.exactness import assert_covered, assert_exactly_once
from tests.integration.kit import Deployment, Worker, until

pytestmark = pytest.mark.stack

Deploy = Callable[..., Deployment]

PARTITIONS = 4
NEVER = "600"  # seconds between looks: what is found meanwhile was told
NAME = 'op.mask_column("shop.customers", "name", method="{}", reason="a name")'
CHANGES = (
    [NAME.format("tokenize")],
    ['op.drop_column("shop.customers", "note")', 'op.keep_column("shop.customers", "born", reason="the test looks for it")'],
    [NAME.format("null"), 'op.mask_column("shop.customers", "id", method="tokenize", type="int8")'],
    [NAME.format("tokenize"), 'op.mask_column("shop.customers", "born", method="encrypt", type="int4")'],
)
"""Of versions 2 to 5. The third would take a column out of the rows, and the fifth give one another type."""


def test_versions_that_are_released_under_load_cut_each_partition_once(deploy: Deploy) -> None:
    deployment = deploy(policy_refresh=NEVER, batch_records="200")
    deployment.create(deployment.topic, PARTITIONS)
    workers = [deployment.ready(deployment.start()) for _ in range(2)]
    until(lambda: [worker.lanes() for worker in workers] == [2, 2], 60, _logs(workers))
    took = []
    with _load(deployment) as produced:
        _masked_under(deployment, 1, workers)
        for version, change in enumerate(CHANGES, start=2):
            deployment.say(*change)
            took.append(_seconds(lambda wanted=version: _use(workers, wanted), workers))  # type: ignore[misc]
            _masked_under(deployment, version, workers)
    until(lambda: deployment.audited() == produced[0], 60, _logs(workers))
    print(f"{produced[0]} events; seconds until both workers used a version: {', '.join(f'{each:.2f}' for each in took)}")

    expected = deployment.end_offsets(deployment.topic)
    masked = deployment.masked()
    assert_exactly_once(masked, expected)
    for partition in range(PARTITIONS):
        versions = [version for version, _ in groupby(each.policy for each in masked if each.partition == partition)]
        assert versions == [1, 2, 3, 4, 5]
    policies = asyncio.run(_policies(deployment.settings(), 5))
    _assert_masked_anew(deployment, policies)
    _assert_audited(deployment, policies, expected)
    deployment.stack.sql("notify cdc_masker", database=deployment.name)  # who looks, tells what is seen
    for worker in workers:
        assert worker.metric("cdc_masker_withheld_columns") == 2
        told = "redacted or left out until a new generation, since rows would get another shape: born"
        until(lambda: told in worker.log.read_text(), 20, worker.log.read_text)  # noqa: B023 - awaited here

    # Who starts later decides the same; a new generation has the shape of the version under which it begins.
    assert workers[0].kill() != 0
    deployment.produce(40, partitions=PARTITIONS, first=produced[0])
    until(lambda: deployment.audited() == produced[0] + 40, 60, _logs(workers))
    _assert_masked_anew(deployment, policies)
    second = deployment.ready(deployment.start(generation="2"))
    until(lambda: deployment.audited() == 2 * (produced[0] + 40), 60, _logs([second]))
    _assert_masked_anew(deployment, policies, generation=2)


def test_a_version_is_found_by_looking_when_nothing_is_told(deploy: Deploy) -> None:
    deployment = deploy(policy_refresh="1")
    deployment.create(deployment.topic)
    worker = deployment.ready(deployment.start())
    for statement in (
        "DROP EVENT TRIGGER cdc_masker_guard_alter",
        "ALTER TABLE cdc_masker.policy_version DISABLE TRIGGER tell",
        f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{deployment.name}' AND query LIKE 'LISTEN%'",
    ):
        deployment.stack.sql(statement, database=deployment.name)
    until(lambda: worker.log.read_text().count("news of the catalog are heard") == 2, 30, worker.log.read_text)
    deployment.release("null")
    until(lambda: _use([worker], 2), 20, worker.log.read_text)


def test_without_the_catalog_masking_goes_on_for_a_while_then_waits_for_it(own_stack: Stack, deploy: Deploy) -> None:
    deployment = deploy(own_stack, policy_refresh="0.5", policy_stale_limit="20")
    deployment.create(deployment.topic, 2)
    worker = deployment.ready(deployment.start())
    own_stack.stop("postgres")
    deployment.produce(100, partitions=2)
    until(lambda: deployment.audited() == 100, 20, worker.log.read_text)  # under the version that it has

    until(lambda: worker.page("ready") == (503, "the catalog was not heard from for too long\n"), 60, worker.log.read_text)
    assert worker.page("live")[0] == 200
    deployment.produce(100, partitions=2, first=100)
    assert worker.metric("cdc_masker_partition_halted") == 2
    assert 'code="stale"' in worker.page("metrics")[1]
    until(lambda: "masking pauses" in worker.log.read_text(), 10, worker.log.read_text)
    assert deployment.audited() == 100

    own_stack.start("postgres")
    until(lambda: deployment.audited() == 200, 60, worker.log.read_text)
    until(lambda: worker.page("ready")[0] == 200, 30, worker.log.read_text)
    assert worker.metric("cdc_masker_partition_halted") == 0
    deployment.release("null")
    until(lambda: _use([worker], 2), 20, worker.log.read_text)
    assert_exactly_once(deployment.masked(), deployment.end_offsets(deployment.topic))


def test_a_worker_never_goes_back_with_a_catalog_that_was_restored(deploy: Deploy) -> None:
    deployment = deploy()
    deployment.create(deployment.topic)
    deployment.stack.sql(f'create database "{deployment.name}_old" template "{deployment.name}"')
    worker = deployment.ready(deployment.start())
    deployment.release("null")
    until(lambda: _use([worker], 2), 20, worker.log.read_text)
    deployment.produce(20)
    until(lambda: deployment.audited() == 20, 20, worker.log.read_text)
    worker.kill()

    deployment.stack.sql(f'drop database "{deployment.name}" with (force)')
    deployment.stack.sql(f'alter database "{deployment.name}_old" rename to "{deployment.name}"')
    deployment.produce(20, first=20)
    worker = deployment.ready(deployment.start())
    told = "waits for policy version 2, which masked it last, and the newest is 1; restore the catalog, or release"
    until(lambda: told in worker.log.read_text(), 30, worker.log.read_text)
    # Rows of the audit are gone as well: the version comes back, and that does not make the partition go on.
    until(lambda: 'code="audit_mismatch"' in worker.page("metrics")[1], 30, worker.log.read_text)
    upgrade(deployment.settings(), deployment.home / "policies")
    until(lambda: _use([worker], 2), 20, worker.log.read_text)
    deployment.release("tokenize")
    until(lambda: _use([worker], 3), 20, worker.log.read_text)
    assert "masking from offset" not in worker.log.read_text()
    assert deployment.audited() == 20


@contextmanager
def _load(deployment: Deployment) -> Iterator[list[int]]:
    """Events come in for as long as it lasts; the list holds how many did."""
    produced, enough = [0], Event()

    def produce() -> None:
        while not enough.wait(0.1):
            deployment.produce(200, partitions=PARTITIONS, first=produced[0])
            produced[0] += 200

    source = Thread(target=produce)
    source.start()
    try:
        yield produced
    finally:
        enough.set()
        source.join()


def _masked_under(deployment: Deployment, version: int, workers: list[Worker]) -> None:
    """Waits until each partition has records of that version."""

    def seen() -> bool:
        return {entry.partition for entry in deployment.audit() if entry.policy_version == version} == set(range(PARTITIONS))

    until(seen, 60, _logs(workers))


def _use(workers: list[Worker], version: int) -> bool:
    return all(worker.metric("cdc_masker_policy_version") == version for worker in workers)


def _seconds(condition: Callable[[], bool], workers: list[Worker]) -> float:
    began = time.monotonic()
    until(condition, 60, _logs(workers), every=0.02)
    return time.monotonic() - began


def _logs(workers: list[Worker]) -> Callable[[], str]:
    return lambda: "\n".join(worker.log.read_text()[-3000:] for worker in workers)


async def _policies(settings: Settings, newest: int) -> dict[int, Policy]:
    async with open_catalog(settings) as catalog:
        return {version: await catalog.policies.at(version) for version in range(1, newest + 1)}


def _assert_masked_anew(deployment: Deployment, policies: dict[int, Policy], generation: int = 1) -> None:
    """Each masked record is what its source gives under the version, and in the shape, that its header tells."""
    raw = {(record.partition, record.offset): record for record in deployment.records(deployment.topic)}
    keys = FileKeys(deployment.home / "keys.json").load()
    began = {1: 1, 2: 5}[generation]
    made_for: dict[str, Any] = {
        "generation": generation,
        "began": policies[began],
        "output_prefix": f"{deployment.name}.masked.",
    }
    maskers = {version: Masker(policy, keys, **made_for) for version, policy in policies.items()}
    topic = deployment.masked_topic() + ("" if generation == 1 else ".g2")
    found = deployment.records(topic)
    assert len(found) == len(raw)
    for record in found:
        made = dict(item.split("=") for item in dict(record.headers)[HEADER].decode().split(";"))
        assert int(made.get("sv") or made["pv"]) == began
        source: Any = raw[int(made["p"]), int(made["o"])]
        coordinates = deployment.topic, source.partition, source.offset, source.timestamp
        outcome = maskers[int(made["pv"])].mask(Record(*coordinates, source.key, source.value, tuple(source.headers)))
        assert (record.key, record.value, tuple(record.headers)) == (outcome.key, outcome.value, outcome.headers)


def _assert_audited(deployment: Deployment, policies: dict[int, Policy], expected: dict[int, int]) -> None:
    """The audit tells the same version of each record as the record itself."""
    entries = deployment.audit()
    assert_covered(entries, expected)
    versions: dict[int, dict[int, int]] = defaultdict(dict)
    for record in deployment.masked():
        versions[record.partition][record.offset] = record.policy
    for entry in entries:
        policy = policies[entry.policy_version]
        assert (entry.policy_digest, entry.policy_seal) == (policy.digest, policy.seal)
        assert entry.shape_version == (None if entry.policy_version == 1 else 1)
        masked = [versions[entry.partition][offset] for offset in range(entry.first_offset, entry.last_offset + 1)]
        assert set(masked) == {entry.policy_version}
    rows = "select count(*), count(shape_version), min(shape_version), max(shape_version) from cdc_masker.audit_entry"
    held = sum(entry.policy_version > 1 for entry in entries)
    until(lambda: deployment.stack.sql(rows, database=deployment.name) == f"{len(entries)}|{held}|1|1", 30)
