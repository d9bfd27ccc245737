"""Receipts: who did what with keys, append-only, through the functions of `migrations/subjects.sql`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import JSON, BigInteger, func, literal, select

from cdc_masker.catalog.database import Database
from cdc_masker.catalog.tables import receipt
from cdc_masker.ports import Receipt

__all__ = ["PostgresReceipts"]


class PostgresReceipts:
    """The port `ReceiptStore` on PostgreSQL. A custodian may write; auditors may read, too."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def write(self, kind: str, about: str, reason: str, detail: Mapping[str, Any]) -> int:
        """Writes a receipt and gives its number. Raises `SetupError` when the login may not."""
        functions = getattr(func, self._database.schema)
        call = functions.write_receipt(kind, about, reason, literal(dict(detail), JSON), type_=BigInteger)
        async with self._database.transaction() as connection:
            return int((await connection.execute(select(call))).scalar_one())

    async def newest(self, limit: int, kind: str | None = None) -> list[Receipt]:
        """The newest receipts, newest first."""
        wanted = receipt.select().order_by(receipt.c.id.desc()).limit(limit)
        if kind is not None:
            wanted = wanted.where(receipt.c.kind == kind)
        async with self._database.transaction() as connection:
            rows = (await connection.execute(wanted)).all()
        return [
            Receipt(row.id, row.at, row.login, row.kind, row.about, row.subject, row.reason, dict(row.detail)) for row in rows
        ]
