"""`cdc-masker replay file` on the real stack: a capture of a topic becomes what a worker made of the topic."""

from __future__ import annotations

from pathlib import Path

import pytest

from cdc_masker.codecs.capture import decode_line
from cdc_masker.events import AuditEntry, Record
from cdc_masker.evidence import decode_entry
from tests.integration.conftest import Deploy
from tests.integration.kit import CANARY, Deployment, event, until

pytestmark = pytest.mark.stack

RECORDS = 300


def some_poison(number: int) -> tuple[bytes | None, bytes | None]:
    return event(number) if number % 50 else (b"{}", b"no JSON " + CANARY.encode())


def test_the_files_are_what_the_worker_published_byte_for_byte(deploy: Deploy) -> None:
    deployment = deploy(batch_records="40")
    deployment.create(deployment.topic, partitions=2)
    deployment.produce(RECORDS // 2, partitions=2, make=some_poison)
    deployment.produce(30, partitions=2, abort=True)
    deployment.produce(RECORDS // 2, partitions=2, first=RECORDS // 2, make=some_poison, transactional=True)
    worker = deployment.ready(deployment.start())
    until(lambda: deployment.audited() == RECORDS, 60, worker.log.read_text)
    worker.kill()

    assert succeeded(deployment, "capture", deployment.topic, "-o", "raw.jsonl") == ""
    told = succeeded(deployment, "replay", "file", "raw.jsonl", "--to", "out")
    assert f"{RECORDS} records, under policy version 1, sha256:" in told
    out = deployment.home / "out"
    succeeded(deployment, "capture", deployment.masked_topic(), "-o", "masked.jsonl")
    assert published(out / "masked.jsonl") == published(deployment.home / "masked.jsonl")

    by_worker = deployment.audit()
    entries = [decode_entry(line) for line in (out / "audit.jsonl").read_bytes().splitlines()]
    assert summed(entries) == summed(by_worker)
    assert {entry.incarnation for entry in entries} == {"capture"}
    assert "audit fits" in succeeded(deployment, "audit", "verify-files", "out", "--raw", "raw.jsonl", "--recompute")
    for file in out.iterdir():
        assert CANARY.encode() not in file.read_bytes()


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
