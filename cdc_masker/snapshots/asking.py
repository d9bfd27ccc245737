"""Asks Debezium for an incremental snapshot, or to stop one, and listens until that is over.

What always holds: nothing is asked for while it is known that it can't be done, and the error says what is missing. Who listens
no longer changes nothing: the snapshot goes on.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from cdc_masker.connect import Connector
from cdc_masker.errors import SetupError, TransientError
from cdc_masker.kafka.cluster import Cluster
from cdc_masker.kafka.rights import described
from cdc_masker.settings import PREFIX, Settings
from cdc_masker.snapshots.channels import Channels
from cdc_masker.snapshots.checking import of_signal_table, of_signal_topic, of_tables
from cdc_masker.snapshots.listening import Listener
from cdc_masker.snapshots.progress import Progress, Stopping
from cdc_masker.snapshots.signals import LARGEST, Signal
from cdc_masker.source import insert_signal, open_source, primary_keys, signal_table

__all__ = ["snapshot", "stop"]

_CONNECT_SECONDS = 30.0
_LOOK_SECONDS = 10.0
# A signal that waited longer for its connector is not wanted any more.
_SIGNAL_TOPIC = {"cleanup.policy": "delete", "retention.ms": "86400000"}

Heard = TypeVar("Heard", Progress, Stopping)
Tell = Callable[[str], None]


async def snapshot(settings: Settings, tables: Sequence[str], reason: str, patience: float, tell: Tell) -> Progress:
    """Has these tables, each `schema.table`, read again. Gives how that went when all of them ended.

    Raises `SetupError` when it can't be asked for or the connector fails, `TransientError` after `patience` seconds without
    news.
    """
    asking = _Asking(settings, await asyncio.to_thread(_channels, settings))
    if missing := [table for table in tables if not asking.channels.captures(table)]:
        raise SetupError(
            f"the connector does not capture {', '.join(missing)}; name them in {PREFIX}SOURCE_TABLES "
            "and run `cdc-masker connector apply`"
        )
    signal = Signal.execute(tables, reason)
    return await asking.until(signal, tables, Progress(signal.id, asking.channels.server, tables), patience, tell)


async def stop(settings: Settings, tables: Sequence[str], reason: str, patience: float, tell: Tell) -> Stopping:
    """Takes these tables out of the snapshot that runs, or ends it if none is named. Raises as `snapshot` does."""
    asking = _Asking(settings, await asyncio.to_thread(_channels, settings))
    return await asking.until(Signal.stop(tables, reason), [], Stopping(asking.channels.server), patience, tell)


def _channels(settings: Settings) -> Channels:
    """Those of the connector, which runs. Raises `SetupError` for everything that is missing."""
    connector = Connector(settings)
    options, status = connector.configuration(time.monotonic() + _CONNECT_SECONDS), connector.status()
    if options is None or status is None or not status.running:
        raise SetupError(f"{settings.connector_name} does not run ({status or 'not there'}); run `cdc-masker connector apply`")
    channels = Channels.of(options)
    if not channels:
        raise SetupError(
            f"{settings.connector_name} takes no signals; set {PREFIX}SIGNAL_TABLE, or {PREFIX}SIGNAL_TOPIC where the source "
            "can't be written to, and run `cdc-masker connector apply`"
        )
    _refuse(channels.lacks())
    return channels


class _Asking:
    def __init__(self, settings: Settings, channels: Channels) -> None:
        self.channels = channels
        self._settings = settings
        self._cluster = Cluster(settings)

    async def until(self, signal: Signal, tables: Sequence[str], heard: Heard, patience: float, tell: Tell) -> Heard:
        """Sends a signal, and listens until it had its effect."""
        if len(signal.data) > LARGEST:
            raise SetupError(f"the signal is longer than {LARGEST} characters; give a shorter reason, or name fewer tables")
        assert self.channels.notifications is not None  # else it lacks something
        await self._cluster.start()
        try:
            async with Listener(self._settings, self._cluster, self.channels.notifications) as listener:
                await self._send(signal, tables)
                tell(f"asked; {heard}")
                await self._listen(listener, heard, patience, tell)
        except (KafkaError, TimeoutError) as error:
            raise TransientError(f"Kafka did not do what is needed ({described(error)}); what was asked for goes on") from None
        finally:
            await self._cluster.close()
        return heard

    async def _send(self, signal: Signal, tables: Sequence[str]) -> None:
        """By the table where there is one: Debezium takes its rows up in the order of the log, and the topic's at any time."""
        if self.channels.table is not None and (self._settings.source_url is not None or self.channels.topic is None):
            async with open_source(self._settings, writing=True) as connection:
                await self._check_tables(connection, tables)
                found = await signal_table(
                    connection, self.channels.table, self._settings.source_publication, self.channels.user
                )
                _refuse(of_signal_table(self.channels, self._settings.source_publication, found))
                assert found is not None  # else it lacks something
                if not found.insertable:
                    raise SetupError(
                        f"the login in {PREFIX}SOURCE_URL may not insert into {self.channels.table}; "
                        f"grant it USAGE on the schema and INSERT on the table"
                    )
                await insert_signal(connection, found, signal.id, signal.type, signal.data)
            return
        if self._settings.source_url is not None:
            async with open_source(self._settings) as connection:
                await self._check_tables(connection, tables)
        await self._produce(signal)

    async def _check_tables(self, connection: Any, tables: Sequence[str]) -> None:
        _refuse(of_tables(tables, await primary_keys(connection, tables)))

    async def _produce(self, signal: Signal) -> None:
        topic = self.channels.topic
        assert topic is not None  # else there is a table
        found = (await self._cluster.topics()).get(topic)
        if found is None:
            for error in (await self._cluster.create({topic: 1}, {topic: _SIGNAL_TOPIC})).values():
                raise error
        else:
            _refuse(of_signal_topic(topic, found.partitions))
        async with AIOKafkaProducer(**self._settings.kafka_client(), acks="all") as producer:
            await producer.send_and_wait(topic, signal.record, self.channels.server.encode(), partition=0)

    async def _listen(self, listener: Listener, heard: Heard, patience: float, tell: Tell) -> None:
        last = looked = time.monotonic()
        while not heard.ended:
            news = [told for told in await listener.heard() if heard.hear(told)]
            now = time.monotonic()
            if news:
                last = looked = now
                tell(str(heard))
            elif now - last > patience:
                raise TransientError(
                    f"no news for {patience:.0f} s: {heard}; what began goes on, and Kafka Connect's log says more"
                )
            elif now - looked > _LOOK_SECONDS:
                looked = now
                await asyncio.to_thread(self._refuse_failed)

    def _refuse_failed(self) -> None:
        status = Connector(self._settings).status()
        if status is None or status.failed:
            raise SetupError(
                f"{self._settings.connector_name} failed: {status or 'it is gone'}; `cdc-masker connector apply` restarts it, "
                "and the snapshot goes on then"
            )


def _refuse(lacks: Any) -> None:
    """Raises `SetupError` with all that is missing."""
    if found := list(map(str, lacks)):
        raise SetupError("; ".join(found))
