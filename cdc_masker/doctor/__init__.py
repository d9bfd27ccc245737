"""What lies around cdc-masker and can leak or lose all the same: connector, brokers, topics, connections, catalog, source.

Each question is asked of facts that are read, and answered by a pure function; `examine` reads them. A finding names a setting
and never a value that may be secret.
"""

from __future__ import annotations

import asyncio
import time

from cdc_masker.catalog import open_catalog, read_public_key
from cdc_masker.connect import Connector
from cdc_masker.doctor.audit import of_partitioning
from cdc_masker.doctor.catalog import of_catalog
from cdc_masker.doctor.connections import of_connections
from cdc_masker.doctor.connector import of_connector
from cdc_masker.doctor.findings import Finding, Severity
from cdc_masker.doctor.kafka import of_brokers, of_topics
from cdc_masker.doctor.source import of_publication, of_slot, publication, slot
from cdc_masker.kafka.cluster import Cluster
from cdc_masker.settings import PREFIX, Settings
from cdc_masker.source import open_source

__all__ = ["Finding", "Severity", "examine"]

_PATIENCE_SECONDS = 30.0


async def examine(settings: Settings) -> list[Finding]:
    """Asks Kafka Connect, the brokers, the catalog and the source database, the latter two if they are set.

    Raises `SetupError` or `TransientError` when one can't be asked.
    """
    return [
        *of_connector(await asyncio.to_thread(Connector(settings).configuration, time.monotonic() + _PATIENCE_SECONDS)),
        *await _kafka(settings),
        *of_connections(settings),
        *await _catalog(settings),
        *await _source(settings),
    ]


async def _kafka(settings: Settings) -> list[Finding]:
    cluster = Cluster(settings)
    await cluster.start()
    try:
        brokers = await cluster.broker_settings()
        raw = [name for name in await cluster.topics() if settings.is_source(name)]
        topics = {name: await cluster.settings_of(name) for name in raw}
    finally:
        await cluster.close()
    return [*of_brokers(brokers), *of_topics(topics)]


async def _catalog(settings: Settings) -> list[Finding]:
    if settings.database_url is None:
        return [_unseen("DATABASE_URL", "the catalog")]
    keys = [read_public_key(settings.policy_key_file)] if settings.policy_key_file else []
    async with open_catalog(settings) as catalog:
        condition, verification = await catalog.guarding.condition(), await catalog.verifier.verify(keys)
        partitioning = await catalog.partitions.partitioning()
    return [*of_catalog(condition, verification, signatures_required=bool(keys)), *of_partitioning(partitioning)]


async def _source(settings: Settings) -> list[Finding]:
    if settings.source_url is None:
        return [_unseen("SOURCE_URL", "the source database")]
    async with open_source(settings) as connection:
        published = await publication(connection, settings.source_publication)
        held = await slot(connection, settings.source_slot)
    return [*of_publication(settings.source_publication, published), *of_slot(settings.source_slot, held)]


def _unseen(setting: str, what: str) -> Finding:
    return Finding(Severity.WARNING, f"{PREFIX}{setting}", f"it is not set, so {what} was not looked at", "set it")
