"""What the audit is made of: the entry of a batch, and its bytes in the audit topic.

An entry is computed from outcomes alone, so it can't hold anything of a raw record. The time and the names of worker and
program come from the shell.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import msgspec

from cdc_masker.events import AuditEntry, Fate, Outcome, QuarantineNote
from cdc_masker.policies import Policy
from cdc_masker.version import __version__

__all__ = ["audit_entry", "decode_entry", "encode_entry", "encode_note"]


def audit_entry(
    outcomes: Sequence[Outcome],
    *,
    policy: Policy,
    generation: int,
    incarnation: str,
    masked_at: int,
    worker: str,
    shape_version: int | None = None,
) -> AuditEntry:
    """The entry of one batch: consecutive outcomes, at least one, of one partition. `masked_at` is in ms since the epoch.

    `shape_version`: the version whose shape the rows keep, if not that of `policy`.
    """
    first, last = outcomes[0], outcomes[-1]
    counts = Counter(outcome.fate for outcome in outcomes)
    return AuditEntry(
        generation=generation,
        incarnation=incarnation,
        topic=first.topic,
        partition=first.partition,
        first_offset=first.offset,
        last_offset=last.offset,
        counts={fate: counts[fate] for fate in Fate},
        policy_version=policy.version,
        policy_digest=policy.digest,
        policy_seal=policy.seal,
        shape_version=shape_version,
        key_epoch=policy.key_epoch,
        masked_at=masked_at,
        worker=worker,
        program=f"cdc-masker/{__version__}",
        quarantined=tuple(
            QuarantineNote(outcome.topic, outcome.partition, outcome.offset, outcome.timestamp, outcome.reason, outcome.place)
            for outcome in outcomes
            if outcome.reason is not None
        ),
    )


def encode_entry(entry: AuditEntry) -> bytes:
    """The entry as JSON, as it stands in the audit topic."""
    return msgspec.json.encode(entry)


def decode_entry(text: bytes) -> AuditEntry:
    """The inverse of `encode_entry`. Raises `msgspec.DecodeError` for anything else."""
    return _entry.decode(text)


def encode_note(note: QuarantineNote) -> bytes:
    """The note as JSON, as it stands in the quarantine topic."""
    return msgspec.json.encode(note)


_entry = msgspec.json.Decoder(AuditEntry)
