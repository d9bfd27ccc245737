"""`cdc-masker replay file` on the real stack: a capture of a topic becomes what a worker made of the topic."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from cdc_masker.codecs.capture import decode_line
from cdc_masker.events import AuditEntry, Record
from cdc_masker.evidence import decode_entry
from tests.integration.conftest import Deploy
from tests.integration.kit import CANARY, Deployment, event, until
from tests.integration.test_worker import delete_records

pytestmark = pytest.mark.stack

RECORDS = 300


def some_poison(number: int) -> tuple[bytes | None, bytes | None]:
    return event(number) if number % 50 else (b"{}", b"no JSON " + CANARY.encode())


def test_a_capture_becomes_what_the_worker_published_byte_for_byte(deploy: Deploy) -> None:
    deployment = deploy(batch_records="10")
    deployment.create(deployment.topic, partitions=2)
    deployment.produce(RECORDS // 2, partitions=2, make=some_poison)
    deployment.produce(30, partitions=2, abort=True)
    deployment.produce(RECORDS // 2, partitions=2, first=RECORDS // 2, make=some_poison, transactional=True)
    worker = deployment.ready(deployment.start())
    until(lambda: deployment.audited() == RECORDS, 60, worker.log.read_text)
    worker.kill()
    succeeded(deployment, "capture", deployment.topic, "-o", "raw.jsonl")
    succeeded(deployment, "capture", deployment.masked_topic(), "-o", "masked.jsonl")
    into_files(deployment)
    for partition in range(2):
        delete_records(deployment, deployment.topic, before=RECORDS // 2 - 20, partition=partition)
    into_kafka(deployment)


def into_files(deployment: Deployment) -> None:
    told = succeeded(deployment, "replay", "file", "raw.jsonl", "--output", "out")
    assert f"{RECORDS} records, under policy version 1, sha256:" in told
    out = deployment.home / "out"
    assert published(out / "masked.jsonl") == published(deployment.home / "masked.jsonl")
    entries = [decode_entry(line) for line in (out / "audit.jsonl").read_bytes().splitlines()]
    assert summed(entries) == summed(deployment.audit())
    assert {entry.incarnation for entry in entries} == {"capture"}
    assert "audit fits" in succeeded(deployment, "audit", "verify-files", "out", "--raw", "raw.jsonl", "--recompute")
    for file in out.iterdir():
        assert CANARY.encode() not in file.read_bytes()


def into_kafka(deployment: Deployment) -> None:
    """After most of the records expired; killed in the middle, and gone on with."""
    copy = f"{deployment.masked_topic()}.g2"
    begun = started(deployment, "--reason", "a test")
    until(lambda: copy in deployment.topics() and len(deployment.records(copy)) > 20, 60, begun.poll)
    begun.kill()
    assert begun.wait() != 0
    assert len(deployment.records(copy)) < RECORDS - 10, "it was killed too late"

    (deployment.home / "other.jsonl").write_bytes(b"".join((deployment.home / "raw.jsonl").read_bytes().splitlines(True)[1:]))
    code, _, told = deployment.run("replay", "file", "other.jsonl", "--generation", "2")
    assert (code, "was begun with other partitions or offsets" in told) == (2, True)
    told = succeeded(deployment, "replay", "file", "raw.jsonl", "--generation", "2")
    assert f"{RECORDS} records of 2 partitions" in told

    succeeded(deployment, "capture", copy, "-o", "copy.jsonl")
    live, name = (deployment.home / "masked.jsonl").read_bytes(), deployment.masked_topic()
    live = live.replace(b";g=1;", b";g=2;").replace(f'"{name}"'.encode(), f'"{copy}"'.encode())
    (deployment.home / "renamed.jsonl").write_bytes(live)
    assert published(deployment.home / "copy.jsonl") == published(deployment.home / "renamed.jsonl")
    by_generation = [[entry for entry in deployment.audit() if entry.generation == number] for number in (1, 2)]
    assert summed(by_generation[0]) == summed(by_generation[1])
    assert "the audit fits" in succeeded(deployment, "audit", "verify", "--recompute")


def test_a_capture_of_another_topic_is_not_masked_into_kafka(deploy: Deploy) -> None:
    deployment = deploy()
    deployment.create(deployment.topic)
    deployment.produce(5)
    succeeded(deployment, "capture", deployment.topic, "-o", "raw.jsonl")
    deployment.environment["CDC_MASKER_SOURCE_TOPICS"] = "other"
    refused(deployment, "SOURCE_TOPICS does not match")
    deployment.environment["CDC_MASKER_SOURCE_TOPICS"] = deployment.topic
    deployment.delete(deployment.topic)
    until(lambda: deployment.topic not in deployment.topics(), 30)
    refused(deployment, "is not there")
    deployment.create(deployment.topic)
    refused(deployment, "deleted and made again")
    deployment.produce(9, first=100)
    refused(deployment, "deleted and made again")


def refused(deployment: Deployment, why: str) -> None:
    code, _, told = deployment.run("replay", "file", "raw.jsonl", "--reason", "a test")
    assert (code, why in told, CANARY in told) == (2, True, False), told


def started(deployment: Deployment, *arguments: str) -> subprocess.Popen[bytes]:
    """`cdc-masker replay file` as a process."""
    program = str(Path(sys.executable).parent / "cdc-masker")
    return subprocess.Popen(
        [program, "replay", "file", "raw.jsonl", *arguments],
        cwd=deployment.home,
        env=deployment.environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def succeeded(deployment: Deployment, *arguments: str) -> str:
    code, out, err = deployment.run(*arguments)
    assert code == 0, err
    assert CANARY not in out + err
    return out


def published(path: Path) -> dict[tuple[str, int], list[object]]:
    """By partition, all but the offsets, between which Kafka has its markers."""
    found: dict[tuple[str, int], list[object]] = {}
    for line in path.read_bytes().splitlines():
        one: Record = decode_line(line)
        found.setdefault((one.topic, one.partition), []).append((one.timestamp, one.key, one.value, one.headers))
    return found


def summed(entries: list[AuditEntry]) -> dict[int, tuple[object, ...]]:
    """By partition, what the entries say in all."""
    found: dict[int, tuple[object, ...]] = {}
    for number in {entry.partition for entry in entries}:
        chain = [entry for entry in entries if entry.partition == number]
        counts = {fate: sum(entry.counts[fate] for entry in chain) for fate in chain[0].counts}
        columns: dict[tuple[str, str, str], int] = {}
        for entry in chain:
            for table, of in entry.columns.items():
                for column, methods in of.items():
                    for method, count in methods.items():
                        columns[table, column, method] = columns.get((table, column, method), 0) + count
        notes = tuple(note for entry in chain for note in entry.notes)
        under = {(entry.policy_version, entry.policy_digest, entry.policy_seal, entry.key_epoch) for entry in chain}
        found[number] = chain[0].first_offset, counts, columns, notes, under
    return found
