"""Policies as the catalog holds them: read, put back into a value, and refused unless the digest still fits."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Row, RowMapping, select
from sqlalchemy.ext.asyncio import AsyncConnection

from cdc_masker.catalog.database import Database
from cdc_masker.catalog.tables import policy_rule, policy_version
from cdc_masker.errors import PolicyError
from cdc_masker.policies import EMPTY, Policy

__all__ = ["PostgresPolicies"]

_RULES = select(
    policy_rule.c.server,
    policy_rule.c.table_schema.label("schema"),
    policy_rule.c.table_name.label("table"),
    policy_rule.c.column_name.label("column"),
    policy_rule.c.path,
    policy_rule.c.pattern,
    policy_rule.c.type,
    policy_rule.c.method,
    policy_rule.c.params,
    policy_rule.c.strict,
    policy_rule.c.allow_small_domain,
    policy_rule.c.allow_uniqueness_loss,
    policy_rule.c.classification,
    policy_rule.c.reason,
    policy_rule.c.ticket,
)


class PostgresPolicies:
    """The port `PolicySource` on PostgreSQL."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def current(self, key_epoch: int | None = None) -> Policy:
        """The newest version, or the newest of those with keys of that epoch; before it `EMPTY`, which redacts everything.

        Raises `PolicyError` when the rows are not what was released, when unmerged revisions contradict each other, or
        when there is no version of that epoch.
        """
        newest = policy_version.select().order_by(policy_version.c.version.desc()).limit(1)
        if key_epoch is not None:
            newest = newest.where(policy_version.c.key_epoch == key_epoch)
        async with self._database.transaction() as connection:
            version = (await connection.execute(newest)).first()
            if version is None:
                if key_epoch not in (None, EMPTY.key_epoch):
                    raise PolicyError(f"key epoch {key_epoch}", "no policy of this epoch was released")
                return EMPTY
            policy = await _verified(connection, version)
        if len(version.heads) > 1:
            raise PolicyError(
                f"version {version.version}",
                f"comes from unmerged revisions {', '.join(version.heads)}; merge them with `alembic merge`",
            )
        return policy

    async def at(self, version: int) -> Policy:
        """One version, old or new. Raises as `current` does, and `PolicyError` when there is no such version."""
        async with self._database.transaction() as connection:
            row = (await connection.execute(policy_version.select().where(policy_version.c.version == version))).first()
            if row is None:
                raise PolicyError(f"version {version}", "is not in the catalog")
            return await _verified(connection, row)


async def _verified(connection: AsyncConnection, version: Row[Any]) -> Policy:
    rules = await connection.execute(_RULES.where(policy_rule.c.version == version.version))
    policy = Policy.from_document(
        {
            "version": version.version,
            "default": version.default_method,
            "key_epoch": version.key_epoch,
            "tables": version.tables,
            "domains": version.domains,
            "envelopes": version.envelopes,
            "headers": version.headers,
            "rules": [_rule_document(rule) for rule in rules.mappings()],
        }
    )
    if policy.digest != version.digest:
        raise PolicyError(
            f"version {version.version}", "its rows don't fit the digest that was released: somebody changed them"
        )
    return policy


def _rule_document(rule: RowMapping) -> dict[str, Any]:
    members = {str(name): value for name, value in rule.items()}
    return {**members, "path": members["path"] or None}
