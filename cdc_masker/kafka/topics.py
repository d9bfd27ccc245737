"""The topics that cdc-masker writes: made when they are missing, checked when they are there, never changed.

What always holds: an output topic has at least the partitions of its source before a record of the newest one is masked, it
takes every record the source could hold, and it keeps what it gets for ever with the source's timestamps. A topic that is
there with other settings is refused, with the setting and the command that mends it: whoever made it may rely on them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from cdc_masker.errors import SetupError
from cdc_masker.kafka.cluster import Cluster
from cdc_masker.kafka.wire import Topic
from cdc_masker.settings import Settings

__all__ = ["LARGEST_ENTRY", "Output", "Topics"]

LARGEST_ENTRY = 32 << 20
"""Bytes of the largest audit entry or batch of quarantine notes: 100,000 quarantined records in one batch fit."""

_KEPT_FOR_EVER = {
    "cleanup.policy": "delete",
    "retention.ms": "-1",
    "retention.bytes": "-1",
    "message.timestamp.type": "CreateTime",
}
_LARGEST = "max.message.bytes"


@dataclass(frozen=True, slots=True)
class Output:
    """Where the masked copy of one source topic goes. `largest` is the most bytes of a record batch it takes."""

    topic: str
    partitions: int
    largest: int


class Topics:
    """What is there and what has to be."""

    def __init__(self, cluster: Cluster, settings: Settings) -> None:
        self._cluster = cluster
        self._settings = settings

    async def sources(self) -> dict[str, Topic]:
        """The topics that are to be masked now, by name."""
        found = await self._cluster.topics()
        return {name: topic for name, topic in found.items() if self._settings.is_source(name)}

    async def ensure_own(self) -> None:
        """Makes or checks the audit and the quarantine topic. Raises `SetupError`."""
        found = await self._cluster.topics()
        for name in (self._settings.audit_topic, self._settings.quarantine_topic):
            await self._ensure(found, name, partitions=1, largest=LARGEST_ENTRY)

    async def ensure_kept(self, name: str) -> None:
        """Makes or checks a topic of one partition that keeps everything. Raises `SetupError`."""
        await self._ensure(await self._cluster.topics(), name, partitions=1, largest=LARGEST_ENTRY)

    async def ensure_output(self, source: str) -> Output:
        """Makes, grows or checks the topic that the masked copy of `source` goes to. Raises `SetupError`."""
        found = await self._cluster.topics()
        if source not in found:
            raise SetupError(f"topic {source} is missing; create it, or change CDC_MASKER_SOURCE_TOPICS")
        largest = int((await self._cluster.settings_of(source))[_LARGEST])
        output = self._settings.output_topic(source)
        return await self._ensure(found, output, partitions=found[source].partitions, largest=largest)

    async def _ensure(self, found: Mapping[str, Topic], name: str, *, partitions: int, largest: int) -> Output:
        if name not in found:
            await self._cluster.create(name, partitions, {**_KEPT_FOR_EVER, _LARGEST: str(largest)})
            return Output(name, partitions, largest)
        actual = await self._cluster.settings_of(name)
        wrong = {key: value for key, value in _KEPT_FOR_EVER.items() if actual[key] != value}
        if int(actual[_LARGEST]) < largest:
            wrong[_LARGEST] = str(largest)
        if wrong:
            raise SetupError(_complaint(name, wrong, actual))
        if found[name].partitions < partitions:
            await self._cluster.grow(name, partitions)
        return Output(name, max(partitions, found[name].partitions), int(actual[_LARGEST]))


def _complaint(topic: str, wrong: Mapping[str, str], actual: Mapping[str, str]) -> str:
    found = ", ".join(f"{key}={actual[key]}" for key in wrong)
    needed = ",".join(f"{key}={value}" for key, value in wrong.items())
    return (
        f"topic {topic} is there with {found}; run: kafka-configs.sh --bootstrap-server BROKER --alter "
        f"--entity-type topics --entity-name {topic} --add-config {needed}"
    )
