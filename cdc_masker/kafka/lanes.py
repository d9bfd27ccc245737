"""The source partitions that this worker has now, each as a lane (`kafka.lane`).

What always holds: nothing is fetched for a lane that does not want it, and a batch of an earlier assignment reaches none.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping

from aiokafka import TopicPartition

from cdc_masker import metrics
from cdc_masker.kafka import steps
from cdc_masker.kafka.accepting import can_go_on
from cdc_masker.kafka.batch import Batch
from cdc_masker.kafka.checkpoints import PartitionHalted, halted_by_incarnation
from cdc_masker.kafka.lane import Lane, Seek, State
from cdc_masker.kafka.parts import Parts
from cdc_masker.kafka.steps import Step

__all__ = ["Lanes"]


class Lanes:
    """All lanes of this worker. `open` and `close` follow assignment and revocation."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._lanes: dict[TopicPartition, Lane] = {}
        self._epoch = 0
        self.assigned = False

    @property
    def idle(self) -> bool:
        """Whether no lane is busy or about to begin, so that waiting for data of the hungry ones keeps nobody waiting."""
        return all(lane.hungry or lane.resting for lane in self._lanes.values())

    def progress(self) -> list[metrics.Progress]:
        """How far each of them has come."""
        return [lane.progress() for lane in self._lanes.values()]

    @property
    def settled(self) -> bool:
        """Whether there was an assignment and each of its lanes runs, is halted or is done."""
        return self.assigned and all(lane.state is not State.OPENING for lane in self._lanes.values())

    def open(self, partitions: Iterable[TopicPartition], seek: Seek) -> None:
        """Begins to open lanes for a new assignment; each runs as soon as it can."""
        self._epoch += 1
        steps.reach(Step.ASSIGNED)
        for partition in partitions:
            self._lanes[partition] = Lane(self._parts, partition, self._epoch, seek)
        self.end(self._parts.course.ended)  # before they make a topic that somebody deleted
        self.assigned = True

    async def opened(self) -> None:
        """Returns when each of them runs, or nothing is wanted for it."""
        await asyncio.gather(*(lane.opened() for lane in self._lanes.values()))

    def seal(self) -> list[Lane]:
        """Takes all lanes out at once, so that nothing new is taken; they still have to be closed."""
        lanes, self._lanes = list(self._lanes.values()), {}
        self.assigned = False
        steps.reach(Step.REVOKED)
        return lanes

    async def close(self) -> None:
        """Ends all lanes: each finishes what it publishes."""
        await asyncio.gather(*(lane.close() for lane in self.seal()))

    def hungry(self) -> list[TopicPartition]:
        """The partitions whose next batch should be fetched."""
        if not self._parts.masking:
            return []
        return [partition for partition, lane in self._lanes.items() if lane.hungry]

    def halted(self) -> dict[TopicPartition, int]:
        """The partitions of which nothing more is wanted, with the numbers of their epochs."""
        return {partition: lane.epoch for partition, lane in self._lanes.items() if lane.resting}

    @property
    def room(self) -> int:
        """Bytes of records that may be fetched, beside those that lanes hold; below 0 after large ones."""
        return self._parts.settings.buffer_bytes - sum(lane.held for lane in self._lanes.values())

    def fetched(self, batch: Batch) -> None:
        """Counts a batch as on its way to its lane, if there are records in it."""
        lane = self._current(batch)
        if lane is None:
            return
        lane.highwater, lane.behind = batch.highwater, batch.behind
        if batch.records:
            lane.pending += 1
            lane.held += batch.size
        else:
            lane.saw_none(batch.start, batch.end)

    async def take(self, batch: Batch) -> None:
        """Masks and publishes a batch if it is of the present assignment, else drops it: it will come again."""
        lane = self._current(batch)
        if lane is None:
            metrics.STALE_BATCHES.inc()
            return
        await lane.take(batch)

    def halt(self, partition: TopicPartition, code: str, problem: str) -> None:
        lane = self._lanes.get(partition)
        if lane is not None:
            lane.halt(PartitionHalted(partition.topic, partition.partition, code, problem))

    def end(self, ended: Mapping[str, str]) -> None:
        """Ends the lanes of topics whose generation ended, which is told with its state."""
        for lane in self._lanes.values():
            if (state := ended.get(lane.partition.topic)) is not None:
                lane.end(state, f"generation {self._parts.settings.generation} of its topic is {state}")

    def check_incarnations(self, incarnations: dict[str, str]) -> None:
        """Halts the lanes of topics that are not what they were when the lane opened."""
        for lane in self._lanes.values():
            if lane.state is State.RUNNING and incarnations.get(lane.partition.topic) != lane.incarnation:
                lane.halt(halted_by_incarnation(*lane.partition))

    async def reopen(self) -> None:
        """Opens lanes anew that were halted for lost records, once somebody accepted that or the records are there again."""
        for partition, lane in list(self._lanes.items()):
            if lane.lost_records and await can_go_on(self._parts, partition) and self._lanes.get(partition) is lane:
                self._epoch += 1
                self._lanes[partition] = Lane(self._parts, partition, self._epoch, lane.seek)
                await lane.close()

    def _current(self, batch: Batch) -> Lane | None:
        lane = self._lanes.get(batch.partition)
        return lane if lane is not None and lane.epoch == batch.epoch else None
