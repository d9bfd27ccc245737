"""What the evidence for the audit and the egress guard cost, measured in the core: Kafka, PostgreSQL and whatever else the
machine does would only hide it, as two runs of one program differ by more.

The evidence of a batch is the hash of each record's leaf and the root over these, which come with the masked batch, and the
entry: counts, encoding and hash. The compiled core hashes while it masks: there SHA-256 over as many blocks, in one text,
stands for that. The guard costs what masking takes longer with it than without. Time of the processor counts, of the fastest
round, because being disturbed only makes slower.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256

from benchmarks.events import FIRST_MS, event
from benchmarks.policy import CUSTOMERS, masker
from cdc_masker import evidence, merkle
from cdc_masker.batches import MaskedBatch
from cdc_masker.cores import is_compiled
from cdc_masker.events import Record
from cdc_masker.leaves import leaf_of
from cdc_masker.pipeline import Masker
from cdc_masker.settings import load

__all__ = ["Shares", "shares"]

_NODE_BLOCKS = 2  # of a Merkle tree, which has one node less than leaves


@dataclass(frozen=True, slots=True)
class Shares:
    """Processor microseconds that the core takes for an event, and how many of them go into evidence and into the guard."""

    core_us: float
    evidence_us: float
    guard_us: float


def shares(records: int = 2000, rounds: int = 15) -> Shares:
    """Measures them."""
    ours, unguarded = masker(CUSTOMERS), masker(CUSTOMERS, guard_every=1 << 62)
    raw = [Record("shop.crm.customers", 0, number, FIRST_MS + number, *event(number)) for number in range(records)]
    outcomes = [ours.mask(record) for record in raw]
    batch = ours.mask_batch(raw)
    masking, without = _seconds(rounds, lambda: ours.mask_batch(raw), lambda: unguarded.mask_batch(raw))
    if is_compiled(load().core):
        blocks = sum(_blocks(len(leaf_of(outcome)) + 1) + _NODE_BLOCKS for outcome in outcomes)
        (leaves,) = _seconds(rounds, lambda: sha256(bytes(64 * blocks)))
    else:
        (leaves,) = _seconds(rounds, lambda: merkle.root([merkle.leaf_hash(leaf_of(outcome)) for outcome in outcomes]))
    (entry,) = _seconds(rounds, lambda: _entry(ours, batch))
    return Shares(*(seconds / records * 1e6 for seconds in (masking + entry, leaves + entry, masking - without)))


def _blocks(length: int) -> int:
    """How many blocks of 64 bytes SHA-256 makes of a text, with the 9 bytes that it adds."""
    return (length + 9 + 63) // 64


def _entry(ours: Masker, batch: MaskedBatch) -> str:
    entry = evidence.audit_entry(
        batch,
        topic="shop.crm.customers",
        partition=0,
        start=0,
        end=len(batch.offsets),
        previous="sha256:" + 64 * "0",
        policy=ours.policy,
        generation=1,
        incarnation="topic-id",
        masked_at=0,
        worker="worker-1",
    )
    return evidence.entry_hash(evidence.encode_entry(entry))


def _seconds(rounds: int, *works: Callable[[], object]) -> list[float]:
    """Of each, in turns."""

    def once(work: Callable[[], object]) -> float:
        started = time.process_time()
        work()
        return time.process_time() - started

    return [min(column) for column in zip(*([once(work) for work in works] for _ in range(rounds)), strict=True)]
