"""A worker from its start to its end, on the real stack: starting, refusing, watching, waiting, stopping."""

from __future__ import annotations

import asyncio
import re
import signal
import socket
import time
from collections.abc import Callable
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
from aiokafka import TopicPartition
from aiokafka.admin.records_to_delete import RecordsToDelete

from cdc_masker.errors import CdcMaskerError, TransientError
from cdc_masker.events import Fate
from cdc_masker.kafka import starting
from cdc_masker.kafka.failing import EXIT_FAILED
from cdc_masker.settings import PREFIX, Settings
from cdc_masker.stack import Database, Stack
from tests.integration.exactness import assert_covered, assert_exactly_once
from tests.integration.kit import CANARY, Deployment, Worker, event, free_port, until
from tests.integration.transactions import open_partitions
from tests.kafka import administer

pytestmark = pytest.mark.stack

Deploy = Callable[..., Deployment]


@pytest.mark.parametrize("by", ["faust", "cdc-masker"])
def test_both_ways_of_starting_mask_and_stop_in_the_middle_of_work(deploy: Deploy, by: str) -> None:
    count = 60_000
    deployment = deploy(batch_records="500")
    deployment.create(deployment.topic, 2)
    deployment.produce(count, partitions=2)
    worker = deployment.start(by=by)
    until(lambda: worker.metric("cdc_masker_records_total") > 0, 30, worker.log.read_text, every=0.02)

    asked = time.monotonic()
    assert worker.kill(signal.SIGTERM) == 0
    assert time.monotonic() - asked < 10
    assert deployment.audited() < count, "the worker had finished before it was asked to stop"
    assert open_partitions(deployment) == {}

    deployment.start(by=by)
    until(lambda: deployment.audited() == count, 30)
    assert_exactly_once(deployment.masked(), {0: count // 2, 1: count // 2})


def test_it_stops_while_it_still_waits_for_what_it_needs(deploy: Deploy) -> None:
    worker = deploy().start(source_topics="not.there.yet")
    until(lambda: "Starting" in worker.log.read_text(), 30)
    assert worker.kill(signal.SIGTERM) == 0
    assert "Traceback" not in worker.log.read_text()


def test_what_is_masked_where_and_what_is_told(deploy: Deploy) -> None:
    """Bad records among good ones, at the log's most talkative level."""
    bad = [(b"{}", b"not json " + CANARY.encode()), (None, b'{"no":"envelope"}'), (b"\xff", b"\xff" + CANARY.encode())]

    def make(number: int) -> tuple[bytes | None, bytes | None]:
        return bad[number // 10 % 3] if number % 10 == 5 else event(number)

    deployment = deploy()
    deployment.create(deployment.topic, 1)
    deployment.produce(100, make=make)
    worker = deployment.ready(deployment.start(by="faust", level="debug"))
    until(lambda: deployment.audited() == 100, 20)

    masked = deployment.masked()
    assert [record.offset for record in masked] == [number for number in range(100) if number % 10 != 5]
    assert all(record.timestamp == 1_700_000_000_000 + record.offset for record in masked)
    assert all(record.policy == 1 for record in masked)

    quarantine = deployment.records(deployment.environment["CDC_MASKER_QUARANTINE_TOPIC"])
    assert len(quarantine) == 10
    assert sum(entry.counts[Fate.MASKED] for entry in deployment.audit()) == 90
    until(lambda: worker.metric("cdc_masker_audit_lag") == 0, 20)
    assert deployment.audit_rows() == [(entry.partition, entry.first_offset, entry.last_offset) for entry in deployment.audit()]

    metrics = worker.page("metrics")[1]
    assert re.search(rf'cdc_masker_records_total{{outcome="masked",reason="",topic="{deployment.topic}"}} 90', metrics)
    assert "not_json" in metrics
    assert worker.metric("cdc_masker_consumer_lag") == 0
    assert worker.metric("cdc_masker_batch_seconds_count") >= 1
    assert worker.page("live") == (200, "live\n")
    assert worker.page("ready") == (200, "ready\n")
    assert worker.page("")[0] == 404

    told = [worker.log.read_bytes(), metrics.encode()]
    for topic in ("AUDIT_TOPIC", "QUARANTINE_TOPIC"):
        told += [record.value for record in deployment.records(deployment.environment[f"CDC_MASKER_{topic}"])]
    told += [record.value for record in masked if record.value] + [record.key for record in masked if record.key]
    assert not [text for text in told if CANARY.encode() in text or b"not json" in text]


def test_output_topics_are_as_they_must_be(deploy: Deploy) -> None:
    deployment = deploy()
    deployment.create(deployment.topic, 3, max_message_bytes="2000000")
    deployment.produce(3, partitions=3)
    deployment.ready(deployment.start())
    until(lambda: deployment.audited() == 3, 20)
    settings = deployment.settings_of(deployment.masked_topic())
    assert deployment.partitions(deployment.masked_topic()) == 3
    assert settings["cleanup.policy"] == "delete"
    assert settings["retention.ms"] == settings["retention.bytes"] == "-1"
    assert settings["message.timestamp.type"] == "CreateTime"
    assert int(settings["max.message.bytes"]) >= 2_000_000


def test_records_as_large_as_the_source_takes_and_larger_than_a_batch(deploy: Deploy) -> None:
    large = "L" * 3_000_000
    deployment = deploy()
    deployment.create(deployment.topic, 1, max_message_bytes="5000000")

    def make(number: int) -> tuple[bytes, bytes]:
        return event(number, name=large if number % 4 == 0 else "short")

    deployment.produce(12, make=make)
    deployment.release("keep")
    deployment.ready(deployment.start())
    until(lambda: deployment.audited() == 12, 30)
    assert_exactly_once(deployment.masked(), {0: 12})
    assert len(deployment.masked()[0].value or b"") > len(large)


def test_topics_and_partitions_that_come_while_it_runs(deploy: Deploy) -> None:
    deployment = deploy()
    deployment.create(deployment.topic, 1)
    deployment.produce(10)
    worker = deployment.ready(deployment.start())
    other = f"{deployment.topic}.new"
    deployment.create(other, 2)
    deployment.produce(20, topic=other, partitions=2)
    until(lambda: deployment.audited() == 30, 30, worker.log.read_text)
    deployment.grow(deployment.topic, 3)
    until(lambda: deployment.partitions(deployment.masked_topic()) == 3, 30, worker.log.read_text)
    deployment.produce(30, partitions=3, first=10)
    until(lambda: deployment.audited() == 60, 30, worker.log.read_text)
    assert_exactly_once(deployment.masked(), {0: 20, 1: 10, 2: 10})
    assert_exactly_once(deployment.masked(other), {0: 10, 1: 10})


def test_a_partition_that_lost_records_is_halted_and_the_others_go_on(deploy: Deploy) -> None:
    """Records expired before they were masked; a topic was made anew, once while nobody looked and once under our eyes."""
    deployment = deploy()
    expired, anew, good = (f"{deployment.topic}.{name}" for name in ("expired", "anew", "good"))
    for topic in (expired, anew, good):
        deployment.create(topic, 1)
        deployment.produce(10, topic=topic)
    worker = deployment.ready(deployment.start())
    until(lambda: deployment.audited() == 30, 30)
    assert worker.kill(signal.SIGTERM) == 0

    deployment.produce(10, topic=expired, first=10)
    delete_records(deployment, expired, before=15)
    remake(deployment, anew)
    deployment.produce(20, topic=anew)
    deployment.produce(10, topic=good, first=10)
    worker = deployment.ready(deployment.start())
    until(lambda: deployment.audited() == 40, 30, worker.log.read_text)
    assert halted(worker) == {(expired, "out_of_range"), (anew, "other_incarnation")}
    assert len(deployment.masked(expired)) == len(deployment.masked(anew)) == 10

    remake(deployment, good)
    deployment.produce(30, topic=good)
    until(lambda: (good, "other_incarnation") in halted(worker), 30, worker.log.read_text)
    assert len(deployment.masked(good)) == 20


def test_postgresql_away_delays_rows_and_then_pauses_masking(own_stack: Stack, deploy: Deploy) -> None:
    deployment = deploy(own_stack, batch_records="10", audit_lag_limit="20")
    deployment.create(deployment.topic, 1)
    deployment.produce(100)
    worker = deployment.ready(deployment.start())
    until(lambda: worker.metric("cdc_masker_audit_lag") == 0 and deployment.audited() == 100, 20)
    own_stack.stop("postgres")
    deployment.produce(100, first=100)
    until(lambda: deployment.audited() == 200, 20, worker.log.read_text)
    for start in range(200, 20_000, 100):
        deployment.produce(100, first=start)
        if worker.page("ready")[0] == 503:
            break
    until(lambda: "masking pauses" in worker.log.read_text(), 10, worker.log.read_text)
    assert worker.page("ready") == (503, "the audit is too far behind\n")
    deployment.produce(1000, first=start + 100)
    assert deployment.audited() < start + 1100
    own_stack.start("postgres")
    until(lambda: deployment.audited() == start + 1100, 60, worker.log.read_text, every=0.5)
    until(lambda: worker.page("ready")[0] == 200, 30, worker.log.read_text)
    assert_exactly_once(deployment.masked(), {0: start + 1100})
    until(lambda: len(deployment.audit_rows()) == len(deployment.audit()), 30)
    assert_covered(deployment.audit(), {0: start + 1100})


def test_capture_writes_what_is_there_and_refuses_what_is_not(deploy: Deploy) -> None:
    deployment = deploy()
    deployment.create(deployment.topic, 2)
    deployment.produce(10, partitions=2)
    deployment.produce(2, partitions=2, first=10, abort=True)
    code, lines, _ = deployment.run("capture", deployment.topic)
    assert code == 0
    assert len(lines.splitlines()) == 10
    code, _, complaint = deployment.run("capture", "there.is.no.such.topic")
    assert code == 2
    assert "there.is.no.such.topic" in complaint


def test_it_waits_for_servers_and_topics_and_then_fails_for_somebody_to_start_it_again(deploy: Deploy) -> None:
    deployment = deploy()
    deployment.create(deployment.topic, 1)
    away = f"127.0.0.1:{free_port()}"
    refusals = {
        "CDC_MASKER_KAFKA_BROKERS": deployment.start(by="faust", kafka_brokers=away),
        "CDC_MASKER_SOURCE_TOPICS": deployment.start(source_topics="nothing.like.it"),
        "PostgreSQL": deployment.start(database_url=f"postgresql://somebody@{away}/shop"),
    }
    for remedy, worker in refusals.items():
        assert_refused(worker, remedy, code=EXIT_FAILED)


@pytest.mark.parametrize("by", ["faust", "cdc-masker"])
def test_it_refuses_wrong_settings_at_once(deploy: Deploy, by: str) -> None:
    assert_refused(deploy().start(by=by, keys_file=""), "CDC_MASKER_KEYS_FILE")


def test_it_refuses_a_port_that_is_taken(deploy: Deploy) -> None:
    deployment = deploy()
    deployment.create(deployment.topic, 1)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        assert_refused(deployment.start(web_port=str(taken.getsockname()[1])), "CDC_MASKER_WEB_PORT")


def test_each_refusal_tells_the_remedy(
    deploy: Deploy, fresh_database: Callable[[str], Database], kafka: Stack, tmp_path: Path
) -> None:
    deployment = deploy()
    deployment.create(deployment.topic, 1)
    stranger = f"stranger_{deployment.name}"
    kafka.sql(f"create role {stranger} login password 'secret'")
    deployment.create(f"{deployment.name}.other.{deployment.topic}", 1, cleanup_policy="compact")
    refusals: list[tuple[dict[str, str], str]] = [
        ({"database_url": fresh_database("empty").dsn}, "cdc-masker db upgrade"),
        ({"database_url": kafka.database(deployment.name).dsn_of(stranger, "secret")}, "grant"),
        ({"keys_file": str(tmp_path / "none.json")}, "cdc-masker keys new"),
        ({"source_topics": ""}, "CDC_MASKER_SOURCE_TOPICS"),
        ({"output_prefix": f"{deployment.name}.other."}, "kafka-configs.sh"),
    ]
    for settings, remedy in refusals:
        with pytest.raises(CdcMaskerError, match=re.escape(remedy)):
            asyncio.run(start_only(deployment.settings(**settings)))


@pytest.mark.parametrize("silent", ["CDC_MASKER_KAFKA_BROKERS", "CDC_MASKER_DATABASE_URL"])
def test_a_server_that_accepts_and_never_answers_is_named(deploy: Deploy, silent: str) -> None:
    deployment = deploy()
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        address = f"127.0.0.1:{server.getsockname()[1]}"
        wrong = {"CDC_MASKER_KAFKA_BROKERS": address, "CDC_MASKER_DATABASE_URL": f"postgresql://somebody@{address}/shop"}
        settings = deployment.settings(**{silent.removeprefix(PREFIX).lower(): wrong[silent]}, startup_timeout="4")
        with pytest.raises(TransientError, match=f"does not answer; check {silent}"):
            asyncio.run(start_only(settings))


async def start_only(settings: Settings) -> None:
    """What a worker does before Faust starts."""
    async with AsyncExitStack() as resources:
        await starting.start(settings, resources)


def assert_refused(worker: Worker, remedy: str, code: int = 2) -> None:
    """That exit code within 30 seconds and one sentence."""
    assert worker.process.wait(30) == code, worker.log.read_text()
    told = [line for line in worker.log.read_text().splitlines() if line.startswith("cdc-masker: ")]
    assert len(told) == 1, worker.log.read_text()
    assert remedy in told[0]
    assert "Traceback" not in worker.log.read_text()


def halted(worker: Worker) -> set[tuple[str, str]]:
    """(topic, code) of each partition that waits for somebody."""
    pattern = r'cdc_masker_partition_halted{code="(\w+)",partition="0",topic="([^"]+)"} 1'
    return {(topic, code) for code, topic in re.findall(pattern, worker.page("metrics")[1])}


def remake(deployment: Deployment, topic: str) -> None:
    """Deletes a topic and makes it again under its name."""
    deployment.delete(topic)
    until(lambda: topic not in deployment.topics(), 10)
    deployment.create(topic, 1)


def delete_records(deployment: Deployment, topic: str, *, before: int, partition: int = 0) -> None:
    those = {TopicPartition(topic, partition): RecordsToDelete(before_offset=before)}
    administer(deployment.stack.kafka_brokers, lambda admin: admin.delete_records(those))
