"""What people and programs who run workers rely on: lines of the log, pages, and the ways in which a worker ends."""

from __future__ import annotations

import json
import signal
import time
import urllib.request
from collections.abc import Callable
from typing import Any

import psutil
import pytest

from cdc_masker.evidence import encode_entry
from cdc_masker.kafka.failing import EXIT_FAILED
from cdc_masker.stack import Stack
from tests.chaos.fleet import Fleet
from tests.entries import entry
from tests.integration.exactness import assert_covered, assert_exactly_once
from tests.integration.kit import CANARY, Deployment, Worker, until
from tests.integration.test_exactly_once import PARTITIONS
from tests.integration.test_traces import FAULTY, poison
from tests.integration.test_worker import remake
from tests.integration.transactions import stop_in_transaction

pytestmark = pytest.mark.stack

Deploy = Callable[..., Deployment]

STUCK = """
import time
from cdc_masker.pipeline import Masker
from cdc_masker.worker import run

Masker.begin = lambda *_: time.sleep(3600)
run("info")
"""

NOWHERE = """
from cdc_masker.kafka.transport import ConsumerThread
from cdc_masker.worker import run

create = ConsumerThread._create_consumer

def nowhere(self, loop):
    consumer = create(self, loop)
    consumer._client._bootstrap_servers = "127.0.0.1:1"
    return consumer

ConsumerThread._create_consumer = nowhere
run("info")
"""
"""A worker from which Kafka goes away just before its consumer connects."""

ENDLESS = """
import asyncio
from cdc_masker.kafka.lanes import Lanes
from cdc_masker.worker import run

async def close(self):
    await asyncio.Event().wait()

Lanes.close = close
run("info")
"""


def lines(worker: Worker) -> list[dict[str, Any]]:
    """The lines of a log in JSON: each of them parses."""
    return [json.loads(line) for line in worker.log.read_text().splitlines()]


def about(worker: Worker, topic: str) -> list[dict[str, Any]]:
    """The coordinates of its lines about a topic."""
    return [
        {name: line.get(name) for name in ("partition", "offset", "code")}
        for line in lines(worker)
        if line.get("topic") == topic
    ]


def test_each_line_is_json_with_coordinates_and_without_values(deploy: Deploy) -> None:
    deployment = deploy(log_format="json")
    other = f"{deployment.topic}.other"
    deployment.create(deployment.topic, 1)
    deployment.create(other, 1)
    deployment.produce(48, make=poison)
    deployment.produce(1, topic=other)
    worker = deployment.ready(deployment.start(level="debug"))
    until(lambda: deployment.audited() == 49, 30, worker.log.read_text)
    until(lambda: "quarantined (" in worker.log.read_text(), 10, worker.log.read_text)
    remake(deployment, other)
    until(lambda: "other_incarnation" in worker.log.read_text(), 20, worker.log.read_text)
    assert worker.kill(signal.SIGTERM) == 0
    assert CANARY not in worker.log.read_text()
    told = lines(worker)
    assert {"faust", "aiokafka", "cdc_masker"} <= {line["logger"].partition(".")[0] for line in told}
    assert {"partition": 0, "offset": 0, "code": None} in about(worker, deployment.topic)
    assert {"partition": 0, "offset": 12, "code": "not_json"} in about(worker, deployment.topic)
    assert {"partition": 0, "offset": None, "code": "other_incarnation"} in about(worker, other)


def test_a_fault_is_a_line_of_json_too(deploy: Deploy) -> None:
    deployment = deploy(log_format="json")
    deployment.create(deployment.topic, 1)
    deployment.produce(10)
    (deployment.home / "faulty.py").write_text(FAULTY)
    worker = deployment.start(by=str(deployment.home / "faulty.py"))
    assert worker.process.wait(60) == EXIT_FAILED
    last = lines(worker)[-1]
    assert (last["level"], last["topic"], last["partition"], last["offset"]) == ("CRITICAL", deployment.topic, 0, 0)
    assert "ValueError at faulty.py:9 in fail" in last["message"]
    assert CANARY not in worker.log.read_text()


def test_what_is_no_entry_in_the_audit_topic_is_named_with_its_place_and_what_to_do(deploy: Deploy) -> None:
    deployment = deploy()
    deployment.create(deployment.topic, 1)
    deployment.produce(1)
    worker = deployment.ready(deployment.start())
    until(lambda: deployment.audited() == 1, 30, worker.log.read_text)
    deployment.produce(1, topic=deployment.environment["CDC_MASKER_AUDIT_TOPIC"])  # behind the entry and its marker
    assert worker.process.wait(30) == EXIT_FAILED
    told = worker.log.read_text()
    assert f"offset 2 of {deployment.name}.audit is no audit entry" in told
    assert f"move group {deployment.name}.audit to offset 3" in told
    assert CANARY not in told


def test_an_entry_that_the_catalog_can_not_hold_is_named_and_those_before_it_are_stored(deploy: Deploy) -> None:
    deployment = deploy()
    deployment.create(deployment.topic, 1)
    worker = deployment.ready(deployment.start())
    forged = [encode_entry(entry(topic=deployment.topic, worker=name)) for name in ("somebody", f"{CANARY}\0")]
    topic = deployment.environment["CDC_MASKER_AUDIT_TOPIC"]
    deployment.produce(2, topic=topic, make=lambda number: (None, forged[number]))
    assert worker.process.wait(30) == EXIT_FAILED
    told = worker.log.read_text()
    assert f"offset 1 of {topic} is no audit entry" in told
    assert CANARY not in told
    assert deployment.audit_rows() == [(3, 10, 19)]


