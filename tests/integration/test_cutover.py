"""A new generation takes the place of the one before, on the real stack: under load, cut off at every step, and refused."""

from __future__ import annotations

import asyncio
import itertools
import json
import logging
import re
import signal
import subprocess
import sys
import threading
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import pytest
from aiokafka import TopicPartition

from cdc_masker.catalog import Catalog, open_catalog
from cdc_masker.errors import SetupError
from cdc_masker.kafka import starting, steps
from cdc_masker.kafka.cluster import Cluster
from cdc_masker.kafka.lines import PartitionLog
from cdc_masker.kafka.opening import open_partition
from cdc_masker.kafka.steps import Step
from cdc_masker.ports import Stretch
from tests.integration.exactness import assert_exactly_once
from tests.integration.kit import Deployment, Worker, until
from tests.migrations.kit import execute, query

pytestmark = pytest.mark.stack

Deploy = Callable[..., Deployment]
T = TypeVar("T")

PAGE = Path(__file__).parents[2] / "docs" / "replay.md"
FOLLOW = PAGE.read_text().partition("<!-- tested: follow.py -->\n```python\n")[2].partition("```")[0]

KILLED = """
import os, signal, sys
from cdc_masker.replay.cutover import CutOver

finish, last = CutOver.finish, sys.argv[1]


async def killed(*arguments, **more):
    async for step in finish(*arguments, **more):
        if step.name == last:
            os.kill(os.getpid(), signal.SIGKILL)
        yield step


CutOver.finish = killed
sys.argv = ["cdc-masker", "replay", "finish", *sys.argv[2:]]
from cdc_masker.cli import main

main()
"""
"""The command, which ends itself when a step is done."""

REASON = ("--reason", "T-1: the new copy is good")


def ask(deployment: Deployment, question: Callable[[Catalog], Awaitable[T]]) -> T:
    async def run() -> T:
        async with open_catalog(deployment.settings()) as catalog:
            return await question(catalog)

    return asyncio.run(run())


def begin(deployment: Deployment, *topics: str, start: int = 0, stays: bool = True) -> int:
    """Begins a replay of what topics hold now; gives its generation."""

    async def run(catalog: Catalog) -> int:
        cluster = Cluster(deployment.settings())
        await cluster.start()
        try:
            found = await cluster.topics()
        finally:
            await cluster.close()
        stretches = [
            Stretch(topic, partition, found[topic].incarnation, start, end)
            for topic, bounds in ends.items()
            for partition, end in bounds.items()
        ]
        pattern = "|".join(map(re.escape, topics))
        policy = await catalog.policies.current()
        replay = await catalog.replays.begin(policy, stays=stays, pattern=pattern, reason="T-1", stretches=stretches)
        return replay.generation

    ends = {topic: deployment.end_offsets(topic) for topic in topics}
    return ask(deployment, run)


def operator(deployment: Deployment) -> Deployment:
    """As somebody who may order replays and no more of the catalog."""
    database, name = deployment.environment["CDC_MASKER_DATABASE_URL"], f"olga_{deployment.name}"
    if not query(database, f"SELECT 1 FROM pg_roles WHERE rolname = '{name}'"):
        execute(database, f"CREATE ROLE {name} LOGIN PASSWORD 'pass' IN ROLE cdc_masker_operator")
    url = f"postgresql://{name}:pass@{database.rpartition('@')[2]}"
    return replace(deployment, environment={**deployment.environment, "CDC_MASKER_DATABASE_URL": url})


def finish(deployment: Deployment, generation: int = 2) -> tuple[int, str, str]:
    return operator(deployment).run("replay", "finish", str(generation), *REASON, "--yes")


def told(deployment: Deployment) -> list[dict[str, Any]]:
    """What the topic of generations tells."""
    return [json.loads(record.value) for record in deployment.records(deployment.settings().generations_topic)]


def last_position(deployment: Deployment, topic: str, partition: int) -> int:
    """The offset of the last record of a partition."""
    found: int = [record.offset for record in deployment.records(topic) if record.partition == partition][-1]
    return found


