"""The workers of a replay on the real stack: where it begins and ends, which version masks, and what it is told."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import pytest

from cdc_masker.catalog import Catalog, open_catalog
from cdc_masker.kafka.cluster import Cluster
from cdc_masker.ports import Replay, Stretch
from tests.integration.exactness import assert_covered
from tests.integration.kit import CANARY, Deployment, Worker, until

pytestmark = pytest.mark.stack

T = TypeVar("T")
Deploy = Callable[..., Deployment]


def in_catalog(deployment: Deployment, act: Callable[[Catalog], Awaitable[T]]) -> T:
    async def run() -> T:
        async with open_catalog(deployment.settings()) as catalog:
            return await act(catalog)

    return asyncio.run(run())


def begin(deployment: Deployment, *spans: tuple[int, int], version: int = 1, stays: bool = True) -> Replay:
    """Begins a replay of the topic: from one offset to another in each partition."""

    async def incarnation() -> str:
        cluster = Cluster(deployment.settings())
        await cluster.start()
        try:
            return (await cluster.topics())[deployment.topic].incarnation
        finally:
            await cluster.close()

    id_ = asyncio.run(incarnation())
    stretches = [Stretch(deployment.topic, partition, id_, *span) for partition, span in enumerate(spans)]

    pattern = deployment.environment["CDC_MASKER_SOURCE_TOPICS"]

    async def act(catalog: Catalog) -> Replay:
        policy = await catalog.policies.at(version)
        return await catalog.replays.begin(policy, stays=stays, pattern=pattern, reason="a test", stretches=stretches)

    return in_catalog(deployment, act)


def copy(deployment: Deployment, generation: int) -> dict[tuple[int, int], Any]:
    """By source partition and offset, what generation holds of the topic, in its order."""
    end = "" if generation == 1 else f".g{generation}"
    return {(each.source_partition, each.offset): each for each in deployment.masked(deployment.topic + end)}


def done(worker: Worker, code: str) -> int:
    """How many partitions of the worker are done, for that reason."""
    return worker.page("metrics")[1].count(f'cdc_masker_partition_done{{code="{code}"')


def test_a_replay_begins_in_the_middle_and_ends_inside_a_batch(deploy: Deploy) -> None:
    deployment = deploy(batch_records="100")
    deployment.create(deployment.topic, 3)
    deployment.produce(1000, partitions=2)
    live = deployment.ready(deployment.start())
    until(lambda: deployment.audited() == 1000, 60, live.log.read_text)

    begin(deployment, (120, 333), (500, 500), stays=False)
    deployment.create(f"{deployment.topic}.later")  # matches, and is in no stretch
    worker = deployment.ready(deployment.start(generation="2"))
    until(lambda: done(worker, "bound") == 3, 60, lambda: worker.log.read_text()[-3000:])
    deployment.produce(100, partitions=3, first=1000)
    until(lambda: deployment.audited() == 1100 + 213, 60, live.log.read_text)
    assert worker.metric("cdc_masker_consumer_lag") == 0
    assert f"{deployment.topic}[0] is done: its replay ends here" in worker.log.read_text()

    first, second = copy(deployment, 1), copy(deployment, 2)
    assert list(second) == [(0, offset) for offset in range(120, 333)]
    assert {at: (one.key, one.value, one.timestamp) for at, one in second.items()} == {
        at: (one.key, one.value, one.timestamp) for at, one in first.items() if at in second
    }
    entries = [entry for entry in deployment.audit() if entry.generation == 2]
    assert [(entry.first_offset, entry.last_offset) for entry in entries] == [(120, 219), (220, 319), (320, 332)]

    # The audit knows that nothing before and behind is missing, and notices what would be.
    code, shown, problem = deployment.run("audit", "verify", "--recompute")
    assert code == 0, shown + problem
    assert "wait to be masked" not in shown
    for arguments in (("prove", "--topic", deployment.topic, "--partition", "0", "--offset", "150"), ("export",)):
        code, shown, problem = deployment.run("audit", *arguments, "--generation", "2")
        assert code == 0, problem
        assert shown

    assert worker.kill(signal.SIGTERM) == 0
    again = deployment.ready(deployment.start(generation="2"))
    until(lambda: done(again, "bound") == 3, 30, again.log.read_text)
    assert copy(deployment, 2) == second


def test_the_pin_holds_up_to_the_bound_and_gives_way_to_a_stricter_version(deploy: Deploy) -> None:
    deployment = deploy(batch_records="100", core="python")  # the other tests have the compiled one
    deployment.create(deployment.topic)
    deployment.produce(200)
    deployment.release("keep")

    assert begin(deployment, (0, 150), version=1).generation == 2
    worker = deployment.ready(deployment.start(generation="2"))
    until(lambda: deployment.audited() == 200, 60, worker.log.read_text)
    deployment.produce(50, first=200)
    until(lambda: deployment.audited() == 250, 60, worker.log.read_text)
    # A batch that begins before the bound is masked as a whole under the version that the replay was begun with.
    assert [each.policy for each in copy(deployment, 2).values()] == [1] * 200 + [2] * 50
    assert worker.kill(signal.SIGTERM) == 0

    assert begin(deployment, (0, 250), version=2).generation == 3
    tell(deployment, 3, "pause")
    worker = deployment.start(generation="3")
    until(lambda: worker.page("ready") == (503, "the replay is paused\n"), 60, lambda: f"{worker.page('ready')}")
    assert 'code="paused"' in worker.page("metrics")[1]
    deployment.release("redact")
    until(lambda: worker.metric("cdc_masker_policy_version") == 3, 30, worker.log.read_text)
    tell(deployment, 3, "resume")
    deployment.ready(worker)
    until(lambda: deployment.audited() == 500, 60, worker.log.read_text)
    assert {each.policy for each in copy(deployment, 3).values()} == {3}
    assert not any(CANARY.encode() in (each.value or b"") for each in copy(deployment, 3).values())
    assert "version 2, which the replay was begun with, is not used any more: version 3" in worker.log.read_text()


def test_a_cancelled_replay_ends_its_workers_and_a_closed_generation_its_lanes(deploy: Deploy) -> None:
    deployment = deploy(batch_records="100")
    other = f"{deployment.topic}.other"
    for topic in (deployment.topic, other):
        deployment.create(topic)
        deployment.produce(300, topic=topic)
    live = deployment.ready(deployment.start())
    until(lambda: deployment.audited() == 600, 60, live.log.read_text)

    begin(deployment, (0, 300))
    worker = deployment.ready(deployment.start(generation="2"))
    until(lambda: len(copy(deployment, 2)) == 300, 60, worker.log.read_text)
    tell(deployment, 2, "cancel")
    assert worker.process.wait(30) == 2
    assert "cdc-masker: replay 2 was cancelled" in worker.log.read_text()
    again = deployment.start(generation="2")
    assert again.process.wait(30) == 2
    assert "cdc-masker: replay 2 was cancelled" in again.log.read_text()

    begin(deployment, (0, 300))
    in_catalog(deployment, lambda catalog: catalog.replays.close(1, [deployment.topic], "a test"))
    until(lambda: done(live, "closed") == 1, 30, live.log.read_text)
    for topic in (deployment.topic, other):
        deployment.produce(50, topic=topic, first=300)
    until(lambda: len(deployment.masked(other)) == 350, 30, live.log.read_text)
    live.kill()
    live = deployment.ready(deployment.start())
    deployment.produce(50, topic=other, first=350)
    until(lambda: len(deployment.masked(other)) == 400, 30, live.log.read_text)
    assert len(copy(deployment, 1)) == 300
    assert live.lanes() == 1
    assert_covered([entry for entry in deployment.audit() if entry.generation == 1 and entry.topic == other], {0: 400})


def tell(deployment: Deployment, generation: int, kind: Any) -> None:
    in_catalog(deployment, lambda catalog: catalog.replays.tell(generation, kind, "a test"))
