"""What the catalog says of the generation that a worker makes: which records belong to it, and whether it goes on.

What always holds: a replay begins where it was said, or its partition is halted; what it is told is heard when the worker looks
for policies; a generation that ended does not come back.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace

from aiokafka import TopicPartition

from cdc_masker.errors import SetupError
from cdc_masker.kafka.batch import Span
from cdc_masker.kafka.checkpoints import PartitionHalted
from cdc_masker.ports import GenerationStore, Replay, Stretch

__all__ = ["PAUSED", "Cancelled", "Course", "span_of"]

PAUSED = "paused"
"""The code of a worker that masks nothing since its replay is paused."""


def span_of(replay: Replay, stretch: Stretch | None, incarnation: str) -> Span:
    """Which records of a partition of that incarnation belong to a replay, which knows of this stretch there.

    What came later, also where somebody accepted that a topic was made anew, belongs to it from its beginning if it stays.
    """
    if stretch is None or stretch.incarnation != incarnation:
        return Span() if replay.stays else Span(end=0)
    return Span(stretch.start, None if replay.stays else stretch.end, stretch.end)


class Cancelled(SetupError):
    """Nobody makes this generation any more."""


class Course:
    """The course of generation `number`; `find` looks for the replay that makes one. Nothing is known before the first look."""

    def __init__(self, number: int, generations: GenerationStore, find: Callable[[int], Awaitable[Replay | None]]) -> None:
        self._number = number
        self._generations = generations
        self._find = find
        self._stretches: dict[tuple[str, int], Stretch] = {}
        self._resumed = asyncio.Event()
        self.replay: Replay | None = None
        self.ended: Mapping[str, str] = {}
        """By topic, the state of its generation, if it is not live any more."""

    async def look(self) -> None:
        """Looks into the catalog. Raises `Cancelled`, and as the catalog does."""
        self.ended = await self._generations.ended(self._number)
        found = await self._find(self._number)
        if found is None:
            return
        if found.state == "cancelled":
            raise Cancelled(f"replay {self._number} was cancelled; begin another with `cdc-masker replay start`")
        self._stretches = {(each.topic, each.partition): each for each in found.stretches}
        self.replay = found
        if self.paused:
            self._resumed.clear()
        else:
            self._resumed.set()

    @property
    def paused(self) -> bool:
        return self.replay is not None and self.replay.state == "paused"

    async def resumed(self) -> None:
        """Returns when it is not paused."""
        if self.paused:
            await self._resumed.wait()

    def takes(self, topic: str) -> bool:
        """Whether records of this source belong to the generation."""
        if topic in self.ended:
            return False
        replay = self.replay
        if replay is None:
            return True
        named = replay.stays or any(topic == each.topic for each in replay.stretches)
        return named and re.fullmatch(replay.pattern, topic) is not None

    def span(self, partition: TopicPartition, incarnation: str, *, begun: bool) -> Span:
        """Which records of the partition of this incarnation belong to the generation; `begun` if some are masked already.

        Raises `PartitionHalted` when the replay was begun with another incarnation.
        """
        replay = self.replay
        if replay is None:
            return Span()
        stretch = self._stretches.get(tuple(partition))
        if stretch is not None and stretch.incarnation != incarnation and not begun:
            raise PartitionHalted(
                partition.topic,
                partition.partition,
                "other_incarnation",
                f"the topic was deleted and made again since replay {self._number} was begun; cancel it, and begin another",
            )
        return span_of(replay, stretch, incarnation)

    def after(self, policy: int, span: Span) -> Span:
        """What is to be masked after records were masked under that policy version: none under an older one."""
        older = self.replay is not None and self.replay.policy_version < policy
        return replace(span, pinned=0) if older else span