def test_a_worker_without_an_assignment_is_live_and_not_ready(deploy: Deploy) -> None:
    """The group waits for one that does not answer, so the other one gets nothing."""
    deployment = deploy()
    deployment.create(deployment.topic, 2)
    silent = deployment.ready(deployment.start())
    silent.process.send_signal(signal.SIGSTOP)
    worker = deployment.start()
    until(lambda: worker.page("ready") == (503, "partitions are being assigned or opened\n"), 30, worker.log.read_text)
    assert worker.page("live") == (200, "live\n")


def test_a_worker_that_is_stuck_is_not_live(deploy: Deploy) -> None:
    deployment = deploy()
    deployment.create(deployment.topic, 1)
    deployment.produce(1)
    (deployment.home / "stuck.py").write_text(STUCK)
    worker = deployment.start(by=str(deployment.home / "stuck.py"))
    until(lambda: "masking from offset 0" in worker.log.read_text(), 60, worker.log.read_text)

    def answers() -> bool:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{worker.port}/live", timeout=1):
                return True
        except TimeoutError:
            return False

    until(lambda: not answers(), 20)
    assert worker.process.poll() is None


def test_a_consumer_that_can_not_connect_ends_the_worker_by_our_own_word(deploy: Deploy) -> None:
    """Not by a crash of Faust's, with a traceback and an exit code for bugs."""
    deployment = deploy()
    deployment.create(deployment.topic)
    (deployment.home / "nowhere.py").write_text(NOWHERE)
    worker = deployment.start(by=str(deployment.home / "nowhere.py"))
    assert worker.process.wait(60) == EXIT_FAILED
    log = worker.log.read_text()
    assert "connecting the consumer: the connection to Kafka was lost" in log
    assert "Crashed" not in log and "Traceback" not in log


def test_a_worker_that_is_told_to_stop_hands_over_at_once(deploy: Deploy) -> None:
    """In the middle of a transaction. The other one hears of it at its next heartbeat, of which there are four in a session
    time-out; of one that went without a word it would hear after the time-out.
    """
    count = 60_000
    deployment = deploy(batch_records="500", session_timeout="24")
    deployment.create(deployment.topic, PARTITIONS)
    fleet = Fleet(deployment, 2, {})
    members = fleet.start(), fleet.start()
    survivor, leaver = [deployment.ready(member.worker) for member in members]
    until(lambda: [worker.lanes() for worker in (survivor, leaver)] == [2, 2], 30)
    stop_in_transaction(deployment, members[1], lambda: deployment.produce(count, partitions=PARTITIONS))
    left = count - deployment.audited()
    leaver.process.send_signal(signal.SIGTERM)
    asked = time.monotonic()
    leaver.process.send_signal(signal.SIGCONT)
    assert leaver.process.wait(10) == 0
    until(lambda: survivor.lanes() == PARTITIONS and survivor.page("ready")[0] == 200, 20, survivor.log.read_text)
    assert time.monotonic() - asked < 24
    assert "ends its transaction" not in leaver.log.read_text()
    assert left > 0, "there was nothing left to hand over"
    until(lambda: deployment.audited() == count, 60, survivor.log.read_text, every=0.5)
    expected = dict.fromkeys(range(PARTITIONS), count // PARTITIONS)
    assert_exactly_once(deployment.masked(), expected)
    assert_covered(deployment.audit(), expected)


def test_a_worker_that_can_not_finish_ends_all_the_same(deploy: Deploy) -> None:
    deployment = deploy()
    deployment.create(deployment.topic, 1)
    (deployment.home / "endless.py").write_text(ENDLESS)
    worker = deployment.ready(deployment.start(by=str(deployment.home / "endless.py")))
    asked = time.monotonic()
    assert worker.kill(signal.SIGTERM) == EXIT_FAILED
    assert 9 < time.monotonic() - asked < 15
    assert "stopping: a server did not answer in time; the process ends" in worker.log.read_text()


def test_a_supervised_worker_that_dies_while_kafka_is_away_masks_on_when_it_is_back(own_stack: Stack, deploy: Deploy) -> None:
    """Kafka is away for longer than a start waits for it."""
    deployment = deploy(own_stack, startup_timeout="9")
    deployment.create(deployment.topic, 1)
    deployment.produce(100)
    worker = deployment.start(by="supervised")
    until(lambda: deployment.audited() == 100, 60, worker.log.read_text)
    own_stack.kill("kafka")
    (first,) = psutil.Process(worker.process.pid).children()
    first.kill()
    until(lambda: "the worker ended with exit code 3" in worker.log.read_text(), 60, worker.log.read_text)
    assert "cdc-masker: no Kafka broker answers" in worker.log.read_text()
    own_stack.start("kafka")
    deployment.produce(100, first=100)
    until(lambda: deployment.audited() == 200, 90, worker.log.read_text)
    assert worker.kill(signal.SIGTERM) == 0
    assert_exactly_once(deployment.masked(), {0: 200})


def test_a_supervised_worker_is_started_again_and_drains_when_both_are_told_to_stop(deploy: Deploy) -> None:
    deployment = deploy()
    deployment.create(deployment.topic, 1)
    deployment.produce(100)
    worker = deployment.ready(deployment.start(by="supervised"))
    (first,) = psutil.Process(worker.process.pid).children()
    first.kill()
    until(lambda: "the worker ended by signal 9; the next one starts in" in worker.log.read_text(), 10)
    deployment.ready(worker)
    deployment.produce(100, first=100)
    until(lambda: deployment.audited() == 200, 30, worker.log.read_text)
    (second,) = psutil.Process(worker.process.pid).children()
    assert worker.kill(signal.SIGTERM) == 0
    assert not second.is_running()
    assert_exactly_once(deployment.masked(), {0: 200})
