"""What the audit is verified with besides rows and records: exports, checkpoints, and masking anew."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from msgspec import structs

from cdc_masker import heads
from cdc_masker.audit.archive import Archive, together
from cdc_masker.audit.checkpoints import kept, newest
from cdc_masker.audit.findings import Report
from cdc_masker.audit.recomputing import KnownSubjects, Recomputer
from cdc_masker.audit.records import NotCheckable
from cdc_masker.errors import SetupError
from cdc_masker.events import AuditEntry
from cdc_masker.exports import Exporter, encode_manifest
from cdc_masker.heads import Chain, Head, Heads
from cdc_masker.methods import NO_SUBJECTS
from cdc_masker.pipeline import Masker
from cdc_masker.ports import Unreadable
from tests.copies import World, event, masker, policies
from tests.entries import chained, entry

# Exports


def write(directory: Path, month: str, entries: list[AuditEntry]) -> Path:
    """Exports entries as `cdc-masker audit retire` does."""
    exporter = Exporter(month)
    lines = b"".join(exporter.line(each) for each in entries)
    manifest = exporter.manifest()
    (directory / manifest.file).write_bytes(lines)
    (directory / f"audit-{month}.json").write_bytes(encode_manifest(manifest))
    return directory / manifest.file


def test_an_archive_gives_a_chain_out_of_all_its_files(tmp_path: Path) -> None:
    one = chained(*(entry(first, first + 9) for first in range(0, 60, 10)))
    other = chained(*(entry(first, first + 9, partition=7) for first in range(0, 40, 10)))
    write(tmp_path, "2026-08", [*one[:2], *other[:1]])
    write(tmp_path, "2026-09", [*one[2:5], *other[1:]])
    report = Report()
    archive = Archive(tmp_path, report)
    assert report.findings == []
    assert list(archive.entries(Chain(1, one[0].topic, 3, "topic-id"))) == one[:5]
    assert list(archive.entries(Chain(1, one[0].topic, 7, "topic-id"))) == other
    assert list(archive.entries(Chain(2, one[0].topic, 7, "topic-id"))) == []
    assert sorted(chain.partition for chain in archive.chains()) == [3, 7]
    assert archive.covering(1, one[0].topic, 3, 25) == {Chain(1, one[0].topic, 3, "topic-id"): 20}
    assert archive.covering(1, one[0].topic, 3, 50) == archive.covering(2, one[0].topic, 3, 25) == {}


def test_what_is_stored_and_exported_is_given_once() -> None:
    entries = chained(*(entry(first, first + 9) for first in range(0, 50, 10)))
    strange = Unreadable(25, "a test")
    assert list(together(entries[:3], [*entries[1:3], strange, *entries[3:]])) == [*entries[:3], strange, *entries[3:]]


def test_an_export_that_was_changed_is_a_finding(tmp_path: Path) -> None:
    file = write(tmp_path, "2026-08", chained(entry(0, 9), entry(10, 19)))
    file.write_bytes(file.read_bytes().replace(b"worker-1", b"worker-2"))
    report = Report()
    archive = Archive(tmp_path, report)
    assert [finding.code.value for finding in report.findings] == ["unreadable"]
    assert archive.chains() == []


def test_a_directory_without_exports_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SetupError, match="holds no manifest"):
        Archive(tmp_path, Report())


# Checkpoints

KEY = Ed25519PrivateKey.generate()
CHAIN = Chain(1, "shop.crm.customers", 0, "x")


def note(last_offset: int) -> bytes:
    told = Heads("example.com/audit", {CHAIN: Head(last_offset, "sha256:00")})
    return heads.write(told, KEY.public_key().public_bytes_raw(), KEY.sign(heads.text(told).encode()))


def test_checkpoints_come_out_of_files_and_directories(tmp_path: Path) -> None:
    (tmp_path / "00000001.note").write_bytes(note(1))
    (tmp_path / "00000002.note").write_bytes(note(2))
    (tmp_path / "all").write_bytes(note(3) + note(4))
    keys = [KEY.public_key().public_bytes_raw()]
    found = dict(kept([tmp_path, tmp_path / "all"], keys))
    assert {name: told.by_chain[CHAIN].last_offset for name, told in found.items()} == {
        "checkpoint 00000001.note, note 1,": 1,
        "checkpoint 00000002.note, note 1,": 2,
        "checkpoint all, note 1,": 3,
        "checkpoint all, note 2,": 4,
    }
    assert [newest(path, keys).note for path in (tmp_path, tmp_path / "all")] == [note(2), note(4)]
    assert newest(tmp_path, keys).heads == found["checkpoint 00000002.note, note 1,"]


@pytest.mark.parametrize(
    "text",
    [b"", b"nothing\n", note(1)[:-1], b"x" + note(1), note(1) + b"x\n"],
    ids=["empty", "text", "cut", "more before", "more behind"],  # the key is another one in each process
)
def test_what_is_no_checkpoint_is_refused(tmp_path: Path, text: bytes) -> None:
    (tmp_path / "a.note").write_bytes(text)
    with pytest.raises(SetupError, match=r"a\.note"):
        list(kept([tmp_path / "a.note"], [KEY.public_key().public_bytes_raw()]))


def test_a_checkpoint_of_somebody_else_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.note").write_bytes(note(1))
    with pytest.raises(SetupError, match="no key that is known signed the note"):
        list(kept([tmp_path], [bytes(32)]))


# Masking anew


def recomputer(share: float = 1.0, seed: int = 0) -> Recomputer:
    return Recomputer(under, lambda masker: NO_SUBJECTS, share=share, seed=seed)


def under(entry: AuditEntry) -> Masker:
    return masker(policies()[entry.policy_version])


def test_masking_anew_gives_the_same_bytes() -> None:
    world = World.make()
    report = world.find(recompute=recomputer())
    assert report.findings == []
    assert report.summaries[world.chain].recomputed == 54


def test_a_masked_record_that_does_not_follow_from_the_raw_one_is_named() -> None:
    world = World.make()
    world.raw[12] = structs.replace(world.raw[12], value=(world.raw[12].value or b"").replace(b'"id":13', b'"id":14'))
    report = world.find(recompute=recomputer())
    assert [(each.code.value, each.offset) for each in report.findings] == [("recomputed", 13)]
    assert "gives another value" in report.findings[0].problem
    assert world.find().findings == []  # without the keys it looks right


def test_a_record_that_was_quarantined_without_a_reason_is_named() -> None:
    world = World.make()
    world.raw[13] = structs.replace(event(15), offset=14)
    report = world.find(recompute=recomputer())
    assert [(each.code.value, each.offset) for each in report.findings] == [("recomputed", 14)]


def test_wrong_counts_by_column_show_where_all_records_are_masked_anew() -> None:
    world = World.make()
    columns = {"shop.customers": {"name": {"keep": 1}}}
    world.entries = chained(*(replace(each, columns=columns) if each.first_offset == 20 else each for each in world.entries))
    world.publish()
    (found,) = world.find(recompute=recomputer()).findings
    assert (found.code.value, found.offset) == ("recomputed", 20)
    assert "counts by column and method" in found.problem
    assert world.find(recompute=recomputer(0.5)).findings == []


def test_a_sample_is_drawn_by_its_seed() -> None:
    world = World.make(200)
    counts = [world.find(recompute=recomputer(0.2, seed)).summaries[world.chain].recomputed for seed in (1, 1, 2, 3)]
    assert counts[0] == counts[1]
    assert all(15 < count < 60 for count in counts)
    drawn = [[each.offset for each in world.raw if recomputer(0.2, seed).draws(each)] for seed in (1, 2)]
    assert drawn[0] != drawn[1]


def test_what_can_not_be_masked_anew_is_counted() -> None:
    world = World.make()
    assert world.find(recompute=Recomputer(_unknown, lambda masker: NO_SUBJECTS)).summaries[world.chain].unchecked == Counter(
        {"records of policy versions that nobody knows": 54}
    )


def _unknown(entry: AuditEntry) -> Masker:
    raise NotCheckable("records of policy versions that nobody knows")


def test_a_subject_without_a_key_is_not_checkable() -> None:
    with pytest.raises(NotCheckable, match="erased"):
        KnownSubjects(lambda domain, subject: None).key("d", "s", "t", 0, 0)
    assert KnownSubjects(lambda domain, subject: b"key").key("d", "s", "t", 0, 0) == b"key"
