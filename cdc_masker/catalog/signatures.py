"""Signatures of policy versions: append-only, through a function of `migrations/releases.sql`."""

from __future__ import annotations

from sqlalchemy import BigInteger, DateTime, LargeBinary, func, literal, select

from cdc_masker.catalog.database import Database
from cdc_masker.sealing import Signature

__all__ = ["PostgresSignatures"]


class PostgresSignatures:
    """What a signer may write."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def add(self, signature: Signature, seal: str) -> None:
        """Stores the signature of the version that has this seal. Raises `SetupError` when that key signed it already."""
        call = getattr(func, self._database.schema).sign_policy(
            literal(signature.version, BigInteger),
            seal,
            literal(signature.key, LargeBinary),
            literal(signature.signed_at, DateTime(timezone=True)),
            literal(signature.signature, LargeBinary),
        )
        async with self._database.transaction() as connection:
            await connection.execute(select(call))
