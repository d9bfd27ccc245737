"""Policies as the catalog holds them: verified, and the one that is in force."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

from sqlalchemy import func, select

from cdc_masker.catalog.chain import Chain, Known
from cdc_masker.catalog.database import Database
from cdc_masker.catalog.tables import policy_rule, policy_version
from cdc_masker.errors import PolicyError
from cdc_masker.policies import EMPTY, Policy
from cdc_masker.settings import PREFIX

__all__ = ["PostgresPolicies"]

logger = logging.getLogger(__name__)


class PostgresPolicies:
    """The port `PolicySource` on PostgreSQL. With a public key, only versions that its holder signed are in force."""

    def __init__(self, database: Database, key: bytes | None = None) -> None:
        self._database = database
        self._key = key
        self._chain = Chain()
        self._turn = asyncio.Lock()
        self._last = EMPTY
        self._told = 0

    async def current(self, key_epoch: int | None = None) -> Policy:
        """The newest version, or the newest of those with keys of that epoch; before it `EMPTY`, which redacts everything.

        Raises `UnverifiedError` when the catalog is not what was released, and `PolicyError` when unmerged revisions contradict
        each other, or there is no version of that epoch or with the signature that is asked for.
        """
        async with self._turn:
            await self._follow()
            known = self._in_force(key_epoch)
            if known is None:
                return EMPTY
            if len(known.heads) > 1:
                raise PolicyError(
                    f"version {known.version}",
                    f"comes from unmerged revisions {', '.join(known.heads)}; merge them with `alembic merge`",
                )
            if self._last.version != known.version:
                self._last = await self._read(known.version)
            return self._last

    async def history(self) -> list[dict[str, Any]]:
        """All versions, the newest first, as JSON values: what was released when, by whom and why; `rules` counts them."""
        shown = [each for each in policy_version.c if each.name not in ("tables", "domains", "envelopes", "headers")]
        counted = select(func.count()).where(policy_rule.c.version == policy_version.c.version).scalar_subquery()
        async with self._database.transaction() as connection:
            rows = await connection.execute(select(*shown, counted.label("rules")).order_by(policy_version.c.version.desc()))
            return [{**row, "created_at": row["created_at"].isoformat(timespec="seconds")} for row in rows.mappings()]

    async def at(self, version: int) -> Policy:
        """One version, old or new, signed or not. Raises as `current` does, and `PolicyError` when there is no such version."""
        async with self._turn:
            await self._follow()
            if not 0 < version <= len(self._chain.versions):
                raise PolicyError(f"version {version}", "is not in the catalog")
            return await self._read(version)

    async def usable(self, version: int) -> Policy:
        """A version that may be used. Raises as `at` does, and `PolicyError` when it lacks the signature that is asked for."""
        policy = await self.at(version)
        if self._key is not None and not self._chain.signed_by(version, self._key):
            raise PolicyError(
                f"version {version}",
                f"is not signed with the key in {PREFIX}POLICY_KEY_FILE; sign it with `cdc-masker policy sign`",
            )
        return policy

    async def newest(self) -> Policy:
        """The version that was released last, signed or not. Raises as `at` does."""
        async with self._turn:
            await self._follow()
        return await self.at(len(self._chain.versions))

    def _in_force(self, key_epoch: int | None) -> Known | None:
        versions = self._chain.versions
        fit = [each for each in versions if key_epoch in (None, each.key_epoch)]
        if not fit:
            if key_epoch not in (None, EMPTY.key_epoch):
                raise PolicyError(f"key epoch {key_epoch}", "no policy of this epoch was released")
            if self._key is None:
                return None
        signed = [each for each in fit if self._key is None or self._chain.signed_by(each.version, self._key)]
        if not signed:
            raise PolicyError(
                f"version {fit[-1].version}" if fit else "catalog",
                f"no version that could be in force is signed with the key in {PREFIX}POLICY_KEY_FILE; sign one with "
                "`cdc-masker policy sign`",
            )
        if fit[-1] != signed[-1] and self._told != fit[-1].version:
            self._told = fit[-1].version
            logger.warning("policy version %d is not signed; version %d is in force", fit[-1].version, signed[-1].version)
        return signed[-1]

    async def _follow(self) -> None:
        async with self._database.transaction() as connection:
            await self._chain.follow(connection)

    async def _read(self, version: int) -> Policy:
        async with self._database.transaction() as connection:
            return await self._chain.read(connection, version)
