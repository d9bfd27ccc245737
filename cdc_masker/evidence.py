"""What the audit is made of: the entry of a batch, its bytes in the audit topic, and what proves them.

An entry is computed from outcomes alone, so it can't hold anything of a raw record. The time and the names of worker and
program come from the shell. Three things make it evidence:

- a leaf for each record, over what was published of it, and the root of the Merkle tree over the leaves (`cdc_masker.merkle`);
- the hash of the entry before it, so that entries form a chain;
- offsets that join without a hole.

Whoever has the masked topic computes the same leaves from it. The bytes of an entry, over which its hash is taken, are JSON
with sorted members and nothing between them, so that any program can write them again.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from hashlib import sha256
from itertools import chain
from struct import Struct

import msgspec

from cdc_masker import merkle
from cdc_masker.errors import Reason
from cdc_masker.events import AuditEntry, Fate, Headers, Note, Outcome
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
    "leaf",
    "leaf_of",
]

PROGRAM = f"cdc-masker/{__version__}"
OTHERS = "(others)"
"""In place of names of columns that are too long, hold a NUL, or are too many."""
LONGEST_NAME = 255
MOST_COLUMNS = 1000
"""Bounds on names of columns wherever they are told: events may have names without end, rows, labels and logs may not."""

_ENTRY = b"cdc-masker audit entry 1\n"


def leaf(
    offset: int,
    fate: Fate,
    reason: Reason | None,
    place: str | None,
    timestamp: int,
    key: bytes | None,
    value: bytes | None,
    headers: Headers,
) -> bytes:
    """The leaf of one record as it was published, in this order, without anything between:

    1. offset, timestamp, and the lengths of key and value;
    2. key and value;
    3. fate, reason and place, each behind its length;
    4. for each header, the lengths of its name and its value, then both.

    Numbers are 8 bytes, big-endian, signed. Lengths are in bytes, that of null is -1. Texts are in UTF-8.
    """
    parts = [
        _FOUR(offset, timestamp, -1 if key is None else len(key), -1 if value is None else len(value)),
        key or b"",
        value or b"",
        _FATES[fate],
        _NULL if reason is None else _sized(reason),
        _NULL if place is None else _sized(place),
    ]
    for name, content in headers:
        named = name.encode()
        parts += (_TWO(len(named), -1 if content is None else len(content)), named, content or b"")
    return b"".join(parts)


def leaf_of(one: Outcome | Note) -> bytes:
    """The leaf of an outcome, or of the note that is kept of one."""
    if isinstance(one, Note):
        return leaf(one.offset, one.fate, one.reason, one.place, one.timestamp, None, None, ())
    return leaf(one.offset, one.fate, one.reason, one.place, one.timestamp, one.key, one.value, one.headers)


def audit_entry(
    outcomes: Sequence[Outcome],
    *,
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
    """The entry of one batch: the outcomes, at least one, of all that is to be seen of one partition from the offset `start` to
    before `end`. `previous`: the hash of the entry before it. `masked_at` is in ms since the epoch.

    `shape_version`: the version whose shape the rows keep, if not that of `policy`.
    """
    counts = Counter(outcome.fate for outcome in outcomes)
    return AuditEntry(
        generation=generation,
        incarnation=incarnation,
        topic=outcomes[0].topic,
        partition=outcomes[0].partition,
        first_offset=start,
        last_offset=end - 1,
        gaps=_gaps([outcome.offset for outcome in outcomes], start, end),
        counts={fate: counts[fate] for fate in Fate},
        columns=count_columns(outcomes),
        notes=tuple(
            Note(
                outcome.topic, outcome.partition, outcome.offset, outcome.timestamp, outcome.fate, outcome.reason, outcome.place
            )
            for outcome in outcomes
            if outcome.reason is not None
        ),
        root=_hash(merkle.root([merkle.leaf_hash(leaf_of(outcome)) for outcome in outcomes])),
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


def _sized(text: str) -> bytes:
    """A text behind its length, as it stands in a leaf."""
    encoded = text.encode()
    return _ONE(len(encoded)) + encoded


def _hash(digest: bytes) -> str:
    return f"sha256:{digest.hex()}"


def _gaps(offsets: Sequence[int], start: int, end: int) -> tuple[tuple[int, int], ...]:
    """The ranges from `start` to before `end` that hold none of the offsets, which ascend."""
    if len(offsets) == end - start:
        return ()
    before, after = (start - 1, *offsets), (*offsets, end)
    return tuple((left + 1, right - 1) for left, right in zip(before, after, strict=True) if right - left > 1)


def count_columns(outcomes: Sequence[Outcome]) -> Mapping[str, Mapping[str, Mapping[str, int]]]:
    """How often each method was applied, by table and column; of these, how often it could not take the value."""
    applied = Counter(chain.from_iterable(outcome.treatments for outcome in outcomes))
    misfits: Counter[tuple[str, str, str]] = Counter()
    for outcome in outcomes:
        for column, reason in outcome.misfits:
            misfits[outcome.treatments[0].table, column, f"redacted: {reason}"] += 1
    found: dict[str, dict[str, dict[str, int]]] = {}
    counted = [
        *((each.table, column, method, count) for each, count in applied.items() for column, method in each.columns),
        *((*misfit, count) for misfit, count in misfits.items()),
    ]
    names: set[tuple[str, str]] = set()
    for table, column, method, count in counted:
        too_many = len(names) >= MOST_COLUMNS and (table, column) not in names
        if too_many or max(len(table), len(column)) > LONGEST_NAME or "\0" in table + column:  # which PostgreSQL can't search
            table = column = OTHERS
        names.add((table, column))
        methods = found.setdefault(table, {}).setdefault(column, {})
        methods[method] = methods.get(method, 0) + count
    return found


_entry = msgspec.json.Decoder(AuditEntry)

# Parts of leaves, which are made for every record.
_ONE, _TWO, _FOUR = (Struct(f">{number}q").pack for number in (1, 2, 4))
_NULL = _ONE(-1)
_FATES = {fate: _sized(fate) for fate in Fate}
