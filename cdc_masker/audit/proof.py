"""Reads what a proof for one record is made of."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack

from aiokafka import TopicPartition

from cdc_masker.audit.bridge import Bridge, across
from cdc_masker.audit.proving import Proof, Unprovable, outcomes, prove
from cdc_masker.audit.records import Made, read_origin
from cdc_masker.catalog import Catalog, open_catalog
from cdc_masker.errors import SetupError
from cdc_masker.events import AuditEntry, Note, Record
from cdc_masker.heads import Chain, Heads
from cdc_masker.kafka.cluster import Cluster
from cdc_masker.kafka.partitions import partition_reader
from cdc_masker.settings import Settings

__all__ = ["proof_of"]


async def proof_of(
    settings: Settings, topic: str, partition: int, offset: int, generation: int, checkpoint: tuple[bytes, Heads] | None
) -> Proof:
    """The proof for a raw record's outcome in one generation; with a checkpoint, up to the head that it names.

    Raises `SetupError` when the audit has no entry for it, or the checkpoint no head, and `Unprovable`.
    """
    async with AsyncExitStack() as resources:
        catalog = await resources.enter_async_context(open_catalog(settings))
        cluster = Cluster(settings)
        resources.push_async_callback(cluster.close)
        await cluster.start()
        chain, entry = await _entry(catalog, cluster, topic, partition, offset, generation)
        if _hidden(entry, offset):
            raise SetupError(f"the audit has no record at offset {offset} of {topic}[{partition}]: none was visible there")
        later: list[AuditEntry] = []
        note = None
        if checkpoint is not None:
            note = checkpoint[0].decode()
            later = await _later(catalog, chain, entry, checkpoint[1])
        reader = await resources.enter_async_context(partition_reader(settings))
        copy = TopicPartition(await _output(catalog, topic, generation), partition)
        first, end = await cluster.bounds(copy)
        start = max(first, await catalog.trail.published_before(chain, entry.first_offset))  # no record is before its number
        found = await _outcomes(entry, reader.read(copy, start, end))
        return prove(entry, found, offset, later, note)


async def _entry(
    catalog: Catalog, cluster: Cluster, topic: str, partition: int, offset: int, generation: int
) -> tuple[Chain, AuditEntry]:
    """The entry that covers the record; of a topic that was made anew, the one of the topic that is there."""
    found = dict(await catalog.trail.covering(topic, generation, partition, offset))
    known = (await cluster.topics()).get(topic)
    newest = Chain(generation, topic, partition, "" if known is None else known.incarnation)
    if newest not in found and len(found) != 1:
        raise SetupError(
            f"the audit has no row for offset {offset} of {topic}[{partition}] in generation {generation}"
            if not found
            else f"{topic} was made anew more than once, and several chains have offset {offset}"
        )
    chain = newest if newest in found else next(iter(found))
    (entry,) = [each async for page in catalog.trail.rows(chain, found[chain], found[chain]) for each in page][:1]
    if not isinstance(entry, AuditEntry):
        raise Unprovable(f"the entry's row is not as a worker stores it; `cdc-masker audit verify --topic {topic}` says more")
    return chain, entry


async def _later(catalog: Catalog, chain: Chain, entry: AuditEntry, heads: Heads) -> list[AuditEntry]:
    """The entries behind it up to the head in the checkpoint."""
    head = heads.by_chain.get(chain)
    if head is None or head.last_offset < entry.last_offset:
        raise SetupError("the checkpoint is older than the record's entry; take a newer one")
    rows = catalog.trail.rows(chain, head.last_offset, entry.last_offset + 1)
    found = [each async for page in rows for each in page]
    if any(not isinstance(each, AuditEntry) for each in found):
        raise Unprovable(f"rows are not as a worker stores them; `cdc-masker audit verify --topic {chain.topic}` says more")
    return [each for each in found if isinstance(each, AuditEntry)]


async def _output(catalog: Catalog, topic: str, generation: int) -> str:
    for each in await catalog.trail.generations():
        if (each.topic, each.generation) == (topic, generation):
            return each.output_topic
    raise SetupError(f"generation {generation} of topic {topic} is not in the catalog")


async def _outcomes(entry: AuditEntry, batches: AsyncIterator[list[Record]]) -> Sequence[Made | Note]:
    def found(bridge: Bridge) -> Sequence[Made | Note]:
        records = map(read_origin, bridge.each(batches))
        return outcomes(entry, (made for made in records if made is not None))

    return await across(found)


def _hidden(entry: AuditEntry, offset: int) -> bool:
    return entry.accepted is not None or any(first <= offset <= last for first, last in entry.gaps)
