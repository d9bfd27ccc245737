"""How far a replay came: what its group committed, held against its stretches and the ends of the logs.

What always holds: only what was published counts, since an offset is committed in the transaction that publishes.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from aiokafka import TopicPartition

from cdc_masker.errors import SetupError
from cdc_masker.kafka.cluster import Cluster
from cdc_masker.ports import GenerationStore, Replay, ReplayStore, Stretch
from cdc_masker.settings import Settings

__all__ = ["Counts", "Pace", "Progress", "Watch", "count"]

_WINDOW_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class Counts:
    """Of `records` (offsets, which there are at least as many of) so many are `done`, and in `open` partitions some are left.

    `lag`: how many the last masked ones are behind what is to be masked now: the ends of the logs, or without them the bounds.
    """

    records: int
    done: int
    partitions: int
    open: int
    lag: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """What there is to tell of a replay.

    `state` is that of the catalog, and past the bounds `live`, or `complete` if the replay ends there; `closed` when consumers
    were led to a later generation. `rate` is in records a second, `bytes` are done, `seconds` left; None: nobody knows.
    """

    generation: int
    state: str
    policy_version: int
    records: int
    done: int
    partitions: int
    open: int
    lag: int
    rate: float | None
    bytes: int | None
    seconds: float | None

    @property
    def passed(self) -> bool:
        """Whether all partitions are past their bounds."""
        return not self.open


class Pace:
    """How fast it goes, by the looks of the last half minute."""

    def __init__(self) -> None:
        self._looks: deque[tuple[float, int]] = deque()

    def rate(self, now: float, done: int) -> float | None:
        """Records a second; None with the first look. `now` is in seconds, by a clock that never goes back."""
        self._looks.append((now, done))
        while len(self._looks) > 2 and self._looks[1][0] <= now - _WINDOW_SECONDS:
            self._looks.popleft()
        began, before = self._looks[0]
        return (done - before) / (now - began) if now > began else None


class Watch:
    """Looks at one replay again and again. `mean`: the bytes of one record, None: nobody looked."""

    def __init__(
        self,
        settings: Settings,
        cluster: Cluster,
        replays: ReplayStore,
        generations: GenerationStore,
        number: int,
        *,
        mean: float | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._group = settings.model_copy(update={"generation": number}).group
        self._cluster = cluster
        self._replays = replays
        self._generations = generations
        self._number = number
        self._mean = mean
        self._clock = clock
        self._pace = Pace()

    async def look(self) -> Progress:
        """How far it is now. Raises `SetupError` when there is no such replay, `KafkaError` and `TransientError`."""
        replay = await self._replays.find(self._number)
        if replay is None:
            raise SetupError(f"there is no replay {self._number}; `cdc-masker replay status` lists those that there are")
        is_live = any(each.number == self._number for each in await self._generations.live())
        counts = await self._counts(replay)
        rate = self._pace.rate(self._clock(), counts.done)
        return Progress(
            generation=self._number,
            state=_state(replay, counts, is_live=is_live),
            policy_version=replay.policy_version,
            records=counts.records,
            done=counts.done,
            partitions=counts.partitions,
            open=counts.open,
            lag=counts.lag,
            rate=rate,
            bytes=None if self._mean is None else round(counts.done * self._mean),
            seconds=(counts.records - counts.done) / rate if rate else None,
        )

    async def _counts(self, replay: Replay) -> Counts:
        stretches = {TopicPartition(one.topic, one.partition): one for one in replay.stretches}
        committed = await self._cluster.committed(self._group, stretches, settled=False)
        ends = await self._cluster.ends({one.topic for one in replay.stretches})
        return count(
            stretches,
            {partition: found.offset for partition, found in committed.items()},
            {TopicPartition(log.topic, log.partition): end for log, end in ends.items()} if replay.stays else None,
        )


def count(
    stretches: Mapping[TopicPartition, Stretch],
    committed: Mapping[TopicPartition, int],
    ends: Mapping[TopicPartition, int] | None,
) -> Counts:
    """What these offsets say. A partition without a committed one was not begun; without `ends` the bounds are the ends."""
    lasts = {each: one.end for each, one in stretches.items()} if ends is None else ends
    positions = {each: max(committed.get(each, one.start), one.start) for each, one in stretches.items()}
    return Counts(
        records=sum(one.end - one.start for one in stretches.values()),
        done=sum(min(positions[each], one.end) - one.start for each, one in stretches.items()),
        partitions=len(stretches),
        open=sum(positions[each] < one.end for each, one in stretches.items()),
        lag=sum(max(lasts.get(each, 0) - position, 0) for each, position in positions.items()),
    )


def _state(replay: Replay, counts: Counts, *, is_live: bool) -> str:
    if replay.state == "cancelled":
        return replay.state
    if not is_live:
        return "closed"
    if replay.state == "paused" or counts.open:
        return replay.state
    return "live" if replay.stays else "complete"