@contextmanager
def following(deployment: Deployment, topic: str) -> Iterator[Callable[[], list[tuple[str, int, int]]]]:
    """Runs the consumer of the page; gives what it has read: topic, partition and source offset of each record."""
    script, output = deployment.home / "follow.py", deployment.home / "followed.txt"
    script.write_text(FOLLOW)
    settings = deployment.settings()
    arguments = [settings.kafka_brokers, f"{deployment.name}.reader", settings.generations_topic, topic, "0", "1"]
    with output.open("w") as lines, subprocess.Popen([sys.executable, script, *arguments], stdout=lines) as process:

        def read() -> list[tuple[str, int, int]]:
            assert process.poll() is None
            found = [line.split() for line in output.read_text().splitlines()]
            return [(each[0], int(each[1]), int(re.findall(";o=([0-9]+);", each[3])[0])) for each in found if len(each) == 4]

        try:
            yield read
        finally:
            process.kill()


@contextmanager
def load(deployment: Deployment, topic: str, partitions: int, *, first: int) -> Iterator[Callable[[], dict[int, int]]]:
    """Writes events all the while; what it gives ends that, and tells how many there are in each partition."""
    stop = threading.Event()

    def write() -> None:
        for number in itertools.count(first, 20):
            deployment.produce(20, topic=topic, partitions=partitions, first=number)
            if stop.is_set():
                return

    thread = threading.Thread(target=write)

    def end() -> dict[int, int]:
        stop.set()
        thread.join()
        return deployment.end_offsets(topic)

    thread.start()
    try:
        yield end
    finally:
        end()


def test_a_consumer_that_follows_sees_each_record_once(deploy: Deploy) -> None:
    """Under load. The old worker lets the topic go, and masks another one on."""
    deployment = deploy()
    ours, other = f"{deployment.topic}.ours", f"{deployment.topic}.other"
    deployment.create(ours, 2)
    deployment.create(other)
    deployment.produce(400, topic=ours, partitions=2)
    deployment.produce(5, topic=other)
    old = deployment.ready(deployment.start())
    until(lambda: len(deployment.masked(ours)) == 400, 30, old.log.read_text)
    assert begin(deployment, ours) == 2
    new = deployment.ready(deployment.start(generation="2", source_topics=re.escape(ours)))
    until(lambda: len(deployment.masked(f"{ours}.g2")) == 400, 30, new.log.read_text)

    masked = deployment.masked_topic(ours)
    with following(deployment, masked) as read:
        until(lambda: len(read()) == 400, 30)
        with load(deployment, ours, 2, first=400) as end:
            until(lambda: len(read()) > 500, 30)
            code, out, problem = finish(deployment)
            assert code == 0, problem + old.log.read_text()[-3000:] + new.log.read_text()[-3000:]
            assert f"{ours}: generation 1 ends, {masked} gets no more records" in out
            seen = len(read())
            until(lambda: len(read()) > seen + 100, 30)
            counts = end()
        until(lambda: len(read()) >= sum(counts.values()), 30)
        found = read()
    assert_exactly_once_in_order(found, counts)
    cuts = {each["partition"]: each for each in told(deployment)}
    for partition, cut in cuts.items():
        of_old = [offset for topic, number, offset in found if (topic, number) == (masked, partition)]
        assert len(of_old) >= 200
        assert cut["last_source_offset"] == of_old[-1]
        assert cut["old_position"] == last_position(deployment, masked, partition) + 1
    assert_exactly_once(deployment.masked(f"{ours}.g2"), counts)

    # The old worker masks the other topic on, and so does the next one.
    deployment.produce(5, topic=other, first=5)
    until(lambda: len(deployment.masked(other)) == 10, 30, old.log.read_text)
    until(lambda: f"{ours}[0] is done: generation 1 of its topic is closed" in old.log.read_text(), 10, old.log.read_text)
    assert old.kill(signal.SIGTERM) == 0
    old = deployment.ready(deployment.start())
    deployment.produce(5, topic=other, first=10)
    until(lambda: len(deployment.masked(other)) == 15, 30, old.log.read_text)

    with following(deployment, masked) as read:  # again, in the same group
        deployment.produce(2, topic=ours, partitions=2)
        until(lambda: len(read()) == 2, 30)
        assert {partition: offset for _, partition, offset in read()} == counts
    code, out, problem = deployment.run("audit", "verify")
    assert code == 0, out + problem
    code, out, problem = deployment.run("leaks")
    assert code == 0, out + problem
    code, out, problem = operator(deployment).run("generations", "retire", "1", *REASON)  # nobody answers
    assert (code, f"group {deployment.name}.reader has read 2 of 2 partitions to the end" in out) == (1, True), out + problem


