"""`make bench-full`: what the cost depends on, and what only a worker that runs for long shows. Prints tables in Markdown."""

from __future__ import annotations

import argparse
import logging
import shutil
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from benchmarks import live, shapes
from benchmarks.bed import Bed
from benchmarks.checking import Wrong
from benchmarks.compare import BENCH
from benchmarks.machine import describe
from benchmarks.observing import Stuck
from benchmarks.telling import Teller
from cdc_masker.errors import CdcMaskerError

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
        directory = Path(tempfile.mkdtemp(prefix="cdc-masker-bench."))
        try:
            with Bed(directory, tell.step) as bed:
                for name in rest:
                    yield from _titled(name, _LIVE[name].__doc__, _LIVE[name](bed, tell, scale))
        finally:
            shutil.rmtree(directory, ignore_errors=True)


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
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)  # it tells of each retry; what fails is raised
    tell = Teller()
    about = describe()
    machine = about["machine"]
    BENCH.mkdir(exist_ok=True)
    try:
        with (BENCH / "full.md").open("w") as page:
            heading = (
                f"Commit {about['commit']}, core `{about['core']}`, {machine['cores']} cores ({machine['cpu']}), "
                f"{machine['memory_gib']} GiB, load {machine['load_before'][0]} before it began.\n"
            )
            print(heading, file=page)
            for line in tables(parsed.names or known, parsed.scale, tell):
                print(line, flush=True)
                print(line, file=page, flush=True)
    except (CdcMaskerError, Stuck, Wrong) as error:
        tell.line(f"failed: {error}")
        return 1
    except KeyboardInterrupt:
        tell.line("stopped")
        return 130
    finally:
        tell.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
