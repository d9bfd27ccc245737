"""One run of one program: started, watched, ended, checked."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import psutil

from benchmarks.bed import Bed, Run
from benchmarks.checking import check
from benchmarks.observing import Sample, Stuck, between, observe
from benchmarks.programs import Program, running

__all__ = ["Figure", "measure"]

_PATIENCE = 120.0  # to start, and for the events of _SLOWEST a second
_SLOWEST = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """What one run gave: of `events`, `timed` were committed in `seconds`; `cpu` are processor seconds meanwhile.

    `rate` is in events a second; `later_rate` is that of the second half, when everything is warm.
    """

    program: str
    events: int
    timed: int
    seconds: float
    rate: float
    later_rate: float
    cpu: Mapping[str, float]

    @classmethod
    def of(cls, program: str, events: int, samples: tuple[Sample, Sample, Sample], before: Sequence[int]) -> Figure:
        """`samples` are the first, that at half of the way and the last; `before` counts the events before the first two."""
        first, half, last = samples
        timed, later = events - before[0], events - before[1]
        seconds = last.seconds - first.seconds
        return cls(
            program=program,
            events=events,
            timed=timed,
            seconds=seconds,
            rate=timed / seconds,
            later_rate=later / (last.seconds - half.seconds),
            cpu={name: used - first.cpu[name] for name, used in last.cpu.items()},
        )

    def document(self) -> dict[str, Any]:
        return asdict(self)


def measure(bed: Bed, program: Program, source: str, events: int, name: str) -> Figure:
    """Has a program mask the first `events` of a topic, all of it. Raises `Stuck` or `Wrong`."""
    with bed.run(name, source, **program.settings) as run:
        samples = between(_observed(bed, program, run, events))
        bed.progress(f"{program.title}: checking what it wrote")
        cuts = [(samples[0].ends[number], samples[1].ends[number]) for number in range(bed.partitions[source])]
        before = check(run.brokers, run.target, events, program.masks, cuts)
    return Figure.of(program.name, events, samples, before)


def _observed(bed: Bed, program: Program, run: Run, events: int) -> list[Sample]:
    with running(program, run, bed.progress) as started:

        def processes() -> dict[str, list[int]]:
            servers = {part: _tree(bed, part) for part in ("kafka", "postgres")}
            return {"program": [process.pid for process in started], **servers}

        bed.progress(f"{program.title}: starting")
        try:
            return asyncio.run(
                observe(
                    brokers=run.brokers,
                    topic=run.target,
                    partitions=bed.partitions[run.source],
                    count=events,
                    group=run.name,
                    members=program.members,
                    processes=processes,
                    alive=lambda: all(process.poll() is None for process in started),
                    progress=lambda done: bed.progress(f"{program.title}: {min(done, events):,} of {events:,}"),
                    patience=_PATIENCE + events / _SLOWEST,
                )
            )
        except Stuck as error:
            raise Stuck(f"{program.title}: {error}; its log ends: {run.log.read_text()[-2000:]}") from None


def _tree(bed: Bed, part: str) -> list[int]:
    """Process ids of a server and of what it started."""
    pid = next(status.pid for status in bed.stack.status() if status.name == part)
    server = psutil.Process(pid)
    return [server.pid, *(child.pid for child in server.children(recursive=True))]
