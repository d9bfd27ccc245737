"""Where a worker's time goes: the worker's lanes without Faust, which do all in one thread, under the profiler of Python.

Profiling makes calls of Python functions dearer than they are, and compiled code not, so shares tell what to look at, not what
it costs. Prints what each part took itself, and the functions that took most.

Run: python -m benchmarks.profiling --events 200000
"""

from __future__ import annotations

import argparse
import asyncio
import pstats
import re
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.bed import Run
from benchmarks.live import committed, until
from benchmarks.programs import Program, running
from benchmarks.session import attempt, temporary_bed
from benchmarks.telling import Teller

__all__ = ["part_of", "shown"]

_FUNCTIONS = 30
_PARTS = (
    (r"cdc_masker/(kafka|catalog|worker|metrics)", "cdc-masker: Kafka, catalog, metrics"),
    (r"cdc_masker/(evidence|merkle|leaves|heads|batches)", "cdc-masker: evidence"),
    (r"cdc_masker/guard", "cdc-masker: egress guard"),
    (r"cdc_masker", "cdc-masker: masking"),
    (r"aiokafka", "aiokafka"),
    (r"asyncpg|sqlalchemy", "PostgreSQL's client"),
    (r"asyncio|selectors|socket", "event loop"),
    (r"frozen importlib|/(re|enum|typing|dataclasses|inspect)\b", "starting"),
)
_BUILT_IN = (
    (r"select\.epoll", "waiting"),
    (r"hashlib|hmac|_sha", "hashes"),
    (r"msgspec|orjson|json", "JSON"),
    (r"aiokafka", "aiokafka"),
    (r"cdc_masker_native", "cdc-masker: compiled core"),
    (r"socket|ssl", "event loop"),
    (r"marshal|builtins\.(compile|exec|__build_class__)", "starting"),
    (r"of '(list|dict|set|str|bytes|bytearray|int|tuple)' objects|builtins\.", "lists, dicts and texts"),
)
Function = tuple[str, int, str]
"""File, line and name, as the profiler has them; `~` is the file of what is compiled."""


def part_of(function: Function) -> str:
    """Which part of the program a function belongs to."""
    file, _, name = function
    known, text = (_BUILT_IN, name) if file == "~" else (_PARTS, file)
    return next((part for pattern, part in known if re.search(pattern, text)), "other")


def shown(times: Mapping[Function, tuple[int, float]]) -> list[str]:
    """Tables, in Markdown, of parts and of functions by the time that they took themselves. `times`: calls and seconds."""
    parts: Counter[str] = Counter()
    for function, (_, seconds) in times.items():
        parts[part_of(function)] += seconds  # type: ignore[assignment]  # a Counter of seconds
    busy = sum(seconds for part, seconds in parts.items() if part != "waiting") or 1.0
    lines = ["| part | share |", "| --- | ---: |"]
    lines += [f"| {part} | {seconds / busy:.1%} |" for part, seconds in parts.most_common() if part != "waiting"]
    lines += ["", "| function | calls | share |", "| --- | ---: | ---: |"]
    dearest = sorted(times.items(), key=lambda item: -item[1][1])
    for (file, line, name), (calls, seconds) in [each for each in dearest if part_of(each[0]) != "waiting"][:_FUNCTIONS]:
        place = name if file == "~" else f"{'/'.join(Path(file).parts[-2:])}:{line} {name}"
        lines.append(f"| `{place}` | {calls:,} | {seconds / busy:.1%} |")
    return lines


def _command(run: Run, progress: Any) -> list[str | Path]:
    return [sys.executable, "-m", "cProfile", "-o", run.home / "profile", "-m", "benchmarks.peers.loop"]


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.profiling", description="Shows where a worker's time goes.")
    parser.add_argument("--events", type=int, default=200_000)
    events = parser.parse_args(arguments).events

    def work(tell: Teller) -> None:
        with temporary_bed(tell) as bed:
            bed.create("many", 4)
            bed.load("many", events)
            with bed.run("profile", "many") as run:
                with running(Program("profile", "the worker under the profiler", _command), run, tell.step):
                    tell.line(f"profiling {events:,} events")
                    asyncio.run(until(lambda: committed(run), events))
                stats: Any = pstats.Stats(str(run.home / "profile"))
        print("\n".join(shown({function: (found[0], found[2]) for function, found in stats.stats.items()})))

    return attempt(work)


if __name__ == "__main__":
    sys.exit(main())
