"""The topics that cdc-masker writes: made when they are missing, checked when they are there, never changed.

What always holds: an output topic has at least the partitions of its source before a record of the newest one is masked, it
takes every record the source could hold, and it keeps what it gets for ever with the source's timestamps. A topic that is
there with other settings is refused, with the setting and the command that mends it: whoever made it may rely on them.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from cdc_masker.errors import SetupError
from cdc_masker.kafka.cluster import Cluster
from cdc_masker.kafka.together import Together
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
        self._outputs = Together(self.ensure_outputs)

    async def sources(self) -> dict[str, Topic]:
        """The topics that are to be masked now, by name."""
        found = await self._cluster.topics()
        return {name: topic for name, topic in found.items() if self._settings.is_source(name)}

    async def ensure_own(self) -> None:
        """Makes or checks the audit and the quarantine topic. Raises `SetupError`."""
        await self.ensure_kept(self._settings.audit_topic, self._settings.quarantine_topic)

    async def ensure_kept(self, *names: str) -> None:
        """Makes or checks topics of one partition that keep everything. Raises `SetupError`."""
        wanted = [Output(name, 1, LARGEST_ENTRY) for name in names]
        for made in (await self._ensure(await self._cluster.topics(), wanted)).values():
            _unless_wrong(made)

    async def ensure_output(self, source: str) -> Output:
        """Makes, grows or checks the topic that the masked copy of `source` goes to. Raises `SetupError`."""
        return _unless_wrong(await self._outputs(source))

    async def ensure_outputs(self, sources: Collection[str]) -> dict[str, Output | SetupError]:
        """The same for many at once: by source, its output or what is wrong with it."""
        found = await self._cluster.topics()
        there = [source for source in sources if source in found]
        settings = await self._cluster.settings_of_each(there, [_LARGEST]) if there else {}
        wanted = {
            source: Output(self._settings.output_topic(source), found[source].partitions, int(settings[source][_LARGEST]))
            for source in there
        }
        made = await self._ensure(found, wanted.values())
        return {
            source: made[wanted[source].topic]
            if source in wanted
            else SetupError(f"topic {source} is missing; create it, or change CDC_MASKER_SOURCE_TOPICS")
            for source in sources
        }

    async def _ensure(self, found: Mapping[str, Topic], wanted: Collection[Output]) -> dict[str, Output | SetupError]:
        """By name, each topic as it is after this. `wanted` tells what they have to have at least."""
        missing = {each.topic: each for each in wanted if each.topic not in found}
        there = [each for each in wanted if each.topic in found]
        if missing:
            settings = {name: {**_KEPT_FOR_EVER, _LARGEST: str(each.largest)} for name, each in missing.items()}
            await self._cluster.create({name: each.partitions for name, each in missing.items()}, settings)
        actual = (
            await self._cluster.settings_of_each([each.topic for each in there], [*_KEPT_FOR_EVER, _LARGEST]) if there else {}
        )
        checked = {each.topic: await self._checked(found[each.topic], each, actual[each.topic]) for each in there}
        return {**missing, **checked}

    async def _checked(self, found: Topic, wanted: Output, actual: Mapping[str, str]) -> Output | SetupError:
        wrong = {key: value for key, value in _KEPT_FOR_EVER.items() if actual[key] != value}
        if int(actual[_LARGEST]) < wanted.largest:
            wrong[_LARGEST] = str(wanted.largest)
        if wrong:
            return SetupError(_complaint(wanted.topic, wrong, actual))
        if found.partitions < wanted.partitions:
            await self._cluster.grow(wanted.topic, wanted.partitions)
        return Output(wanted.topic, max(wanted.partitions, found.partitions), int(actual[_LARGEST]))


def _unless_wrong(made: Output | SetupError) -> Output:
    if isinstance(made, SetupError):
        raise made
    return made


def _complaint(topic: str, wrong: Mapping[str, str], actual: Mapping[str, str]) -> str:
    found = ", ".join(f"{key}={actual[key]}" for key in wrong)
    needed = ",".join(f"{key}={value}" for key, value in wrong.items())
    return (
        f"topic {topic} is there with {found}; run: kafka-configs.sh --bootstrap-server BROKER --alter "
        f"--entity-type topics --entity-name {topic} --add-config {needed}"
    )
