"""How `cdc-masker audit verify` and `verify-files` tell what they found."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple

import msgspec
import typer

from cdc_masker.cli.progress import progress

if TYPE_CHECKING:
    from cdc_masker.audit.findings import Report, Summary

__all__ = ["Drawn", "show", "telling"]

_PRINTED = 50
_TELL_SECONDS = 0.5


class Drawn(NamedTuple):
    """Which share of all records was masked anew, and what drew it."""

    share: float
    seed: int


def show(report: Report, drawn: Drawn | None, *, as_json: bool) -> None:
    """Prints all of it. Ends the command with 1 if there are findings."""
    if as_json:
        print(msgspec.json.format(msgspec.json.encode(_document(report, drawn))).decode())
    else:
        _print(report, drawn)
    if report.total:
        raise typer.Exit(1)


@contextmanager
def telling() -> Iterator[Callable[[str], None]]:
    """Tells on a terminal, and not more often than people can read."""
    if not sys.stderr.isatty():
        yield lambda told: None
        return
    with progress() as tell:
        next_time = 0.0

        def now_and_then(told: str) -> None:
            nonlocal next_time
            if time.monotonic() >= next_time:
                next_time = time.monotonic() + _TELL_SECONDS
                tell(told)

        yield now_and_then


def _document(report: Report, drawn: Drawn | None) -> dict[str, object]:
    chains = [
        {**summary.chain._asdict(), **{name: value for name, value in msgspec.to_builtins(summary).items() if name != "chain"}}
        for summary in _summaries(report)
    ]
    recomputed = None if drawn is None else drawn._asdict()
    findings = msgspec.to_builtins(report.findings)
    return {"findings": report.total, "first_findings": findings, "chains": chains, "recomputed": recomputed}


def _print(report: Report, drawn: Drawn | None) -> None:
    for summary in _summaries(report):
        chain = summary.chain
        print(f"{chain.topic}[{chain.partition}] generation {chain.generation}, topic id {chain.incarnation or 'unknown'}")
        if summary.first_offset is not None:
            print(
                f"  {summary.entries:,} entries for offsets {summary.first_offset} to {summary.last_offset}, "
                f"{summary.records:,} records, head {summary.head}"
            )
        if drawn is not None:
            print(f"  {summary.recomputed:,} records masked anew (share {drawn.share:g}, seed {drawn.seed})")
        if summary.waiting:
            print(f"  {summary.waiting:,} raw records wait to be masked")
        for why, count in sorted(summary.unchecked.items()):
            print(f"  not checked: {count:,} {why}")
    for finding in report.findings[:_PRINTED]:
        print(f"FINDING {finding}")
    if report.total > _PRINTED:
        print(f"… and {report.total - _PRINTED:,} more; --json names the first thousand")
    print(f"{report.total:,} findings" if report.total else "the audit fits all that was looked at")


def _summaries(report: Report) -> list[Summary]:
    return [report.summaries[chain] for chain in sorted(report.summaries)]
