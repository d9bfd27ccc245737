"""What the audit's evidence costs: the share of throughput that leaves, root, counts, entry and hash take of the core's.

Each round masks a batch, then makes, encodes and hashes its entry as the worker does; Kafka and PostgreSQL have no part in it.
What is measured is time of the processor, and the fastest round counts, because being disturbed only makes slower.
"""

from __future__ import annotations

import time
from pathlib import Path

from msgspec import structs

from cdc_masker import evidence
from cdc_masker.batches import gathered
from cdc_masker.codecs.capture import decode_line
from cdc_masker.events import Outcome, Record
from cdc_masker.keys import new_keyring
from cdc_masker.pipeline import Masker
from cdc_masker.policies import Policy

_EXAMPLES = Path(__file__).resolve().parent.parent / "examples"
_RECORDS = 500
_ROUNDS = 61


def batch(name: str) -> list[Record]:
    """Consecutive records of one partition, made of a capture's."""
    with (_EXAMPLES / name).open("rb") as lines:
        captured = [decode_line(line) for line in lines]
    rows = [record for record in captured if record.topic == "shop.crm.customers" and record.value]
    return [structs.replace(rows[offset % len(rows)], partition=0, offset=offset) for offset in range(_RECORDS)]


def proven(outcomes: list[Outcome], policy: Policy) -> str:
    """Makes the evidence of a batch, and all else that is gathered of it; gives the hash of its entry."""
    entry = evidence.audit_entry(
        gathered(outcomes),
        topic=outcomes[0].topic,
        partition=0,
        start=0,
        end=len(outcomes),
        previous="sha256:" + 64 * "0",
        policy=policy,
        generation=1,
        incarnation="topic-id",
        masked_at=0,
        worker="worker-1",
    )
    return evidence.entry_hash(evidence.encode_entry(entry))


def _round(masker: Masker, records: list[Record]) -> tuple[float, float]:
    """Microseconds for each record: to mask it, and to make the evidence."""
    started = time.process_time()
    outcomes = [masker.mask(record) for record in records]
    masked = time.process_time()
    proven(outcomes, masker.policy)
    return (masked - started) / _RECORDS * 1e6, (time.process_time() - masked) / _RECORDS * 1e6


def main() -> None:
    """Prints one line for each capture."""
    masker = Masker(Policy.from_document((_EXAMPLES / "shop-policy.json").read_bytes()), new_keyring())
    print(f"{'events of customers':<24} {'bytes':>6} {'masked µs':>10} {'evidence µs':>12} {'throughput':>11} {'audit':>6}")
    for name in ("shop.jsonl", "shop-schemas.jsonl"):
        records = batch(name)
        rounds = [_round(masker, records) for _ in range(_ROUNDS)]
        masked, evident = (min(column) for column in zip(*rounds, strict=True))
        size = sum(len(record.value or b"") for record in records) // _RECORDS
        share = masked / (masked + evident)
        print(f"{name:<24} {size:>6} {masked:>10.1f} {evident:>12.1f} {share:>11.3f} {1 - share:>6.1%}")


if __name__ == "__main__":
    main()