def test_finish_and_retire_are_cut_off_at_each_step_and_go_on(deploy: Deploy) -> None:
    deployment = deploy(batch_records="50")
    topic, masked = deployment.topic, deployment.masked_topic()
    deployment.create(topic, 2)
    deployment.produce(200, partitions=2)
    workers = [deployment.ready(deployment.start())]
    until(lambda: deployment.audited() == 200, 30, workers[0].log.read_text)
    begin(deployment, topic)

    code, _, problem = finish(deployment)
    assert (code, "and its bound is 100; finish when it has passed it" in problem) == (2, True), problem
    workers.append(deployment.ready(deployment.start(generation="2")))
    until(lambda: deployment.audited() == 400, 30, workers[1].log.read_text)
    workers[1].kill(signal.SIGTERM)
    code, _, problem = finish(deployment)
    assert (code, "no worker makes generation 2 now" in problem) == (2, True), problem
    workers.append(deployment.ready(deployment.start(generation="2")))
    code, out, _ = deployment.run("replay", "finish", "2", *REASON)  # nobody answers
    assert code == 1
    assert f"{topic}: generation 1 ends, {masked} gets no more records" in out

    script = deployment.home / "killed.py"
    script.write_text(KILLED)
    for step in ("CLOSED", "FENCED", "PASSED", "RECORDED", "ANNOUNCED"):
        killed = subprocess.run(
            [sys.executable, script, step, "2", *REASON, "--yes"], env=deployment.environment, capture_output=True, text=True
        )
        assert killed.returncode == -signal.SIGKILL, step + killed.stderr
        assert len(told(deployment)) == (2 if step == "ANNOUNCED" else 0)
        deployment.produce(20, partitions=2, first=200)  # the old generation gets none once it was fenced
    code, out, problem = finish(deployment)
    assert code == 0, problem
    cuts = {each["partition"]: each for each in told(deployment)}
    assert len(told(deployment)) == len(cuts) == 2
    until(lambda: len(deployment.masked(f"{topic}.g2")) == 300, 30, workers[2].log.read_text)
    assert_exactly_once(deployment.masked(f"{topic}.g2"), {0: 150, 1: 150})
    old, new = deployment.masked(), deployment.records(f"{masked}.g2")
    for partition, cut in cuts.items():
        last = [record.offset for record in old if record.partition == partition][-1]
        assert last in (99, 109)
        assert cut["last_source_offset"] == last
        assert cut["old_position"] == last_position(deployment, masked, partition) + 1
        behind = [record for record in new if record.partition == partition and record.offset >= cut["new_position"]]
        assert behind[0].offset == cut["new_position"]
        assert b";o=%d;" % (last + 1) in dict(behind[0].headers)["cdc-masker"]

    retired(deployment, workers)


