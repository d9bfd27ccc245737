"""Names the steps of assignment, delivery and audit, so that tests can end a worker at each of them.

Whoever does a step says `steps.reach(Step.…)` when it is done: once for a batch, an assignment or a copy of the audit, never
for a record. That does nothing, and no setting can change it; `tests/chaos/worker.py` starts a worker that has a function of
its own in its place.
"""

from __future__ import annotations

from enum import StrEnum

__all__ = ["Step", "reach"]


class Step(StrEnum):
    """What is done when it is reached, in the order of one partition's way from assignment to revocation."""

    # A partition is opened.
    ASSIGNED = "assigned"
    PREPARED = "prepared"  # output topic and generation are there
    FENCED = "fenced"
    POSITION_FOUND = "position-found"
    SOUGHT = "sought"

    # A batch is masked and published.
    TAKEN = "taken"
    MASKED = "masked"
    BEGUN = "begun"
    NOTES_SENT = "notes-sent"
    ENTRY_SENT = "entry-sent"
    RECORDS_SENT = "records-sent"
    OFFSETS_SENT = "offsets-sent"
    FLUSHED = "flushed"
    CONFIRMED = "confirmed"  # only the commit is left
    COMMITTED = "committed"
    ABORTED = "aborted"

    # Audit entries become rows.
    ENTRIES_READ = "entries-read"
    ROWS_STORED = "rows-stored"
    COPIED = "copied"  # with the copier's own offset

    # The partition is let go.
    REVOKED = "revoked"
    CLOSED = "closed"


def reach(step: Step) -> None:
    """A step is done."""
