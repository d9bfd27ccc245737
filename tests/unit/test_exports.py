"""Exported entries: what is written can be read again, and nothing else can."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cdc_masker.events import AuditEntry
from cdc_masker.evidence import encode_entry, entry_hash
from cdc_masker.exports import BadExport, Exporter, Manifest, decode_manifest, encode_manifest, file_name, read
from tests.entries import chained, entry, note

CHAIN = chained(entry(0, 4), entry(5, 5, notes=(note(5, place="value"),)), entry(6, 20), entry(21, 30))
OTHER = chained(entry(100, 101, partition=7), entry(102, 110, partition=7))


def exported(entries: list[AuditEntry]) -> tuple[Manifest, list[bytes]]:
    exporter = Exporter("2026-03")
    lines = [exporter.line(each) for each in entries]
    return exporter.manifest(), lines


MANIFEST, LINES = exported([*CHAIN, *OTHER])


def test_what_was_exported_is_read_again() -> None:
    assert list(read(MANIFEST, LINES)) == [*CHAIN, *OTHER]
    assert decode_manifest(encode_manifest(MANIFEST)) == MANIFEST
    assert list(read(exported([])[0], [])) == []


def test_lines_are_the_bytes_of_the_audit_topic() -> None:
    assert [encode_entry(each) + b"\n" for each in (*CHAIN, *OTHER)] == LINES


def test_a_run_tells_what_it_joins() -> None:
    middle, _ = exported(CHAIN[1:3])
    (run,) = middle.runs
    assert (run.first_offset, run.last_offset, run.entries, middle.entries) == (5, 20, 2, 2)
    assert run.previous == entry_hash(encode_entry(CHAIN[0]))
    assert run.head == CHAIN[3].previous
    assert run.chain == (1, "shop.crm.customers", 3, "topic-id")


def test_a_hole_begins_another_run() -> None:
    manifest, lines = exported([CHAIN[0], *CHAIN[2:], *OTHER])
    assert [(run.partition, run.first_offset, run.last_offset) for run in manifest.runs] == [
        (3, 0, 4),
        (3, 6, 30),
        (7, 100, 110),
    ]
    assert len(list(read(manifest, lines))) == 5


@pytest.mark.parametrize(
    ("second", "problem"),
    [
        (replace(CHAIN[1], previous="sha256:other"), "does not name the hash"),
        (replace(CHAIN[1], first_offset=4), "covers offsets that the entry before it covers"),
        (CHAIN[0], "covers offsets that the entry before it covers"),
    ],
)
def test_what_is_no_chain_is_not_exported(second: AuditEntry, problem: str) -> None:
    with pytest.raises(BadExport, match=rf"entry of shop.crm.customers/3 from offset {second.first_offset} .*{problem}"):
        exported([CHAIN[0], second])


@given(st.data())
def test_no_change_goes_unnoticed(data: st.DataObject) -> None:
    whole = b"".join(LINES)
    start = data.draw(st.integers(0, len(whole) - 1))
    end = data.draw(st.integers(start, min(start + 300, len(whole))))
    put = data.draw(st.binary(max_size=4))
    changed = whole[:start] + put + whole[end:]
    if changed != whole:
        with pytest.raises(BadExport):
            list(read(MANIFEST, changed.splitlines(keepends=True)))


@given(st.permutations(LINES), st.integers(0, len(LINES)))
def test_lines_that_are_moved_or_missing_are_noticed(lines: list[bytes], count: int) -> None:
    if lines[:count] != LINES:
        with pytest.raises(BadExport):
            list(read(MANIFEST, lines[:count]))


@pytest.mark.parametrize(
    "text", [b"", b"{}", b"null", encode_manifest(MANIFEST).replace(b"export 1", b"export 2"), b'{"format":"\xff"}']
)
def test_what_is_no_manifest_is_refused(text: bytes) -> None:
    with pytest.raises(BadExport, match="manifest: it is not one of cdc-masker's exports"):
        decode_manifest(text)


def test_each_export_of_a_month_has_a_file_of_its_own() -> None:
    assert [file_name("2026-03", number) for number in (1, 2)] == ["audit-2026-03.jsonl", "audit-2026-03.2.jsonl"]
    assert all(left != right for left, right in pairwise(sorted(file_name("2026-03", number) for number in range(1, 12))))
