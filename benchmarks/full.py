"""`make bench-full`: what the cost depends on, and what only a worker that runs for long shows. Prints tables in Markdown."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from itertools import chain

from benchmarks import live, shapes
from benchmarks.compare import BENCH
from benchmarks.machine import describe
from benchmarks.session import attempt, temporary_bed
from benchmarks.telling import Teller

__all__ = ["main"]

_LIVE = {"scaling": live.scaling, "latency": live.latency, "memory": live.memory}


def tables(names: Sequence[str], scale: float, tell: Teller) -> Iterator[str]:
    """The lines of these tables, each under its heading."""
    for name in names:
        if name in shapes.TABLES:
            tell.line(f"{name}: measuring in memory")
            yield from _titled(name, shapes.TABLES[name].__doc__, shapes.TABLES[name]())
    rest = [name for name in names if name in _LIVE]
    if rest:
        with temporary_bed(tell) as bed:
            for name in rest:
                yield from _titled(name, _LIVE[name].__doc__, _LIVE[name](bed, tell, scale))


def _titled(name: str, about: str | None, lines: Iterator[str]) -> Iterator[str]:
    yield from (f"## {name}", "", about or "", "")
    yield from lines
    yield ""


def main(arguments: Sequence[str] | None = None) -> int:
    known = [*shapes.TABLES, *_LIVE]
    parser = argparse.ArgumentParser(
        prog="make bench-full", description="Measures what masking costs, and on what that depends."
    )
    parser.add_argument("names", nargs="*", metavar="TABLE", help=f"{', '.join(known)} (default: all)")
    parser.add_argument("--scale", type=float, default=1.0, help="multiplies numbers of events: 0.01 only tries (default: 1)")
    parsed = parser.parse_args(arguments)
    unknown = set(parsed.names) - set(known)
    if unknown:
        parser.error(f"there is no {', '.join(sorted(unknown))}; there are: {', '.join(known)}")

    def work(tell: Teller) -> None:
        BENCH.mkdir(exist_ok=True)
        with (BENCH / "full.md").open("w") as page:
            for line in chain([_about()], tables(parsed.names or known, parsed.scale, tell)):
                print(line, flush=True)
                print(line, file=page, flush=True)

    return attempt(work)


def _about() -> str:
    about = describe()
    machine = about["machine"]
    return (
        f"Commit {about['commit']}, core `{about['core']}`, {machine['cores']} cores ({machine['cpu']}), "
        f"{machine['memory_gib']} GiB, load {machine['load_before'][0]} before it began.\n"
    )


if __name__ == "__main__":
    sys.exit(main())
