"""Verifying the audit over records and rows in memory: nothing is found where all is right, and each wrong has its place."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
from msgspec import structs

from cdc_masker.audit.chains import Told
from cdc_masker.audit.findings import Code, Report
from cdc_masker.audit.published import Index
from cdc_masker.audit.records import RawLog, read_origin
from cdc_masker.audit.verifying import Copy, verify
from cdc_masker.events import Acceptance, AuditEntry, Fate
from cdc_masker.evidence import decode_entry, encode_entry, head_of
from cdc_masker.exports import Run
from cdc_masker.heads import Head
from cdc_masker.ports import Unreadable
from tests.copies import World, event, receipt, verify_lives
from tests.entries import chained

Tampering = Callable[[World], object]


def places(report: Report) -> set[tuple[str, int | None]]:
    return {(finding.code.value, finding.offset) for finding in report.findings}


def row(world: World, number: int) -> AuditEntry:
    found = world.rows[number]
    assert isinstance(found, AuditEntry)
    return found


def edit(world: World, number: int, **changes: object) -> None:
    world.rows[number] = replace(row(world, number), **changes)  # type: ignore[arg-type]


def rehash(world: World, number: int, **changes: object) -> None:
    """Changes an entry and makes the chain, the rows, the audit topic and the committed offset anew."""
    world.entries[number] = replace(world.entries[number], **changes)  # type: ignore[arg-type]
    world.entries = chained(*world.entries)
    world.publish()


def change_record(world: World, number: int, **changes: object) -> None:
    world.masked[number] = structs.replace(world.masked[number], **changes)


TAMPERINGS: dict[str, tuple[Tampering, set[tuple[str, int | None]]]] = {
    "a row's worker": (lambda w: edit(w, 2, worker="nobody"), {("row", 20), ("chain", 30)}),
    "the last row's time": (lambda w: edit(w, 5, masked_at=1), {("row", 50), ("head", 59)}),
    "a row's counts": (
        lambda w: edit(w, 1, counts={**row(w, 1).counts, Fate.MASKED: 99}),
        {("row", 10), ("chain", 20), ("counts", 10), ("missing", 10)},
    ),
    "a row is gone": (
        lambda w: w.rows.pop(2),
        {("hole", 20), ("chain", 30), ("not_stored", 20), ("extra", 20), ("uncovered", 20)},
    ),
    "the first row is gone": (lambda w: w.rows.pop(0), {("beginning", 10), ("not_stored", 0), ("extra", 0), ("uncovered", 0)}),
    "the rows' tail is gone": (lambda w: w.rows.pop(), {("not_stored", 50), ("head", 50), ("extra", 50), ("uncovered", 50)}),
    "a row is there twice": (lambda w: w.rows.insert(2, w.rows[1]), {("overlap", 10), ("chain", 10), ("not_published", 10)}),
    "a row is none": (
        lambda w: w.rows.__setitem__(3, Unreadable(30, "a test")),
        {("unreadable", 30), ("hole", 30), ("chain", 40), ("not_stored", 30), ("extra", 30), ("uncovered", 30)},
    ),
    "an entry of the topic": (
        lambda w: w.published.__setitem__(2, encode_entry(replace(decode_entry(w.published[2]), worker="x"))),
        {("row", 20)},
    ),
    "an entry of the topic is no entry": (
        lambda w: w.published.__setitem__(2, w.published[2] + b" "),
        {("unreadable", 2), ("not_published", 20)},
    ),
    "an entry of the topic is gone": (lambda w: w.published.pop(2), {("not_published", 20)}),
    "an entry of the topic comes again": (lambda w: w.published.append(w.published[2]), {("order", 20)}),
    "all of it is cut": (
        lambda w: (w.rows.pop(), w.published.pop()),
        {("head", 50), ("extra", 50), ("uncovered", 50)},
    ),
    "the committed head": (lambda w: setattr(w, "position", Head(59, "sha256:00")), {("head", 59)}),
    "the committed offset goes back": (
        lambda w: setattr(w, "position", Head(49, w.head.hash)),
        {("head", 50)},
    ),
    "a masked value": (lambda w: change_record(w, 12, value=b"{}"), {("root", 10)}),
    "a masked key is null": (lambda w: change_record(w, 12, key=None), {("root", 10)}),
    "a masked timestamp": (lambda w: change_record(w, 12, timestamp=1), {("root", 10)}),
    "a masked record is gone": (lambda w: w.masked.pop(12), {("missing", 10), ("missing", 15), ("root", 10)}),
    "masked records are swapped": (
        lambda w: w.masked.insert(12, w.masked.pop(13)),
        {("order", 15), ("missing", 10), ("missing", 15), ("root", 10)},
    ),
    "a masked record comes again": (lambda w: w.masked.insert(20, w.masked[12]), {("order", 15)}),
    "the last masked record comes again": (lambda w: w.masked.append(w.masked[-1]), {("order", 57)}),
    "a masked record without our header": (
        lambda w: change_record(w, 12, headers=()),
        {("foreign", None), ("missing", 10), ("missing", 15), ("root", 10)},
    ),
    "a masked record of a later offset": (
        lambda w: w.masked.insert(3, w.masked[-1]),
        {("order", 57)},
    ),
    "an entry hides a record": (
        lambda w: rehash(w, 1, gaps=((12, 12), (19, 19)), counts={**w.entries[1].counts, Fate.MASKED: 6}),
        {("hidden", 12), ("counts", 10)},
    ),
    "another policy version": (lambda w: rehash(w, 1, policy_version=2), {("policy", 10), ("policy", 20), ("version", 10)}),
    "a policy version that never was": (lambda w: rehash(w, 5, policy_version=9), {("policy", 50), ("version", 50)}),
    "another seal": (lambda w: rehash(w, 1, policy_seal="sha256:00"), {("policy", 10)}),
    "another epoch": (lambda w: rehash(w, 1, key_epoch=2), {("policy", 10), ("version", 10)}),
    "another shape": (lambda w: rehash(w, 1, shape_version=2), {("policy", 10), ("version", 10)}),
    "a note is gone": (lambda w: rehash(w, 1, notes=()), {("notes", 10), ("counts", 10), ("root", 10), ("missing", 14)}),
    "a note of another offset": (
        lambda w: rehash(w, 1, notes=(replace(w.entries[1].notes[0], offset=25),)),
        {("notes", 10), ("root", 10), ("missing", 14), ("counts", 10)},
    ),
    "gaps outside": (lambda w: rehash(w, 1, gaps=((29, 29),)), {("counts", 10)}),
    "records are accepted as lost that are there": (
        lambda w: rehash(
            w, 5, accepted=Acceptance("x", "y"), root="", gaps=(), counts=dict.fromkeys(Fate, 0), columns={}, notes=()
        ),
        {("accepted", 50), ("extra", 50)},
    ),
    "records are accepted as lost, and counted": (
        lambda w: rehash(w, 5, accepted=Acceptance("x", "y")),
        {("accepted", 50), ("extra", 50)},
    ),
    "a raw record is gone": (lambda w: w.raw.pop(12), {("vanished", 13)}),
    "a raw record was added": (lambda w: w.raw.insert(9, event(9)), {("hidden", 9)}),
}  # fmt: skip


@pytest.mark.parametrize("name", TAMPERINGS)
def test_each_tampering_is_found_with_its_place(name: str) -> None:
    world = World.make()
    tamper, expected = TAMPERINGS[name]
    tamper(world)
    assert places(world.find()) == expected


def test_nothing_is_found_where_all_is_right() -> None:
    world = World.make()
    report = world.find()
    assert report.findings == []
    summary = report.summaries[world.chain]
    assert (summary.entries, summary.records, summary.first_offset, summary.last_offset) == (6, 54, 0, 59)
    assert summary.head == world.head.hash
    assert not summary.unchecked


def test_raw_records_that_expired_are_counted() -> None:
    world = World.make(start=25)
    world.raw = [record for record in world.raw if record.offset >= 25]
    report = world.find()
    assert report.findings == []
    assert report.summaries[world.chain].unchecked == {"raw records that expired, or were compacted away": 23}


def test_raw_records_that_were_compacted_away_are_counted() -> None:
    world = World.make(compacted=True)
    del world.raw[7], world.raw[30]
    report = world.find()
    assert report.findings == []
    assert report.summaries[world.chain].unchecked == {"raw records that expired, or were compacted away": 2}


def test_raw_records_that_nobody_has_masked_yet_wait() -> None:
    world = World.make()
    world.raw += [event(60), event(61)]
    report = world.find()
    assert report.findings == []
    assert report.summaries[world.chain].waiting == 2


def test_records_that_came_later_are_left_to_the_next_run() -> None:
    world = World.make()
    world.rows.pop()
    world.position = Head(49, head_of(world.entries[4]))
    new = len([record for record in world.masked if record.offset < 40])
    copy = Copy([replace(world.trail(Report()), index=None)], world.masked, RawLog(world.raw, start=0))
    for settled, expected in ((new, set()), (new + 1, {("extra", 50)}), (None, {("extra", 50)})):
        report = Report()
        verify(replace(copy, settled=settled, raw=RawLog(world.raw, start=0)), world.catalogued, report)
        assert places(report) == expected
        assert report.summaries[world.chain].waiting == 9


def test_rows_on_their_way_are_no_finding() -> None:
    world = World.make(behind=True)
    world.rows.pop()
    report = world.find()
    assert report.findings == []
    assert report.summaries[world.chain].unchecked == {
        "offsets whose rows are on their way": 10,
        "records whose rows are on their way": 8,
    }


def test_rows_that_were_stored_once_are_not_on_their_way() -> None:
    world = World.make(behind=True, copied=5)
    del world.rows[3:]
    assert places(world.find()) == {("not_stored", 30), ("not_stored", 40)}


@pytest.mark.parametrize(
    ("span", "found"),
    [
        ((20, None), set()),
        ((20, 60), set()),
        ((10, None), {("beginning", 20)}),
        ((30, None), {("beginning", 20)}),
        ((20, 50), {("head", 50)}),
    ],
)
def test_a_replay_is_covered_from_its_start_to_its_bound(
    span: tuple[int, int | None], found: set[tuple[str, int | None]]
) -> None:
    world = World.make(span=span)
    world.entries = chained(*world.entries[2:])
    world.publish()
    world.raw = [record for record in world.raw if record.offset >= 20]
    world.masked = [record for record in world.masked if (made := read_origin(record)) and made.offset >= 20]
    assert places(world.find()) == found


def test_a_topic_of_which_nothing_was_masked_yet_has_no_chain() -> None:
    world = World.make()
    world.rows, world.published, world.masked = [], [], []
    world.position = Head(-1, "")
    report = world.find()
    assert report.findings == []
    assert report.summaries[world.chain].waiting == 54


def test_a_chain_made_anew_shows_by_a_checkpoint_only() -> None:
    world = World.make()
    told = Told("a checkpoint", Head(29, head_of(world.entries[2])))
    late = Told("a checkpoint", Head(69, "sha256:00"))
    rehash(world, 1, worker="nobody")
    assert world.find().findings == []  # whoever can write everything can do this: the docs say so
    world.told = [told]
    assert places(world.find()) == {("checkpoint", 29)}
    world.told = [late]
    assert places(world.find()) == {("checkpoint", 69)}


def test_an_untouched_chain_agrees_with_its_checkpoint() -> None:
    world = World.make()
    world.told = [Told("a checkpoint", Head(29, head_of(world.entries[2]))), Told("a checkpoint", world.head)]
    assert world.find().findings == []


def test_entries_that_retention_took_are_told_by_its_receipts() -> None:
    world = World.make()
    world.retired = [receipt(world.entries[:1]), receipt(world.entries[1:3])]
    del world.rows[:3]
    report = world.find()
    assert report.findings == []
    assert report.summaries[world.chain].unchecked == {"entries that retention took: see --export": 3}
    world.retired.pop()
    assert ("chain", 30) in places(world.find())


@pytest.mark.parametrize(
    ("forge", "expected"),
    [
        (lambda run: replace(run, entries=2), {("checkpoint", 0)}),
        (lambda run: replace(run, entries=4), {("checkpoint", 0)}),
        (lambda run: replace(run, first_offset=10, entries=2), {("not_stored", 0)}),
        (lambda run: replace(run, head="sha256:00"), {("checkpoint", 29), ("chain", 30)}),
        (lambda run: replace(run, last_offset=24), {("hole", 25), ("extra", 26), ("uncovered", 25)}),
    ],
)
def test_a_receipt_has_to_tell_of_what_the_audit_topic_holds(
    forge: Callable[[Run], Run], expected: set[tuple[str, int | None]]
) -> None:
    world = World.make()
    world.retired = [forge(receipt(world.entries[:3]))]
    del world.rows[:3]
    assert places(world.find()) == expected


def test_entries_that_neither_the_audit_topic_nor_the_catalog_has_any_more_are_counted() -> None:
    world = World.make()
    world.retired = [receipt(world.entries[:2]), receipt(world.entries[2:4])]
    del world.rows[:4]
    for gone, counted in ((3, 3), (2, 2), (1, 1)):
        report = Report()
        index = Index("cdc-masker.audit", complete=False, settled=len(world.published))
        for at, value in enumerate(world.published[gone:], gone):
            index.add(at, value, report)
        verify(Copy([world.trail(report, index)], world.masked, RawLog(world.raw, start=0)), world.catalogued, report)
        assert report.findings == []
        assert report.summaries[world.chain].unchecked["entries from before the audit topic's start"] == counted


def test_an_export_has_to_be_what_the_receipt_tells_of() -> None:
    world = World.make()
    world.retired = [receipt(world.entries[:3])]
    assert world.find().findings == []  # the rows come from an export
    world.retired = [replace(world.retired[0], head="sha256:00")]
    assert places(world.find()) == {("checkpoint", 29)}


def test_a_checkpoint_from_before_what_retention_took_is_counted() -> None:
    world = World.make()
    world.retired = [receipt(world.entries[:3])]
    world.told = [Told("a checkpoint", Head(19, head_of(world.entries[1])))]
    del world.rows[:3]
    report = world.find()
    assert report.findings == []
    assert report.summaries[world.chain].unchecked["heads among entries that retention took"] == 1


def lives() -> list[World]:
    """A copy whose topic was made anew: the first life is closed, offsets begin again in the second."""
    first, second = World.make(), World.make(40, incarnation="topic-2")
    first.close("topic-2")
    first.position = None
    return [first, second]


def test_a_topic_made_anew_goes_on_in_another_chain() -> None:
    report = Report()
    verify_lives(lives(), report)
    assert report.findings == []
    assert [summary.unchecked for summary in report.summaries.values()] == [
        {
            "records whose raw topic is gone, or was made anew": 54,
            "topics of which somebody accepted that they were made anew": 1,
        },
        {},
    ]


def test_a_topic_made_anew_may_go_on_above_the_offsets_of_the_old_one() -> None:
    """Its oldest records expired. Batches of the old one are passed over, and none of the new one with them."""
    first, _ = lives()
    second = World.make(80, incarnation="topic-2", start=60)
    second.entries = chained(*second.entries[6:])
    second.raw = [each for each in second.raw if each.offset >= 60]
    second.masked = [each for each in second.masked if each.timestamp >= second.raw[0].timestamp]
    second.publish()
    for since in (0, first.entries[5].masked_at + 1):
        report = Report()
        verify_lives([first, second], report, since=since)
        assert report.findings == []
        assert report.summaries[second.chain].records == 18


def test_records_that_were_accepted_as_lost_are_looked_for_in_batches_that_are_passed_over() -> None:
    world = World.make()
    TAMPERINGS["records are accepted as lost that are there"][0](world)
    assert places(world.find(since=world.entries[5].masked_at + 1)) == {("accepted", 50), ("extra", 50)}


def test_a_new_chain_needs_an_entry_that_closed_the_old_one() -> None:
    first, second = lives()
    first.entries.pop()
    first.publish()
    first.position = None
    report = Report()
    verify_lives([first, second], report)
    assert places(report) == {("incarnation", None)}


def test_nothing_comes_after_the_entry_that_closed_a_chain() -> None:
    first, second = lives()
    last = first.entries[-1]
    first.entries = chained(
        *[*first.entries, replace(last, first_offset=61, last_offset=61, accepted=None, root=last.previous)]
    )
    first.publish()
    first.position = None
    report = Report()
    verify_lives([first, second], report)
    assert ("accepted", 61) in places(report)


def test_the_masked_copy_is_gone() -> None:
    world = World.make()
    report = Report()
    verify(Copy([world.trail(report)], None, RawLog(world.raw, start=0)), world.catalogued, report)
    assert report.findings == []
    assert report.summaries[world.chain].unchecked == {"records whose masked copy is gone": 48}
    del world.raw[5]
    report = Report()
    verify(Copy([world.trail(report)], None, RawLog(world.raw, start=0)), world.catalogued, report)
    assert places(report) == {("vanished", 0)}


def test_batches_from_before_are_passed_over() -> None:
    world = World.make()
    change_record(world, 12, value=b"{}")
    assert places(world.find(since=world.entries[1].masked_at)) == {("root", 10)}
    report = world.find(since=world.entries[2].masked_at)
    assert report.findings == []
    assert report.summaries[world.chain].unchecked == {"records masked before --since": 18}
    edit(world, 0, worker="nobody")  # entries are verified all the same
    assert ("chain", 10) in places(world.find(since=world.entries[2].masked_at))


def test_findings_name_no_more_than_places() -> None:
    world = World.make()
    change_record(world, 12, value=b"Wilhelmina")
    report = world.find()
    assert str(report.findings[0]).startswith(f"{Code.ROOT} shop.shop.customers[0] generation 1 offset 10: the root is not")
    assert "Wilhelmina" not in repr(report.findings)
