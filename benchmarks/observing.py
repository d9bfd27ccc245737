"""Watches a program from outside: how far its output is committed, and what it costs.

The end of what a `read_committed` reader could read of each partition is asked for many times a second, which costs the broker
next to nothing; what is between two of these ends is counted afterwards, by reading it. So no program is asked how fast it is.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from tests.kafka import administrator

__all__ = ["Sample", "Stuck", "between", "observe"]

_INTERVAL = 0.05
_QUIET_SECONDS = 3.0
_TICKS = os.sysconf("SC_CLK_TCK")


class Stuck(Exception):
    """A program ended, or did not come to its end in time."""


@dataclass(frozen=True, slots=True)
class Sample:
    """At `seconds` (of a steady clock): the committed end of each partition, and processor seconds used so far by name."""

    seconds: float
    ends: tuple[int, ...]
    cpu: Mapping[str, float]


async def observe(
    *,
    brokers: str,
    topic: str,
    partitions: int,
    count: int,
    group: str,
    members: int,
    processes: Callable[[], Mapping[str, Sequence[int]]],
    alive: Callable[[], bool],
    progress: Callable[[int], None],
    patience: float,
) -> list[Sample]:
    """Samples from the moment that the whole group is there until nothing more comes, the last one that of the last change.

    Raises `Stuck`.
    """
    places = [TopicPartition(topic, number) for number in range(partitions)]
    samples: list[Sample] = []
    deadline = time.monotonic() + patience
    consumer = AIOKafkaConsumer(bootstrap_servers=brokers, isolation_level="read_committed", enable_auto_commit=False)
    async with administrator(brokers) as admin, consumer:
        while members and await _members(admin, group) < members:
            _check(alive, deadline, "join its group")
            await asyncio.sleep(_INTERVAL)
        pids = processes()
        while True:
            found = await consumer.end_offsets(places)
            ends = tuple(found[place] for place in places)
            now = time.monotonic()
            if not samples or ends != samples[-1].ends:
                samples.append(Sample(now, ends, {name: sum(map(_cpu, ids)) for name, ids in pids.items()}))
                progress(sum(ends))
            elif sum(ends) >= count and now - samples[-1].seconds > _QUIET_SECONDS:
                return samples
            _check(alive, deadline, f"mask {count:,} events: it wrote {sum(ends):,}")
            await asyncio.sleep(_INTERVAL)


def between(samples: Sequence[Sample]) -> tuple[Sample, Sample, Sample]:
    """The first sample in which every partition has more than when the group was there, one half way from it to the last, and
    the last. So it is left out that a process which joins later has the partitions shared anew. Raises `Stuck` when too little
    comes after it.
    """
    begun = samples[0].ends
    moved = [all(end > start for end, start in zip(sample.ends, begun, strict=True)) for sample in samples]
    timed = samples[moved.index(True) :] if any(moved) else []
    if len(timed) < 3:
        raise Stuck("it was done too soon after all of its processes were there; take more events")
    first, last = timed[0], timed[-1]
    middle = (sum(first.ends) + sum(last.ends)) / 2
    return first, next((sample for sample in timed[:-1] if sum(sample.ends) >= middle), timed[-2]), last


def _check(alive: Callable[[], bool], deadline: float, what: str) -> None:
    if not alive():
        raise Stuck("it ended by itself")
    if time.monotonic() > deadline:
        raise Stuck(f"it took too long to {what}")


async def _members(admin: Any, group: str) -> int:
    """How many members a group has, if it is not about to be assigned partitions."""
    try:
        (answer,) = await admin.describe_consumer_groups([group])
    except KafkaError:  # the broker has just begun to keep groups
        return 0
    ((_, _, state, _, _, members, *_),) = answer.groups
    return len(members) if state == "Stable" else 0


def _cpu(pid: int) -> float:
    """Seconds of the processor that a process and its ended children have used; 0 when it is gone."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return sum(map(int, fields[11:15])) / _TICKS
