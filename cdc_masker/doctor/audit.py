"""Whether the audit has room for what comes, and who may take entries out of it."""

from __future__ import annotations

from collections.abc import Iterator

from cdc_masker.catalog.partitions import Partitioning
from cdc_masker.doctor.findings import Finding, Severity

__all__ = ["of_partitioning"]


def of_partitioning(found: Partitioning) -> Iterator[Finding]:
    """The partitions of the audit, and the logins that may retire them."""
    for partition in found.missing:
        yield Finding(
            Severity.WARNING,
            f"catalog: {partition}",
            "this partition is not there, so what belongs into it goes into the one for all others",
            "see in the log of a worker why it can't make it, or have one run: each makes partitions ahead once a day",
        )
    for month in found.misplaced:
        yield Finding(
            Severity.WARNING,
            "catalog: audit_entry_default",
            f"entries of {month} stand here, for which there was no partition",
            "see whether the clocks of workers are right; `cdc-masker audit retire` takes such entries like others",
        )
    for login in found.retiring_workers:
        yield Finding(
            Severity.ERROR,
            f"catalog: {login}",
            "this login of a worker may take entries out of the audit; a worker that is taken over can hide what it did",
            "revoke one of the two roles",
        )
