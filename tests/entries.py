"""Audit entries to test with."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from cdc_masker.errors import Reason
from cdc_masker.events import AuditEntry, Fate, Note
from cdc_masker.evidence import head_of

__all__ = ["TOPIC", "chained", "entry", "note"]

TOPIC = "shop.crm.customers"


def note(offset: int, reason: Reason = Reason.NOT_JSON, **changes: Any) -> Note:
    """What is kept of a quarantined record, or, with `fate`, of a dropped one."""
    known = {"topic": TOPIC, "partition": 3, "timestamp": 1_700_000_000_000, "fate": Fate.QUARANTINED}
    return Note(**{**known, "offset": offset, "reason": reason, **changes})


def entry(first: int = 10, last: int | None = None, **changes: Any) -> AuditEntry:
    """The entry of a batch in which every record was masked; without `last`, of ten."""
    end = first + 9 if last is None else last
    known: dict[str, Any] = {
        "generation": 1,
        "incarnation": "topic-id",
        "topic": TOPIC,
        "partition": 3,
        "counts": {**dict.fromkeys(Fate, 0), Fate.MASKED: end - first + 1},
        "columns": {"crm.customers": {"email": {"tokenize": end - first + 1}}},
        "root": "sha256:aa",
        "previous": "",
        "policy_version": 1,
        "policy_digest": "sha256:00",
        "policy_seal": "sha256:01",
        "key_epoch": 1,
        "masked_at": 1_700_000_000_123,
        "worker": "worker-1",
        "program": "cdc-masker 0",
    }
    return AuditEntry(first_offset=first, last_offset=end, **{**known, **changes})


def chained(*entries: AuditEntry) -> list[AuditEntry]:
    """The same entries, each naming the one before it."""
    made: list[AuditEntry] = []
    for each in entries:
        made.append(replace(each, previous=head_of(made[-1]) if made else ""))
    return made
