"""Proofs that one record is in the audit: in the tree that an entry's root stands for, and in a chain up to a checkpoint."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from cdc_masker import merkle
from cdc_masker.audit.entries import published
from cdc_masker.audit.records import Made, leaf_data
from cdc_masker.errors import CdcMaskerError
from cdc_masker.events import AuditEntry, Note
from cdc_masker.evidence import encode_entry, entry_hash

__all__ = ["Proof", "Unprovable", "outcomes", "prove"]


class Unprovable(CdcMaskerError):
    """The audit is not as it was written, so it proves nothing of this record; `cdc-masker audit verify` says where."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Proof:
    """What shows that the record at these coordinates of the raw topic came out as `leaf` says.

    The leaf (`cdc_masker.leaves.leaf`), at `index` of `size` leaves, leads by the hashes of `path`, lowest first, to the root
    in `entry`, whose text has that hash. The texts of the `later` entries lead on to a head in the `checkpoint`, a signed note.
    Bytes are in base64.
    """

    format: Literal["cdc-masker proof 1"] = "cdc-masker proof 1"
    topic: str
    partition: int
    generation: int
    offset: int
    leaf: str
    index: int
    size: int
    path: tuple[str, ...]
    entry: str
    entry_hash: str
    later: tuple[str, ...] = ()
    checkpoint: str | None = None


def outcomes(entry: AuditEntry, masked: Iterable[Made]) -> Sequence[Made | Note]:
    """What the entry's root stands for, in order, out of masked records among which its own come one after the other.

    Raises `Unprovable` when they are not there as they were.
    """
    for run in _runs(entry, masked):
        together: list[Made | Note] = [*run, *entry.notes]
        found = sorted(together, key=lambda one: one.offset)
        if _root(found) == entry.root:
            return found
    raise Unprovable(
        f"the masked records of {entry.topic}[{entry.partition}] offsets {entry.first_offset} to {entry.last_offset} are not "
        "those that the audit tells of; `cdc-masker audit verify` says where"
    )


def prove(entry: AuditEntry, found: Sequence[Made | Note], offset: int, later: Iterable[AuditEntry], note: str | None) -> Proof:
    """The proof for the record at that offset. Raises `LookupError` when the entry has no record there."""
    leaves = [leaf_data(one) for one in found]
    index = next(number for number, one in enumerate(found) if one.offset == offset)
    encoded = encode_entry(entry)
    path = merkle.path([merkle.leaf_hash(leaf) for leaf in leaves], index)
    return Proof(
        topic=entry.topic,
        partition=entry.partition,
        generation=entry.generation,
        offset=offset,
        leaf=b64encode(leaves[index]).decode(),
        index=index,
        size=len(leaves),
        path=tuple(b64encode(each).decode() for each in path),
        entry=encoded.decode(),
        entry_hash=entry_hash(encoded),
        later=tuple(encode_entry(each).decode() for each in later),
        checkpoint=note,
    )


def _runs(entry: AuditEntry, masked: Iterable[Made]) -> Iterator[list[Made]]:
    """Stretches of records that may be the entry's; a topic that was made anew has several."""
    wanted = published(entry)
    if wanted == 0:
        yield []
        return
    run: list[Made] = []
    for made in masked:
        if not entry.first_offset <= made.offset <= entry.last_offset or (run and made.offset <= run[-1].offset):
            run = []
        if entry.first_offset <= made.offset <= entry.last_offset:
            run.append(made)
        if len(run) == wanted:
            yield run


def _root(found: Iterable[Made | Note]) -> str:
    return f"sha256:{merkle.root([merkle.leaf_hash(leaf_data(one)) for one in found]).hex()}"
