"""`make bench`: this project and what people would use in its place, on one machine, in one run.

All read the same events. First each program rehearses with a few: that shows what doesn't work before time is spent, and tells
how many events there is time for. Then the first one reads all of them, unmeasured: a JVM gets faster for a long time, and
whoever came first would pay for the broker's. Then come the rounds: in each, every program in turn, the next round in another
order. The last result is in `.bench/last.json`.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import orjson

from benchmarks.bed import Bed
from benchmarks.events import BYTES
from benchmarks.figures import document, events_that_fit, table
from benchmarks.machine import describe
from benchmarks.measuring import Figure, measure
from benchmarks.programs import PROGRAMS, Program
from benchmarks.session import attempt, temporary_bed
from benchmarks.shares import shares
from benchmarks.telling import Teller

__all__ = ["BENCH", "main"]

BENCH = Path(__file__).resolve().parent.parent / ".bench"
_SECONDS = 1030.0  # of 1200: the rest is for warming up, and for what takes longer than it did in the rehearsal
_FEW = 50_000
_PARTITIONS = 4
_STANDARD = ("worker", "workers", "streams", "loop", "copying", "quix", "faust")


def compare(bed: Bed, programs: Sequence[Program], events: int | None, rounds: int, tell: Teller) -> dict[str, Any]:
    """Rehearsal and rounds; gives the document."""
    about = describe()
    for program in programs:
        program.build(tell.step)
    began = time.monotonic()
    bed.create("few", _PARTITIONS)
    bed.load("few", _FEW)
    rehearsed: list[tuple[float, float, bool]] = []
    for program in programs:
        if program.processes > 1 and rehearsed:  # the first process would be done before the others are there
            rehearsed.append(rehearsed[-1])
            continue
        started = time.monotonic()
        figure = measure(bed, program, "few", _FEW, f"rehearsal-{program.name}")
        tell.line(f"rehearsal: {program.title}: {figure.rate:,.0f} events/s")
        beside = time.monotonic() - started - (0 if program.slow else figure.seconds)
        rehearsed.append((figure.rate, beside, program.slow))
    if events is None:
        events = events_that_fit(rehearsed, rounds, _SECONDS - (time.monotonic() - began))
    tell.line(f"{events:,} events of {BYTES} bytes in {_PARTITIONS} partitions, {rounds} rounds")
    bed.create("many", _PARTITIONS)
    bed.load("many", events)
    tell.line(f"warming up the broker: {measure(bed, programs[0], 'many', events, 'warming').rate:,.0f} events/s")

    done: list[list[dict[str, Any]]] = []
    apart: list[dict[str, float]] = []
    for number in range(rounds):
        figures: list[Figure] = []
        for program in _rotated(programs, number):
            source, count = ("few", _FEW) if program.slow else ("many", events)
            figures.append(measure(bed, program, source, count, f"round{number + 1}-{program.name}"))
            tell.line(f"round {number + 1}: {program.title}: {figures[-1].rate:,.0f} events/s")
        apart.append(asdict(shares()))
        order = {program.name: at for at, program in enumerate(programs)}
        done.append([figure.document() for figure in sorted(figures, key=lambda figure: order[figure.program])])
    return document({**about, "events": {"count": events, "bytes": BYTES, "partitions": _PARTITIONS}}, done, apart)


def _rotated(programs: Sequence[Program], by: int) -> list[Program]:
    by %= len(programs)
    return [*programs[by:], *programs[:by]]


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="make bench", description="Compares cdc-masker with what people would use instead.")
    parser.add_argument("--events", type=int, help="events for each run (default: as many as 20 minutes have time for)")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", nargs="+", choices=PROGRAMS, default=_STANDARD, metavar="PROGRAM", help=", ".join(PROGRAMS))
    parsed = parser.parse_args(arguments)

    def work(tell: Teller) -> None:
        with temporary_bed(tell) as bed:
            result = compare(bed, [PROGRAMS[name] for name in parsed.only], parsed.events, parsed.rounds, tell)
        BENCH.mkdir(exist_ok=True)
        (BENCH / "last.json").write_bytes(orjson.dumps(result, option=orjson.OPT_INDENT_2) + b"\n")
        print(table(result, {name: program.title for name, program in PROGRAMS.items()}))

    return attempt(work)


if __name__ == "__main__":
    sys.exit(main())
