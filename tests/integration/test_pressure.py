"""Poison and pressure, small: memory stays bounded, no partition starves, the quarantine is complete.

`make pressure` is the same at length.
"""

from __future__ import annotations

import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from benchmarks.pressure import backlog, hot, large, poison, wide
from tests.integration.exactness import assert_exactly_once
from tests.integration.kit import Deployment, event, until

pytestmark = pytest.mark.stack

Deploy = Callable[..., Deployment]

COUNTING = """
import gc, signal, sys
from cdc_masker.kafka.batch import Batch
from cdc_masker.worker import run

def count(*_):
    print("batches held:", sum(type(each) is Batch for each in gc.get_objects()), file=sys.__stderr__, flush=True)

signal.signal(signal.SIGWINCH, count)
run("info")
"""

SLOWLY = """
import signal, sys, time, weakref
from aiokafka.consumer import fetcher
from cdc_masker.pipeline import Masker
from cdc_masker.worker import run

mask, there, most, all_of_them = Masker.begin, weakref.WeakSet(), 0, 0

class Fetched(fetcher.PartitionRecords):
    def __init__(self, partition, records, *more):
        super().__init__(partition, records, *more)
        global most, all_of_them
        there.add(self)
        most = max(most, sum(each._records.size_in_bytes() for each in there))
        all_of_them += records.size_in_bytes()

def slowly(*arguments):
    time.sleep(0.005)
    return mask(*arguments)

fetcher.PartitionRecords, Masker.begin = Fetched, slowly
signal.signal(signal.SIGWINCH, lambda *_: print("fetched:", most, all_of_them, file=sys.__stderr__, flush=True))
run("info")
"""


def test_poison_is_quarantined_and_all_else_is_masked(deploy: Deploy) -> None:
    deployment = deploy()
    figures = poison(deployment, 2800)
    assert figures.more == "28 quarantined"
    assert len(deployment.masked()) == 2800 - 28


def test_large_records_come_a_few_at_a_time(deploy: Deploy) -> None:
    """Compressed they are small, so that neither a fetch nor a number of records bounds what they take."""
    count, partitions = 24, 4
    deployment = deploy(buffer_bytes=str(16 << 20))
    _, figures = backlog("large", deployment, {deployment.topic: partitions}, count, large, compression="gzip", seconds=60)
    assert_exactly_once(deployment.masked(), dict.fromkeys(range(partitions), count // partitions))
    assert figures.grown < 150


def test_wide_rows_whose_columns_change_all_the_time(deploy: Deploy) -> None:
    deployment = deploy()
    _, figures = backlog("wide", deployment, {deployment.topic: 1}, 12, wide, seconds=60)
    assert_exactly_once(deployment.masked(), {0: 12})
    assert figures.grown < 150


def test_a_quiet_partition_has_its_turn_beside_hot_ones(deploy: Deploy) -> None:
    _, waited = hot(deploy(), 30_000, 3, looks=3, batch_records="100")
    assert waited <= 20


def test_a_batch_is_let_go_when_it_is_masked(deploy: Deploy, tmp_path: Path) -> None:
    """Faust keeps the last event of each partition: with many partitions that would be much."""
    script = tmp_path / "counting.py"
    script.write_text(COUNTING)
    deployment = deploy()
    deployment.create(deployment.topic, 10)
    worker = deployment.ready(deployment.start(by=str(script)))
    deployment.produce(100, partitions=10)
    until(lambda: worker.metric("cdc_masker_records_total") == 100, 30)

    def none_is_held() -> bool:
        worker.process.send_signal(signal.SIGWINCH)
        return "batches held: 0" in worker.log.read_text()

    until(none_is_held, 30, lambda: worker.log.read_text()[-500:], every=2)


def test_what_is_fetched_is_bounded_while_masking_takes_its_time(deploy: Deploy, tmp_path: Path) -> None:
    """And is fetched once. Brokers have much more, and their answers come while the worker is too busy to ask for anything."""
    script = tmp_path / "slowly.py"
    script.write_text(SLOWLY)
    deployment = deploy(buffer_bytes=str(1 << 20))
    partitions, count = 10, 6_000
    worker, _ = backlog("slowly", deployment, {deployment.topic: partitions}, count, seconds=90, by=str(script))
    produced = sum(len(key) + len(value) for key, value in map(event, range(count)))

    def told() -> list[str]:
        worker.process.send_signal(signal.SIGWINCH)
        return [line for line in worker.log.read_text().splitlines() if line.startswith("fetched: ")]

    until(lambda: bool(told()), 10)
    most, all_of_them = map(int, told()[0].split()[1:])
    assert produced > 2 << 20
    assert most <= (1 << 20) + (1 << 18)  # the buffer and one answer
    assert all_of_them < 1.2 * produced
