"""Puts the last comparison into `benchmarks/README.md`, with the commit and the machine.

Run: python -m benchmarks.page
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import orjson

from benchmarks.compare import BENCH
from benchmarks.figures import table
from benchmarks.programs import PROGRAMS

__all__ = ["with_table"]

_PAGE = Path(__file__).resolve().parent / "README.md"
_BUSY = " **The machine had other work to do, too**, so these figures say little."
_BEGIN, _END = "<!-- the last comparison -->", "<!-- its end -->"


def with_table(page: str, document: Mapping[str, Any]) -> str:
    """The page with that comparison in place of the one before. Raises `ValueError` when it has no place for one."""
    before, begin, rest = page.partition(_BEGIN)
    _, end, after = rest.partition(_END)
    if not begin or not end:
        raise ValueError(f"the page has no {_BEGIN} with {_END} after it")
    titles = {name: program.title for name, program in PROGRAMS.items()}
    return f"{before}{begin}\n{_about(document)}\n\n{table(document, titles)}\n{end}{after}"


def _about(document: Mapping[str, Any]) -> str:
    machine, events, versions = document["machine"], document["events"], document["versions"]
    programs = ", ".join(f"{name} {version}" for name, version in versions.items() if version)
    busy = _BUSY if machine["load_before"][0] > 1 else ""
    return (
        f"Commit {document['commit']}, core `{document['core']}`; {machine['cores']} cores ({machine['cpu']}), "
        f"{machine['memory_gib']} GiB, shared by the programs, the broker and PostgreSQL; load {machine['load_before'][0]} "
        f"before it began. {events['count']:,} events of {events['bytes']} bytes in {events['partitions']} partitions, "
        f"{len(document['rounds'])} rounds.{busy}\n\n{programs}."
    )


def main() -> int:
    try:
        document = orjson.loads((BENCH / "last.json").read_bytes())
    except FileNotFoundError:
        print("there is no comparison yet: run `make bench`", file=sys.stderr)
        return 1
    _PAGE.write_text(with_table(_PAGE.read_text(), document))
    return 0


if __name__ == "__main__":
    sys.exit(main())
