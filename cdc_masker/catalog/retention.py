"""Takes the entries of past months out of the catalog, and leaves what proves them: a file, its manifest, and a receipt.

The entries of a month are written to a file, chain by chain, and checked while they are (`cdc_masker.exports`). When file and
manifest are on disk, one transaction of `migrations/audit.sql` takes just these entries out and writes the receipt. So wherever
it is cut off, nothing is lost, and the next run goes on. The last entry of a chain stays, however old it is: what comes next
names its hash.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from contextlib import nullcontext
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
from sqlalchemy import JSON, func, literal, select

from cdc_masker.catalog.audit import PostgresAudit
from cdc_masker.catalog.database import Database
from cdc_masker.catalog.export_files import ExportFile
from cdc_masker.catalog.tables import audit_entry, receipt
from cdc_masker.errors import SetupError
from cdc_masker.events import AuditEntry
from cdc_masker.evidence import head_of
from cdc_masker.exports import BadExport, Exporter, Manifest, Run, decode_manifest
from cdc_masker.heads import Heads, Kept

__all__ = ["Retention"]

_AT_ONCE = 1000


class _Gone:
    """The runs that were taken out before: what each begins with and ends with, by chain and offset."""

    def __init__(self, manifests: Iterable[Manifest]) -> None:
        runs = [run for manifest in manifests for run in manifest.runs]
        self.previous = {(run.chain, run.first_offset): run.previous for run in runs}
        self.heads = {(run.chain, run.last_offset): run.head for run in runs}


class Retention:
    """What a login with the role of retention may do."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._audit = PostgresAudit(database)

    async def retire(
        self, before: datetime, directory: Path, *, checkpoint: Kept | None = None, dry_run: bool = False
    ) -> AsyncIterator[Manifest]:
        """Takes out the months before that moment, which is the begin of a month in UTC, and gives the manifest of each.

        A checkpoint is kept beside each export, once it was seen that the chains lead on to the heads in it. `dry_run`: does
        nothing but look.

        Raises `BadExport` for entries that don't form a chain, and `SetupError` when the checkpoint is older than they are, or
        the directory can't be written or holds another export. What it gave by then is done.
        """
        retired = await self._retired()
        begin = datetime.min.replace(tzinfo=UTC)
        while (first := await self._first(begin, before)) is not None:
            month = first.astimezone(UTC).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
            begin = (month + timedelta(days=31)).replace(day=1)
            name = f"{month:%Y-%m}"
            gone = _Gone(retired)
            exporter = Exporter(name, 1 + sum(each.month == name for each in retired))
            try:
                with nullcontext() if dry_run else ExportFile(directory) as file:
                    manifest = await self._export(exporter, month, begin, file)
                    for run in manifest.runs:
                        await self._check(run, gone)
                        if checkpoint is not None:
                            await self._check_told(run, checkpoint.heads, gone)
                    if file is not None and manifest.entries:
                        file.keep(manifest, None if checkpoint is None else checkpoint.note)
            except OSError as error:
                raise SetupError(f"{directory} can't be written ({error.strerror}); correct --to") from None
            if not manifest.entries:
                continue
            if not dry_run:
                await self._take_out(manifest)
            retired.append(manifest)
            yield manifest

    async def _export(self, exporter: Exporter, month: datetime, end: datetime, file: ExportFile | None) -> Manifest:
        """Exports a month into the file."""
        async for entry in self._entries(month, end):
            line = exporter.line(entry)
            if file is not None:
                file.write(line)
        return exporter.manifest()

    async def _entries(self, month: datetime, end: datetime) -> AsyncIterator[AuditEntry]:
        """The entries of a month, chain by chain, but those which are the last of their chain."""
        held: AuditEntry | None = None
        while page := await self._audit.masked_between(month, end, after=held, limit=_AT_ONCE):
            for entry in page:
                if held is not None and (_chain(held) == _chain(entry) or await self._goes_on(held)):
                    yield held
                held = entry
        if held is not None and await self._goes_on(held):
            yield held

    async def _goes_on(self, entry: AuditEntry) -> bool:
        return await self._audit.following(*_chain(entry), entry.first_offset) is not None

    async def _check(self, run: Run, gone: _Gone) -> None:
        """That the run joins what came before it and what follows."""
        chain = (run.generation, run.incarnation, run.topic, run.partition)
        place = _place(run)
        before = await self._audit.ending_at(*chain, run.first_offset - 1)
        head = gone.heads.get((run.chain, run.first_offset - 1), "") if before is None else head_of(before)
        if run.previous != head:
            raise BadExport(f"{place} offset {run.first_offset}", "what came before is not what this entry names, or is gone")
        after = await self._audit.following(*chain, run.last_offset)
        following = run.last_offset + 1
        named = gone.previous.get((run.chain, following))
        if after is not None and after.first_offset == following:
            named = after.previous
        if run.head != named:
            raise BadExport(f"{place} offset {following}", "what follows does not name the entry before, or is gone")

    async def _check_told(self, run: Run, heads: Heads, gone: _Gone) -> None:
        """That the checkpoint names an entry at the run's end or behind it, and that this entry is there."""
        head = heads.by_chain.get(run.chain)
        if head is None or head.last_offset < run.last_offset:
            raise SetupError(
                f"the checkpoint is older than entries of {_place(run)}: take one more with `cdc-masker audit checkpoint`"
            )
        entry = await self._audit.ending_at(run.generation, run.incarnation, run.topic, run.partition, head.last_offset)
        if head.hash != (gone.heads.get((run.chain, head.last_offset)) if entry is None else head_of(entry)):
            raise BadExport(f"{_place(run)} offset {head.last_offset}", "the entry that the checkpoint names is not there")

    async def _first(self, begin: datetime, end: datetime) -> datetime | None:
        """When the first entry from `begin` to before `end` was masked."""
        masked_at = audit_entry.c.masked_at
        first = select(func.min(masked_at)).where(masked_at >= begin, masked_at < end)
        async with self._database.transaction() as connection:
            found: datetime | None = (await connection.execute(first)).scalar_one()
        return found

    async def _retired(self) -> list[Manifest]:
        """What receipts say."""
        wanted = select(receipt.c.detail).where(receipt.c.kind == "retire").order_by(receipt.c.id)
        async with self._database.transaction() as connection:
            details = (await connection.execute(wanted)).scalars().all()
        return [decode_manifest(msgspec.json.encode(detail)) for detail in details]

    async def _take_out(self, manifest: Manifest) -> None:
        functions = getattr(func, self._database.schema)
        async with self._database.transaction() as connection:
            await connection.execute(select(functions.retire_audit(literal(msgspec.to_builtins(manifest), JSON))))


def _place(run: Run) -> str:
    return f"{run.topic}/{run.partition} (generation {run.generation}, incarnation {run.incarnation})"


def _chain(entry: AuditEntry) -> tuple[int, str, str, int]:
    return entry.generation, entry.incarnation, entry.topic, entry.partition
