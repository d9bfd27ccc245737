"""How the audit is partitioned: `migrations/audit.sql` makes a partition for each month, and one for what has none."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import func, select, text

from cdc_masker.catalog.database import Database

__all__ = ["Partitioning", "Partitions"]

# Superusers are members of every role.
_BOTH = text("""
    SELECT rolname::text FROM pg_roles
    WHERE rolcanlogin AND NOT rolsuper
      AND pg_has_role(oid, to_regrole(:worker), 'MEMBER') AND pg_has_role(oid, to_regrole(:retention), 'MEMBER')
    ORDER BY 1
""")


@dataclass(frozen=True, slots=True)
class Partitioning:
    """`missing` are partitions of this month and the next three that are not there, `misplaced` the months, from this one on,
    of entries that stand in DEFAULT for want of a partition, and `retiring_workers` logins that may append and retire.
    """

    missing: tuple[str, ...]
    misplaced: tuple[str, ...]
    retiring_workers: tuple[str, ...]


class Partitions:
    """Reads it."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def partitioning(self) -> Partitioning:
        """How it is now, for a login with the role of an auditor or a worker."""
        functions = getattr(func, self._database.schema)
        missing = select(functions.missing_audit_partitions().table_valued("part"))
        misplaced = select(functions.misplaced_audit_months().column_valued())
        roles = {role: f'"{self._database.schema}_{role}"' for role in ("worker", "retention")}
        async with self._database.transaction() as connection:
            found = [(await connection.execute(asked)).scalars().all() for asked in (missing, misplaced)]
            both = (await connection.execute(_BOTH, roles)).scalars().all()
        return Partitioning(*(tuple(each) for each in (*found, both)))
