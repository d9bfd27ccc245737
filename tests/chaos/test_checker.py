"""The checker of chaos finds nothing in what is right, and each wrong that is done to it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import cache
from itertools import islice
from pathlib import Path
from random import Random
from typing import Any

import pytest
from msgspec import structs

from cdc_masker import evidence
from cdc_masker.batches import gathered
from cdc_masker.events import AuditEntry, Fate, Note, Record
from cdc_masker.keys import new_keyring
from cdc_masker.pipeline import Masker
from cdc_masker.policies import Policy, Rule
from tests.chaos.checker import (
    Finding,
    Makers,
    Partition,
    check_lag,
    check_partition,
    check_places,
    check_rows,
    check_verified,
    check_written,
    entry_row,
    find_canaries,
    note_row,
)
from tests.chaos.logs import check_end, check_log
from tests.chaos.source import events
from tests.integration.kit import CANARY

Tamper = Callable[[Partition], Partition]

TOPIC = "app.raw"
ENTRIES, RECORDS = 6, 25
KEYS = new_keyring()
NOW = 1_700_000_000_000
MAKERS = Makers(1, frozenset({"a worker"}), NOW - 1000, NOW + 1000)


def test_nothing_is_found_in_what_is_right() -> None:
    right = _made()
    assert check_partition(right, _masker) == []
    assert len(right.notes) > 1
    assert len({entry.policy_version for entry in _entries(right)}) == 2


def _without_masked(right: Partition) -> Partition:
    masked = list(right.masked)
    return replace(right, masked=[*masked[:30], *masked[31:]])


def _masked_twice(right: Partition) -> Partition:
    masked = list(right.masked)
    return replace(right, masked=[*masked[:30], masked[30], *masked[30:]])


def _last_masked_twice(right: Partition) -> Partition:
    masked = list(right.masked)
    return replace(right, masked=[*masked, masked[-1]])


def _swapped(right: Partition) -> Partition:
    masked = list(right.masked)
    masked[30], masked[31] = masked[31], masked[30]
    return replace(right, masked=masked)


def _invented(right: Partition) -> Partition:
    masked = list(right.masked)
    gap = _entries(right)[2].gaps[0][0]
    headers = ((name, _in_header(content, "o", gap)) for name, content in masked[0].headers)
    at = next(number for number, each in enumerate(masked) if each.offset > gap)
    return replace(right, masked=[*masked[:at], structs.replace(masked[at], headers=tuple(headers)), *masked[at:]])


def _other(**changes: object) -> Tamper:
    """One masked record in which something is other."""

    def tamper(right: Partition) -> Partition:
        masked = list(right.masked)
        masked[40] = structs.replace(masked[40], **changes)
        return replace(right, masked=masked)

    return tamper


def _other_version(right: Partition) -> Partition:
    masked = list(right.masked)
    last = masked[-1]
    headers = tuple((name, _in_header(content, "pv", 1)) for name, content in last.headers)
    return replace(right, masked=[*masked[:-1], structs.replace(last, headers=headers)])


def _without_note(right: Partition) -> Partition:
    return replace(right, notes=right.notes[1:])


def _note_twice(right: Partition) -> Partition:
    return replace(right, notes=[right.notes[0], *right.notes])


def _note_too_many(right: Partition) -> Partition:
    offset = next(iter(right.raw)).offset
    return replace(right, notes=[*right.notes, replace(right.notes[0], offset=offset)])


def _note_of_nothing(right: Partition) -> Partition:
    return replace(right, notes=[*right.notes, replace(right.notes[0], offset=10_000)])


def _other_note(right: Partition) -> Partition:
    return replace(right, notes=[replace(right.notes[0], place="after.email"), *right.notes[1:]])


def _without_entry(right: Partition) -> Partition:
    return replace(right, entries=[*right.entries[:2], *right.entries[3:]])


def _without_last_entry(right: Partition) -> Partition:
    return replace(right, entries=right.entries[:-1])


def _entry_twice(right: Partition) -> Partition:
    return replace(right, entries=[*right.entries[:2], right.entries[1], *right.entries[2:]])


def _other_entry(right: Partition, **changes: object) -> Partition:
    """One entry in which something is other, and those after it chained anew, as a forger would."""
    entries, head = [], ""
    for number, entry in enumerate(_entries(right)):
        changed = replace(entry, previous=head, **(changes if number == 2 else {}))  # type: ignore[arg-type]
        entries.append(evidence.encode_entry(changed))
        head = evidence.entry_hash(entries[-1])
    return replace(right, entries=entries)


def _other_entry_unchained(right: Partition) -> Partition:
    changed = replace(_entries(right)[2], worker="somebody else")
    return replace(right, entries=[*right.entries[:2], evidence.encode_entry(changed), *right.entries[3:]])


@pytest.mark.parametrize(
    ("kind", "tamper"),
    [
        ("lost", _without_masked),
        ("order", _masked_twice),
        ("invented", _last_masked_twice),
        ("order", _swapped),
        ("invented", _invented),
        ("impure", _other(value=b'{"after":{"id":1}}')),
        ("impure", _other(value=None)),
        ("impure", _other(key=b"{}")),
        ("impure", _other(timestamp=1)),
        ("version", _other_version),
        ("lost", _without_note),
        ("twice", _note_twice),
        ("twice", _note_too_many),
        ("invented", _note_of_nothing),
        ("impure", _other_note),
        ("tiling", _without_entry),
        ("uncovered", _without_last_entry),
        ("tiling", _entry_twice),
        ("chain", _other_entry_unchained),
        ("entry", lambda right: _other_entry(right, counts=dict.fromkeys(Fate, 5))),
        ("entry", lambda right: _other_entry(right, columns={})),
        ("entry", lambda right: _other_entry(right, gaps=())),
        ("entry", lambda right: _other_entry(right, notes=())),
        ("entry", lambda right: _other_entry(right, root=f"sha256:{'0' * 64}")),
        ("entry", lambda right: _other_entry(right, generation=2)),
        ("entry", lambda right: _other_entry(right, incarnation="another id")),
        ("entry", lambda right: _other_entry(right, partition=1)),
        ("maker", lambda right: _other_entry(right, worker="somebody else")),
        ("maker", lambda right: _other_entry(right, masked_at=NOW - 1001)),
        ("maker", lambda right: _other_entry(right, masked_at=NOW + 1001)),
        ("entry", lambda right: _other_entry(right, policy_digest=f"sha256:{'0' * 64}")),
        ("tiling", lambda right: _other_entry(right, last_offset=_entries(right)[2].last_offset - 1)),
    ],
)
def test_a_wrong_is_found(kind: str, tamper: Tamper) -> None:
    findings = check_partition(tamper(_made()), _masker)
    assert kind in {finding.kind for finding in findings}, findings
    assert CANARY not in str(findings)


def test_rows_are_the_entries() -> None:
    right = _made()
    rows = [entry_row(entry) for entry in _entries(right)]
    notes = [note_row(note) for entry in _entries(right) for note in entry.notes]
    assert check_rows(right.entries, rows, notes) == []
    other = [entry_row(replace(_entries(right)[0], **change)) for change in CHANGES]
    for tampered in (rows[1:], [*rows, rows[0]], *([row, *rows[1:]] for row in other)):
        assert _kinds(check_rows(right.entries, tampered, notes)) == {"rows"}
    for tampered in (notes[1:], [*notes, notes[0]], [f"{notes[0]}x", *notes[1:]]):
        assert _kinds(check_rows(right.entries, rows, tampered)) == {"note rows"}


CHANGES: list[dict[str, Any]] = [{"generation": 2}, {"incarnation": "another id"}, {"root": "another"}, {"masked_at": NOW + 1}]


def test_notes_and_entries_are_of_sources_only() -> None:
    assert check_places("entries", [("a", 0)], [("a", 0), ("a", 1)]) == []
    for place in (("a", 2), ("b", 0)):
        assert _kinds(check_places("entries", [("a", 0), place], [("a", 0), ("a", 1)])) == {"invented"}


def test_what_is_read_is_what_was_written() -> None:
    assert check_written({"a[0]": 7, "a[1]": 5}, {"a[0]": (7, 0), "a[1]": (3, 2)}) == []
    for read, written in ((6, (7, 0)), (8, (7, 0)), (2, (3, 2)), (6, (3, 2)), (0, (0, 0)), (2, (0, 2))):
        assert _kinds(check_written({"a[0]": read}, {"a[0]": written})) == {"source"}
    assert _kinds(check_written({}, {"a[0]": (7, 0)})) == {"source"}


def test_a_verification_that_says_nothing_did_not_come_to_its_end() -> None:
    assert check_verified(0, "all is well") == []
    assert [finding.told for finding in check_verified(1, "one\ntwo")] == ["one", "two"]
    for code in (-9, 1, 137):
        assert _kinds(check_verified(code, "")) == {"verify"}


def _line(level: str, logger: str, message: str) -> str:
    return json.dumps({"time": "12:00", "level": level, "logger": logger, "message": message, "offset": 3}) + "\n"


def test_an_error_of_a_worker_is_a_finding_and_a_complaint_of_a_client_is_not(tmp_path: Path) -> None:
    log = tmp_path / "worker-3.log"
    fine = [_line("ERROR", "aiokafka.conn", "no connection"), _line("WARNING", "cdc_masker.kafka.lanes", "a record"), "Cut {"]
    fine.insert(0, _line("ERROR", "cdc_masker.kafka.transport", "[^-ConsumerThread]: Thread keepalive is not responding..."))
    log.write_text("".join(fine))
    assert check_log(log) == []
    halted = "a[0] is halted: the audit in the catalog does not end with the entry that the committed offset names"
    log.write_text("".join([fine[0], _line("ERROR", "cdc_masker.kafka.lanes", halted), *fine]))
    assert check_log(log) == [Finding("log", "worker-3", f"12:00 {halted}")]


ENDS = "; the process ends, and the next one goes on at the committed offsets"


@pytest.mark.parametrize(
    ("reason", "allowed"),
    [
        (f"publishing a.b[0] from offset 7: Kafka did not end it within 15 s{ENDS}", True),
        (f"publishing a.b[0] from offset 7: the connection to Kafka was lost in the middle of it{ENDS}", True),
        (f"a.b[0]: it was fenced, and is still assigned to this worker{ENDS}", True),
        ("no Kafka broker answers at here:9092, or it refuses TLS or login; check it", True),
        ("Kafka does not answer; check CDC_MASKER_KAFKA_BROKERS, and that the server runs there", True),
        (f"publishing a.b[0] from offset 7: KafkaError at sender.py:191 in _sender_routine{ENDS}", False),
        (f"masking a.b[0] from offset 7: IllegalOperation at producer.py:561 in send_batch{ENDS}", False),
        (f"copying the audit: offset 3 of audit is no audit entry, so something other writes there{ENDS}", False),
        ("no topic matches CDC_MASKER_SOURCE_TOPICS='a'; start the connector, or correct the pattern", False),
    ],
)
def test_a_worker_ends_by_itself_for_a_named_reason_only(reason: str, allowed: bool, tmp_path: Path) -> None:
    log = tmp_path / "worker-3.log"
    log.write_text(_line("WARNING", "cdc_masker.kafka.lanes", "a record") + _line("CRITICAL", "cdc_masker", reason))
    assert check_end(log, 3) == ([] if allowed else [Finding("end", "worker-3", f"exit code 3: 12:00 {reason}")])
    for code in (0, 1, 2, -9):
        assert _kinds(check_end(log, code)) == {"end"}
    log.write_text(_line("CRITICAL", "aiokafka", reason) + "Fatal Python error\n")
    assert check_end(log, 3) == [Finding("end", "worker-3", "exit code 3: without a reason")]


def test_masking_got_to_the_end() -> None:
    assert check_lag({"a[0]": 7, "a[1]": 0}, {"a[0]": 8}) == []
    assert check_lag({"a[0]": 7, "a[1]": 1}, {"a[0]": 6}) == [
        Finding("lag", "a[0]", "masked up to 6 of 7"),
        Finding("lag", "a[1]", "masked up to 0 of 1"),
    ]


@pytest.mark.parametrize("form", [CANARY.encode(), CANARY.upper().encode(), CANARY.encode().hex().encode()])
def test_a_canary_is_found_across_chunks(form: bytes) -> None:
    assert find_canaries(CANARY.encode(), "log", [b"nothing ", b"here"]) == []
    assert _kinds(find_canaries(CANARY.encode(), "log", [b"x " + form[:7], form[7:] + b" y"])) == {"canary"}


@cache
def _masker(version: int) -> Masker:
    table: dict[str, Any] = {"schema": "shop", "table": "customers", "reason": "a test"}
    name = Rule(**table, column="name", type="text", method={1: "redact", 2: "tokenize"}[version])
    return Masker(Policy.of(version, rules=[Rule(**table, column="id", method="keep"), name]), KEYS)


@cache
def _made() -> Partition:
    """A partition with a gap in each batch, of which the last half has another policy version."""
    random, position, head = Random("a seed"), 0, ""
    raw: list[Record] = []
    masked: list[Record] = []
    notes: list[Note] = []
    entries: list[bytes] = []
    drawn = events(random)
    for number in range(ENTRIES):
        start = position
        records = []
        for index, (key, value, headers) in enumerate(islice(drawn, RECORDS)):
            position += 4 if index == RECORDS // 2 else 1
            value = b"no JSON" if index == 20 else value
            records.append(Record(TOPIC, 0, position - 1, 1000 + position, key, value, tuple(headers)))
        position += 1  # the marker of the transaction
        masker = _masker(1 if number < ENTRIES // 2 else 2)
        outcomes = [masker.mask(record) for record in records]
        entry = evidence.audit_entry(
            gathered(outcomes),
            topic=TOPIC,
            partition=0,
            start=start,
            end=position,
            previous=head,
            policy=masker.policy,
            generation=1,
            incarnation="an id",
            masked_at=NOW,
            worker="a worker",
        )
        entries.append(evidence.encode_entry(entry))
        head = evidence.entry_hash(entries[-1])
        raw += records
        notes += entry.notes
        masked += [
            Record("copy", 0, each.offset, each.timestamp, each.key, each.value, each.headers)
            for each in outcomes
            if each.published
        ]
    return Partition(TOPIC, 0, "an id", MAKERS, raw, masked, notes, entries)


def _entries(partition: Partition) -> list[AuditEntry]:
    return [evidence.decode_entry(entry) for entry in partition.entries]


def _in_header(content: bytes | None, name: str, number: int) -> bytes:
    told = dict(item.split("=") for item in (content or b"").decode().split(";"))
    return ";".join(f"{key}={value}" for key, value in {**told, name: str(number)}.items()).encode()


def _kinds(findings: Iterable[Finding]) -> set[str]:
    return {finding.kind for finding in findings}
