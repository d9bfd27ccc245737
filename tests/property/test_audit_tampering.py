"""A thousand random tamperings with the audit and with masked topics: verifying finds each, and names its place.

Who tampers gets further each time: with rows or masked records alone, or with what retention left of them; with rows whose
hashes are made to fit again; with all of it, audit topic and committed offset included, where an earlier checkpoint is what
is left. The seed is printed; CDC_MASKER_TEST_SEED repeats it.
"""

from __future__ import annotations

import os
import random
import secrets
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from msgspec import structs

from cdc_masker import merkle
from cdc_masker.audit.chains import Told
from cdc_masker.events import Acceptance, AuditEntry, Fate, Outcome, Record
from cdc_masker.evidence import encode_entry, head_of
from cdc_masker.heads import Head
from cdc_masker.leaves import leaf_of
from cdc_masker.pipeline import HEADER
from tests.copies import World, receipt
from tests.entries import chained

TAMPERINGS = 1000
PRISTINE = [World.make(partition=partition) for partition in (0, 1)]

Span = tuple[int, int]
Places = list[tuple[Span, ...]]
"""For each thing that was done, ranges of source offsets: in one of them it has to be told."""


def test_a_thousand_tamperings_are_found_with_their_places() -> None:
    seed = int(os.environ.get("CDC_MASKER_TEST_SEED") or secrets.randbelow(2**32))
    print(f"seed {seed}")
    chance = random.Random(seed)
    done: Counter[str] = Counter()
    assert not any(world.find().findings for world in PRISTINE)
    for _ in range(TAMPERINGS):
        kind = chance.choice(sorted(KINDS))
        where, world = tampered(kind, chance)
        found = world.find().findings
        told = [str(each) for each in found]
        assert told, f"seed {seed}: {kind} at {where} was not found"
        places = [each.offset for each in found if each.offset is not None]
        named = [spans for spans in where if any(first <= place <= last for first, last in spans for place in places)]
        assert named == where, f"seed {seed}: {kind} at {where} was found elsewhere: {told}"
        done[kind] += 1
    assert done.keys() == KINDS.keys()


def tampered(kind: str, chance: random.Random) -> tuple[Places, World]:
    """A world in which that was done, and where: it is done until it changed something."""
    while True:
        world, other = (copied(each) for each in chance.sample(PRISTINE, 2))
        where = KINDS[kind](world, other, chance)
        if (world.rows, world.published, world.masked, world.position) != (
            PRISTINE[world.partition].rows,
            PRISTINE[world.partition].published,
            PRISTINE[world.partition].masked,
            PRISTINE[world.partition].position,
        ):
            return where, world


def copied(world: World) -> World:
    return replace(
        world,
        masked=list(world.masked),
        entries=list(world.entries),
        rows=list(world.rows),
        published=list(world.published),
        told=[],
    )


# What is done to a list of entries; gives the entries that it was done to, as they were


def edit(entries: list[AuditEntry], other: Sequence[AuditEntry], chance: random.Random) -> list[AuditEntry]:
    at = chance.randrange(len(entries))
    entry = entries[at]
    edits: list[dict[str, Any]] = [
        {"counts": {**entry.counts, Fate.MASKED: entry.counts[Fate.MASKED] + chance.choice((1, -1))}},
        {"columns": {"shop.customers": {"name": {"tokenize": chance.randrange(1, 1000)}}}},
        {"notes": entry.notes[1:]},
        {"notes": tuple(replace(note, place="after.secret") for note in entry.notes)},
        {"gaps": ()},
        {"gaps": ((entry.first_offset, entry.first_offset),)},
        {"root": chance.choice(other).root},
        {"previous": chance.choice(other).root},
        {"policy_version": 3 - entry.policy_version},
        {"policy_digest": "sha256:00"},
        {"policy_seal": "sha256:00"},
        {"shape_version": 2},
        {"key_epoch": 2},
        {"masked_at": entry.masked_at + 1},
        {"worker": "nobody"},
        {"program": "cdc-masker/0"},
        {"generation": 1, "last_offset": entry.last_offset + 1},
        {"accepted": Acceptance("somebody", "it is lost")},
    ]
    entries[at] = replace(entry, **chance.choice(edits))
    return [entry]


