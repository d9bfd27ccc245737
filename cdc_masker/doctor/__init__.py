"""What lies around cdc-masker and can leak or lose all the same: connector, brokers, topics, connections, catalog, source.

Each question is asked of facts that are read, and answered by a pure function; `examine` reads them. A finding names a setting
and never a value that may be secret.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable

from cdc_masker.catalog import open_catalog, read_public_key
from cdc_masker.connect import Connector
from cdc_masker.doctor.audit import of_partitioning
from cdc_masker.doctor.catalog import of_catalog
from cdc_masker.doctor.connections import of_connections
from cdc_masker.doctor.connector import of_connector, of_lacks
from cdc_masker.doctor.findings import Finding, Severity
from cdc_masker.doctor.kafka import of_brokers, of_topics
from cdc_masker.doctor.source import of_publication, of_slot, publication, slot
from cdc_masker.kafka.cluster import Cluster
from cdc_masker.settings import PREFIX, Settings
from cdc_masker.snapshots import Channels, Lack, of_signal_table, of_signal_topic
from cdc_masker.source import open_source, signal_table

__all__ = ["Finding", "Severity", "examine"]

_PATIENCE_SECONDS = 30.0


async def examine(settings: Settings) -> list[Finding]:
    """Asks Kafka Connect, the brokers, the catalog and the source database, the latter two if they are set.

    Raises `SetupError` or `TransientError` when one can't be asked.
    """
    options = await asyncio.to_thread(Connector(settings).configuration, time.monotonic() + _PATIENCE_SECONDS)
    channels = Channels.of(options or {})
    return [
        *of_connector(options),
        *of_lacks(channels.lacks()),
        *await _kafka(settings, channels),
        *of_connections(settings),
        *await _catalog(settings),
        *await _source(settings, channels),
    ]


async def _kafka(settings: Settings, channels: Channels) -> list[Finding]:
    cluster = Cluster(settings)
    await cluster.start()
    try:
        brokers = await cluster.broker_settings()
        found = await cluster.topics()
        raw = {name: await cluster.settings_of(name) for name in found if settings.is_source(name)}
        # A signal can hold a filter, a notification the key of a row.
        beside = [name for name in (channels.topic, channels.notifications) if name and name in found and name not in raw]
        others = {name: await cluster.settings_of(name) for name in beside}
    finally:
        await cluster.close()
    findings = [*of_brokers(brokers), *of_topics(raw), *(of_topics(others) if others else ())]
    if channels.topic is not None and channels.topic in found:
        findings += of_lacks(of_signal_topic(channels.topic, found[channels.topic].partitions))
    return findings


async def _catalog(settings: Settings) -> list[Finding]:
    if settings.database_url is None:
        return [_unseen("DATABASE_URL", "the catalog")]
    keys = [read_public_key(settings.policy_key_file)] if settings.policy_key_file else []
    async with open_catalog(settings) as catalog:
        condition, verification = await catalog.guarding.condition(), await catalog.verifier.verify(keys)
        partitioning = await catalog.partitions.partitioning()
    return [*of_catalog(condition, verification, signatures_required=bool(keys)), *of_partitioning(partitioning)]


async def _source(settings: Settings, channels: Channels) -> list[Finding]:
    if settings.source_url is None:
        return [_unseen("SOURCE_URL", "the source database")]
    async with open_source(settings) as connection:
        published = await publication(connection, settings.source_publication)
        held = await slot(connection, settings.source_slot)
        name = settings.source_publication
        lacks: Iterable[Lack] = ()
        if channels.table is not None:
            signals = await signal_table(connection, channels.table, name, channels.user)
            lacks = of_signal_table(channels, name, signals)
    return [*of_publication(name, published), *of_slot(settings.source_slot, held), *of_lacks(lacks)]


def _unseen(setting: str, what: str) -> Finding:
    return Finding(Severity.WARNING, f"{PREFIX}{setting}", f"it is not set, so {what} was not looked at", "set it")
