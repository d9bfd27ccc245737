"""Verifies the audit that the settings name: reads the servers and hands what they give to the checks, a copy at a time."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from typing import Protocol

from aiokafka import TopicPartition

from cdc_masker.audit.archive import Archive, together
from cdc_masker.audit.bridge import Bridge, across
from cdc_masker.audit.chains import Told, Trail
from cdc_masker.audit.entries import Began, Catalogued, Version
from cdc_masker.audit.findings import Code, Finding, Report
from cdc_masker.audit.published import Index
from cdc_masker.audit.records import RawLog, Recompute
from cdc_masker.audit.snapshot import AuditLog, Place, Selection, Snapshot, look
from cdc_masker.audit.verifying import Copy, in_order, verify
from cdc_masker.catalog import Catalog, open_catalog
from cdc_masker.catalog.generations import LIVE
from cdc_masker.catalog.trail import PostgresTrail, Registered
from cdc_masker.events import AuditEntry
from cdc_masker.exports import BadExport, Run
from cdc_masker.heads import Chain, Heads
from cdc_masker.kafka.batch import Span
from cdc_masker.kafka.cluster import Cluster
from cdc_masker.kafka.partitions import PartitionReader, partition_reader
from cdc_masker.kafka.replays import span_of
from cdc_masker.ports import Replay, Unreadable
from cdc_masker.settings import Settings

__all__ = ["MaskingAnew", "Tell", "verify_all"]

Tell = Callable[[str], None]


class MaskingAnew(Protocol):
    """Gives what masks raw records anew (`cdc_masker.audit.anew`)."""

    def recomputer(self, bridge: Bridge, copy: Registered, largest: int) -> Recompute:
        """For the copy of a topic whose record batches may have `largest` bytes."""
        ...


async def verify_all(
    settings: Settings,
    selection: Selection,
    report: Report,
    *,
    checkpoints: Sequence[tuple[str, Heads]] = (),
    archive: Archive | None = None,
    masking: Callable[[Catalog], MaskingAnew] | None = None,
    within: float,
    tell: Tell,
) -> None:
    """Verifies all that is selected and puts what it finds into the report.

    `checkpoints` are heads by the name of what tells of them; with `masking`, records are masked anew. Rows that are on their
    way are awaited so many seconds.
    Raises `SetupError` and `TransientError` when something can't be looked at: then nothing is proven.
    """
    async with AsyncExitStack() as resources:
        catalog = await resources.enter_async_context(open_catalog(settings))
        cluster = Cluster(settings)
        resources.push_async_callback(cluster.close)
        await cluster.start()
        raw = await resources.enter_async_context(partition_reader(settings))
        masked = await resources.enter_async_context(partition_reader(settings))
        tell("looking at topics, offsets and rows")
        snapshot = await look(settings, cluster, catalog.trail, selection, report, within=within)
        beside = _Beside(
            checkpoints,
            archive,
            await _retired(catalog.trail, report),
            await _catalogued(catalog.trail, snapshot, report),
            {each.generation: each for each in await catalog.replays.all()},
            None if masking is None else masking(catalog),
        )
        servers = _Servers(settings, catalog, cluster, raw, masked)
        await across(lambda bridge: _Verifying(servers, bridge, snapshot, beside, selection, report, tell).run())


@dataclass(frozen=True, slots=True)
class _Servers:
    settings: Settings
    catalog: Catalog
    cluster: Cluster
    raw: PartitionReader
    masked: PartitionReader


@dataclass(frozen=True, slots=True)
class _Beside:
    """What rows and records are held against, beside each other."""

    checkpoints: Sequence[tuple[str, Heads]]
    archive: Archive | None
    retired: Mapping[Chain, Sequence[Run]]
    catalogued: Catalogued
    replays: Mapping[int, Replay]
    anew: MaskingAnew | None


class _Verifying:
    """Runs in a thread; asks the servers over the bridge."""

    def __init__(
        self,
        servers: _Servers,
        bridge: Bridge,
        snapshot: Snapshot,
        beside: _Beside,
        selection: Selection,
        report: Report,
        tell: Tell,
    ) -> None:
        self._servers = servers
        self._bridge = bridge
        self._snapshot = snapshot
        self._beside = beside
        self._selection = selection
        self._report = report
        self._tell = tell

    def run(self) -> None:
        index = None if self._snapshot.log is None else self._index(self._snapshot.log)
        for place, chains in sorted(self._copies(index).items()):
            self._verify(place, chains, index)

    def _index(self, log: AuditLog) -> Index:
        """Reads the audit topic."""
        self._tell(f"reading topic {log.partition.topic}")
        first, settled, end = log.bounds
        index = Index(log.partition.topic, complete=first == 0, settled=settled, copied=log.copied)
        for record in self._bridge.each(self._servers.raw.read(log.partition, first, end)):
            index.add(record.offset, record.value, self._report)
        return index

    def _copies(self, index: Index | None) -> dict[Place, list[Chain]]:
        """What there is of each copy: its chains, whatever tells of them; of some there are masked records only."""
        beside, snapshot = self._beside, self._snapshot
        told: set[Chain] = {*snapshot.extents, *snapshot.positions, *beside.retired}
        told.update(*(heads.by_chain for _, heads in beside.checkpoints))
        told.update(() if index is None else index.chains())
        told.update(() if beside.archive is None else beside.archive.chains())
        selection = self._selection
        found: dict[Place, list[Chain]] = {place: [] for place in snapshot.masked if selection.takes_partition(place.partition)}
        for chain in told:
            if selection.takes(chain.topic, chain.generation) and selection.takes_partition(chain.partition):
                found.setdefault(Place(chain.topic, chain.generation, chain.partition), []).append(chain)
        return found

    def _verify(self, place: Place, found: list[Chain], index: Index | None) -> None:
        snapshot, registered = self._snapshot, self._snapshot.registered.get((place.topic, place.generation))
        topic = snapshot.topics.get(place.topic)
        newest = "" if topic is None else topic.incarnation
        chains = in_order(found, self._successors(), newest, self._report) or [
            Chain(place.generation, place.topic, place.partition, newest)
        ]
        raw, masked, settled = None, None, None
        if topic is not None and chains[-1].incarnation == newest:
            raw = self._raw(place, self._left(chains[-1], registered))
        if registered is not None and place in snapshot.masked:
            partition, bounds = TopicPartition(registered.output_topic, place.partition), snapshot.masked[place]
            masked, settled = self._bridge.each(self._servers.masked.read(partition, bounds.first, bounds.end)), bounds.settled
        anew = self._beside.anew
        recompute = None
        if anew is not None and registered is not None and raw is not None and masked is not None:
            recompute = anew.recomputer(self._bridge, registered, self._largest(registered.output_topic))
        verify(
            Copy([self._trail(chain, index) for chain in chains], masked, raw, settled),
            self._beside.catalogued,
            self._report,
            since=self._selection.since,
            recompute=recompute,
            tell=self._tell_of,
        )

    def _successors(self) -> dict[Chain, str]:
        exported = {} if self._beside.archive is None else self._beside.archive.successors
        stored = {chain: extent.successor for chain, extent in self._snapshot.extents.items() if extent.successor}
        return {**exported, **stored}

    def _trail(self, chain: Chain, index: Index | None) -> Trail:
        log, beside, span = self._snapshot.log, self._beside, self._span(chain)
        told = [Told(name, heads.by_chain[chain]) for name, heads in beside.checkpoints if chain in heads.by_chain]
        return Trail(
            chain,
            self._rows(chain),
            index,
            self._snapshot.positions.get(chain),
            told,
            beside.retired.get(chain, ()),
            behind=log is not None and log.behind,
            start=span.start,
            end=span.end,
        )

    def _span(self, chain: Chain) -> Span:
        """What of the raw log the chain has to cover."""
        replay = self._beside.replays.get(chain.generation)
        if replay is None:
            return Span()
        found = (each for each in replay.stretches if (each.topic, each.partition) == (chain.topic, chain.partition))
        return span_of(replay, next(found, None), chain.incarnation)

    def _rows(self, chain: Chain) -> Iterator[AuditEntry | Unreadable]:
        """The rows that were there, and those up to the committed offset that came since; before them what was exported."""
        extent, position = self._snapshot.extents.get(chain), self._snapshot.positions.get(chain)
        through = max(-1 if extent is None else extent.last_first_offset, -1 if position is None else position.last_offset)
        stored = self._bridge.each(self._servers.catalog.trail.rows(chain, through))
        return together(() if self._beside.archive is None else self._beside.archive.entries(chain), stored)

    def _left(self, chain: Chain, registered: Registered | None) -> Span:
        """What of the raw log can be covered by now or later: of a generation that ended, nothing more."""
        span, position = self._span(chain), self._snapshot.positions.get(chain)
        if registered is None or registered.state == LIVE or position is None:
            return span
        return replace(span, end=position.last_offset + 1)

    def _raw(self, place: Place, span: Span) -> RawLog:
        partition = TopicPartition(place.topic, place.partition)
        first, end = self._bridge.wait(self._servers.cluster.bounds(partition))
        first, end = max(first, span.start or 0), end if span.end is None else min(end, span.end)
        policy = self._bridge.wait(self._servers.cluster.settings_of(place.topic))["cleanup.policy"]
        records = self._bridge.each(self._servers.raw.read(partition, first, end))
        return RawLog(records, start=first, compacted="compact" in policy)

    def _largest(self, topic: str) -> int:
        return int(self._bridge.wait(self._servers.cluster.settings_of(topic))["max.message.bytes"])

    def _tell_of(self, chain: Chain) -> None:
        summary = self._report.of(chain)
        self._tell(
            f"{chain.topic}[{chain.partition}] generation {chain.generation}: {summary.entries:,} entries, "
            f"{summary.records:,} records, {self._report.total:,} findings so far"
        )


async def _retired(trail: PostgresTrail, report: Report) -> dict[Chain, list[Run]]:
    """What the receipts of retention tell, by chain."""
    found: dict[Chain, list[Run]] = defaultdict(list)
    try:
        for manifest in await trail.retired():
            for run in manifest.runs:
                found[run.chain].append(run)
    except BadExport as error:
        report.add(Finding(Code.UNREADABLE, None, "receipt", "", 0, None, str(error)))
    return {chain: sorted(runs, key=lambda run: run.first_offset) for chain, runs in found.items()}


async def _catalogued(trail: PostgresTrail, snapshot: Snapshot, report: Report) -> Catalogued:
    versions, problem = await trail.versions()
    if problem is not None:
        report.add(Finding(Code.POLICY, None, "catalog", "", 0, None, f"the catalog does not verify: {problem}"))
    return Catalogued(
        {each.version: Version(each.digest, each.seal, each.key_epoch) for each in versions},
        {key: Began(each.key_epoch, each.policy_version) for key, each in snapshot.registered.items()},
    )