def delete(entries: list[AuditEntry], other: Sequence[AuditEntry], chance: random.Random) -> list[AuditEntry]:
    return [entries.pop(chance.randrange(len(entries) - 1))]


def reorder(entries: list[AuditEntry], other: Sequence[AuditEntry], chance: random.Random) -> list[AuditEntry]:
    """The offsets of two of them change places."""
    one, two = sorted(chance.sample(range(len(entries)), 2))
    first, second = entries[one], entries[two]
    entries[one] = replace(second, first_offset=first.first_offset, last_offset=first.last_offset)
    entries[two] = replace(first, first_offset=second.first_offset, last_offset=second.last_offset)
    return [first, second]


def insert(entries: list[AuditEntry], other: Sequence[AuditEntry], chance: random.Random) -> list[AuditEntry]:
    """One more that covers some of what another one covers."""
    at = chance.randrange(len(entries))
    entry = entries[at]
    entries.insert(at + 1, replace(entry, first_offset=entry.first_offset + chance.randrange(1, 9)))
    return [entry]


def truncate(entries: list[AuditEntry], other: Sequence[AuditEntry], chance: random.Random) -> list[AuditEntry]:
    at = chance.randrange(1, len(entries))
    cut = entries[at:]
    del entries[at:]
    return cut[:1]


def fork(entries: list[AuditEntry], other: Sequence[AuditEntry], chance: random.Random) -> list[AuditEntry]:
    """From one on, another chain that fits together."""
    at = chance.randrange(len(entries))
    forked = entries[at:]
    entries[at:] = [replace(entry, worker="another") for entry in forked]
    made = chained(*entries)
    entries[at:] = made[at:]
    return forked


def swap(entries: list[AuditEntry], other: Sequence[AuditEntry], chance: random.Random) -> list[AuditEntry]:
    """One comes from another partition."""
    at = chance.randrange(len(entries))
    entry = entries[at]
    entries[at] = replace(other[at], partition=entry.partition, previous=entry.previous)
    return [entry]


ENTRIES = (edit, delete, reorder, insert, truncate, fork, swap)
Tamper = Callable[[list[AuditEntry], Sequence[AuditEntry], random.Random], list[AuditEntry]]


def with_rows(tamper: Tamper, *, fitting: bool) -> Callable[[World, World, random.Random], Places]:
    """Rows alone are changed; `fitting`: with hashes that fit again."""

    def apply(world: World, other: World, chance: random.Random) -> Places:
        entries = list(world.entries)
        touched = tamper(entries, other.entries, chance)
        world.rows = list(chained(*entries) if fitting else entries)
        return [(span(entry),) for entry in touched]

    return apply


def with_everything(tamper: Tamper) -> Callable[[World, World, random.Random], Places]:
    """Rows, audit topic and committed offset tell the same; a checkpoint from before tells otherwise."""

    def apply(world: World, other: World, chance: random.Random) -> Places:
        entries = list(world.entries)
        touched = tamper(entries, other.entries, chance)
        return forged(world, entries, touched[0], chance)

    return apply


def forged(world: World, entries: list[AuditEntry], touched: AuditEntry, chance: random.Random) -> Places:
    """Makes these entries the world's, as if they always had been. A checkpoint was made once that entry was there."""
    kept = chance.choice([entry for entry in world.entries if entry.first_offset >= touched.first_offset])
    world.told = [Told("a checkpoint", Head(kept.last_offset, head_of(kept)))]
    world.entries = chained(*entries)
    world.publish()
    return [(span(touched), (kept.last_offset, kept.last_offset))]


