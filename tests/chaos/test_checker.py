"""The checker of chaos finds nothing in what is right, and each wrong that is done to it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import cache
from itertools import islice
from random import Random
from typing import Any

import pytest

from cdc_masker import evidence
from cdc_masker.batches import gathered
from cdc_masker.events import AuditEntry, Fate, Note, Record
from cdc_masker.keys import new_keyring
from cdc_masker.pipeline import Masker
from cdc_masker.policies import Policy, Rule
from tests.chaos.checker import (
    Finding,
    Partition,
    check_lag,
    check_partition,
    check_rows,
    entry_row,
    find_canaries,
    note_row,
)
from tests.chaos.source import events
from tests.integration.kit import CANARY

Tamper = Callable[[Partition], Partition]

TOPIC = "app.raw"
ENTRIES, RECORDS = 6, 25
KEYS = new_keyring()


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
    return replace(right, masked=[*masked[:at], replace(masked[at], headers=tuple(headers)), *masked[at:]])


def _other(**changes: object) -> Tamper:
    """One masked record in which something is other."""

    def tamper(right: Partition) -> Partition:
        masked = list(right.masked)
        masked[40] = replace(masked[40], **changes)  # type: ignore[arg-type]
        return replace(right, masked=masked)

    return tamper


def _other_version(right: Partition) -> Partition:
    masked = list(right.masked)
    last = masked[-1]
    headers = tuple((name, _in_header(content, "pv", 1)) for name, content in last.headers)
    return replace(right, masked=[*masked[:-1], replace(last, headers=headers)])


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
    for tampered in (rows[1:], [*rows, rows[0]], [rows[0].replace("sha256:", "sha256:0"), *rows[1:]]):
        assert _kinds(check_rows(right.entries, tampered, notes)) == {"rows"}
    for tampered in (notes[1:], [*notes, notes[0]], [f"{notes[0]}x", *notes[1:]]):
        assert _kinds(check_rows(right.entries, rows, tampered)) == {"note rows"}


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
            masked_at=1_700_000_000_000,
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
    return Partition(TOPIC, 0, raw, masked, notes, entries)


def _entries(partition: Partition) -> list[AuditEntry]:
    return [evidence.decode_entry(entry) for entry in partition.entries]


def _in_header(content: bytes | None, name: str, number: int) -> bytes:
    told = dict(item.split("=") for item in (content or b"").decode().split(";"))
    return ";".join(f"{key}={value}" for key, value in {**told, name: str(number)}.items()).encode()


def _kinds(findings: Iterable[Finding]) -> set[str]:
    return {finding.kind for finding in findings}
