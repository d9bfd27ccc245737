"""Stops a worker whose masking can't be trusted: the egress guard finds too much.

A few findings are quarantined records. Many mean that something masks wrongly, and then nothing more may leave.
"""

from __future__ import annotations

from cdc_masker.batches import MaskedBatch
from cdc_masker.errors import PolicyError, Reason

__all__ = ["GuardAlarm"]

_WINDOW = 10_000
_LEAST = 1_000
"""Records that a share is taken of at least, so that one finding in a small batch is one finding."""


class GuardAlarm:
    """Counts findings over the last records of a worker. `limit` is the share that is still borne."""

    def __init__(self, limit: float) -> None:
        self._limit = limit
        self._records = 0
        self._findings = 0

    def look(self, batch: MaskedBatch) -> None:
        """Counts a batch before it is published. Raises `PolicyError` when findings are past the limit."""
        self._records += len(batch.offsets)
        self._findings += sum(note.reason is Reason.EGRESS_GUARD for note in batch.notes)
        if self._findings > self._limit * max(self._records, _LEAST):
            raise PolicyError(
                "egress guard",
                f"raw values stood in {self._findings} of the last {self._records} masked records, none of which left; "
                "look at the quarantine for the columns, correct the policy or report a bug",
            )
        if self._records >= _WINDOW:
            self._records = self._findings = 0