def behind_what_was_retired(tamper: Tamper) -> Callable[[World, World, random.Random], Places]:
    """Rows alone are changed; of those before them, receipts are left."""

    def apply(world: World, other: World, chance: random.Random) -> Places:
        count = retire(world, chance, most=3)
        left = world.entries[count:]
        while world.rows == left:
            entries = list(left)
            touched = tamper(entries, other.entries[count:], chance)
            world.rows = list(entries)
        return [(span(entry),) for entry in touched]

    return apply


def edit_receipt(world: World, other: World, chance: random.Random) -> Places:
    retire(world, chance)
    at = chance.randrange(len(world.retired))
    run = world.retired[at]
    edits: list[dict[str, Any]] = [
        {"first_offset": run.first_offset + 1},
        {"last_offset": run.last_offset + chance.choice((1, -1))},
        {"previous": "sha256:00"},
        {"head": "sha256:00"},
        {"entries": run.entries + chance.choice((1, -1))},
    ]
    world.retired[at] = replace(run, **chance.choice(edits))
    return [((run.first_offset, run.last_offset + 1),)]


def edit_published(world: World, other: World, chance: random.Random) -> Places:
    """An entry of the audit topic is another one, whose row retention took."""
    at = chance.randrange(retire(world, chance))
    world.published[at] = encode_entry(replace(world.entries[at], worker="nobody"))
    return [(span(world.entries[at]), span(world.entries[at + 1]))]


def delete_published(world: World, other: World, chance: random.Random) -> Places:
    """An entry of the audit topic is gone, whose row retention took."""
    at = chance.randrange(retire(world, chance))
    gone = world.entries[at].first_offset
    del world.published[at]
    return [tuple((run.first_offset, run.last_offset) for run in world.retired if run.first_offset <= gone <= run.last_offset)]


def retire(world: World, chance: random.Random, most: int = 5) -> int:
    """Takes rows out as retention does, with one receipt or two; gives how many."""
    count = chance.randint(1, most)
    cut = chance.randrange(count)
    world.retired = [receipt(part) for part in (world.entries[:cut], world.entries[cut:count]) if part]
    world.rows = list(world.entries[count:])
    return count


def span(entry: AuditEntry) -> Span:
    return entry.first_offset, entry.last_offset


# What is done to a masked topic; gives the source offsets of the records that it was done to, one of which is told


def edit_record(world: World, other: World, chance: random.Random) -> list[int]:
    at = chance.randrange(len(world.masked))
    record = world.masked[at]
    (name, header), value = record.headers[-1], record.value or b""
    byte = chance.randrange(len(value) + 1)
    edits: list[dict[str, Any]] = [
        {"value": value[:byte] + b"!" + value[byte:]},
        {"value": None},
        {"key": b"" if record.key is None else None},
        {"timestamp": record.timestamp + 1},
        {"headers": (("more", b""), (name, header))},
        {"headers": ((name, (header or b"").replace(b"pv=1", b"pv=2").replace(b"ke=1", b"ke=2")),)},
    ]
    world.masked[at] = structs.replace(record, **chance.choice(edits))
    return [source(record)]


def delete_record(world: World, other: World, chance: random.Random) -> list[int]:
    return [source(world.masked.pop(chance.randrange(len(world.masked))))]


def reorder_records(world: World, other: World, chance: random.Random) -> list[int]:
    one, two = sorted(chance.sample(range(len(world.masked)), 2))
    world.masked[one], world.masked[two] = world.masked[two], world.masked[one]
    return [source(world.masked[one]), source(world.masked[two])]


def insert_record(world: World, other: World, chance: random.Random) -> list[int]:
    """A copy of one, somewhere else or with another value."""
    record = chance.choice(world.masked)
    if chance.random() < 0.5:
        world.masked.insert(world.masked.index(record) + 1, structs.replace(record, value=b"{}"))
    else:
        world.masked.insert(chance.randrange(len(world.masked)), record)
    return [source(record)]