def retired(deployment: Deployment, workers: list[Worker]) -> None:
    """The closed generation is taken away, and nobody brings it back."""
    masked, olga = deployment.masked_topic(), operator(deployment)
    code, _, problem = olga.run("generations", "retire", "2", *REASON)
    assert (code, "generation 2 is live; one that is closed or cancelled can be retired" in problem) == (2, True), problem
    code, out, _ = olga.run("generations", "retire", "1", *REASON)
    assert code == 1
    assert re.search(rf"{masked}: \d+ offsets in 2 partitions; generation 1 of {deployment.topic}, closed", out)
    assert masked in deployment.topics()
    code, out, problem = olga.run("generations", "retire", "1", *REASON, "--yes")
    assert code == 0, problem
    until(lambda: masked not in deployment.topics(), 10)
    code, _, problem = olga.run("generations", "retire", "1", *REASON, "--yes")
    assert (code, "generation 1 is retired" in problem) == (2, True), problem

    workers[0].kill(signal.SIGTERM)
    late = deployment.start()
    assert late.process.wait(30) == 2
    assert "generation 1 is retired for all topics that match; nothing is left to mask" in late.log.read_text()
    assert masked not in deployment.topics()
    code, out, _ = olga.run("topics", "--json")
    assert code == 0
    (source,) = json.loads(out)
    assert [(copy["generation"], copy["state"]) for copy in source["copies"]] == [(1, "retired"), (2, "live")]
    code, out, problem = deployment.run("audit", "verify")
    assert code == 0, out + problem
    receipts = deployment.run("audit", "receipts", "--json")[1].splitlines()
    assert {"close", "retire-generation"} <= {json.loads(each)["kind"] for each in receipts}


def test_what_may_not_take_the_place_of_another_is_refused(deploy: Deploy) -> None:
    deployment = deploy()
    deployment.create(deployment.topic)
    deployment.produce(20)
    worker = deployment.ready(deployment.start())
    until(lambda: deployment.audited() == 20, 30, worker.log.read_text)
    worker.kill(signal.SIGTERM)
    deployment.produce(10, first=20)

    def refused(generation: int) -> str:
        code, _, problem = finish(deployment, generation)
        assert code == 2
        return problem

    assert "generation 2 is no replay" in refused(2)
    begin(deployment, deployment.topic, start=25)
    assert "generation 1 came to offset 20, and generation 2 begins with 25, so records between" in refused(2)
    begin(deployment, deployment.topic, stays=False)
    assert "replay 3 ends at its bound" in refused(3)
    begin(deployment, deployment.topic, start=20)
    ask(deployment, lambda catalog: catalog.replays.tell(2, "cancel", "T-1"))
    ask(deployment, lambda catalog: catalog.replays.tell(4, "pause", "T-1"))
    assert "replay 2 is cancelled" in refused(2)
    assert "replay 4 is paused" in refused(4)
    ask(deployment, lambda catalog: catalog.replays.tell(4, "resume", "T-1"))
    assert "generation 4 came to offset 20, and its bound is 30" in refused(4)


def test_who_was_about_to_open_a_partition_finds_it_closed(deploy: Deploy, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else its publisher would come after the one that ended all earlier ones."""
    deployment = deploy()
    topic = deployment.topic
    deployment.create(topic)
    begin(deployment, topic)

    def close(step: Step) -> None:
        if step is Step.PREPARED:
            with ThreadPoolExecutor(1) as elsewhere:
                elsewhere.submit(ask, deployment, lambda catalog: catalog.replays.close(1, [topic], "T-1")).result()

    async def run() -> None:
        async with AsyncExitStack() as resources, asyncio.timeout(60):
            parts, _ = await starting.start(deployment.settings(), resources)
            measuring = asyncio.create_task(parts.lag.run())
            log = PartitionLog(logging.getLogger(), topic, 0)
            with pytest.raises(SetupError, match=f"generation 1 of topic {topic} is not live"):
                await open_partition(parts, TopicPartition(topic, 0), log)
            measuring.cancel()

    monkeypatch.setattr(steps, "reach", close)
    asyncio.run(run())


def assert_exactly_once_in_order(found: list[tuple[str, int, int]], expected: dict[int, int]) -> None:
    offsets: dict[int, list[int]] = defaultdict(list)
    for _, partition, offset in found:
        offsets[partition].append(offset)
    for partition, count in expected.items():
        read, whole = offsets.pop(partition), range(count)
        wrong = [place for place, pair in enumerate(zip(read, whole, strict=False)) if len(set(pair)) == 2]
        assert not wrong, f"partition {partition}: not as it must be from offset {wrong[0]} on: {read[wrong[0] : wrong[0] + 3]}"
        assert len(read) == count
    assert not offsets
