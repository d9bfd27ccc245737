"""What the audit is made of: the entry of a batch, its bytes in the audit topic, and what proves them.

An entry is computed from what became of records alone, so it can't hold anything of a raw record. The time and the names of
worker and program come from the shell. Three things make it evidence:

- the root of the Merkle tree (`cdc_masker.merkle`) over a leaf for each record (`cdc_masker.leaves`);
- the hash of the entry before it, so that entries form a chain;
- offsets that join without a hole.

Whoever has the masked topic computes the same leaves from it. The bytes of an entry, over which its hash is taken, are JSON
with sorted members and nothing between them, so that any program can write them again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from hashlib import sha256

import msgspec

from cdc_masker.batches import MaskedBatch, Misfit
from cdc_masker.events import AuditEntry, Fate, Note, Treatment
from cdc_masker.policies import Policy
from cdc_masker.version import __version__

__all__ = [
    "LONGEST_NAME",
    "MOST_COLUMNS",
    "OTHERS",
    "PROGRAM",
    "audit_entry",
    "count_columns",
    "decode_entry",
    "encode_entry",
    "encode_note",
    "entry_hash",
    "head_of",
]

PROGRAM = f"cdc-masker/{__version__}"
OTHERS = "(others)"
"""In place of names of columns that are too long, hold a NUL, or are too many."""
LONGEST_NAME = 255
MOST_COLUMNS = 1000
"""Bounds on names of columns wherever they are told: events may have names without end, rows, labels and logs may not."""

_ENTRY = b"cdc-masker audit entry 1\n"


def audit_entry(
    batch: MaskedBatch,
    *,
    topic: str,
    partition: int,
    start: int,
    end: int,
    previous: str,
    policy: Policy,
    generation: int,
    incarnation: str,
    masked_at: int,
    worker: str,
    shape_version: int | None = None,
) -> AuditEntry:
    """The entry of one batch: what became of all that is to be seen of one partition from the offset `start` to before `end`.
    `previous`: the hash of the entry before it. `masked_at` is in ms since the epoch.

    `shape_version`: the version whose shape the rows keep, if not that of `policy`.
    """
    return AuditEntry(
        generation=generation,
        incarnation=incarnation,
        topic=topic,
        partition=partition,
        first_offset=start,
        last_offset=end - 1,
        gaps=_gaps(batch.offsets, start, end),
        counts={fate: batch.fates.get(fate, 0) for fate in Fate},
        columns=count_columns(batch.treatments, batch.misfits),
        notes=batch.notes,
        root=_hash(batch.root),
        previous=previous,
        policy_version=policy.version,
        policy_digest=policy.digest,
        policy_seal=policy.seal,
        shape_version=shape_version,
        key_epoch=policy.key_epoch,
        masked_at=masked_at,
        worker=worker,
        program=PROGRAM,
    )


def encode_entry(entry: AuditEntry) -> bytes:
    """The entry as it stands in the audit topic: JSON with sorted members, without spaces, in UTF-8 without escapes."""
    return msgspec.json.encode(entry, order="sorted")


def decode_entry(text: bytes) -> AuditEntry:
    """The inverse of `encode_entry`. Raises `msgspec.DecodeError` for anything else, and for what the catalog can't hold."""
    try:
        entry = _entry.decode(text)
    except UnicodeDecodeError:
        raise msgspec.DecodeError("it is not UTF-8") from None
    if entry.first_offset > entry.last_offset or entry.counts.keys() != set(Fate):
        raise msgspec.ValidationError("it ends before it begins, or does not count each fate")
    return entry


def entry_hash(encoded: bytes) -> str:
    """The hash of an encoded entry, by which the next one names it."""
    return _hash(sha256(_ENTRY + encoded).digest())


def head_of(entry: AuditEntry) -> str:
    """The hash of an entry: the head of the chain that it is the last of."""
    return entry_hash(encode_entry(entry))


def encode_note(note: Note) -> bytes:
    """The note as JSON, as it stands in the quarantine topic."""
    return msgspec.json.encode(note)


def _hash(digest: bytes) -> str:
    return f"sha256:{digest.hex()}"


def _gaps(offsets: Sequence[int], start: int, end: int) -> tuple[tuple[int, int], ...]:
    """The ranges from `start` to before `end` that hold none of the offsets, which ascend."""
    if len(offsets) == end - start:
        return ()
    before, after = (start - 1, *offsets), (*offsets, end)
    return tuple((left + 1, right - 1) for left, right in zip(before, after, strict=True) if right - left > 1)


def count_columns(
    treatments: Mapping[Treatment, int], misfits: Mapping[Misfit, int]
) -> Mapping[str, Mapping[str, Mapping[str, int]]]:
    """How often each method was applied, by table and column; of these, how often it could not take the value."""
    found: dict[str, dict[str, dict[str, int]]] = {}
    counted = [
        *((each.table, column, method, count) for each, count in treatments.items() for column, method in each.columns),
        *((table, column, f"redacted: {reason}", count) for (table, column, reason), count in misfits.items()),
    ]
    names: set[tuple[str, str]] = set()
    for table, column, method, count in sorted(counted):  # so that names past the bound are the same ones, whatever came first
        too_many = len(names) >= MOST_COLUMNS and (table, column) not in names
        if too_many or max(len(table), len(column)) > LONGEST_NAME or "\0" in table + column:  # which PostgreSQL can't search
            table = column = OTHERS
        else:
            names.add((table, column))
        methods = found.setdefault(table, {}).setdefault(column, {})
        methods[method] = methods.get(method, 0) + count
    return found


_entry = msgspec.json.Decoder(AuditEntry)
