"""The topics that cdc-masker writes: made when they are missing, checked when they are there, never changed.

What always holds: an output topic has at least the partitions of its source before a record of the newest one is masked, it
takes every record the source could hold, and it keeps what it gets for ever with the source's timestamps. A topic that is
there with other settings is refused, with the setting and the command that mends it: whoever made it may rely on them. What is
wrong with one topic, or not allowed on it, keeps no other from being made or checked.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import TypeAlias

from aiokafka.errors import KafkaError

from cdc_masker.errors import SetupError, TransientError
from cdc_masker.kafka.cluster import Cluster
from cdc_masker.kafka.together import Together, unless_error
from cdc_masker.kafka.wire import Topic
from cdc_masker.settings import Settings

__all__ = ["LARGEST_ENTRY", "Made", "Output", "Topics"]

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


Made: TypeAlias = Output | SetupError | KafkaError
"""A topic as it has to be, or what is wrong with it, or why that can't be told or mended yet."""


class Topics:
    """What is there and what has to be. Sources that the generation does not take are none."""

    def __init__(self, cluster: Cluster, settings: Settings, takes: Callable[[str], bool] = lambda _: True) -> None:
        self._cluster = cluster
        self._settings = settings
        self._takes = takes
        self._outputs = Together(self.ensure_outputs)

    async def sources(self) -> dict[str, Topic]:
        """The topics that are to be masked now, by name."""
        found = await self._cluster.topics()
        return {name: topic for name, topic in found.items() if self._settings.is_source(name) and self._takes(name)}

    async def incarnation(self, topic: str) -> str:
        """The id of one of them. Raises `TransientError` when there is none of that name, and `KafkaError`."""
        found = (await self.sources()).get(topic)
        if found is None:
            raise TransientError(f"topic {topic} is gone")
        return found.incarnation

    async def ensure_own(self) -> None:
        """Makes or checks the audit and the quarantine topic. Raises `SetupError` and `KafkaError`."""
        await self.ensure_kept(self._settings.audit_topic, self._settings.quarantine_topic)

    async def ensure_kept(self, *names: str) -> None:
        """Makes or checks topics of one partition that keep everything. Raises `SetupError` and `KafkaError`."""
        wanted = [Output(name, 1, LARGEST_ENTRY) for name in names]
        for made in (await self._ensure(await self._cluster.topics(), wanted)).values():
            unless_error(made)

    async def ensure_output(self, source: str) -> Output:
        """Makes, grows or checks the topic that the masked copy of `source` goes to. Raises `SetupError` and `KafkaError`."""
        output: Output = unless_error(await self._outputs(source))
        return output

    async def ensure_outputs(self, sources: Collection[str]) -> dict[str, Made]:
        """The same for many at once: by source, its output or why there is none."""
        found = await self._cluster.topics()
        there = [source for source in sources if source in found]
        settings = await self._cluster.settings_of_each(there, [_LARGEST]) if there else {}
        wanted = {source: self._wanted(source, found.get(source), settings.get(source)) for source in sources}
        made = await self._ensure(found, [each for each in wanted.values() if isinstance(each, Output)])
        return {source: made[each.topic] if isinstance(each, Output) else each for source, each in wanted.items()}

    def _wanted(self, source: str, found: Topic | None, settings: Mapping[str, str] | KafkaError | None) -> Made:
        """What the output of a source has to be."""
        if found is None or settings is None:
            return SetupError(f"topic {source} is missing; create it, or change CDC_MASKER_SOURCE_TOPICS")
        if isinstance(settings, KafkaError):
            return settings
        return Output(self._settings.output_topic(source), found.partitions, int(settings[_LARGEST]))

    async def _ensure(self, found: Mapping[str, Topic], wanted: Collection[Output]) -> dict[str, Made]:
        """By name, each topic as it is after this. `wanted` tells what they have to have at least."""
        missing = {each.topic: each for each in wanted if each.topic not in found}
        there = [each for each in wanted if each.topic in found]
        refused = {}
        if missing:
            settings = {name: {**_KEPT_FOR_EVER, _LARGEST: str(each.largest)} for name, each in missing.items()}
            refused = await self._cluster.create({name: each.partitions for name, each in missing.items()}, settings)
        actual = (
            await self._cluster.settings_of_each([each.topic for each in there], [*_KEPT_FOR_EVER, _LARGEST]) if there else {}
        )
        checked = {each.topic: await self._checked(found[each.topic], each, actual[each.topic]) for each in there}
        return {**missing, **refused, **checked}

    async def _checked(self, found: Topic, wanted: Output, actual: Mapping[str, str] | KafkaError) -> Made:
        if isinstance(actual, KafkaError):
            return actual
        wrong = {key: value for key, value in _KEPT_FOR_EVER.items() if actual[key] != value}
        if int(actual[_LARGEST]) < wanted.largest:
            wrong[_LARGEST] = str(wanted.largest)
        if wrong:
            return SetupError(_complaint(wanted.topic, wrong, actual))
        if found.partitions < wanted.partitions:
            try:
                await self._cluster.grow(wanted.topic, wanted.partitions)
            except KafkaError as error:
                return error
        return Output(wanted.topic, max(wanted.partitions, found.partitions), int(actual[_LARGEST]))


def _complaint(topic: str, wrong: Mapping[str, str], actual: Mapping[str, str]) -> str:
    found = ", ".join(f"{key}={actual[key]}" for key in wrong)
    needed = ",".join(f"{key}={value}" for key, value in wrong.items())
    return (
        f"topic {topic} is there with {found}; run: kafka-configs.sh --bootstrap-server BROKER --alter "
        f"--entity-type topics --entity-name {topic} --add-config {needed}"
    )
