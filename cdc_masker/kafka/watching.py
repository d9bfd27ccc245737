"""Looks for source topics that came, and for topics that are not what they were.

Faust's own subscription by pattern does not work, so the pattern is resolved here. What always holds: a topic is read only
after its output is there and right; a topic that can't be read for that reason keeps nobody else from being read.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Collection

from aiokafka.errors import KafkaError

from cdc_masker.errors import TransientError, located
from cdc_masker.kafka.lanes import Lanes
from cdc_masker.kafka.lines import at
from cdc_masker.kafka.parts import Parts
from cdc_masker.kafka.rights import described, missing_right
from cdc_masker.kafka.topics import Output

__all__ = ["Watcher"]

logger = logging.getLogger(__name__)


class Watcher:
    """Runs until it is cancelled. `follow` is told the topics to read whenever a look found more of them."""

    def __init__(
        self, parts: Parts, lanes: Lanes, sources: frozenset[str], follow: Callable[[frozenset[str]], Awaitable[None]]
    ) -> None:
        self._parts = parts
        self._lanes = lanes
        self._sources = sources
        self._follow = follow

    async def run(self) -> None:
        """Looks for ever; while Kafka is away, what is known stands."""
        while True:
            await asyncio.sleep(self._parts.settings.topic_refresh)
            try:
                await self._look()
            except (KafkaError, TransientError) as error:
                logger.warning("source topics can't be looked up (%s); those that are known go on", described(error))

    async def _look(self) -> None:
        found = await self._parts.topics.sources()
        self._lanes.check_incarnations({name: topic.incarnation for name, topic in found.items()})
        await self._lanes.reopen()
        ready = await self._prepared(found.keys() - self._sources)
        if ready:
            logger.info("source topics that are new: %s", ", ".join(sorted(ready)))
            self._sources = self._sources.union(ready)
        # Told every time: a subscription that a rebalance kept from being changed is changed at the next look.
        await self._follow(self._sources)

    async def _prepared(self, sources: Collection[str]) -> list[str]:
        """Those of these whose output is there and right."""
        if not sources:
            return []
        outputs = await self._parts.topics.ensure_outputs(sources)
        for source, output in outputs.items():
            if not isinstance(output, Output):
                why = missing_right(output) or located(output)
                logger.error("topic %s is not masked: %s", source, why, extra=at(source, code="setup"))
        return [source for source, output in outputs.items() if isinstance(output, Output)]
