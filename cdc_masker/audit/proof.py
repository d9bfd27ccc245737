"""Reads what a proof for one record is made of."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from aiokafka import TopicPartition

from cdc_masker.audit.archive import Archive, together
from cdc_masker.audit.bridge import Bridge, across
from cdc_masker.audit.findings import Report
from cdc_masker.audit.proving import Proof, Unprovable, outcomes, prove
from cdc_masker.audit.records import Made, read_origin
from cdc_masker.audit.snapshot import Place
from cdc_masker.catalog import open_catalog
from cdc_masker.catalog.trail import PostgresTrail
from cdc_masker.errors import SetupError
from cdc_masker.events import AuditEntry, Note, Record
from cdc_masker.evidence import head_of
from cdc_masker.heads import Chain, Heads, Kept
from cdc_masker.kafka.cluster import Cluster
from cdc_masker.kafka.partitions import partition_reader
from cdc_masker.settings import Settings

__all__ = ["proof_of"]


async def proof_of(
    settings: Settings, place: Place, offset: int, *, checkpoint: Kept | None = None, export: Path | None = None
) -> Proof:
    """The proof for a raw record's outcome in one generation; with a checkpoint, up to the head that it names. `export` names
    the directory with what retention took.

    Raises `SetupError` when the audit has no entry for it, or the checkpoint no head, and `Unprovable`.
    """
    archive = None if export is None else _whole(export)
    async with AsyncExitStack() as resources:
        catalog = await resources.enter_async_context(open_catalog(settings))
        cluster = Cluster(settings)
        resources.push_async_callback(cluster.close)
        await cluster.start()
        entries = _Entries(catalog.trail, archive)
        known = (await cluster.topics()).get(place.topic)
        chain, entry = await entries.of(place, offset, "" if known is None else known.incarnation)
        if _hidden(entry, offset):
            raise SetupError(f"the audit has no record at offset {offset} of {_named(place)}: none was visible there")
        later = [] if checkpoint is None else await entries.later(chain, entry, checkpoint.heads)
        reader = await resources.enter_async_context(partition_reader(settings))
        copy = TopicPartition(await _output(catalog.trail, place), place.partition)
        first, end = await cluster.bounds(copy)
        start = max(first, await catalog.trail.published_before(chain, entry.first_offset))  # no record is before its number
        found = await _outcomes(entry, reader.read(copy, start, end))
        return prove(entry, found, offset, later, None if checkpoint is None else checkpoint.note.decode())


@dataclass(frozen=True, slots=True)
class _Entries:
    """Entries in the catalog, and those that retention took and that were exported."""

    trail: PostgresTrail
    archive: Archive | None

    async def of(self, place: Place, offset: int, newest: str) -> tuple[Chain, AuditEntry]:
        """The entry that covers the record. Of a topic that was made anew, that of incarnation `newest` where both have one."""
        found = await self._covering(place, offset)
        if not found:
            taken = "; retention took it: name its export with --export" if await self._was_taken(place, offset) else ""
            raise SetupError(
                f"the audit has no row for offset {offset} of {_named(place)} in generation {place.generation}{taken}"
            )
        chain = Chain(place.generation, place.topic, place.partition, newest)
        if chain not in found and len(found) != 1:
            raise SetupError(f"{place.topic} was made anew more than once, and several chains have offset {offset}")
        chain = chain if chain in found else next(iter(found))
        (entry,) = (await self._between(chain, found[chain], found[chain]))[:1]
        return chain, entry

    async def later(self, chain: Chain, entry: AuditEntry, heads: Heads) -> list[AuditEntry]:
        """The entries behind it up to the head in the checkpoint."""
        head = heads.by_chain.get(chain)
        if head is None or head.last_offset < entry.last_offset:
            raise SetupError("the checkpoint is older than the record's entry; take a newer one")
        found = await self._between(chain, entry.last_offset + 1, head.last_offset)
        chained = all(after.previous == head_of(before) for before, after in pairwise([entry, *found]))
        last = found[-1] if found else entry
        if not chained or (last.last_offset, head_of(last)) != head:
            raise SetupError(
                f"no chain of entries leads from offset {entry.first_offset} to the checkpoint's, {head.last_offset}: "
                "if retention took some, name their export with --export; else `cdc-masker audit verify` says more"
            )
        return found

    async def _covering(self, place: Place, offset: int) -> Mapping[Chain, int]:
        stored = await self.trail.covering(place.topic, place.generation, place.partition, offset)
        exported = self.archive.covering(place.generation, place.topic, place.partition, offset) if self.archive else {}
        return {**exported, **dict(stored)}

    async def _was_taken(self, place: Place, offset: int) -> bool:
        wanted = (place.generation, place.topic, place.partition)
        runs = [run for manifest in await self.trail.retired() for run in manifest.runs if run.chain[:3] == wanted]
        return any(run.first_offset <= offset <= run.last_offset for run in runs)

    async def _between(self, chain: Chain, start: int, through: int) -> list[AuditEntry]:
        """The chain's entries that begin from offset `start` to `through`, both included."""
        stored = [each async for page in self.trail.rows(chain, through, start) for each in page]
        exported = () if self.archive is None else self.archive.entries(chain)
        found = [*together((each for each in exported if start <= each.first_offset <= through), stored)]
        entries = [each for each in found if isinstance(each, AuditEntry)]
        if len(entries) != len(found):
            raise Unprovable(f"rows are not as a worker stores them; `cdc-masker audit verify --topic {chain.topic}` says more")
        return entries


def _whole(export: Path) -> Archive:
    report = Report()
    archive = Archive(export, report)
    if report.findings:
        raise Unprovable(str(report.findings[0]))
    return archive


async def _output(trail: PostgresTrail, place: Place) -> str:
    for each in await trail.generations():
        if (each.topic, each.generation) == (place.topic, place.generation):
            return each.output_topic
    raise SetupError(f"generation {place.generation} of topic {place.topic} is not in the catalog")


async def _outcomes(entry: AuditEntry, batches: AsyncIterator[list[Record]]) -> Sequence[Made | Note]:
    def found(bridge: Bridge) -> Sequence[Made | Note]:
        records = map(read_origin, bridge.each(batches))
        return outcomes(entry, (made for made in records if made is not None))

    return await across(found)


def _hidden(entry: AuditEntry, offset: int) -> bool:
    return entry.accepted is not None or any(first <= offset <= last for first, last in entry.gaps)


def _named(place: Place) -> str:
    return f"{place.topic}[{place.partition}]"