def truncate_records(world: World, other: World, chance: random.Random) -> list[int]:
    at = chance.randrange(len(world.masked))
    cut = world.masked[at]
    del world.masked[at:]
    return [source(cut)]


def fork_records(world: World, other: World, chance: random.Random) -> list[int]:
    """From one on, other values."""
    at = chance.randrange(len(world.masked))
    world.masked[at:] = [structs.replace(record, value=(record.value or b"") + b" ") for record in world.masked[at:]]
    return [source(world.masked[at])]


def swap_records(world: World, other: World, chance: random.Random) -> list[int]:
    """One comes from another partition, with a header that fits here."""
    at = chance.randrange(len(world.masked))
    record, foreign = world.masked[at], other.masked[at]
    header = (foreign.headers[-1][1] or b"").replace(b"p=%d;" % other.partition, b"p=%d;" % world.partition, 1)
    world.masked[at] = structs.replace(foreign, partition=record.partition, headers=((HEADER, header),), key=b'{"id":"x"}')
    return [source(record)]


RECORDS = (edit_record, delete_record, reorder_records, insert_record, truncate_records, fork_records, swap_records)
TamperRecords = Callable[[World, World, random.Random], list[int]]


def source(record: Record) -> int:
    header = dict(part.split("=") for part in (record.headers[-1][1] or b"").decode().split(";"))
    return int(header["o"])


def covering(world: World, offset: int) -> AuditEntry:
    return next(entry for entry in world.entries if entry.first_offset <= offset <= entry.last_offset)


def with_records(tamper: TamperRecords) -> Callable[[World, World, random.Random], Places]:
    """Masked records alone are changed."""

    def apply(world: World, other: World, chance: random.Random) -> Places:
        return [tuple(span(covering(world, offset)) for offset in tamper(world, other, chance))]

    return apply


def with_records_and_roots(world: World, other: World, chance: random.Random) -> Places:
    """A masked record is changed, and everything that tells of it."""
    at = chance.randrange(len(world.masked))
    changed = structs.replace(world.masked[at], value=b"{}")
    entry = covering(world, source(changed))
    world.masked[at] = changed
    entries = [replace(each, root=root(world, each)) if each is entry else each for each in world.entries]
    return forged(world, entries, entry, chance)


def root(world: World, entry: AuditEntry) -> str:
    """The root over what the world holds now of the entry's records."""
    leaves = {note.offset: leaf_of(note) for note in entry.notes}
    for record in world.masked:
        offset = source(record)
        if entry.first_offset <= offset <= entry.last_offset:
            fate = Fate.CONTROL if (record.headers[-1][1] or b"").endswith(b"f=control") else Fate.MASKED
            made = Outcome(fate, entry.topic, 0, offset, record.timestamp, "t", record.key, record.value, record.headers)
            leaves[offset] = leaf_of(made)
    return f"sha256:{merkle.root([merkle.leaf_hash(leaves[offset]) for offset in sorted(leaves)]).hex()}"


KINDS: dict[str, Callable[[World, World, random.Random], Places]] = {
    **{f"{tamper.__name__} rows": with_rows(tamper, fitting=False) for tamper in ENTRIES},
    **{f"{tamper.__name__} rows, with hashes that fit": with_rows(tamper, fitting=True) for tamper in ENTRIES},
    **{f"{tamper.__name__} entries everywhere": with_everything(tamper) for tamper in ENTRIES},
    **{f"{tamper.__name__} rows behind what was retired": behind_what_was_retired(tamper) for tamper in ENTRIES},
    **{tamper.__name__: with_records(tamper) for tamper in RECORDS},
    **{tamper.__name__: tamper for tamper in (edit_receipt, edit_published, delete_published)},
    "edit records and all that tells of them": with_records_and_roots,
}
